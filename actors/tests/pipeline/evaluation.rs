//! A model is asked about the samples of a run: each question once, whatever happens on the way.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use counterpoint_actors::{
    AskedModel, PipelineError,
    evaluation::{Collected, Evaluation, collect, earlier, end_of_samples, given_up},
    evaluator::{Assignment, Inquiry},
    projection::samples_of,
};
use counterpoint_core::{
    media_job::SampleRequest,
    suite::{Condition, Suite},
};
use counterpoint_log::{TopicLog, memory::MemoryLog, sqlite::SqliteLog};
use counterpoint_messages::{DeadLetter, RecipeName, SampleComposed, Split, StageName, Topic};
use counterpoint_models::{
    Answer, AskError, Clip, Decoding, Model, ModelFacts, ModelInput, ModelThread, Question, TokenCounts,
};

use crate::harness::{CLASSES, Harness};

type Script = dyn Fn(&Clip, &Question, usize) -> Result<Answer, AskError> + Send + Sync;

/// A model that does what it is told; the number counts all questions that it was asked.
struct Scripted {
    facts: ModelFacts,
    script: Arc<Script>,
    asked: Arc<AtomicUsize>,
}

impl Model for Scripted {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn ask(&mut self, clip: &Clip, questions: &[Question], _: &Decoding) -> Vec<Result<Answer, AskError>> {
        let answer = |question| (self.script)(clip, question, self.asked.fetch_add(1, Ordering::Relaxed));
        questions.iter().map(answer).collect()
    }
}

fn says(text: &str) -> Answer {
    Answer {
        text: text.to_owned(),
        option_scores: None,
        yes_probability: None,
        tokens: TokenCounts { audio: Some(250), ..TokenCounts::default() },
        latency: Duration::from_millis(3),
        requests: 1,
        cost_usd: None,
    }
}

/// A run that has ended, and a model to be asked about its samples.
struct Desk {
    harness: Harness,
    log: Arc<dyn TopicLog>,
    asked: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
    splits: Vec<Split>,
    attempt: u32,
}

impl Desk {
    fn new(log: impl FnOnce(&Harness) -> Arc<dyn TopicLog>) -> Self {
        let harness = Harness::with_clips(16);
        let log = log(&harness);
        harness.run(&log);
        let (asked, opened) = (Arc::default(), Arc::default());
        Self { harness, log, asked, opened, splits: vec![Split::Eval], attempt: 0 }
    }

    fn in_memory() -> Self {
        Self::new(|_| Arc::new(MemoryLog::new(4)))
    }

    fn samples(&self) -> Vec<SampleComposed> {
        let revision = self.harness.revision();
        actix::System::new().block_on(samples_of(&*self.log, &revision)).unwrap()
    }

    fn inquiry(&self) -> Inquiry {
        let conditions = [RecipeName::Aligned, RecipeName::Misaligned].map(Condition::Recipe);
        Inquiry {
            suite: Suite::of_classes(&conditions),
            options: CLASSES.map(|(class, _)| class.to_owned()).into(),
            splits: self.splits.clone(),
            decoding: Decoding::default(),
            request: SampleRequest { size: 28, ..SampleRequest::default() },
        }
    }

    /// Asks until all samples are done, or so many answers are there.
    fn ask(
        &self,
        identity: &str,
        enough: Option<u64>,
        script: impl Fn(&Clip, &Question, usize) -> Result<Answer, AskError> + Send + Sync + 'static,
    ) -> Result<Collected, PipelineError> {
        let (script, asked, opened): (Arc<Script>, _, _) =
            (Arc::new(script), Arc::clone(&self.asked), Arc::clone(&self.opened));
        let facts = ModelFacts {
            name: format!("scripted {identity}"),
            identity: identity.to_owned(),
            input: ModelInput::FramesAndSound,
        };
        let given = facts.clone();
        let model = AskedModel::open(move || {
            opened.fetch_add(1, Ordering::Relaxed);
            let (facts, script, asked) = (given.clone(), Arc::clone(&script), Arc::clone(&asked));
            ModelThread::start(NonZeroUsize::MIN, move |_| Ok(Box::new(Scripted { facts, script, asked })))
        })
        .unwrap();
        let samples = self.samples();
        let inquiry = self.inquiry();
        actix::System::new().block_on(async {
            let before = collect(&*self.log, &samples, &inquiry, identity).await.unwrap();
            let tools = Arc::new(self.harness.tools(&self.log).with_model(model));
            let object = tools.store.put_bytes(&serde_json::to_vec(&inquiry).unwrap()).unwrap().hash;
            let (model, answered) = (facts, before.ids());
            let assignment =
                Arc::new(Assignment { inquiry: inquiry.clone(), object, model, answered, trace: None });
            let evaluation = Evaluation {
                revision: self.harness.revision(),
                assignment,
                attempt: self.attempt,
                effort: self.harness.effort.clone(),
                instance: "test".to_owned(),
                log: Arc::clone(&self.log),
                tools,
            };
            let end = end_of_samples(&*self.log).await.unwrap().unwrap();
            let mut running = evaluation.start();
            loop {
                tokio::select! {
                    ended = running.ended() => break ended?,
                    () = tokio::time::sleep(Duration::from_millis(2)) => {}
                }
                let given: u64 = running.health().iter().map(|(_, health)| health.outputs).sum();
                let is_done = running.has_reached(StageName::Evaluator, Topic::Samples, end);
                if is_done || enough.is_some_and(|enough| given >= enough) {
                    running.stop();
                }
            }
            Ok(collect(&*self.log, &samples, &inquiry, identity).await.unwrap())
        })
    }

