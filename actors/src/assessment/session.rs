use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
};

use counterpoint_messages::{CheckpointSaved, RecordId};
use futures::executor::block_on;

use super::{Assessment, Samples, Sitting, Unasked, check, facts};
use crate::{
    AskedModel, Tools,
    evaluation::{EvaluationError, collect},
    evaluator::{Answers, AskSample, Assignment, Evaluator},
    showing::Shown,
    stage::{Fault, Output},
    turns::Turn,
};

/// Samples that are asked about before the answers are committed.
const SAMPLES_A_STEP: usize = 8;

/// How often a sample is tried on which the model fails.
const ATTEMPTS: u32 = 3;

/// A checkpoint as a model, from its first question to its last. It has the process's turn to hold one in memory.
pub(crate) struct Session {
    model: AskedModel,
    evaluator: Evaluator,
    ids: BTreeSet<RecordId>,
    samples: Samples,
    // Behind the model: whoever comes next finds its memory free.
    _turn: Turn,
}

/// Some more answers.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The answers.
    pub outputs: Vec<Output>,
    /// Samples that are done now, those before among them.
    pub done: usize,
}

/// Questions on a sample, which is the so-manieth.
struct Asking {
    number: usize,
    id: RecordId,
    ask: AskSample,
}

impl Session {
    /// Opens the checkpoint, once its turn has come; `None` if told to leave off before.
    pub(crate) fn open(
        assessment: &Assessment,
        saved: &CheckpointSaved,
        sitting: &Sitting,
        tools: &Tools,
    ) -> Result<Option<Self>, Fault> {
        let Some(turn) = tools.turns.take(&tools.stopping) else { return Ok(None) };
        check(saved)?;
        let (inquiry, ids, samples) = assessment.read(sitting, &tools.store)?;
        let list: Vec<_> = samples.values().map(|(sample, _)| sample.clone()).collect();
        let collected = block_on(collect(&*assessment.log, &list, &inquiry, &saved.identity))?;
        let (open, checkpoint, folder) = (Arc::clone(&assessment.open), saved.clone(), saved.folder.clone());
        let model = AskedModel::open(move || open(&checkpoint));
        let model = model.map_err(|source| Unasked::NoModel { folder, source })?;
        if model.facts().identity != saved.identity {
            return Err(Unasked::Changed { folder: saved.folder.clone(), training: saved.training.id }.into());
        }
        let assignment = Assignment {
            inquiry,
            object: sitting.inquiry,
            model: facts(saved, model.facts().input),
            answered: collected.ids(),
            trace: sitting.trace,
        };
        let evaluator = Evaluator::new(Arc::new(assignment));
        Ok(Some(Self { model, evaluator, ids, samples, _turn: turn }))
    }

    /// Asks about some more samples, behind those that are done; about fewer if told to leave off.
    pub(crate) fn ask(&self, done: usize, tools: &Tools) -> Result<Answered, Fault> {
        let mut answered = Answered { outputs: Vec::new(), done };
        let asking = self.next(done)?;
        if asking.is_empty() {
            return Ok(Answered { done: self.ids.len(), ..answered });
        }
        let (count, mut given_up) = (asking.len(), Vec::new());
        // The next sample is read while the model answers about the one before.
        thread::scope(|scope| {
            let (sender, read) = mpsc::sync_channel(1);
            scope.spawn(move || {
                for asking in asking {
                    let span = asking.ask.span();
                    let shown = span.in_scope(|| asking.ask.show(tools));
                    // Nobody waits for the rest any more.
                    if sender.send((asking, span, shown)).is_err() {
                        return;
                    }
                }
            });
            for (asking, span, shown) in read {
                if tools.stopping.load(Ordering::Relaxed) {
                    break;
                }
                match span.in_scope(|| self.attempt(&asking, shown, tools)) {
                    Ok(Ok(answers)) => answered.outputs.extend(self.outputs(asking.id, answers)?),
                    Ok(Err(reason)) => given_up.push((asking.id, reason)),
                    // What was answered before is not asked again.
                    Err(fault) if answered.outputs.is_empty() => return Err(fault),
                    Err(_) => break,
                }
                answered.done = asking.number;
            }
            Ok(())
        })?;
        // One that fails on all it is asked at first is broken, and would fail on the rest.
        if let Some((_, reason)) = given_up.last().filter(|_| done == 0 && given_up.len() == count) {
            return Err(Fault::Record(reason.clone()));
        }
        for (sample, reason) in given_up {
            tracing::warn!(%sample, reason, "a sample was given up: what it was to be asked stands in no score");
        }
        Ok(answered)
    }

    /// What is asked next.
    fn next(&self, done: usize) -> Result<Vec<Asking>, EvaluationError> {
        let mut next = Vec::new();
        for (number, id) in (1..).zip(&self.ids).skip(done) {
            let Some((sample, trace)) = self.samples.get(id) else { continue };
            let Some(ask) = self.evaluator.asks(sample, *trace)? else { continue };
            next.push(Asking { number, id: *id, ask });
            if next.len() == SAMPLES_A_STEP {
                break;
            }
        }
        Ok(next)
    }

    /// Asks about a sample, again where the model fails on it; why it was given up, if it was.
    fn attempt(
        &self,
        asking: &Asking,
        shown: Result<Shown, Fault>,
        tools: &Tools,
    ) -> Result<Result<Answers, String>, Fault> {
        let mut tried = shown.and_then(|shown| asking.ask.put(&shown, &self.model));
        for _ in 1..ATTEMPTS {
            if !matches!(tried, Err(Fault::Record(_))) {
                break;
            }
            tried = asking.ask.show(tools).and_then(|shown| asking.ask.put(&shown, &self.model));
        }
        match tried {
            Ok(answers) => Ok(Ok(answers)),
            Err(Fault::Record(reason)) => Ok(Err(reason)),
            // The run goes on without a checkpoint that cannot be asked.
            Err(Fault::Setup(reason)) => Err(Fault::Record(reason)),
            Err(fault) => Err(fault),
        }
    }

    fn outputs(&self, id: RecordId, answers: Answers) -> Result<Vec<Output>, Fault> {
        let Some((sample, trace)) = self.samples.get(&id) else { return Ok(Vec::new()) };
        let outputs = self.evaluator.answers(sample, *trace, answers).map_err(EvaluationError::from)?;
        Ok(outputs.collect())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("model", &self.model).finish_non_exhaustive()
    }
}
