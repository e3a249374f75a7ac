//! What `evaluate` and `replay` share: a run's samples, a model, and asking the one about the other.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use anyhow::Context as _;
use counterpoint_actors::{
    AskedModel, Tools,
    evaluation::{self, Collected, Evaluation, EvaluationError},
    evaluator::{Assignment, Inquiry},
    format,
    pipeline::RunningPipeline,
    projection::samples_of,
    publisher::Publisher,
    revision::Revision,
    store::Store,
    teaching::{DataSet, classes_found},
};
use counterpoint_core::{
    media_job::SampleRequest,
    suite::{Options, Suite, SuiteError},
};
use counterpoint_log::{Broker, TopicLog};
use counterpoint_messages::{
    ContentHash, DeadLetter, FormatLevel, RecordId, SampleComposed, Split, StageName, Topic,
};
use counterpoint_models::{ModelFacts, ModelName};
use counterpoint_telemetry::{span, trace};

use super::reaching::reach;
use crate::{
    args::Common,
    config::Config,
    context::{Classification, ExistingRun, check_store, log_flags, setting, workers},
    local::{LocalModels, open},
    output::Failure,
    page::NoPage,
    progress::Screen,
};

/// Samples a second that models take.
pub const RATE: u32 = 16_000;

/// A run whose samples are asked about.
pub struct Subject {
    /// The run.
    pub run: ExistingRun,
    /// Its samples under the newest revision, in order of their ids.
    pub samples: Vec<SampleComposed>,
    /// Its media objects.
    pub store: Store,
}

/// What a model was asked and answered.
pub struct Asked {
    /// The model.
    pub model: ModelFacts,
    /// Its answers.
    pub collected: Collected,
    /// Object that holds what it was asked.
    pub object: ContentHash,
    /// What was given up on.
    pub given_up: Vec<DeadLetter>,
    /// Whether it was told to stop before the end.
    pub interrupted: bool,
}

impl Subject {
    /// Opens a run and reads its samples.
    pub async fn open(common: &Common, config: &Config, out: &Path) -> Result<Self, Failure> {
        let run = ExistingRun::open(common, out).await?;
        let store = config.open_store(out)?;
        check_store(&store, &run.revision, out)?;
        check_level(&*run.log, FormatLevel::MODELS, "answers", &log_flags(common, out)).await?;
        let samples = samples_of(&*run.log, &run.revision).await.map_err(anyhow::Error::from)?;
        if samples.is_empty() {
            return Err(Failure::Failed(anyhow::anyhow!(
                "{} has no samples yet: let its run come to its end first",
                out.display()
            )));
        }
        Ok(Self { run, samples, store })
    }

    /// What a suite comes to for this run.
    pub fn inquiry(&self, config: &Config, suite: Suite, splits: &[Split]) -> Result<Inquiry, Failure> {
        let asked = |sample: &&SampleComposed| splits.contains(&sample.split);
        if !self.samples.iter().any(|sample| asked(&sample)) {
            let names: Vec<_> = splits.iter().map(|split| split.as_str()).collect();
            return Err(Failure::Failed(anyhow::anyhow!(
                "the run has no samples of split {}: name another one by --split, or run clips of that split",
                names.join(" or ")
            )));
        }
        if !self.samples.iter().filter(asked).any(|sample| suite.asks_of(sample.recipe.name())) {
            let conditions: Vec<_> = suite.pairs().iter().map(|(condition, _)| condition.as_str()).collect();
            return Err(Failure::Failed(anyhow::anyhow!(
                "the run has no sample to ask about under {}: its plan makes none",
                conditions.join(", ")
            )));
        }
        let options = match &suite.options {
            Options::Found => self.classes_found(),
            Options::All => {
                let classification = Classification::of_run(&self.run.revision, &self.store)?;
                classification.rulebook.classes().iter().map(|class| class.name.clone()).collect()
            }
            Options::Listed(names) => names.clone(),
        };
        if options.len() < 2 {
            return Err(Failure::Failed(SuiteError::TooFewClasses { count: options.len() }.into()));
        }
        let (request, decoding) = (self.request(config)?, config.evaluator.decoding.clone());
        Ok(Inquiry { suite, options, splits: splits.to_vec(), decoding, request })
    }

    /// Classes of all samples, in the order of the alphabet.
    pub fn classes_found(&self) -> Vec<String> {
        classes_found(&self.samples)
    }

    /// What a model learns from: the samples of the train split; of `may_learn` alone, if there are such classes.
    pub fn data_set(
        &self,
        config: &Config,
        may_learn: Option<&BTreeSet<String>>,
    ) -> Result<DataSet, Failure> {
        let classes = self.classes_found();
        if let Some(unknown) = may_learn.into_iter().flatten().find(|class| !classes.contains(class)) {
            return Err(Failure::usage(format!(
                "the run has no samples of class {unknown}: it has {}",
                classes.join(", ")
            )));
        }
        let is_learned = |class: &str| may_learn.is_none_or(|classes| classes.contains(class));
        Ok(DataSet::of(&self.samples, is_learned, self.request(config)?))
    }

    /// Which frames and which sound models get.
    fn request(&self, config: &Config) -> anyhow::Result<SampleRequest> {
        let settings = &config.evaluator;
        let size = match settings.size {
            Some(size) => size,
            None => setting(&self.run.revision, "decoder", "size")?.parse().context("size of the run")?,
        };
        Ok(SampleRequest { frames_per_second: settings.frames_per_second, size, rate: RATE })
    }

