use std::{
    sync::{Mutex, atomic::AtomicUsize},
    time::Duration,
};

use super::*;
use crate::{ModelInput, TokenCounts};

/// Answers with the question's text; does what the text says.
struct Parrot {
    facts: ModelFacts,
    stop: Stop,
    made_on: thread::ThreadId,
    asked: Arc<AtomicUsize>,
    // A permission for each ask of `wait`.
    gate: std_mpsc::Receiver<()>,
    begun: std_mpsc::Sender<()>,
}

impl Model for Parrot {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn ask(&mut self, _: &Clip, questions: &[Question], _: &Decoding) -> Vec<Result<Answer, AskError>> {
        assert_eq!(thread::current().id(), self.made_on);
        self.asked.fetch_add(questions.len(), Ordering::SeqCst);
        self.begun.send(()).ok();
        let answer = |question: &Question| match question.text() {
            "panic" => panic!("a layer is missing"),
            "wait" => self.gate.recv().map(|()| answered("waited")).map_err(|_| AskError::Stopped),
            "until stopped" if self.stop.wait(Duration::from_secs(600)) => Err(AskError::Stopped),
            text => Ok(answered(text)),
        };
        questions.iter().filter(|question| question.text() != "ignored").map(answer).collect()
    }
}

fn answered(text: &str) -> Answer {
    Answer {
        text: text.to_owned(),
        option_scores: None,
        yes_probability: None,
        tokens: TokenCounts::default(),
        latency: Duration::ZERO,
        requests: 0,
        cost_usd: None,
    }
}

struct Fixture {
    thread: ModelThread,
    asked: Arc<AtomicUsize>,
    gate: std_mpsc::Sender<()>,
    begun: Mutex<std_mpsc::Receiver<()>>,
}

impl Fixture {
    fn start(queue: usize) -> Self {
        let (gate, may_go) = std_mpsc::channel();
        let (begin, begun) = std_mpsc::channel();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let thread = ModelThread::start(NonZeroUsize::new(queue).unwrap(), move |stop| {
            Ok(Box::new(Parrot {
                facts: ModelFacts {
                    name: "parrot".to_owned(),
                    identity: "parrot".to_owned(),
                    input: ModelInput::Ids,
                },
                stop: stop.clone(),
                made_on: thread::current().id(),
                asked: count,
                gate: may_go,
                begun: begin,
            }))
        });
        Self { thread: thread.unwrap(), asked, gate, begun: Mutex::new(begun) }
    }

    fn has_begun(&self) {
        self.begun.lock().unwrap().recv().unwrap();
    }

    fn ask(&self, texts: &[&str]) -> Result<Answers, AskError> {
        self.thread.ask_blocking(ask(texts))
    }
}

fn ask(texts: &[&str]) -> Ask {
    Ask {
        clip: Arc::new(Clip::new("0".repeat(64).parse().unwrap())),
        questions: texts.iter().map(|text| Question::free(*text).unwrap()).collect(),
        decoding: Decoding::default(),
    }
}

fn texts(answers: Result<Answers, AskError>) -> Vec<String> {
    answers.unwrap().into_iter().map(|answer| answer.unwrap().text).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn answers_come_in_the_order_of_the_questions_to_blocking_and_async_askers() {
    let fixture = Fixture::start(1);
    assert_eq!(fixture.thread.facts().name, "parrot");
    assert_eq!(texts(fixture.ask(&["a", "b"])), ["a", "b"]);
    assert_eq!(texts(runtime().block_on(fixture.thread.ask(ask(&["c"])))), ["c"]);
    assert!(!fixture.thread.is_gone());
}

#[test]
fn a_full_queue_admits_exactly_its_room_and_the_rest_wait_to_get_in() {
    const ROOM: usize = 3;
    let fixture = Fixture::start(ROOM);
    let thread = Arc::new(fixture.thread);
    let runtime = runtime();
    let (first, rest) = runtime.block_on(async {
        let first = tokio::spawn({
            let thread = Arc::clone(&thread);
            async move { thread.ask(ask(&["wait"])).await }
        });
        fixture.begun.lock().unwrap().recv().unwrap();
        let jobs = thread.jobs.as_ref().unwrap();
        let rest: Vec<_> = (0..ROOM + 2)
            .map(|_| {
                let thread = Arc::clone(&thread);
                tokio::spawn(async move { thread.ask(ask(&["later"])).await })
            })
            .collect();
        // One is with the model, which took it out of the queue.
        while jobs.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(jobs.try_reserve().is_err());
        (first, rest)
    });
    assert_eq!(fixture.asked.load(Ordering::SeqCst), 1);
    fixture.gate.send(()).unwrap();
    runtime.block_on(async {
        assert_eq!(texts(first.await.unwrap()), ["waited"]);
        for asker in rest {
            assert_eq!(texts(asker.await.unwrap()), ["later"]);
        }
    });
}

#[test]
fn whoever_waits_for_an_answer_holds_no_thread() {
    let fixture = Fixture::start(4);
    // One thread only: it has to serve the gate while the asker waits.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answers = runtime.block_on(async {
        let gate = async {
            tokio::task::yield_now().await;
            fixture.gate.send(()).unwrap();
        };
        futures::join!(fixture.thread.ask(ask(&["wait"])), gate).0
    });
    assert_eq!(texts(answers), ["waited"]);
}

