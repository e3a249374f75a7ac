//! Settings: defaults, then the TOML file, then the environment, then flags.

mod problem;
mod store;
mod topics;

use std::path::Path;

use counterpoint_actors::{
    s3::S3Settings,
    settings::{
        ComposerSettings, CuratorSettings, DecoderSettings, Effort, EvaluatorSettings, FetcherSettings,
        FollowSettings, GateSettings, ProberSettings, SettingError, Settings, SourceSettings,
        TrainerSettings,
    },
};
use counterpoint_models::LocalSettings;
use counterpoint_remote::RemoteSettings;
use counterpoint_telemetry::LOG_VARIABLE;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};

pub use self::topics::TopicSettings;
use self::{
    problem::{describe, origin},
    store::StoreSettings,
};
use crate::{args::Common, output::Failure};

const PREFIX: &str = "COUNTERPOINT_";

/// Everything a settings file may hold; an unknown name is an error.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of every random choice.
    pub seed: u64,
    /// Reading of folders.
    pub source: SourceSettings,
    /// Classes.
    pub curator: CuratorSettings,
    /// The normal form of media.
    pub decoder: DecoderSettings,
    /// The judge.
    pub prober: ProberSettings,
    /// Thresholds.
    pub gate: GateSettings,
    /// Samples.
    pub composer: ComposerSettings,
    /// Rounds of training.
    pub trainer: TrainerSettings,
    /// How fast and how patiently; never what comes out.
    pub effort: Effort,
    /// A never-ending input.
    pub follow: FollowSettings,
    /// A command that fetches clips.
    pub fetcher: FetcherSettings,
    /// How models are asked about samples.
    pub evaluator: EvaluatorSettings,
    /// The topic log.
    pub topics: TopicSettings,
    /// Media objects.
    pub store: StoreSettings,
    /// Buckets, of the store and of clips.
    pub s3: S3Settings,
    /// Models that run in this process.
    pub local: LocalSettings,
    /// Models that are asked over a network.
    pub remote: RemoteSettings,
    /// What the program says about itself while it runs.
    pub telemetry: Telemetry,
}

/// What the program says about itself while it runs; the flags `--otlp` and `--metrics` come first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// OTLP/HTTP collector.
    pub otlp: Option<String>,
    /// Address at which `run` and `demo` serve metrics to Prometheus.
    pub metrics: Option<String>,
    /// Share of the traces that are recorded, from 0 to 1.
    pub sample_share: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp: None, metrics: None, sample_share: 1.0 }
    }
}

impl Telemetry {
    /// Reads these settings alone: a command that needs no others is not kept from its work by them.
    pub fn load(common: &Common) -> Result<Self, Failure> {
        let figment = figment(common);
        figment.extract_inner("telemetry").map_err(|error| refused(&figment, error))
    }
}

/// Where settings come from, the weakest first.
fn figment(common: &Common) -> Figment {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = common.config.as_ref().filter(|path| path.is_file()) {
        figment = figment.merge(Toml::file_exact(path));
    }
    let environment = Env::prefixed(PREFIX)
        .filter(|name| LOG_VARIABLE.strip_prefix(PREFIX).is_none_or(|log| name != log))
        .filter(|name| !topics::is_property(name.as_str()))
        .split("__");
    topics::properties_of_environment()
        .into_iter()
        .fold(figment.merge(environment), |figment, (name, value)| {
            figment.merge((format!("topics.kafka.{name}"), value))
        })
}

fn refused(figment: &Figment, error: figment::Error) -> Failure {
    let problems: Vec<_> = error.into_iter().map(|error| describe(figment, &error)).collect();
    Failure::usage(problems.join("\n"))
}

impl Config {
    /// Reads the settings.
    pub fn load(common: &Common) -> Result<Self, Failure> {
        if let Some(path) = common.config.as_ref().filter(|path| !path.is_file()) {
            let path = path.display();
            return Err(Failure::usage(format!("settings file {path} is not there; name one that is")));
        }
        let figment = figment(common);
        let mut config: Self = figment.extract().map_err(|error| refused(&figment, error))?;
        config.check().map_err(|error| match origin(&figment, error.name) {
            Some(origin) => Failure::usage(format!("{error} ({origin})")),
            None => Failure::usage(error.to_string()),
        })?;
        config.topics.are_partitions_given = origin(&figment, "topics.partitions").is_some();
        Ok(config)
    }

