//! What training a model takes beyond the record that plans it: who teaches, from which model on, and where results
//! lie.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use counterpoint_log::{LogError, TopicLog};
use counterpoint_messages::{
    ContentHash, Losses, Message, RecordId, SampleComposed, StageName, Topic, TraceParent, TrainingFault,
    TrainingPlanned,
};
use counterpoint_models::{Base, LearnedStep, Progress, Stop, Trained, Training, TrainingError, Tutor};
use counterpoint_telemetry::{
    events::{Event as _, TrainingStep},
    span, trace,
};
use futures::TryStreamExt;
use serde::Deserialize;
use tracing::{Span, field};

use crate::{
    Tools,
    asked_model::told,
    later,
    stage::Fault,
    store::{StoreError, hash_file},
    teaching::{DataSet, Teaching, Unread, told_of},
};

/// Traces that the span of a training links to; of more samples those that come first by their ids.
const LINKS: usize = 128;

/// See the module.
pub struct Tuition {
    /// Trains.
    pub tutor: Arc<dyn Tutor>,
    /// The model that trainings begin with.
    pub base: Base,
    /// Where results are put.
    pub results: Results,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The log that the samples are on.
    pub log: Arc<dyn TopicLog>,
    /// Is told how far a training is.
    pub watch: Box<dyn Fn(&Progress) + Send + Sync>,
}

/// Where results of trainings are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Results {
    /// In this folder, of the one training there is.
    Folder(PathBuf),
    /// Each in a folder below this one, which has the training's id for a name.
    Below(PathBuf),
}

impl Results {
    fn folder(&self, training: RecordId) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.clone(),
            Self::Below(folder) => folder.join(training.to_string()),
        }
    }
}

/// What a training came to, and its span.
#[derive(Debug)]
pub struct Learned {
    /// The result; or why there is none, and would be none again.
    pub ended: Result<Box<Checkpoint>, (TrainingFault, String)>,
    /// Span of the training.
    pub trace: Option<TraceParent>,
}

/// The result of a training, in a folder.
#[derive(Debug)]
pub struct Checkpoint {
    /// Object that holds what it says of itself.
    pub config: ContentHash,
    /// Losses.
    pub losses: Losses,
    /// Device that it was trained on.
    pub device: String,
    /// The folder.
    pub folder: PathBuf,
    /// Hash of what is in it.
    pub content: ContentHash,
    /// What `--model` takes to ask it.
    pub model: String,
    /// What its answers depend on.
    pub identity: String,
}

/// Why there is no result.
enum End {
    /// None for now.
    Fault(Fault),
    /// None ever.
    Failed(TrainingFault, String),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<TrainingError> for End {
    fn from(error: TrainingError) -> Self {
        let text = told(&error);
        if error.is_full_disk() {
            return Self::Fault(Fault::Ours(text));
        }
        let reason = match error {
            TrainingError::Stopped { .. } | TrainingError::Busy { .. } => return Fault::Ours(text).into(),
            TrainingError::Clip { source, .. } => match source.downcast_ref::<Unread>() {
                Some(Unread { fault: Fault::Ours(_), .. }) => return Fault::Ours(text).into(),
                Some(Unread { fault: Fault::Setup(_), .. }) => return Fault::Setup(text).into(),
                Some(Unread { fault: Fault::Record(_), .. }) => return Fault::Record(text).into(),
                None => TrainingFault::Refused,
            },
            TrainingError::NoMaterial { .. } => TrainingFault::NoSamples,
            TrainingError::Base(_) => TrainingFault::BaseGone,
            TrainingError::Diverged(_) => TrainingFault::LossNotANumber,
            TrainingError::Memory { .. } => TrainingFault::OutOfMemory,
            TrainingError::Failed(_) => TrainingFault::Refused,
        };
        Self::Failed(reason, text)
    }
}

impl Tuition {
    /// Trains, or goes on with it where an earlier try was. Ends early, with a fault of ours, when the pipeline is
    /// told to.
    pub(crate) fn teach(&self, planned: &TrainingPlanned, tools: &Tools) -> Result<Learned, Fault> {
        let mut trace = None;
        match self.result(planned, tools, &mut trace) {
            Ok(checkpoint) => Ok(Learned { ended: Ok(Box::new(checkpoint)), trace }),
            Err(End::Failed(reason, detail)) => Ok(Learned { ended: Err((reason, detail)), trace }),
            Err(End::Fault(fault)) => Err(fault),
        }
    }

