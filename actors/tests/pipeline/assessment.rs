//! Every checkpoint that a round leaves is asked about the run's samples, whatever happens on the way.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use counterpoint_actors::{
    assessment::{Assessment, Results},
    dead_letters,
    evaluation::collect,
    evaluator::Inquiry,
    pipeline::{self, Pipeline, RunningPipeline},
    projection::{Projection, samples_of},
    revision::stages,
    training::{Outcome, outcomes},
};
use counterpoint_core::{
    media_job::SampleRequest,
    suite::{Condition, Suite},
};
use counterpoint_log::{TopicLog, memory::MemoryLog, sqlite::SqliteLog};
use counterpoint_messages::{CheckpointSaved, DeadLetter, RecipeName, Split, StageName, Topic};
use counterpoint_models::{
    Answer, AskError, Clip, Decoding, Model, ModelError, ModelFacts, ModelInput, ModelThread, Question,
    TokenCounts,
};
use parking_lot::Mutex;

use crate::{
    harness::Harness,
    tutor::{FakeTutor, InMemory, Memory},
};

const EVERY: u64 = 12;

/// What is done to the pupils.
#[derive(Default)]
struct Fate {
    /// By identity, sample and question, how often that was asked.
    asked: Mutex<BTreeMap<(String, String, String), usize>>,
    /// Questions answered.
    answered: AtomicUsize,
    /// The sample that every pupil dies of.
    poison: Mutex<Option<String>>,
    /// Rounds whose checkpoints make no model, make another one, and hear nothing.
    broken: Mutex<Vec<u32>>,
    changed: Mutex<Vec<u32>>,
    deaf: Mutex<Vec<u32>>,
}

/// A checkpoint as a model.
struct Pupil {
    facts: ModelFacts,
    round: u32,
    fate: Arc<Fate>,
    _memory: InMemory,
}

impl Model for Pupil {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn ask(&mut self, clip: &Clip, questions: &[Question], _: &Decoding) -> Vec<Result<Answer, AskError>> {
        let sample = clip.sample().unwrap();
        let audio = if self.fate.deaf.lock().contains(&self.round) { 0 } else { 250 };
        let answer = |question: &Question| {
            assert_ne!(self.fate.poison.lock().as_deref(), Some(sample), "the pupil dies of it");
            let key = (self.facts.identity.clone(), sample.to_owned(), question.text().to_owned());
            *self.fate.asked.lock().entry(key).or_default() += 1;
            self.fate.answered.fetch_add(1, Ordering::Relaxed);
            Ok(Answer {
                text: "Cat".to_owned(),
                option_scores: None,
                yes_probability: None,
                tokens: TokenCounts { audio: Some(audio), ..TokenCounts::default() },
                latency: Duration::from_millis(1),
                requests: 1,
                cost_usd: None,
            })
        };
        questions.iter().map(answer).collect()
    }
}

/// A run with rounds of training, and its checkpoints to be asked.
struct Class {
    harness: Harness,
    log: Arc<dyn TopicLog>,
    tutor: Arc<FakeTutor>,
    fate: Arc<Fate>,
    told: Arc<Mutex<Vec<Results>>>,
}

impl Class {
    fn new(log: impl FnOnce(&Harness) -> Arc<dyn TopicLog>) -> Self {
        let mut harness = Harness::with_clips(16);
        let tutor: Arc<FakeTutor> = Arc::default();
        harness.train(EVERY, &tutor);
        let log = log(&harness);
        Self { harness, log, tutor, fate: Arc::default(), told: Arc::default() }
    }

    /// One whose rounds are over, and nothing was asked yet.
    fn taught() -> Self {
        let class = Self::new(|_| Arc::new(MemoryLog::new(4)));
        assert!(class.harness.run_rounds(&class.log).len() >= 2);
        class
    }

    fn inquiry() -> Inquiry {
        let conditions = [RecipeName::Aligned, RecipeName::Misaligned].map(Condition::Recipe);
        Inquiry {
            suite: Suite::of_classes(&conditions),
            options: Vec::new(),
            splits: vec![Split::Eval],
            decoding: Decoding::default(),
            request: SampleRequest { size: 28, ..SampleRequest::default() },
        }
    }

