//! A folder of pretended clips and a pipeline to run on it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use counterpoint_actors::{
    PipelineError, Tools,
    media::{Media, Parents, PreparedFiles, Sampled},
    pipeline::{self, Offer, Pipeline},
    planner::Rounds,
    projection::{Projection, Summary, samples_of},
    publisher::{Page, Publisher},
    revision::{Contents, Revision, stages},
    settings::{Effort, FetcherSettings, Settings},
    source::{places::Places, settling::Moment},
    stage::{Fault, Process},
    store::Store,
    training::{Outcome, outcomes},
    tuition::Results,
};
use counterpoint_core::{
    curation,
    media_job::{ComposeOutcome, ComposeRequest, MediaReject, PrepareRequest, SampleRequest},
    ontology::Ontology,
    plan::Plan,
    rules::Rules,
};
use counterpoint_log::TopicLog;
use counterpoint_messages::{ContentHash, LabelList, RecordId, RejectReason, Split, StageName, Topic};

use crate::{prepared::prepared, tutor::FakeTutor};

/// Classes without kinship, and a MID of each.
pub const CLASSES: [(&str, &str); 4] =
    [("Cat", "/m/01yrx"), ("Bird", "/m/015p6"), ("Accordion", "/m/0mkg"), ("Typing", "/m/0316dw")];

/// Media workers that copy instead of decoding; a file that begins with `bad` is turned away.
#[derive(Default)]
pub struct PretendedMedia {
    pub prepared: AtomicUsize,
    /// Faults of ours still to come.
    pub faults: AtomicUsize,
    /// Crashes of the worker still to come for files that begin with `crash`.
    pub crashes: AtomicUsize,
    pub delay: Duration,
}

impl Media for PretendedMedia {
    fn parallelism(&self) -> usize {
        2
    }

    fn prepare(
        &self,
        input: &Path,
        _: &PrepareRequest,
        scratch: &Path,
    ) -> Result<Result<PreparedFiles, MediaReject>, Fault> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.delay);
        let spend = |stock: &AtomicUsize| {
            stock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        if spend(&self.faults) {
            return Err(Fault::Ours("the disk is full".to_owned()));
        }
        let bytes = fs::read(input).unwrap();
        if bytes.starts_with(b"crash") && spend(&self.crashes) {
            return Err(Fault::Record("the media worker died of signal 11".to_owned()));
        }
        if bytes.starts_with(b"bad") {
            return Ok(Err(MediaReject::new(RejectReason::NotMedia, "it holds text")));
        }
        let name = input.file_stem().unwrap().to_string_lossy().into_owned();
        let (video, sound) = (scratch.join(format!("{name}.mp4")), scratch.join(format!("{name}.flac")));
        fs::write(&video, [b"video of ", bytes.as_slice()].concat()).unwrap();
        fs::write(&sound, [b"sound of ", bytes.as_slice()].concat()).unwrap();
        let outcome = prepared(&bytes);
        let temporary = |path: PathBuf| tempfile::TempPath::try_from_path(path).unwrap();
        Ok(Ok(PreparedFiles { video: temporary(video), sound: temporary(sound), outcome }))
    }

    fn compose(
        &self,
        _: &ComposeRequest,
        _: &Parents,
        output: &Path,
    ) -> Result<Result<ComposeOutcome, MediaReject>, Fault> {
        fs::write(output, b"variant").unwrap();
        Ok(Ok(ComposeOutcome { duration_ms: 10_000, bytes: 7, video_packets: 1, audio_packets: 1 }))
    }

    fn sample(&self, _: &Path, request: &SampleRequest) -> Result<Result<Sampled, MediaReject>, Fault> {
        let pixels = request.size as usize * request.size as usize * 3;
        Ok(Ok(Sampled { rgb: vec![0; pixels], size: request.size, pcm: vec![0.0; 16], time: vec![0.0] }))
    }
}

struct PlainPage;

impl Page for PlainPage {
    fn render(&self, projection: &Projection, _: &Revision, _: &Tools) -> Result<Vec<u8>, Fault> {
        Ok(format!("{:?}", projection.summary).into_bytes())
    }
}