    /// Refuses what can never work.
    fn check(&self) -> Result<(), SettingError> {
        self.settings().check()?;
        store::check(&self.store, &self.s3)?;
        self.follow.check()?;
        self.fetcher.check(&self.source.extensions)?;
        self.evaluator.check()?;
        let Effort { max_records, max_bytes, .. } = self.effort;
        let partitions = self.topics.partitions;
        SettingError::first_of([
            ("effort.max_records", max_records.to_string(), max_records >= 1, "at least 1"),
            ("effort.max_bytes", max_bytes.to_string(), max_bytes >= 1, "at least 1"),
            ("topics.partitions", partitions.to_string(), (1..=1024).contains(&partitions), "from 1 to 1024"),
        ])
    }

    /// The part that decides what comes out.
    pub fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            source: self.source.clone(),
            curator: self.curator.clone(),
            decoder: self.decoder.clone(),
            prober: self.prober.clone(),
            gate: self.gate.clone(),
            composer: self.composer.clone(),
            trainer: self.trainer.clone(),
        }
    }
}

/// The text of a file that the user named.
pub fn read(what: &str, path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        anyhow::anyhow!(
            "cannot read the {what} {}: {error}; check the path and its permissions",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str) -> Result<Config, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        Config::load(&Common {
            config: Some(file.path().to_owned()),
            broker: None,
            device: "cpu".to_owned(),
            otlp: None,
            json: false,
        })
    }

    #[test]
    fn a_file_overrides_defaults_and_leaves_the_rest() {
        let config = load("seed = 7\n[gate]\nmotion_min = 0.25\n").unwrap();
        assert_eq!((config.seed, config.gate.motion_min), (7, 0.25));
        assert_eq!(config.decoder, DecoderSettings::default());
    }

    #[test]
    fn an_unknown_setting_is_named_with_its_file_and_those_that_exist() {
        let error = load("[gate]\nmotion = 0.25\n").unwrap_err().to_string();
        for part in ["setting gate.motion in /", "is unknown", "motion_min"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = load("[gates]\n").unwrap_err().to_string();
        assert!(error.contains("setting gates in") && error.contains("curator, decoder"), "{error}");
    }

    #[test]
    fn a_value_of_a_wrong_type_or_size_is_told_in_plain_words() {
        for (toml, words) in [
            ("seed = \"x\"\n", ["setting seed in", "is `x`: give a whole number from 0"]),
            ("seed = -1\n", ["setting seed in", "is -1: give a whole number from 0"]),
            ("gate = 3\n", ["setting gate in", "is 3: give a section of settings"]),
            ("[gate]\nmotion_min = true\n", ["setting gate.motion_min in", "is true: give a number"]),
            (
                "[decoder]\nshort_train = \"cut\"\n",
                ["decoder.short_train", "is `cut`: choose from reject, pad"],
            ),
            ("[source]\nextensions = 4\n", ["setting source.extensions in", "is 4: give a list"]),
            ("[curator]\nrules = 4\n", ["setting curator.rules in", "is 4: give a text"]),
            ("[decoder]\nsize = 3\n", ["setting decoder.size is 3: an even number", "(/"]),
            ("[effort]\nmax_records = 0\n", ["setting effort.max_records is 0: at least 1", "(/"]),
            ("[effort]\nmax_bytes = 0\n", ["setting effort.max_bytes is 0: at least 1", "(/"]),
            ("[store]\nurl = \"x\"\n", ["setting store.url is x: s3://BUCKET/PREFIX", "(/"]),
            ("[store]\nurl = 4\n", ["setting store.url in", "is 4: give a text"]),
            ("[store]\nbucket = 4\n", ["setting store.bucket in", "choose from url, cache_bytes"]),
            ("[store]\ncache_bytes = 0\n", ["setting store.cache_bytes is 0: at least 1", "(/"]),
            ("[s3]\nendpoint = \"x\"\n", ["setting s3.endpoint is x: the address of a server", "(/"]),
            ("[s3]\nendpoint = \"http://x\"\n", ["setting s3.endpoint is http://x", "s3.allow_http = true"]),
            ("[s3]\nsecret = \"x\"\n", ["setting s3.secret in", "endpoint, region, allow_http"]),
            ("[topics]\npartitions = 0\n", ["setting topics.partitions is 0: from 1 to 1024", "(/"]),
            (
                "[telemetry]\nsample_share = \"all\"\n",
                ["telemetry.sample_share in", "is `all`: give a number"],
            ),
            ("seed = \n", ["settings in /", "seed"]),
        ] {
            let error = load(toml).unwrap_err().to_string();
            assert!(words.iter().all(|part| error.contains(part)), "{words:?}: {error}");
            assert!(!error.contains("default."), "{error}");
        }
    }

    #[test]
    fn whether_the_partitions_were_given_is_known() {
        assert!(!load("").unwrap().topics.are_partitions_given);
        assert!(load("[topics]\npartitions = 4\n").unwrap().topics.are_partitions_given);
    }
}
