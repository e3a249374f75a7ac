//! Models are trained on the samples of a run, as somebody asks and in rounds: each once, whatever happens on the way.

use std::{
    collections::BTreeSet,
    fs, io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use counterpoint_actors::{
    PipelineError,
    projection::samples_of,
    teaching::DataSet,
    training::{AskedTraining, Outcome, Wanted, outcomes},
    tuition::{Results, content_of},
};
use counterpoint_core::media_job::SampleRequest;
use counterpoint_log::{TopicLog, memory::MemoryLog, sqlite::SqliteLog};
use counterpoint_messages::{
    CheckpointSaved, ContentHash, Message, RecipeName, RecordId, SampleComposed, Split, StageName, Topic,
    TrainingFault, TrainingPlanned,
};
use counterpoint_models::TrainingError;
use futures::TryStreamExt;

use crate::{
    harness::Harness,
    tutor::{FakeTutor, STEPS},
};

/// A run that has ended, and one who teaches on its samples.
struct School {
    harness: Harness,
    log: Arc<dyn TopicLog>,
    tutor: Arc<FakeTutor>,
}

impl School {
    fn new(log: impl FnOnce(&Harness) -> Arc<dyn TopicLog>) -> Self {
        let harness = Harness::with_clips(16);
        let log = log(&harness);
        harness.run(&log);
        Self { harness, log, tutor: Arc::default() }
    }

    fn in_memory() -> Self {
        Self::new(|_| Arc::new(MemoryLog::new(4)))
    }

    fn samples(&self) -> Vec<SampleComposed> {
        let revision = self.harness.revision();
        actix::System::new().block_on(samples_of(&*self.log, &revision)).unwrap()
    }

    fn data_set(&self, may_learn: impl Fn(&str) -> bool) -> DataSet {
        DataSet::of(&self.samples(), may_learn, SampleRequest { size: 28, ..SampleRequest::default() })
    }

    /// The data set to be learned from, with the result in a folder of this name.
    fn wanted(&self, data_set: &DataSet, folder: &str) -> Wanted {
        let course = self.tutor.course();
        let store = self.harness.tools(&self.log).store;
        Wanted {
            data_set: course.keep(&serde_json::to_vec(data_set).unwrap(), &store).unwrap(),
            course,
            recipes: None,
            seed: Some(3),
            samples: data_set.samples.len() as u64,
            folder: self.harness.path(folder).display().to_string(),
        }
    }

    /// Has it trained until that is over, or until the tutor waits for the word to stop.
    fn ask(&self, wanted: &Wanted, attempt: u32) -> Result<Option<Outcome>, PipelineError> {
        let planned = wanted.plan(attempt);
        let (id, folder) = (planned.id, wanted.folder.clone().into());
        self.tutor.is_waiting.store(false, Ordering::Relaxed);
        actix::System::new().block_on(async {
            let tuition = self.tutor.tuition(&self.log, Results::Folder(folder));
            let asked = AskedTraining {
                planned,
                effort: self.harness.effort.clone(),
                instance: "test".to_owned(),
                log: Arc::clone(&self.log),
                tools: Arc::new(self.harness.tools(&self.log).with_tuition(tuition)),
            };
            let position = asked.plan(None).await.unwrap();
            let mut running = asked.start();
            loop {
                tokio::select! {
                    ended = running.ended() => break ended?,
                    () = tokio::time::sleep(Duration::from_millis(2)) => {}
                }
                let is_over = running.has_reached(StageName::Trainer, Topic::Trainings, position);
                if is_over || self.tutor.is_waiting.load(Ordering::Relaxed) {
                    running.stop();
                }
            }
            Ok(outcomes(&*self.log).await.unwrap().remove(&id))
        })
    }

    /// What a training came to that has a result.
    fn saved(&self, wanted: &Wanted, attempt: u32) -> CheckpointSaved {
        match self.ask(wanted, attempt) {
            Ok(Some(Outcome::Saved(saved))) => *saved,
            other => panic!("{other:?}"),
        }
    }

    fn lessons(&self) -> usize {
        self.tutor.lessons.load(Ordering::Relaxed)
    }

    fn records(&self, topic: Topic) -> u64 {
        let topics = actix::System::new().block_on(self.log.topics()).unwrap();
        topics.into_iter().find(|described| described.topic == topic).unwrap().records
    }
}

fn trained_ids(samples: &[SampleComposed]) -> Vec<RecordId> {
    let learned = samples.iter().filter(|sample| sample.split == Split::Train);
    learned.map(|sample| sample.id).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Those by which a training is watched, of which there are few enough for one.
fn held_out_conflicts(samples: &[SampleComposed]) -> Vec<RecordId> {
    let is_one = |sample: &&SampleComposed| {
        sample.split == Split::Eval && sample.recipe.name() == RecipeName::Misaligned
    };
    let ids: Vec<_> =
        samples.iter().filter(is_one).map(|sample| sample.id).collect::<BTreeSet<_>>().into_iter().collect();
    assert!((1..=64).contains(&ids.len()), "{ids:?}");
    ids
}

#[test]
fn a_training_is_done_once_and_its_checkpoint_says_what_it_came_from() {
    for on_disk in [false, true] {
        let school = match on_disk {
            false => School::in_memory(),
            true => School::new(|harness| {
                Arc::new(SqliteLog::open(&harness.path("out/topics"), Default::default()).unwrap())
            }),
        };
        let data_set = school.data_set(|_| true);
        assert_eq!(data_set.samples, trained_ids(&school.samples()));
        assert!(data_set.samples.len() >= 16 && data_set.classes.len() == 4, "{data_set:?}");
        assert_eq!(data_set.exam, held_out_conflicts(&school.samples()));
        let wanted = school.wanted(&data_set, "trained");
        let saved = school.saved(&wanted, 0);
        assert_eq!(saved.training, wanted.plan(0));
        assert_eq!(school.tutor.examined.load(Ordering::Relaxed), data_set.exam.len());
        let samples = data_set.samples.len() as f64;
        let (steps, last) = (STEPS, samples / STEPS as f64);
        assert_eq!((saved.losses.steps, saved.losses.first, saved.losses.last), (steps, samples, last));
        assert_eq!(saved.losses.lowest, last);
        let folder = school.harness.path("trained");
        assert_eq!((saved.folder, saved.content), (wanted.folder.clone(), content_of(&folder).unwrap()));
        let store = school.harness.tools(&school.log).store;
        let kept: DataSet = serde_json::from_slice(&store.get(saved.training.data_set).unwrap()).unwrap();
        assert_eq!(kept, data_set);
        let lines = store.get(saved.losses.lines).unwrap();
        assert_eq!(lines, fs::read(folder.join("losses.jsonl")).unwrap());

        // The same again finds it done; elsewhere it is another training.
        assert_eq!(school.saved(&wanted, 0).losses.lines, saved.losses.lines);
        assert_eq!((school.lessons(), school.records(Topic::Trainings)), (1, 1));
        let elsewhere = school.saved(&school.wanted(&data_set, "elsewhere"), 0);
        assert_ne!(elsewhere.training.id, saved.training.id);
        assert_eq!((school.lessons(), school.records(Topic::Checkpoints)), (2, 2));
        let all = actix::System::new().block_on(outcomes(&*school.log)).unwrap();
        assert_eq!(all.len(), 2);
    }
}

#[test]
fn a_training_that_is_stopped_again_and_again_goes_on_to_equal_losses() {
    let school = School::in_memory();
    let data_set = school.data_set(|_| true);
    let undisturbed = school.saved(&school.wanted(&data_set, "undisturbed"), 0);
    let wanted = school.wanted(&data_set, "halting");
    for step in [1, 3, 4, STEPS] {
        school.tutor.waits_at.store(step, Ordering::Relaxed);
        assert_eq!(school.ask(&wanted, 0), Ok(None), "stopped before step {step}");
    }
    school.tutor.waits_at.store(0, Ordering::Relaxed);
    let halted = school.saved(&wanted, 0);
    assert_eq!((halted.losses, halted.content), (undisturbed.losses, undisturbed.content));
    assert_eq!((school.lessons(), school.records(Topic::Trainings)), (6, 2));
    assert_eq!(school.records(Topic::DeadLetters), 0, "being told to stop is no attempt");
}

fn said(error: &str) -> Box<dyn std::error::Error + Send + Sync> {
    error.into()
}

#[test]
fn a_training_that_can_come_to_nothing_ends_once_by_name_and_is_done_when_that_is_mended() {
    let school = School::in_memory();
    let all = school.data_set(|_| true);
    let empty = DataSet { samples: vec![], ..all.clone() };
    let mut lacking = all.clone();
    lacking.samples[0] = RecordId([0xff; 16]);
    let one_class = school.data_set(|class| class == "Cat");
    assert!(!one_class.samples.is_empty());
    let ends: [(&DataSet, Option<TrainingError>, TrainingFault, &str); 8] = [
        (&empty, None, TrainingFault::NoSamples, "nothing to learn from"),
        (&lacking, None, TrainingFault::SamplesGone, " 1 are not on the log"),
        (&one_class, None, TrainingFault::OneClass, "of class Cat"),
        (
            &all,
            Some(TrainingError::NoMaterial { wanted: "shift".to_owned(), there: "aligned".to_owned() }),
            TrainingFault::NoSamples,
            "no clip of shift",
        ),
        (&all, Some(TrainingError::Base(said("no weights"))), TrainingFault::BaseGone, "no weights"),
        (
            &all,
            Some(TrainingError::Diverged(said("step 3 has the loss NaN"))),
            TrainingFault::LossNotANumber,
            "step 3 has the loss NaN",
        ),
        (
            &all,
            Some(TrainingError::Memory { problem: "CUDA out of memory".to_owned() }),
            TrainingFault::OutOfMemory,
            "smaller `batch`",
        ),
        (&all, Some(TrainingError::Failed(said("no room"))), TrainingFault::Refused, "no room"),
    ];
    for (number, (data_set, error, fault, words)) in ends.into_iter().enumerate() {
        school.tutor.errors.lock().extend(error);
        let wanted = school.wanted(data_set, &format!("trained-{number}"));
        match school.ask(&wanted, 0) {
            Ok(Some(Outcome::Failed(failed))) => {
                assert_eq!((failed.reason, failed.training), (fault, wanted.plan(0)));
                assert!(failed.detail.contains(words), "{}", failed.detail);
            }
            other => panic!("{fault}: {other:?}"),
        }
        assert_eq!(school.records(Topic::Checkpoints), number as u64 + 1, "each ends once");
    }
    assert_eq!((school.lessons(), school.records(Topic::DeadLetters)), (5, 0));

    // Another model lies where the one was that was planned with.
    let wanted = school.wanted(&all, "trained");
    *school.tutor.base.lock() = Some("another".to_owned());
    match school.ask(&wanted, 0) {
        Ok(Some(Outcome::Failed(failed))) => {
            assert_eq!(failed.reason, TrainingFault::BaseChanged);
            assert!(failed.detail.contains("(nothing, now another)"), "{}", failed.detail);
        }
        other => panic!("{other:?}"),
    }
    *school.tutor.base.lock() = None;
    assert_eq!(school.saved(&wanted, 1).training, wanted.plan(1));
}

fn full_disk() -> TrainingError {
    TrainingError::Failed(Box::new(io::Error::from(io::ErrorKind::StorageFull)))
}

#[test]
fn a_full_disk_pauses_a_training_and_outlasting_patience_ends_it_with_nothing_lost() {
    let mut school = School::in_memory();
    let data_set = school.data_set(|_| true);
    school.tutor.errors.lock().extend([full_disk(), full_disk()]);
    school.saved(&school.wanted(&data_set, "trained"), 0);
    assert_eq!((school.lessons(), school.records(Topic::DeadLetters)), (3, 0));

    school.harness.effort.patience_seconds = 0;
    school.tutor.errors.lock().extend((0..3).map(|_| full_disk()));
    let wanted = school.wanted(&data_set, "later");
    let error = school.ask(&wanted, 0).unwrap_err();
    assert_eq!(error.stage, StageName::Trainer);
    assert!(error.reason.contains("no storage space"), "{error}");
    school.tutor.errors.lock().clear();
    let saved = school.saved(&wanted, 0);
    assert_eq!((saved.losses.steps, school.records(Topic::DeadLetters)), (STEPS, 0));
}

#[test]
fn a_training_of_which_the_tutor_dies_is_tried_three_times_and_goes_on_each_time() {
    let school = School::in_memory();
    let data_set = school.data_set(|_| true);
    let undisturbed = school.saved(&school.wanted(&data_set, "undisturbed"), 0);
    school.tutor.panics.store(2, Ordering::Relaxed);
    let wanted = school.wanted(&data_set, "trained");
    assert_eq!(school.saved(&wanted, 0).losses, undisturbed.losses);

    school.tutor.panics.store(3, Ordering::Relaxed);
    let wanted = school.wanted(&data_set, "given-up");
    match school.ask(&wanted, 0) {
        Ok(Some(Outcome::GivenUp(letter))) => {
            assert_eq!((letter.attempts, letter.stage), (3, StageName::Trainer));
            assert!(letter.reason.contains("the tutor fell ill"), "{}", letter.reason);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(school.saved(&wanted, 1).losses, undisturbed.losses);
}

#[test]
fn a_sample_that_cannot_be_read_is_named_in_the_letter_of_its_training() {
    let school = School::in_memory();
    let data_set = school.data_set(|_| true);
    let samples = school.samples();
    let victim = samples.iter().find(|sample| sample.id == data_set.samples[0]).unwrap();
    let object = victim.host().unwrap().media.hash.to_string();
    fs::remove_file(school.harness.path("out/objects").join(&object[..2]).join(&object)).unwrap();
    match school.ask(&school.wanted(&data_set, "trained"), 0) {
        Ok(Some(Outcome::GivenUp(letter))) => {
            for words in ["cannot be learned from", &object, "is missing"] {
                assert!(letter.reason.contains(words), "{}", letter.reason);
            }
        }
        other => panic!("{other:?}"),
    }
}

fn planned(log: &Arc<dyn TopicLog>) -> Vec<TrainingPlanned> {
    let records: Vec<_> = actix::System::new().block_on(log.scan(Topic::Trainings).try_collect()).unwrap();
    let planned = records.iter().map(|record| match Message::decode(&record.value).unwrap() {
        Message::TrainingPlanned(planned) => planned,
        other => panic!("{other:?}"),
    });
    planned.collect()
}

#[test]
fn a_round_is_planned_for_every_so_many_new_samples_and_learns_from_all_there_are() {
    const EVERY: u64 = 10;
    let tutor: Arc<FakeTutor> = Arc::default();
    let mut harness = Harness::with_clips(16);
    harness.train(EVERY, &tutor);
    let memory: Arc<dyn TopicLog> = Arc::new(MemoryLog::new(4));
    let outcomes = harness.run_rounds(&memory);
    let rounds = planned(&memory);
    assert!(rounds.len() >= 3, "{rounds:?}");
    let store = harness.tools(&memory).store;
    let data_set =
        |object: ContentHash| -> DataSet { serde_json::from_slice(&store.get(object).unwrap()).unwrap() };
    let revision = harness.revision();
    let samples = actix::System::new().block_on(samples_of(&*memory, &revision)).unwrap();
    let conflicts = held_out_conflicts(&samples);
    let mut before = BTreeSet::new();
    for (number, round) in (1..).zip(&rounds) {
        assert_eq!((round.round, round.samples), (Some(number), u64::from(number) * EVERY));
        let learned = data_set(round.data_set);
        assert!(learned.samples.is_sorted() && learned.exam.is_sorted());
        assert!(learned.exam.iter().all(|id| conflicts.contains(id)), "{learned:?}");
        let learned: BTreeSet<_> = learned.samples.into_iter().collect();
        assert!(learned.len() as u64 == round.samples && learned.is_superset(&before));
        before = learned;
        match &outcomes[&round.id] {
            Outcome::Saved(saved) => {
                let folder = harness.path("out/checkpoints").join(round.id.to_string());
                assert_eq!((saved.folder.as_str(), &saved.training), (folder.to_str().unwrap(), round));
                assert_eq!(saved.losses.first, round.samples as f64);
            }
            other => panic!("{other:?}"),
        }
    }

    // On another engine the same rounds are planned; one that fails keeps none of the others from their end.
    let disk: Arc<dyn TopicLog> =
        Arc::new(SqliteLog::open(&harness.path("topics"), Default::default()).unwrap());
    tutor.errors.lock().push_back(TrainingError::Diverged(said("the loss is NaN")));
    let outcomes = harness.run_rounds(&disk);
    assert_eq!(planned(&disk), rounds);
    let failed: Vec<_> =
        rounds.iter().map(|round| matches!(outcomes[&round.id], Outcome::Failed(_))).collect();
    assert_eq!(failed.iter().filter(|failed| **failed).count(), 1, "{failed:?}");
    assert!(failed[0], "the first one is taught first");
}