    /// An inquiry that was kept.
    pub fn kept(&self, object: ContentHash) -> anyhow::Result<Inquiry> {
        let bytes = self.store.get(object)?;
        serde_json::from_slice(&bytes).with_context(|| format!("object {object} holds no inquiry"))
    }

    /// A model's answers so far.
    pub async fn collect(&self, inquiry: &Inquiry, identity: &str) -> Result<Collected, EvaluationError> {
        evaluation::collect(&*self.run.log, &self.samples, inquiry, identity).await
    }

    /// Asks a model what it was not asked yet.
    pub async fn ask(
        self,
        inquiry: Inquiry,
        model: AskedModel,
        config: &Config,
        common: &Common,
        out: &Path,
        screen: &Screen,
    ) -> Result<Asked, Failure> {
        let facts = model.facts().clone();
        let bytes = serde_json::to_vec(&inquiry).context("cannot write down the questions")?;
        let object = self.store.put_bytes(&bytes).map_err(anyhow::Error::from)?.hash;
        let before = self.collect(&inquiry, &facts.identity).await.map_err(anyhow::Error::from)?;
        let root = tracing::info_span!(parent: None, span::EVALUATION, evaluation = %object);
        let answered = before.ids();
        let assignment = Arc::new(Assignment {
            inquiry: inquiry.clone(),
            object,
            model: facts.clone(),
            answered,
            trace: trace::of(&root),
        });
        let Self { run, samples, store } = self;
        let ExistingRun { log, revision } = run;
        let own = tools(config, store, Arc::clone(&log), revision.clone(), out)?;
        let tools = Arc::new(own.with_model(model));
        let broker = Broker::of(common.broker.as_deref(), out).map_err(anyhow::Error::from)?;
        let mut evaluation = Evaluation {
            revision,
            assignment,
            attempt: 0,
            effort: config.effort.clone(),
            instance: config.topics.instance(&broker),
            log: Arc::clone(&log),
            tools: Arc::clone(&tools),
        };
        // What was given up on is tried again by a group that has not given up on anything.
        while !given_up(&*log, &evaluation).await?.is_empty() {
            evaluation.attempt += 1;
        }
        let fingerprint = evaluation.fingerprint();
        let mut interrupted = false;
        if !before.open.is_empty() {
            let open: std::collections::BTreeSet<RecordId> = before.open.iter().copied().collect();
            interrupted = to_the_end(evaluation, &tools, open.len(), screen).await?;
        }
        let collected = evaluation::collect(&*log, &samples, &inquiry, &facts.identity).await;
        let collected = collected.map_err(anyhow::Error::from)?;
        let given_up = evaluation::given_up(&*log, fingerprint).await.map_err(anyhow::Error::from)?;
        Ok(Asked { model: facts, collected, object, given_up, interrupted })
    }
}

/// Refuses a log of a format level that has no words for what is to be written.
pub async fn check_level(
    log: &dyn TopicLog,
    needed: FormatLevel,
    what: &str,
    flags: &str,
) -> Result<(), Failure> {
    let format = format::of(log).await.map_err(anyhow::Error::from)?;
    if format.level >= needed {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "this log is of format level {}, which has no words for {what}: raise it by `counterpoint topics upgrade \
         {flags}`, once every program on this log is of this release",
        format.declared,
    )))
}

/// What reading samples needs.
pub fn tools(
    config: &Config,
    store: Store,
    log: Arc<dyn TopicLog>,
    revision: Revision,
    out: &Path,
) -> anyhow::Result<Tools> {
    let loudness = setting(&revision, "decoder", "loudness_lufs")?.parse().context("loudness of the run")?;
    let publisher = Publisher { log, revision, out: out.to_owned(), page: Arc::new(NoPage) };
    Ok(Tools::new(store, config.places(), workers(&config.effort)?, loudness, publisher))
}

async fn given_up(log: &dyn TopicLog, evaluation: &Evaluation) -> anyhow::Result<Vec<DeadLetter>> {
    Ok(evaluation::given_up(log, evaluation.fingerprint()).await?)
}

/// Opens a model, to be opened anew by itself where it fails.
pub fn model(
    name: &ModelName,
    config: &Config,
    common: &Common,
    local: Option<&'static dyn LocalModels>,
) -> anyhow::Result<AskedModel> {
    let (name, config, device) = (name.clone(), config.clone(), common.device.clone());
    Ok(AskedModel::open(move || open(&name, &config, &device, local))?)
}

/// The model that judges clips, where the settings name one.
pub fn judge(config: &Config) -> Result<Option<ModelName>, Failure> {
    let name = config.prober.judge.as_deref().map(str::parse).transpose();
    name.map_err(|error| Failure::usage(format!("setting prober.judge: {error}")))
}

/// Asks about the samples that are there now; whether it was interrupted before it had asked about all.
async fn to_the_end(
    evaluation: Evaluation,
    tools: &Tools,
    open: usize,
    screen: &Screen,
) -> Result<bool, Failure> {
    let end = evaluation::end_of_samples(&*evaluation.log).await.map_err(anyhow::Error::from)?;
    let Some(end) = end else { return Ok(false) };
    let bar = screen.bar("answers", open);
    let draw = |running: &RunningPipeline| {
        bar.set_position(running.health().iter().map(|(_, health)| health.outputs).sum());
    };
    let leave_off = || {
        if let Some(model) = &tools.model {
            model.stop();
        }
    };
    let target = (StageName::Evaluator, Topic::Samples, end);
    let ended = reach(evaluation.start(), target, screen, draw, leave_off).await;
    bar.finish_and_clear();
    Ok(ended.context("the evaluation cannot go on; what was answered is kept")?)
}