    fn result(
        &self,
        planned: &TrainingPlanned,
        tools: &Tools,
        trace: &mut Option<TraceParent>,
    ) -> Result<Checkpoint, End> {
        let id = planned.data_set;
        let data_set: DataSet = serde_json::from_slice(&tools.store.get(id)?)
            .map_err(|error| Fault::Record(format!("object {id} holds no data set: {error}")))?;
        let wanted = data_set.samples.iter().chain(&data_set.exam).copied().collect();
        let found = futures::executor::block_on(samples_named(&*self.log, &wanted));
        let mut found = found.map_err(|error| Fault::Ours(error.to_string()))?;
        // Nothing depends on those that the training is watched by, so one that has gone is not missed.
        let exam = data_set.exam.iter().filter_map(|id| found.remove(id)).map(|(sample, _)| sample).collect();
        let span = tracing::info_span!(
            span::TRAINING,
            stage = %StageName::Trainer,
            training = %planned.id,
            samples = found.len(),
        );
        let mut linked = BTreeSet::new();
        for sample in found.values().filter_map(|(_, trace)| *trace) {
            if linked.len() < LINKS && linked.insert(sample.trace_id) {
                trace::link(&span, sample);
            }
        }
        *trace = trace::of(&span);
        let _entered = span.entered();
        let samples: Vec<_> = found.into_values().map(|(sample, _)| sample).collect();
        check(&samples, &data_set)?;
        let settings = tools.store.open_object(planned.settings)?;
        let prepared = self.tutor.prepare(&self.base, Some(settings.path()))?;
        if prepared.base != planned.base_identity {
            let named = |identity: &Option<String>| identity.clone().unwrap_or_else(|| "nothing".to_owned());
            let (was, is) = (named(&planned.base_identity), named(&prepared.base));
            let base = planned.base.as_deref().unwrap_or("the model to begin with");
            let detail =
                format!("{base} is another model than was planned ({was}, now {is}): plan the training anew");
            return Err(End::Failed(TrainingFault::BaseChanged, detail));
        }
        let recipes = planned.recipes.as_ref();
        let training = Training {
            base: self.base.clone(),
            recipe: Some(settings.path().to_owned()),
            recipes: recipes.map(|recipes| recipes.iter().map(|recipe| recipe.as_str().to_owned()).collect()),
            seed: planned.seed,
            data_set: data_set.learned().to_string(),
            device: self.device.clone(),
            out: self.results.folder(planned.id),
            stop: Stop::new(),
        };
        let material = Teaching::new(samples, exam, data_set, tools.reading());
        let mut steps = Steps::new();
        let mut watch = |progress: Progress| {
            if tools.stopping.load(Ordering::Relaxed) {
                training.stop.set();
            }
            steps.tell(&progress);
            (self.watch)(&progress);
        };
        let trained = self.tutor.train(&training, &material, &mut watch)?;
        Ok(self.checkpoint(trained, tools)?)
    }

    fn checkpoint(&self, trained: Trained, tools: &Tools) -> Result<Checkpoint, Fault> {
        let read = |path: &Path| fs::read(path).map_err(|error| StoreError::io("read", path, error));
        let facts = read(&trained.folder.join(Trained::FACTS))?;
        let lines = read(&trained.losses)?;
        let losses = losses(&lines, tools.store.put_bytes(&lines)?.hash)
            .map_err(|problem| Fault::Record(format!("{}: {problem}", trained.losses.display())))?;
        let unread = |error| StoreError::io("read", &trained.folder, error);
        Ok(Checkpoint {
            config: tools.store.put_bytes(&facts)?.hash,
            losses,
            device: self.device.clone(),
            folder: std::path::absolute(&trained.folder).map_err(unread)?,
            content: content_of(&trained.folder).map_err(unread)?,
            model: trained.model,
            identity: trained.identity,
        })
    }
}

/// Refuses what no model can learn from.
fn check(samples: &[SampleComposed], data_set: &DataSet) -> Result<(), End> {
    let (there, wanted) = (samples.len(), data_set.samples.len());
    if wanted == 0 {
        let detail = "there is nothing to learn from: no sample is of the train split and of the classes that \
                      are learned";
        return Err(End::Failed(TrainingFault::NoSamples, detail.to_owned()));
    }
    if there < wanted {
        let detail = format!(
            "of {wanted} samples {} are not on the log any more: plan the training anew",
            wanted - there
        );
        return Err(End::Failed(TrainingFault::SamplesGone, detail));
    }
    let classes: BTreeSet<_> = samples.iter().flat_map(told_of).collect();
    match classes.first() {
        Some(class) if classes.len() == 1 => {
            let detail = format!(
                "all {there} samples are of class {class}, so there is nothing to tell apart: give samples of at \
                 least two classes"
            );
            Err(End::Failed(TrainingFault::OneClass, detail))
        }
        _ => Ok(()),
    }
}

/// Samples by their ids, each with the trace that it belongs to; those that are not on the log are not there.
pub(crate) async fn samples_named(
    log: &dyn TopicLog,
    wanted: &BTreeSet<RecordId>,
) -> Result<BTreeMap<RecordId, (SampleComposed, Option<TraceParent>)>, LogError> {
    let mut found = BTreeMap::new();
    let mut records = log.scan(Topic::Samples);
    while let Some(record) = records.try_next().await? {
        if let Ok(Some(Message::SampleComposed(sample))) = later::read(&record)
            && wanted.contains(&sample.id)
        {
            found.entry(sample.id).or_insert((sample, record.headers.trace));
        }
    }
    Ok(found)
}

/// Tells of the steps of a training, each by a span and by metrics.
struct Steps {
    /// Of the step that is being taken; the first one of a further part begins with its end.
    span: Option<Span>,
    since: Instant,
}

impl Steps {
    fn new() -> Self {
        Self { span: None, since: Instant::now() }
    }