/// A folder of clips, an output folder, and how to run a pipeline from the one to the other.
pub struct Harness {
    folder: tempfile::TempDir,
    pub media: Arc<PretendedMedia>,
    pub settings: Settings,
    pub effort: Effort,
    pub fetcher: FetcherSettings,
    pub rounds: Option<Rounds>,
    pub tutor: Option<Arc<FakeTutor>>,
    rulebook: Arc<curation::Curator>,
}

impl Harness {
    /// `clips` good clips over the four classes, half of each split.
    pub fn with_clips(clips: usize) -> Self {
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/ontology.json");
        let text = fs::read_to_string(shared).expect("the shared data lies beside the checkout");
        let ontology = Ontology::from_json(&text, "ontology.json").unwrap();
        let rulebook = Arc::new(curation::Curator::new(&ontology, &Rules::built_in().unwrap()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ontology.json"), text).unwrap();
        fs::create_dir(folder.path().join("clips")).unwrap();
        let harness = Self {
            folder,
            media: Arc::new(PretendedMedia::default()),
            settings: Settings::default(),
            fetcher: FetcherSettings::default(),
            rounds: None,
            tutor: None,
            effort: Effort { workers: 2, max_records: 64, patience_seconds: 5, ..Effort::default() },
            rulebook,
        };
        for number in 0..clips {
            harness.add_clip(number, "good");
        }
        harness
    }

    /// Plans a round of training for every so many new samples, and has them taught by this one.
    pub fn train(&mut self, every: u64, tutor: &Arc<FakeTutor>) {
        self.settings.trainer.base = Some("tiny".to_owned());
        self.settings.trainer.every = every;
        let request = SampleRequest { size: 28, ..SampleRequest::default() };
        self.rounds = Some(Rounds { course: tutor.course(), request, every, seed: 7 });
        self.tutor = Some(Arc::clone(tutor));
    }

    pub fn video(number: usize) -> String {
        format!("video{number:06}")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a clip whose content begins with `kind`, and its label.
    pub fn add_clip(&self, number: usize, kind: &str) {
        let video = Self::video(number);
        fs::write(self.path("clips").join(format!("{video}.mp4")), format!("{kind} clip {number}")).unwrap();
        let list = self.path(if number.is_multiple_of(2) { "train.csv" } else { "eval.csv" });
        let labels = CLASSES[number / 2 % CLASSES.len()].1;
        let rows = fs::read_to_string(&list).unwrap_or_default();
        fs::write(&list, format!("{rows}{video},30.000,40.000,\"{labels}\"\n")).unwrap();
    }

    pub fn revision(&self) -> Revision {
        let contents = Contents {
            ontology: ContentHash::default(),
            rules: ContentHash::default(),
            plan: Plan::default().hash(),
            judge: None,
            rounds: self.rounds.as_ref().map(Rounds::contents),
        };
        Revision::new(1, &self.settings, contents, BTreeMap::new())
    }

    pub fn labels(&self) -> Vec<LabelList> {
        [("train.csv", Split::Train), ("eval.csv", Split::Eval)]
            .into_iter()
            .filter(|(name, _)| self.path(name).exists())
            .map(|(name, split)| LabelList { path: self.path(name).display().to_string(), split })
            .collect()
    }

    pub fn pipeline(&self, log: &Arc<dyn TopicLog>, stages: &[StageName]) -> Pipeline {
        let revision = self.revision();
        Pipeline {
            settings: self.settings.clone(),
            fetcher: self.fetcher.clone(),
            effort: self.effort.clone(),
            revision,
            rulebook: Arc::clone(&self.rulebook),
            relations: self.rulebook.clone(),
            plan: Plan::default(),
            rounds: self.rounds.clone(),
            stages: stages.iter().copied().collect(),
            instance: "test".to_owned(),
            log: Arc::clone(log),
            tools: Arc::new(self.tools(log)),
        }
    }

    pub fn tools(&self, log: &Arc<dyn TopicLog>) -> Tools {
        let publisher = Publisher {
            log: Arc::clone(log),
            revision: self.revision(),
            out: self.path("out"),
            page: Arc::new(PlainPage),
        };
        let media: Arc<PretendedMedia> = Arc::clone(&self.media);
        let store = Store::open(&self.path("out/objects")).unwrap();
        let tools = Tools::new(store, Places::default(), media, -23.0, publisher);
        match &self.tutor {
            Some(tutor) => {
                tools.with_tuition(tutor.tuition(log, Results::Below(self.path("out/checkpoints"))))
            }
            None => tools,
        }
    }

    /// Offers the folder and runs every stage until the run has ended; the counts it left.
    pub fn run(&self, log: &Arc<dyn TopicLog>) -> Summary {
        self.try_run(log).unwrap()
    }

    pub fn try_run(&self, log: &Arc<dyn TopicLog>) -> Result<Summary, PipelineError> {
        self.run_stages(log, &StageName::RUN)
    }

    /// Runs some stages until the run has ended; offers the folder if the source is among them, and waits
    /// for the newest input if not.
    pub fn run_stages(
        &self,
        log: &Arc<dyn TopicLog>,
        stages: &[StageName],
    ) -> Result<Summary, PipelineError> {
        actix::System::new().block_on(async {
            let revision = self.revision();
            pipeline::declare(&**log, &revision).await.unwrap();
            let mut running = self.pipeline(log, stages).start();
            let input = match stages.contains(&StageName::Source) {
                true => Some(self.offer(log).await),
                false => pipeline::inputs(&**log).await.unwrap().pop().map(|input| input.id),
            };
            tokio::select! {
                ended = running.ended() => ended?,
                finished = pipeline::wait_for_end(&**log, &revision, input) => {
                    let (position, _) = finished.unwrap();
                    while !running.has_reached(StageName::Reporter, Topic::Runs, position) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    running.stop();
                    running.ended().await?;
                }
            }
            Ok(Projection::of(&**log, &revision).await.unwrap().summary)
        })
    }

    /// Runs every stage, rounds of training among them, until the run has ended and every round that its samples are
    /// enough for is over.
    pub fn run_rounds(&self, log: &Arc<dyn TopicLog>) -> BTreeMap<RecordId, Outcome> {
        // Whatever was learned on another log.
        let _ = fs::remove_dir_all(self.path("out/checkpoints"));
        let every = self.rounds.as_ref().unwrap().every;
        actix::System::new().block_on(async {
            let revision = self.revision();
            pipeline::declare(&**log, &revision).await.unwrap();
            let mut running = self.pipeline(log, &stages(false, true)).start();
            let input = self.offer(log).await;
            let finished = async {
                pipeline::wait_for_end(&**log, &revision, Some(input)).await.unwrap();
                let samples = samples_of(&**log, &revision).await.unwrap();
                let learned = samples.iter().filter(|sample| sample.split == Split::Train).count() as u64;
                loop {
                    let outcomes = outcomes(&**log).await.unwrap();
                    if outcomes.len() as u64 == learned / every {
                        break outcomes;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let outcomes = tokio::select! {
                ended = running.ended() => panic!("it ended: {ended:?}"),
                outcomes = finished => outcomes,
            };
            running.stop();
            running.ended().await.unwrap();
            outcomes
        })
    }

    /// Offers the folder to the source.
    pub async fn offer(&self, log: &Arc<dyn TopicLog>) -> RecordId {
        self.offered().once(&**log, &self.revision(), &Process::this(), Moment::now().wall_ms).await.unwrap()
    }

    /// What the source is to read.
    pub fn offered(&self) -> Offer {
        Offer {
            clips: self.path("clips").display().to_string(),
            labels: self.labels(),
            ontology: self.path("ontology.json").display().to_string(),
            fetch: self.fetcher.is_on(),
        }
    }

    /// `manifest.jsonl` as the last run left it.
    pub fn manifest(&self) -> String {
        fs::read_to_string(self.path("out/manifest.jsonl")).unwrap()
    }
}

/// The sums that `summary.json` promises.
pub fn assert_adds_up(summary: &Summary) {
    let rejected =
        |stage: &str| summary.rejected.get(stage).map_or(0, |reasons| reasons.values().sum::<u64>());
    assert_eq!(
        summary.found,
        summary.unlabelled + rejected("source") + rejected("curator") + summary.curated,
        "{summary:?}"
    );
    assert_eq!(summary.curated, rejected("decoder") + summary.decoded, "{summary:?}");
    assert_eq!(summary.decoded, rejected("gate") + summary.accepted, "{summary:?}");
}
