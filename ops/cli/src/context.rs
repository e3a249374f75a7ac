//! What the commands open: ontology, rules, plan, log, store, workers.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use counterpoint_actors::{
    AskedModel, Tools,
    assessment::Assessment,
    planner::Rounds,
    projection::newest_revision,
    publisher::{Page, Publisher},
    revision::{Contents, Revision},
    settings::Effort,
    store::Store,
    tuition::Tuition,
};
use counterpoint_core::{curation, media_job::Limits, ontology::Ontology, plan::Plan, rules::Rules};
use counterpoint_log::TopicLog;
use counterpoint_messages::{ContentHash, Topic};
use counterpoint_models::ModelFacts;
use counterpoint_worker::{WorkerPool, WorkerSettings, worker_program};

use crate::{
    args::Common,
    config::{Config, TopicSettings, read},
    output::Failure,
};

/// Longest that a media job may take before it is given up and tried again.
const WALL: Duration = Duration::from_secs(300);

/// Name of the built-in rules in messages.
const BUILT_IN_RULES: &str = "the built-in rules";

/// An ontology and the rules that prune it.
pub struct Classification {
    /// Rules on the ontology.
    pub rulebook: Arc<curation::Curator>,
    /// The ontology as it was read.
    pub ontology: String,
    /// The rules as they were read.
    pub rules: String,
}

impl Classification {
    /// Reads and checks both.
    pub fn read(ontology: &Path, rules: Option<&Path>) -> anyhow::Result<Self> {
        let text = read("ontology", ontology)?;
        let rules_text = rules.map(|path| read("rules", path)).transpose()?;
        let rules_name = rules.map_or_else(|| BUILT_IN_RULES.to_owned(), |path| path.display().to_string());
        Self::of(text, &ontology.display().to_string(), rules_text, &rules_name)
    }

    /// Checks texts that were read.
    pub fn of(
        ontology: String,
        ontology_name: &str,
        rules: Option<String>,
        rules_name: &str,
    ) -> anyhow::Result<Self> {
        let parsed = Ontology::from_json(&ontology, ontology_name)?;
        let rules = rules.unwrap_or_else(|| Rules::BUILT_IN.to_owned());
        let parsed_rules = Rules::from_toml(&rules, rules_name)?;
        let rulebook = Arc::new(curation::Curator::new(&parsed, &parsed_rules)?);
        Ok(Self { rulebook, ontology, rules })
    }

    /// The one that a run kept in its store.
    pub fn of_run(revision: &Revision, store: &Store) -> anyhow::Result<Self> {
        let object = |name| -> anyhow::Result<String> {
            let hash: ContentHash = setting(revision, "curator", name)?.parse()?;
            Ok(String::from_utf8(store.get(hash)?)?)
        };
        let (ontology, rules) = (object("ontology")?, object("rules")?);
        Self::of(ontology, "the run's ontology", Some(rules), "the run's rules")
    }

    /// Keeps both and the plan in a run's store, under the hashes that its revision names.
    pub fn keep(&self, plan: &Plan, store: &Store) -> anyhow::Result<()> {
        for text in [&self.ontology, &self.rules, &plan.to_toml()] {
            store.put_bytes(text.as_bytes())?;
        }
        Ok(())
    }

    /// Hashes for the revision; `judge` is the one that the settings name, and `rounds` are what they want.
    pub fn contents(&self, plan: &Plan, judge: Option<&ModelFacts>, rounds: Option<&Rounds>) -> Contents {
        Contents {
            ontology: ContentHash::of(self.ontology.as_bytes()),
            rules: ContentHash::of(self.rules.as_bytes()),
            plan: plan.hash(),
            judge: judge.map(|judge| ContentHash::of(judge.identity.as_bytes())),
            rounds: rounds.map(Rounds::contents),
        }
    }
}

/// Refuses a store that is not the one of the log's runs so far, of which `newest` is the last revision.
pub fn check_store(store: &Store, newest: &Revision, out: &Path) -> Result<(), Failure> {
    let kept: ContentHash = setting(newest, "curator", "ontology")?.parse().map_err(anyhow::Error::from)?;
    if store.contains(kept).map_err(anyhow::Error::from)? {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "the objects of {} are not in {}: give the settings store.url and s3.endpoint of its earlier runs, \
         or another --out",
        out.display(),
        store.place(),
    )))
}

/// A setting of a revision, as text.
pub fn setting<'a>(revision: &'a Revision, stage: &str, name: &str) -> anyhow::Result<&'a str> {
    revision
        .declared
        .settings
        .get(stage)
        .and_then(|settings| settings.get(name))
        .map(String::as_str)
        .with_context(|| format!("the run's revision has no setting {stage}.{name}: run it again first"))
}

/// The plan that a run kept in its store.
pub fn plan_of_run(revision: &Revision, store: &Store) -> anyhow::Result<Plan> {
    let text = String::from_utf8(store.get(setting(revision, "composer", "plan")?.parse()?)?)?;
    Ok(Plan::from_toml(&text, "the run's plan")?)
}