    fn begin() -> Span {
        let empty = field::Empty;
        tracing::info_span!(span::TRAINING_STEP, part = empty, step = empty, loss = empty, rate = empty)
    }

    fn tell(&mut self, progress: &Progress) {
        match progress {
            Progress::Taken { clips, of } => self.span = (clips == of).then(Self::begin),
            Progress::Step(LearnedStep { part, step, of, loss, lr }) => {
                let span = self.span.take().unwrap_or_else(Self::begin);
                span.record("part", part).record("step", step).record("loss", loss).record("rate", lr);
                TrainingStep { loss: *loss, rate: *lr, duration: self.since.elapsed() }.emit();
                drop(span);
                self.span = (step < of).then(Self::begin);
            }
            // No part of the step before which it is done, though within that one's span.
            Progress::Examined => {}
        }
        self.since = Instant::now();
    }
}

/// A line of the losses.
#[derive(Deserialize)]
struct Line {
    loss: f64,
}

/// What the lines of all losses come to; `object` holds them.
fn losses(lines: &[u8], object: ContentHash) -> Result<Losses, String> {
    let mut found: Option<Losses> = None;
    for (number, line) in (1..).zip(lines.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty()) {
        let Line { loss } =
            serde_json::from_slice(line).map_err(|error| format!("line {number}: {error}"))?;
        let losses =
            found.get_or_insert(Losses { steps: 0, first: loss, last: loss, lowest: loss, lines: object });
        losses.steps += 1;
        losses.last = loss;
        losses.lowest = losses.lowest.min(loss);
    }
    found.ok_or_else(|| "it tells of no step".to_owned())
}

/// Files of a result that tell of the way there.
const OF_THE_WAY: [&str; 3] = [Trained::LOSSES, Trained::EXAMS, Trained::FACTS];

/// Hash of the files in a result's folder, apart from those that tell of the way there: they hold times and paths.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn content_of(folder: &Path) -> io::Result<ContentHash> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && !OF_THE_WAY.iter().any(|known| name == *known) {
            files.insert(name, hash_file(&entry.path())?.0);
        }
    }
    let mut hasher = blake3::Hasher::new_derive_key("counterpoint checkpoint content v1");
    for (name, hash) in files {
        let name = name.as_encoded_bytes();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(&hash.0);
    }
    Ok(ContentHash(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_summed_up_and_what_is_none_is_told_by_its_line() {
        let object = ContentHash([7; 32]);
        let lines = b"{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":0.5}\n{\"step\":3,\"loss\":1.0}\n";
        let summed = Losses { steps: 3, first: 2.5, last: 1.0, lowest: 0.5, lines: object };
        assert_eq!(losses(lines, object), Ok(summed));
        assert!(losses(b"", object).unwrap_err().contains("no step"));
        assert!(losses(b"{\"loss\":1.0}\n{\"loss\":null}\n", object).unwrap_err().starts_with("line 2: "));
    }

    #[test]
    fn the_content_of_a_result_is_that_of_its_weights_and_not_of_the_way_there() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("model.safetensors", "weights");
        let content = content_of(folder.path()).unwrap();
        write(Trained::LOSSES, "{\"seconds\":1}");
        write(Trained::EXAMS, "{}");
        write(Trained::FACTS, "{}");
        assert_eq!(content_of(folder.path()).unwrap(), content);
        write("model.safetensors", "other weights");
        assert_ne!(content_of(folder.path()).unwrap(), content);
        write("model.safetensors", "weights");
        write("config.json", "");
        assert_ne!(content_of(folder.path()).unwrap(), content);
        assert!(content_of(&folder.path().join("gone")).is_err());
    }
}