    fn assessment(&self) -> Assessment {
        let (fate, memory) = (Arc::clone(&self.fate), Arc::clone(&self.tutor.memory));
        let told = Arc::clone(&self.told);
        Assessment {
            inquiry: Self::inquiry(),
            open: Arc::new(move |saved: &CheckpointSaved| open(saved, &fate, &memory)),
            tell: Box::new(move |results: &Results| {
                told.lock().push(results.clone());
                Ok(())
            }),
            revision: self.harness.revision(),
            log: Arc::clone(&self.log),
        }
    }

    fn start(&self, stages: &[StageName]) -> RunningPipeline {
        let tools = Arc::new(self.harness.tools(&self.log).with_assessment(self.assessment()));
        Pipeline { tools, ..self.harness.pipeline(&self.log, stages) }.start()
    }

    /// Lets the evaluator work until it has read every checkpoint, or `enough` says so.
    fn ask(&self, enough: impl Fn(&Self) -> bool) {
        actix::System::new().block_on(async {
            let mut running = self.start(&[StageName::Evaluator]);
            while !(enough(self) || running.is_quiet() && self.is_over().await) {
                tokio::select! {
                    ended = running.ended() => panic!("it ended: {ended:?}"),
                    () = tokio::time::sleep(Duration::from_millis(2)) => {}
                }
            }
            running.stop();
            running.ended().await.unwrap();
        });
    }

    fn ask_all(&self) {
        self.ask(|_| false);
    }

    async fn is_over(&self) -> bool {
        let groups = self.log.groups().await.unwrap();
        groups.iter().any(|group| group.group.stage == StageName::Evaluator && group.lag == 0)
    }

    fn letters(&self) -> Vec<DeadLetter> {
        let revision = self.harness.revision();
        let projection = actix::System::new().block_on(Projection::of(&*self.log, &revision)).unwrap();
        projection.dead_letters
    }

    fn records(&self, topic: Topic) -> usize {
        let topics = actix::System::new().block_on(self.log.topics()).unwrap();
        topics.into_iter().find(|described| described.topic == topic).unwrap().records as usize
    }

    fn rounds(&self) -> u32 {
        self.records(Topic::Checkpoints) as u32
    }

    /// Questions that a checkpoint is asked: two on each sample.
    fn wanted(&self) -> usize {
        let revision = self.harness.revision();
        let samples = actix::System::new().block_on(samples_of(&*self.log, &revision)).unwrap();
        let asked = samples.iter().filter(|sample| {
            sample.split == Split::Eval
                && [RecipeName::Aligned, RecipeName::Misaligned].contains(&sample.recipe.name())
        });
        2 * asked.count()
    }

    /// Of each checkpoint that was scored, in their order: its round, the answers, and the questions without one.
    fn told(&self) -> Vec<(u32, usize, usize)> {
        let told = |results: &Results| {
            let Results { saved, collected, .. } = results;
            (saved.training.round.unwrap(), collected.answers.len(), collected.open.len())
        };
        self.told.lock().iter().map(told).collect()
    }

    /// The folder of a round's checkpoint.
    fn folder(&self, round: u32) -> PathBuf {
        let outcomes = actix::System::new().block_on(outcomes(&*self.log)).unwrap();
        let id = outcomes.into_iter().find_map(|(id, outcome)| match outcome {
            Outcome::Saved(saved) => (saved.training.round == Some(round)).then_some(id),
            _ => None,
        });
        self.harness.path("out/checkpoints").join(id.unwrap().to_string())
    }

    fn every_question_was_asked_once(&self) {
        let asked = self.fate.asked.lock();
        let again: Vec<_> = asked.iter().filter(|(_, times)| **times != 1).collect();
        assert!(again.is_empty(), "{again:?}");
    }
}