/// The seed of a run.
pub fn seed_of_run(revision: &Revision) -> anyhow::Result<u64> {
    setting(revision, "composer", "seed")?.parse().context("seed of the run")
}

/// A plan by name or path. A path that leads nowhere is a wrong setting.
pub fn plan(name: &str) -> Result<Plan, Failure> {
    match Plan::built_in(name) {
        Some(plan) => Ok(plan),
        None => {
            let text = read("plan", name.as_ref()).map_err(|error| {
                Failure::usage(format!(
                    "{error}, or give one of the built-in plans: default, published, streams"
                ))
            })?;
            Ok(Plan::from_toml(&text, name).map_err(anyhow::Error::from)?)
        }
    }
}

/// Opens the log of a run, and makes it if need be.
pub fn open_log(common: &Common, out: &Path, topics: &TopicSettings) -> Result<Arc<dyn TopicLog>, Failure> {
    let log = counterpoint_log::open(common.broker.as_deref(), out, &topics.options())
        .map_err(anyhow::Error::from)?;
    let fixed = log.partitions(Topic::Clips);
    if topics.are_partitions_given && topics.partitions != fixed {
        return Err(Failure::usage(format!(
            "setting topics.partitions is {}, but it was fixed when the log was made ({fixed}): \
             leave it out, or choose another log",
            topics.partitions
        )));
    }
    Ok(log)
}

/// Opens the log of a run that is there already.
pub fn open_existing_log(common: &Common, out: &Path) -> Result<Arc<dyn TopicLog>, Failure> {
    let options = Config::load(common)?.topics.options();
    let opened = counterpoint_log::open_existing(common.broker.as_deref(), out, &options);
    Ok(opened.map_err(|error| match common.broker {
        None if !out.join("topics").exists() => anyhow::anyhow!("{error}; give --out DIR of a run"),
        _ => error.into(),
    })?)
}

/// The flags that lead another command to the same log.
pub fn log_flags(common: &Common, out: &Path) -> String {
    match &common.broker {
        Some(broker) => format!("--broker {broker}"),
        None => format!("--out {}", out.display()),
    }
}

/// Media workers, started when they are needed.
pub fn workers(effort: &Effort) -> anyhow::Result<Arc<WorkerPool>> {
    let settings = WorkerSettings {
        program: worker_program(),
        workers: effort.workers(),
        limits: Limits::default(),
        wall: WALL,
    };
    Ok(Arc::new(WorkerPool::new(settings)?))
}

/// A run that is there already.
pub struct ExistingRun {
    /// Its log.
    pub log: Arc<dyn TopicLog>,
    /// Newest revision.
    pub revision: Revision,
}

impl ExistingRun {
    /// Opens it.
    pub async fn open(common: &Common, out: &Path) -> Result<Self, Failure> {
        let log = open_existing_log(common, out)?;
        let revision = newest_revision(&*log).await.map_err(anyhow::Error::from)?;
        let revision = revision.with_context(|| {
            format!("{} holds no run yet: begin one with `counterpoint run --out {0}`", out.display())
        })?;
        Ok(Self { log, revision })
    }
}

/// Models that a run works with.
#[derive(Default)]
pub struct RunModels {
    /// The one that judges clips.
    pub judge: Option<AskedModel>,
    /// What rounds of training take.
    pub tuition: Option<Tuition>,
    /// What asking their checkpoints takes.
    pub assessment: Option<Assessment>,
}

/// What the work of a run needs.
pub fn tools(
    config: &Config,
    out: &Path,
    log: Arc<dyn TopicLog>,
    revision: Revision,
    media: Arc<WorkerPool>,
    page: Arc<dyn Page>,
    models: RunModels,
) -> anyhow::Result<Arc<Tools>> {
    let publisher = Publisher { log, revision, out: out.to_owned(), page };
    let (store, places) = (config.open_store(out)?, config.places());
    let tools = Tools::new(store, places, media, config.decoder.loudness_lufs, publisher);
    let RunModels { judge: model, tuition, assessment } = models;
    Ok(Arc::new(Tools { model, tuition, assessment, ..tools }))
}

/// The revision that the settings make, and whether the log was worked on under another one.
pub struct RevisionChoice {
    /// Under the settings given.
    pub wanted: Revision,
    /// Newest on the log.
    pub newest: Option<Revision>,
}

impl RevisionChoice {
    /// Compares settings with the log.
    pub async fn of(
        log: &dyn TopicLog,
        settings: &counterpoint_actors::settings::Settings,
        contents: Contents,
    ) -> anyhow::Result<Self> {
        let newest = newest_revision(log).await?;
        let (number, replays) = match &newest {
            Some(newest) => (newest.declared.number + 1, newest.declared.replays.clone()),
            None => (1, BTreeMap::new()),
        };
        Ok(Self { wanted: Revision::new(number, settings, contents, replays), newest })
    }
}