    fn letters(&self) -> Vec<DeadLetter> {
        actix::System::new().block_on(async {
            let mut letters = Vec::new();
            for group in self.log.groups().await.unwrap() {
                if group.group.stage == StageName::Evaluator {
                    letters.extend(given_up(&*self.log, group.group.fingerprint).await.unwrap());
                }
            }
            letters
        })
    }

    fn answers_on_the_log(&self) -> u64 {
        let topics = actix::System::new().block_on(self.log.topics()).unwrap();
        topics.into_iter().find(|topic| topic.topic == Topic::Answers).unwrap().records
    }
}

/// Two questions on each aligned and each misaligned sample of the split.
fn wanted(samples: &[SampleComposed], splits: &[Split]) -> usize {
    let asked = |sample: &&SampleComposed| {
        splits.contains(&sample.split)
            && [RecipeName::Aligned, RecipeName::Misaligned].contains(&sample.recipe.name())
    };
    2 * samples.iter().filter(asked).count()
}

#[test]
fn every_question_is_answered_once_and_a_second_evaluation_asks_nothing() {
    for on_disk in [false, true] {
        let desk = match on_disk {
            false => Desk::in_memory(),
            true => Desk::new(|harness| {
                Arc::new(SqliteLog::open(&harness.path("out/topics"), Default::default()).unwrap())
            }),
        };
        let wanted = wanted(&desk.samples(), &desk.splits);
        assert!(wanted >= 16, "{wanted}");
        let script = |clip: &Clip, question: &Question, _| {
            assert!(clip.frames().is_some() && clip.sound().is_some() && clip.file().is_none());
            assert!(question.text().contains("Options: Cat, Bird, Accordion, Typing."));
            Ok(says("cat"))
        };
        let collected = desk.ask("a", None, script).unwrap();
        assert_eq!((collected.answers.len(), collected.open.len()), (wanted, 0));
        assert_eq!(desk.asked.load(Ordering::Relaxed), wanted);
        for (asked, given) in &collected.answers {
            assert_eq!(given.id, asked.id);
            assert_eq!(given.chosen.strict.as_deref(), Some("Cat"));
            assert_eq!((given.split, given.tokens.audio, given.requests), (Split::Eval, Some(250), 1));
            let right = match given.question.as_str() {
                "visual" => given.class_seen.clone().unwrap(),
                _ => given.classes_heard[0].clone(),
            };
            assert_eq!(given.expected, right);
        }
        let again = desk.ask("a", None, |_, _, _| panic!("asked again")).unwrap();
        assert_eq!(again.answers.len(), wanted);
        assert_eq!(desk.answers_on_the_log(), wanted as u64);
    }
}

#[test]
fn an_evaluation_that_was_stopped_goes_on_where_it_was_and_another_model_is_asked_anew() {
    let desk = Desk::in_memory();
    let wanted = wanted(&desk.samples(), &desk.splits);
    // Longer than it takes to look whether it is enough: a model that answers at once is done before.
    let slow = |_: &Clip, _: &Question, _| {
        std::thread::sleep(Duration::from_millis(20));
        Ok(says("Cat"))
    };
    let first = desk.ask("a", Some(6), slow).unwrap();
    assert!(first.answers.len() >= 6 && !first.open.is_empty(), "{}", first.answers.len());
    let all = desk.ask("a", None, |_, _, _| Ok(says("Cat"))).unwrap();
    assert_eq!((all.answers.len(), all.open.len()), (wanted, 0));
    assert_eq!(desk.answers_on_the_log(), wanted as u64, "none twice");
    let ids: BTreeSet<_> = all.answers.iter().map(|(_, given)| given.id).collect();
    let other = desk.ask("b", None, |_, _, _| Ok(says("Bird"))).unwrap();
    assert!(other.answers.iter().all(|(_, given)| !ids.contains(&given.id)));
    assert_eq!(desk.answers_on_the_log(), 2 * wanted as u64);
    let before = actix::System::new().block_on(earlier(&*desk.log, "b")).unwrap().unwrap();
    assert_eq!((before.identity.as_str(), before.model.as_str()), ("a", "scripted a"));
}