fn open(saved: &CheckpointSaved, fate: &Arc<Fate>, memory: &Arc<Memory>) -> Result<ModelThread, ModelError> {
    let round = saved.training.round.unwrap();
    if fate.broken.lock().contains(&round) {
        let (model, source) = (saved.model.clone(), "it has no tokenizer".into());
        return Err(ModelError::Load { model, source });
    }
    let weights = fs::read_to_string(Path::new(&saved.folder).join("model.safetensors")).unwrap();
    let another = if fate.changed.lock().contains(&round) { "another " } else { "" };
    let facts = ModelFacts {
        name: "named otherwise".to_owned(),
        identity: format!("{another}fake {weights}"),
        input: ModelInput::FramesAndSound,
    };
    let (fate, memory) = (Arc::clone(fate), Arc::clone(memory));
    ModelThread::start(NonZeroUsize::MIN, move |_| {
        Ok(Box::new(Pupil { facts, round, fate, _memory: memory.take() }))
    })
}

#[test]
fn every_checkpoint_is_asked_once_in_order_and_named_as_an_evaluation_would_name_it() {
    for on_disk in [false, true] {
        let class = match on_disk {
            false => Class::taught(),
            true => {
                let class = Class::new(|harness| {
                    Arc::new(SqliteLog::open(&harness.path("out/topics"), Default::default()).unwrap())
                });
                class.harness.run_rounds(&class.log);
                class
            }
        };
        class.ask_all();
        let (rounds, wanted) = (class.rounds(), class.wanted());
        assert!(rounds >= 2 && wanted >= 16, "{rounds} {wanted}");
        assert_eq!(class.told(), (1..=rounds).map(|round| (round, wanted, 0)).collect::<Vec<_>>());
        assert_eq!(class.records(Topic::Answers), rounds as usize * wanted);
        class.every_question_was_asked_once();
        let revision = class.harness.revision();
        for Results { saved, inquiry, object, model, collected } in &*class.told.lock() {
            assert_eq!((&model.name, &model.identity), (&saved.model, &saved.identity));
            for (_, given) in &collected.answers {
                assert_eq!((&given.model, given.evaluation), (&saved.model, *object));
                assert_eq!((given.tokens.audio, given.requests), (Some(250), 1));
            }
            // Whoever evaluates it later finds these answers under the ids that it asks for.
            let options = ["Accordion", "Bird", "Cat", "Typing"].map(str::to_owned).into();
            let later = Inquiry { options, ..Class::inquiry() };
            assert_eq!(&later, inquiry);
            let found = actix::System::new().block_on(async {
                let samples = samples_of(&*class.log, &revision).await.unwrap();
                collect(&*class.log, &samples, &later, &saved.identity).await.unwrap()
            });
            assert_eq!((found.answers.len(), found.open.len()), (wanted, 0));
        }
        // Another process finds all of it done.
        class.ask_all();
        assert_eq!(
            (class.told().len(), class.records(Topic::Answers)),
            (rounds as usize, rounds as usize * wanted)
        );
    }
}

