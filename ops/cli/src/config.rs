//! Settings: defaults, then the TOML file, then the environment, then flags.

use std::path::Path;

use counterpoint_actors::settings::{
    ComposerSettings, CuratorSettings, DecoderSettings, Effort, GateSettings, Settings, SourceSettings,
};
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};

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
    /// Thresholds.
    pub gate: GateSettings,
    /// Samples.
    pub composer: ComposerSettings,
    /// How fast and how patiently; never what comes out.
    pub effort: Effort,
    /// The topic log.
    pub topics: TopicSettings,
}

/// The topic log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicSettings {
    /// Partitions of the topics that clips flow on, fixed when the log is made.
    pub partitions: u32,
    /// Name of this process's place in its groups, stable over restarts.
    pub instance: String,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { partitions: 4, instance: "main".to_owned() }
    }
}

impl Config {
    /// Reads the settings.
    pub fn load(common: &Common) -> Result<Self, Failure> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = &common.config {
            if !path.is_file() {
                let path = path.display();
                return Err(Failure::usage(format!("settings file {path} is not there; name one that is")));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        // Single words after the prefix are no settings (COUNTERPOINT_LOG, say), apart from the seed.
        let environment =
            Env::prefixed(PREFIX).filter(|name| name == "seed" || name.as_str().contains("__")).split("__");
        let config: Self = figment.merge(environment).extract().map_err(|error| {
            let problems: Vec<_> = error.into_iter().map(|error| format!("settings: {error}")).collect();
            Failure::usage(problems.join("\n"))
        })?;
        config.settings().check().map_err(|error| Failure::usage(error.to_string()))?;
        if config.topics.partitions == 0 || config.topics.partitions > 1024 {
            let found = config.topics.partitions;
            return Err(Failure::usage(format!("setting topics.partitions is {found}: from 1 to 1024")));
        }
        Ok(config)
    }

    /// The part that decides what comes out.
    pub fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            source: self.source.clone(),
            curator: self.curator.clone(),
            decoder: self.decoder.clone(),
            gate: self.gate.clone(),
            composer: self.composer.clone(),
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
    fn an_unknown_setting_is_named_with_those_that_exist() {
        let error = load("[gate]\nmotion = 0.25\n").unwrap_err().to_string();
        assert!(error.contains("motion") && error.contains("motion_min"), "{error}");
        assert!(load("[gates]\n").is_err());
        assert!(load("seed = \"x\"\n").is_err());
        assert!(load("[decoder]\nsize = 3\n").unwrap_err().to_string().contains("decoder.size is 3"));
    }
}