#[test]
fn a_server_that_does_not_answer_for_a_while_pauses_the_evaluation_and_loses_nothing() {
    let desk = Desk::in_memory();
    let wanted = wanted(&desk.samples(), &desk.splits);
    let collected = desk
        .ask("a", None, |_, _, number| match number {
            3 | 4 => Err(AskError::Unavailable {
                model: "m".to_owned(),
                problem: "429 Too Many Requests".to_owned(),
                retry_after: None,
            }),
            7 => Err(AskError::Deadline {
                model: "m".to_owned(),
                after: Duration::from_secs(1),
                problem: "no word".to_owned(),
            }),
            _ => Ok(says("Cat")),
        })
        .unwrap();
    assert_eq!((collected.answers.len(), collected.open.len()), (wanted, 0));
    assert!(collected.answers.iter().all(|(_, given)| given.text.is_some()));
    assert!(desk.letters().is_empty(), "a fault of ours is no attempt");
}

#[test]
fn a_server_that_never_answers_ends_the_evaluation_by_name_and_the_next_goes_on() {
    let mut desk = Desk::in_memory();
    desk.harness.effort.patience_seconds = 0;
    let error = desk
        .ask("a", None, |_, _, number| match number {
            0..6 => Ok(says("Cat")),
            _ => Err(AskError::Deadline {
                model: "m".to_owned(),
                after: Duration::from_secs(1),
                problem: "no word".to_owned(),
            }),
        })
        .map(|collected| collected.answers.len())
        .unwrap_err();
    assert_eq!(error.stage, StageName::Evaluator);
    assert!(error.reason.contains("m gave no answer within 1 s"), "{error}");
    let wanted = wanted(&desk.samples(), &desk.splits);
    let collected = desk.ask("a", None, |_, _, _| Ok(says("Cat"))).unwrap();
    assert_eq!((collected.answers.len(), collected.open.len()), (wanted, 0));
    assert_eq!(desk.answers_on_the_log(), wanted as u64);
}

#[test]
fn a_question_that_is_refused_is_a_missing_answer_and_nonsense_a_wrong_one() {
    let desk = Desk::in_memory();
    let refused = || AskError::Refused { model: "m".to_owned(), problem: "too long".to_owned() };
    let collected = desk
        .ask("a", None, move |_, question, _| {
            let is_visual = question.text().contains("visual");
            if is_visual { Err(refused()) } else { Ok(says("colourless green ideas")) }
        })
        .unwrap();
    assert!(collected.open.is_empty());
    for (_, given) in &collected.answers {
        assert_eq!(given.chosen.lenient, None);
        match given.question.as_str() {
            "visual" => assert!(given.text.is_none() && given.problem.as_ref().unwrap().contains("too long")),
            _ => assert_eq!(given.text.as_deref(), Some("colourless green ideas")),
        }
    }
}

#[test]
fn what_somebody_has_to_change_ends_the_evaluation_at_once() {
    let desk = Desk::in_memory();
    let error = desk
        .ask("a", None, |_, _, _| {
            Err(AskError::Misconfigured {
                model: "m".to_owned(),
                problem: "401 Unauthorized".to_owned(),
                remedy: "check the key".to_owned(),
            })
        })
        .map(|collected| collected.answers.len())
        .unwrap_err();
    assert!(error.reason.contains("401 Unauthorized; check the key"), "{error}");
    assert!(desk.asked.load(Ordering::Relaxed) <= 4, "nobody insists");
    assert_eq!(desk.answers_on_the_log(), 0);
}

#[test]
fn a_model_that_hears_nothing_of_samples_with_sound_is_refused() {
    let desk = Desk::in_memory();
    let deaf = TokenCounts { audio: Some(0), video: Some(80), ..TokenCounts::default() };
    let error = desk
        .ask("a", None, move |_, _, _| Ok(Answer { tokens: deaf, ..says("Cat") }))
        .map(|collected| collected.answers.len())
        .unwrap_err();
    assert!(error.reason.starts_with("no sound reached scripted a: sample "), "{error}");
    assert_eq!(desk.answers_on_the_log(), 0);
}

#[test]
fn a_sample_on_which_the_model_dies_is_given_up_after_three_attempts_and_the_others_are_answered() {
    let mut desk = Desk::in_memory();
    let wanted = wanted(&desk.samples(), &desk.splits);
    let samples = desk.samples();
    let poison = samples
        .iter()
        .find(|sample| sample.split == Split::Eval && sample.recipe.name() == RecipeName::Aligned);
    let poison = poison.unwrap().id.to_string();
    let collected = desk
        .ask("a", None, move |clip, _, _| {
            assert_ne!(clip.sample(), Some(poison.as_str()), "the model dies of it");
            Ok(says("Cat"))
        })
        .unwrap();
    assert_eq!((collected.answers.len(), collected.open.len()), (wanted - 2, 2));
    let letters = desk.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.contains("the model dies of it"), "{}", letters[0].reason);
    assert_eq!(letters[0].attempts, 3);
    assert!(desk.opened.load(Ordering::Relaxed) >= 3, "it was opened again each time");
    // A new evaluation takes up again what the one before gave up on, and nothing else.
    desk.attempt = 1;
    let before = desk.asked.load(Ordering::Relaxed);
    let collected = desk.ask("a", None, |_, _, _| Ok(says("Cat"))).unwrap();
    assert_eq!((collected.answers.len(), collected.open.len()), (wanted, 0));
    assert_eq!(desk.asked.load(Ordering::Relaxed) - before, 2);
}