#[test]
fn rounds_and_evaluations_of_one_process_take_turns_while_clips_keep_coming_through() {
    let class = Class::new(|_| Arc::new(MemoryLog::new(4)));
    actix::System::new().block_on(async {
        let revision = class.harness.revision();
        pipeline::declare(&*class.log, &revision).await.unwrap();
        let mut running = class.start(&stages(false, true));
        let input = class.harness.offer(&class.log).await;
        let finished = async {
            pipeline::wait_for_end(&*class.log, &revision, Some(input)).await.unwrap();
            let samples = samples_of(&*class.log, &revision).await.unwrap();
            let learned = samples.iter().filter(|sample| sample.split == Split::Train).count() as u64;
            while (class.told.lock().len() as u64) < learned / EVERY {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            ended = running.ended() => panic!("it ended: {ended:?}"),
            () = finished => {}
        }
        running.stop();
        running.ended().await.unwrap();
    });
    let rounds: Vec<_> = class.told().into_iter().map(|(round, ..)| round).collect();
    assert_eq!(rounds, (1..=class.rounds()).collect::<Vec<_>>());
    assert_eq!(class.tutor.memory.most.load(Ordering::Relaxed), 1);
    assert_eq!(
        class.tutor.memory.models.load(Ordering::Relaxed),
        0,
        "each is closed after its last question"
    );
    class.every_question_was_asked_once();
}

#[test]
fn one_that_is_stopped_again_and_again_goes_on_behind_what_was_answered() {
    let class = Class::taught();
    let (rounds, wanted) = (class.rounds(), class.wanted());
    let mut stops = 0;
    loop {
        let before = class.fate.answered.load(Ordering::Relaxed);
        class.ask(|class| class.fate.answered.load(Ordering::Relaxed) >= before + 5);
        if class.told().len() == rounds as usize {
            break;
        }
        stops += 1;
    }
    assert!(stops >= 3, "{stops}");
    assert_eq!(class.told(), (1..=rounds).map(|round| (round, wanted, 0)).collect::<Vec<_>>());
    assert_eq!(class.records(Topic::Answers), rounds as usize * wanted);
    class.every_question_was_asked_once();
    assert!(class.letters().is_empty());
}

#[test]
fn a_checkpoint_that_has_gone_is_told_once_and_asked_when_it_is_back_and_the_others_are_asked_meanwhile() {
    let class = Class::taught();
    let (rounds, folder) = (class.rounds(), class.folder(1));
    let away = folder.with_extension("away");
    fs::rename(&folder, &away).unwrap();
    class.ask_all();
    let rounds_told = |class: &Class| class.told().iter().map(|told| told.0).collect::<Vec<_>>();
    assert_eq!(rounds_told(&class), (2..=rounds).collect::<Vec<_>>());
    let letters = class.letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    let words = ["checkpoint ", "cannot be read: put it back", folder.to_str().unwrap(), "No such file"];
    assert!(words.iter().all(|part| letter.reason.contains(part)), "{}", letter.reason);
    // Neither is it told again, nor are the others asked again.
    class.ask_all();
    assert_eq!((class.letters().len(), class.told().len()), (1, rounds as usize - 1));

    fs::rename(&away, &folder).unwrap();
    assert_eq!(actix::System::new().block_on(dead_letters::requeue(&*class.log)).unwrap(), 1);
    class.ask_all();
    assert_eq!(rounds_told(&class), (2..=rounds).chain([1]).collect::<Vec<_>>());
    class.every_question_was_asked_once();
}

#[test]
fn a_checkpoint_that_makes_no_model_or_another_one_or_hears_nothing_is_given_up_by_name() {
    for (fate, words) in [
        ("broken", &["cannot be asked", "it has no tokenizer"][..]),
        ("changed", &["holds something else than training"]),
        ("deaf", &["no sound reached"]),
        ("edited", &["holds something else than training"]),
    ] {
        let class = Class::taught();
        match fate {
            "broken" => class.fate.broken.lock().push(1),
            "changed" => class.fate.changed.lock().push(1),
            "deaf" => class.fate.deaf.lock().push(1),
            _ => fs::write(class.folder(1).join("model.safetensors"), "other weights").unwrap(),
        }
        class.ask_all();
        let told: Vec<_> = class.told().iter().map(|told| told.0).collect();
        assert_eq!(told, (2..=class.rounds()).collect::<Vec<_>>(), "{fate}");
        let letters = class.letters();
        let [letter] = &letters[..] else { panic!("{fate}: {letters:?}") };
        assert_eq!((letter.stage, letter.attempts), (StageName::Evaluator, 3));
        assert!(words.iter().all(|part| letter.reason.contains(part)), "{fate}: {}", letter.reason);
        assert_eq!(class.tutor.memory.models.load(Ordering::Relaxed), 0, "{fate}: no model is left behind");
    }
}

#[test]
fn a_sample_that_a_checkpoint_dies_of_has_no_answer_and_all_others_have() {
    let class = Class::taught();
    let revision = class.harness.revision();
    let samples = actix::System::new().block_on(samples_of(&*class.log, &revision)).unwrap();
    let poison = samples
        .iter()
        .find(|sample| sample.split == Split::Eval && sample.recipe.name() == RecipeName::Aligned);
    *class.fate.poison.lock() = Some(poison.unwrap().id.to_string());
    class.ask_all();
    let (rounds, wanted) = (class.rounds(), class.wanted());
    assert_eq!(class.told(), (1..=rounds).map(|round| (round, wanted - 2, 2)).collect::<Vec<_>>());
    assert!(class.letters().is_empty(), "{:?}", class.letters());
    class.every_question_was_asked_once();
}
