//! The model that stages ask.

use std::{fmt, sync::Arc};

use counterpoint_models::{Answer, Ask, AskError, Fault as Blame, ModelError, ModelFacts, ModelThread};
use parking_lot::Mutex;

use crate::stage::Fault;

/// Opens a model.
type Open = Box<dyn Fn() -> Result<ModelThread, ModelError> + Send + Sync>;

/// A model on a thread of its own, opened anew after it failed on a question. Shared by all work of a process:
/// one question after the other is answered.
pub struct AskedModel {
    open: Open,
    facts: ModelFacts,
    thread: Mutex<Option<Arc<ModelThread>>>,
}

impl AskedModel {
    /// Opens the model, and keeps what opens it.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn open(
        open: impl Fn() -> Result<ModelThread, ModelError> + Send + Sync + 'static,
    ) -> Result<Self, ModelError> {
        let thread = open()?;
        let facts = thread.facts().clone();
        Ok(Self { open: Box::new(open), facts, thread: Mutex::new(Some(Arc::new(thread))) })
    }

    /// What is known of the model without asking.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Tells the model to leave off; what waits for it ends with a fault of ours.
    pub fn stop(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.stop();
        }
    }

    /// Asks, and waits for the answers: one result a question, in their order, of which errors are those of a
    /// model that will never answer this question.
    ///
    /// # Errors
    /// [`Fault::Ours`] for what passes, [`Fault::Setup`] for what somebody has to change, [`Fault::Record`] if
    /// the model died of these questions.
    pub fn ask(&self, ask: Ask) -> Result<Vec<Result<Answer, AskError>>, Fault> {
        let answers = self.running()?.ask_blocking(ask).map_err(|error| fault(&error))?;
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            if error.fault() != Blame::Question {
                return Err(fault(error));
            }
        }
        Ok(answers)
    }

    fn running(&self) -> Result<Arc<ModelThread>, Fault> {
        let mut thread = self.thread.lock();
        if let Some(running) = thread.as_ref().filter(|running| !running.is_gone()) {
            return Ok(Arc::clone(running));
        }
        // A model may be too large to be there twice.
        *thread = None;
        let opened = (self.open)().map_err(|error| Fault::Ours(told(&error)))?;
        if opened.facts() != &self.facts {
            let (name, was, is) = (&self.facts.name, &self.facts.identity, &opened.facts().identity);
            return Err(Fault::Setup(format!(
                "{name} is another model than it was ({was}, now {is}): begin again"
            )));
        }
        let opened = Arc::new(opened);
        *thread = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

impl fmt::Debug for AskedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedModel").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// An error and its causes, in one sentence.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn fault(error: &AskError) -> Fault {
    match (error.fault(), error) {
        // Another piece of work killed it; these questions were not asked.
        (_, AskError::Gone) | (Blame::Passing { .. }, _) => Fault::Ours(error.to_string()),
        (Blame::Settings, _) => Fault::Setup(error.to_string()),
        (Blame::Model | Blame::Question, _) => Fault::Record(error.to_string()),
    }
}
