//! Where a model lives.

use std::{
    any::Any,
    fmt,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    thread::{self, JoinHandle},
};

use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use crate::{Answer, AskError, Clip, Decoding, Model, ModelError, ModelFacts, Question, Stop};

/// What is asked at once.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The clip; shared, as it may be large.
    pub clip: Arc<Clip>,
    /// All questions on it.
    pub questions: Vec<Question>,
    /// How answers are drawn.
    pub decoding: Decoding,
}

/// One result a question, in their order.
type Answers = Vec<Result<Answer, AskError>>;

struct Job {
    ask: Ask,
    /// What the asker is at: what the model does about it is a part of that.
    span: Span,
    reply: oneshot::Sender<Result<Answers, AskError>>,
}

/// A model on a thread of its own, and the only way to it.
///
/// libtorch wants a model to be used on the thread that made it, and a forward pass takes seconds. So nothing
/// else runs here, and whoever waits for an answer has called one of these and knows it:
///
/// - [`ask`](Self::ask) waits without holding a thread: the place for actors.
/// - [`ask_blocking`](Self::ask_blocking) holds the calling thread.
/// - [`start`](Self::start) holds the calling thread until the model is loaded.
/// - `drop` holds the calling thread until the pass that runs has ended. [`Stop`] shortens that for models that
///   look at it; [`stop`](Self::stop) says it without waiting.
///
/// So many questions may wait as the queue has room for; further ones wait to get in, in order. Asks whose
/// asker has gone away are not answered. A panic of the model is the error of that ask alone; the model is not
/// used again, and every other ask ends with [`AskError::Gone`].
pub struct ModelThread {
    // Closed on drop, which ends the thread.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    facts: ModelFacts,
    stop: Stop,
    gone: Arc<AtomicBool>,
}

impl ModelThread {
    /// Makes a model on a new thread by `build`, and waits until it is made. `queue` asks may wait beside the
    /// one that is being answered.
    ///
    /// # Errors
    /// What `build` returns, [`ModelError::Panicked`] if it panics, [`ModelError::Thread`] if the system gives
    /// no thread.
    pub fn start<F>(queue: NonZeroUsize, build: F) -> Result<Self, ModelError>
    where
        F: FnOnce(&Stop) -> Result<Box<dyn Model>, ModelError> + Send + 'static,
    {
        let (jobs, waiting) = mpsc::channel(queue.get());
        let (built, is_built) = std_mpsc::sync_channel(1);
        let stop = Stop::new();
        let gone = Arc::new(AtomicBool::new(false));
        let life = {
            let (stop, gone) = (stop.clone(), Arc::clone(&gone));
            move || {
                let model = catch_unwind(AssertUnwindSafe(|| build(&stop)));
                let model =
                    model.unwrap_or_else(|panic| Err(ModelError::Panicked { problem: words_of(&*panic) }));
                match model {
                    Ok(model) => {
                        let facts = model.facts().clone();
                        if built.send(Ok(facts)).is_ok() {
                            live(model, waiting, &stop, &gone);
                        }
                    }
                    // The one who waits for it is `start`, below.
                    Err(error) => drop(built.send(Err(error))),
                }
            }
        };
        let thread = thread::Builder::new().name("model".to_owned()).spawn(life);
        let thread = thread.map_err(ModelError::Thread)?;
        let facts = is_built.recv().unwrap_or_else(|_| {
            Err(ModelError::Panicked { problem: "it did not tell its facts".to_owned() })
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), facts, stop, gone })
    }

    /// What is known of the model without asking.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Asks, and waits for the answers without holding a thread. Dropped before the model began, it is not
    /// asked.
    ///
    /// # Errors
    /// [`AskError::Crashed`] if the model panics over these questions, [`AskError::Gone`] if it did before,
    /// [`AskError::Stopped`] if it was stopped before it began. Errors of one question are among the answers.
    pub async fn ask(&self, ask: Ask) -> Result<Answers, AskError> {
        let (reply, answers) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(AskError::Stopped)?;
        jobs.send(Job { ask, span: Span::current(), reply }).await.map_err(|_| AskError::Gone)?;
        answers.await.unwrap_or(Err(AskError::Gone))
    }

    /// Asks, and holds the calling thread until there are answers.
    ///
    /// # Errors
    /// As [`ModelThread::ask`].
    pub fn ask_blocking(&self, ask: Ask) -> Result<Answers, AskError> {
        futures::executor::block_on(self.ask(ask))
    }

    /// Whether the model failed: it has to be started again.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Asks the model to stop and does not wait: what waits ends with [`AskError::Stopped`], and so does what
    /// runs, if the model looks at its [`Stop`].
    pub fn stop(&self) {
        self.stop.set();
    }
}

impl Drop for ModelThread {
    fn drop(&mut self) {
        self.stop.set();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to say: panics of the model are caught on it.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for ModelThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelThread").field("facts", &self.facts).field("gone", &self.gone).finish()
    }
}

/// Answers until nobody can ask any more, or until the model panics.
fn live(mut model: Box<dyn Model>, mut waiting: mpsc::Receiver<Job>, stop: &Stop, gone: &AtomicBool) {
    while let Some(Job { ask, span, reply }) = waiting.blocking_recv() {
        if stop.is_set() {
            drop(reply.send(Err(AskError::Stopped)));
            continue;
        }
        if reply.is_closed() {
            continue;
        }
        let Ask { clip, questions, decoding } = &ask;
        let answers =
            catch_unwind(AssertUnwindSafe(|| span.in_scope(|| model.ask(clip, questions, decoding))));
        let problem = match answers {
            Ok(answers) if answers.len() == questions.len() => {
                // An asker that went away has no use for them.
                drop(reply.send(Ok(answers)));
                continue;
            }
            Ok(answers) => format!("{} answers to {} questions", answers.len(), questions.len()),
            Err(panic) => words_of(&*panic),
        };
        // In this order: who hears of the failure finds the model gone.
        gone.store(true, Ordering::Release);
        drop(reply.send(Err(AskError::Crashed { problem })));
        break;
    }
    waiting.close();
    while let Some(job) = waiting.blocking_recv() {
        drop(job.reply.send(Err(AskError::Gone)));
    }
    // What a panic left behind may panic again when it is cleared away.
    drop(catch_unwind(AssertUnwindSafe(|| drop(model))));
}

/// What a panic said.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
    words.unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests;