#[test]
fn a_panic_is_the_error_of_that_ask_and_the_model_is_gone_for_all_others() {
    let fixture = Fixture::start(4);
    let runtime = runtime();
    let (panicked, queued) = runtime.block_on(async {
        let first = fixture.thread.ask(ask(&["wait", "panic"]));
        let second = fixture.thread.ask(ask(&["a"]));
        let gate = async {
            while fixture.thread.jobs.as_ref().unwrap().capacity() == 4 {
                tokio::task::yield_now().await;
            }
            fixture.gate.send(()).unwrap();
        };
        let (first, second, ()) = futures::join!(first, second, gate);
        (first, second)
    });
    let crashed = panicked.unwrap_err();
    assert_eq!(crashed, AskError::Crashed { problem: "a layer is missing".to_owned() });
    assert_eq!(crashed.fault(), crate::Fault::Model);
    assert_eq!(queued, Err(AskError::Gone));
    assert!(fixture.thread.is_gone());
    assert_eq!(fixture.ask(&["b"]), Err(AskError::Gone));
    assert_eq!(fixture.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn a_model_that_miscounts_is_a_model_that_fails() {
    let fixture = Fixture::start(1);
    let error = fixture.ask(&["a", "ignored"]).unwrap_err();
    assert_eq!(error, AskError::Crashed { problem: "1 answers to 2 questions".to_owned() });
    assert!(fixture.thread.is_gone());
}

#[test]
fn an_asker_that_went_away_is_not_answered() {
    let fixture = Fixture::start(2);
    let runtime = runtime();
    runtime.block_on(async {
        let mut first = Box::pin(fixture.thread.ask(ask(&["wait"])));
        let mut second = Box::pin(fixture.thread.ask(ask(&["never"])));
        assert!(futures::poll!(&mut first).is_pending());
        fixture.has_begun();
        assert!(futures::poll!(&mut second).is_pending());
        drop(second);
        fixture.gate.send(()).unwrap();
        first.await.unwrap();
        assert_eq!(texts(fixture.thread.ask(ask(&["last"])).await), ["last"]);
    });
    assert_eq!(fixture.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn dropping_the_thread_stops_what_runs_and_waits_for_its_end() {
    let fixture = Fixture::start(2);
    let (runtime, asked) = (runtime(), Arc::clone(&fixture.asked));
    let thread = Arc::new(fixture.thread);
    let asker = |text: &'static str| {
        let thread = Arc::clone(&thread);
        runtime.spawn(async move { thread.ask(ask(&[text])).await })
    };
    let runs = asker("until stopped");
    fixture.begun.lock().unwrap().recv().unwrap();
    let waits = asker("a");
    while thread.jobs.as_ref().unwrap().capacity() == 2 {
        thread::yield_now();
    }
    thread.stop();
    runtime.block_on(async {
        assert_eq!(runs.await.unwrap().unwrap(), [Err(AskError::Stopped)]);
        assert_eq!(waits.await.unwrap(), Err(AskError::Stopped));
    });
    drop(thread);
    // The model went with its thread, and with it its share of the count.
    drop(fixture.asked);
    assert_eq!(Arc::strong_count(&asked), 1);
}

#[test]
fn a_model_that_cannot_be_made_is_told_with_its_reason() {
    let one = NonZeroUsize::MIN;
    let error = ModelThread::start(one, |_| Err(crate::NameError::Tiny.into())).unwrap_err();
    assert!(error.to_string().contains("tiny"), "{error}");
    let error = ModelThread::start(one, |_| panic!("no weights")).unwrap_err();
    assert!(matches!(&error, ModelError::Panicked { problem } if problem == "no weights"), "{error}");
}
