//! Asks a model about samples.
//!
//! Reads [`SampleComposed`]; writes an [`AnswerGiven`] for every question of the suite. The sample's file is
//! composed as it would be exported, frames and sound are read from it, and all its questions are asked at once.
//! An answer that the model refuses is data, a missing answer; a model that does not answer for now is a fault of
//! ours. What is on the log already is not asked again.

use std::{collections::BTreeSet, sync::Arc};

use counterpoint_core::{
    media_job::SampleRequest,
    questions::{Expected, OptionReader},
    suite::{self, Put, Suite},
};
use counterpoint_log::StateEntry;
use counterpoint_messages::{
    AnswerGiven, Cause, Chosen, ContentHash, Fingerprint, Message, RecordId, SampleComposed, Split,
    StageName, Tokens, Topic, TraceParent,
};
use counterpoint_models::{Answer, Ask, AskError, Decoding, ModelFacts, Question};
use counterpoint_telemetry::{span, trace};
use serde::{Deserialize, Serialize};
use tracing::Span;

use crate::{
    AskedModel, Tools,
    showing::{Shown, show},
    stage::{Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Work},
};

const STAGE: StageName = StageName::Evaluator;

/// What is asked, of which samples, and how. Kept as an object, so that a later model can be asked the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inquiry {
    /// Questions and conditions.
    pub suite: Suite,
    /// The classes that questions offer.
    pub options: Vec<String>,
    /// Splits of the samples.
    pub splits: Vec<Split>,
    /// How answers are drawn.
    pub decoding: Decoding,
    /// Which frames and which sound the model gets.
    pub request: SampleRequest,
}

/// A question on a sample, and the id of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Condition, question and right answer.
    pub put: Put,
    /// The words, and what may answer them.
    pub question: Question,
    /// Hash of sample, condition, question, model and decoding.
    pub id: RecordId,
}

impl Inquiry {
    /// The questions on a sample to a model of this identity; none if the sample is of no split that is asked.
    ///
    /// # Errors
    /// If a question makes no sense: too few classes to choose from, or one twice.
    pub fn questions(&self, sample: &SampleComposed, identity: &str) -> Result<Vec<Asked>, StageError> {
        if !self.splits.contains(&sample.split) {
            return Ok(Vec::new());
        }
        let puts = self.suite.put(sample, &self.options).into_iter();
        puts.map(|put| {
            let question = self.question(&put)?;
            let id = self.answer_id(sample, &put, question.text(), identity);
            Ok(Asked { put, question, id })
        })
        .collect()
    }

    fn question(&self, put: &Put) -> Result<Question, StageError> {
        let text = put.query.text(&self.options, &self.suite.wording);
        let question = match put.query.expected() {
            Expected::Option => Question::options(text, put.query.options(&self.options)),
            Expected::OptionAfterThoughts | Expected::Text => Question::free(text),
            Expected::YesNo => Question::yes_no(text),
        };
        question.map_err(|error| StageError::Content(error.to_string()))
    }

    fn answer_id(&self, sample: &SampleComposed, put: &Put, text: &str, identity: &str) -> RecordId {
        let Decoding { max_new_tokens, temperature, top_p, seed } = self.decoding;
        let SampleRequest { frames_per_second, size, rate } = self.request;
        let words = ContentHash::of(text.as_bytes());
        let detail = format!(
            "{} {} {words} {identity} {max_new_tokens} {temperature} {top_p} {seed} {frames_per_second} {size} {rate}",
            put.condition, put.question
        );
        let (settings, inputs) = (Fingerprint::default(), &[sample.id]);
        Cause { stage: STAGE, transform: 1, settings, inputs, detail: &detail }.id()
    }
}

/// One evaluation, as its stage knows it.
#[derive(Debug)]
pub struct Assignment {
    /// What is asked.
    pub inquiry: Inquiry,
    /// Object that holds the inquiry.
    pub object: ContentHash,
    /// The model.
    pub model: ModelFacts,
    /// Answers that are on the log.
    pub answered: BTreeSet<RecordId>,
    /// Trace of the evaluation.
    pub trace: Option<TraceParent>,
}

/// See the module.
#[derive(Debug)]
pub struct Evaluator {
    assignment: Arc<Assignment>,
}

impl Evaluator {
    /// An evaluator with this assignment.
    pub fn new(assignment: Arc<Assignment>) -> Self {
        Self { assignment }
    }

    fn open_questions(&self, sample: &SampleComposed) -> Result<Vec<Asked>, StageError> {
        let Assignment { inquiry, model, answered, .. } = &*self.assignment;
        let asked = inquiry.questions(sample, &model.identity)?;
        Ok(asked.into_iter().filter(|asked| !answered.contains(&asked.id)).collect())
    }

    /// What is still to be asked about a sample of this trace; `None` if that is nothing.
    ///
    /// # Errors
    /// A question makes no sense.
    pub(crate) fn asks(
        &self,
        sample: &SampleComposed,
        sample_trace: Option<TraceParent>,
    ) -> Result<Option<AskSample>, StageError> {
        let open = self.open_questions(sample)?;
        Ok((!open.is_empty()).then(|| AskSample {
            sample: sample.clone(),
            sample_trace,
            questions: open.into_iter().map(|asked| asked.question).collect(),
            assignment: Arc::clone(&self.assignment),
        }))
    }

    /// What came of that, as messages.
    ///
    /// # Errors
    /// As of [`Self::asks`].
    pub(crate) fn answers(
        &self,
        sample: &SampleComposed,
        sample_trace: Option<TraceParent>,
        Answers { answers, trace }: Answers,
    ) -> Result<impl Iterator<Item = Output>, StageError> {
        let clip = sample.host().map(|host| host.clip);
        let asked = self.open_questions(sample)?.into_iter().zip(answers);
        Ok(asked.map(move |(asked, answer)| {
            let given = self.given(sample, asked, answer, sample_trace, trace);
            Output {
                topic: Topic::Answers,
                key: given.id,
                video: given.video.clone(),
                clip,
                trace: crate::stage::Trace::Record,
                message: given.into(),
            }
        }))
    }
}

/// Questions on a sample.
#[derive(Debug)]
pub struct AskSample {
    sample: SampleComposed,
    sample_trace: Option<TraceParent>,
    questions: Vec<Question>,
    assignment: Arc<Assignment>,
}

/// What came of them: one result a question, and the span that they were asked in.
#[derive(Debug)]
pub struct Answers {
    answers: Vec<Result<Answer, AskError>>,
    trace: Option<TraceParent>,
}

/// The model hears nothing of a sample that has sound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no sound reached {model}: sample {sample} has some, and of its prompt no token was one of sound; what it \
     answers about sound would mean nothing. Give a model that hears, or mend how its server takes sound"
)]
pub struct DeafModel {
    /// Model.
    pub model: String,
    /// Sample.
    pub sample: RecordId,
}

impl AskSample {
    /// A span for it, in the trace of the evaluation.
    pub(crate) fn span(&self) -> Span {
        let span = tracing::info_span!(parent: None, span::MODEL_ASK, stage = %STAGE, id = %self.sample.id);
        if let Some(evaluation) = self.assignment.trace {
            trace::continue_from(&span, evaluation);
        }
        if let Some(sample) = self.sample_trace {
            trace::link(&span, sample);
        }
        span
    }

    /// Reads what the model is shown.
    pub(crate) fn show(&self, tools: &Tools) -> Result<Shown, Fault> {
        let Assignment { inquiry, model, .. } = &*self.assignment;
        show(&tools.reading(), &self.sample, model.input, &inquiry.request)
    }

    /// Asks about what is shown.
    pub(crate) fn put(&self, shown: &Shown, asking: &AskedModel) -> Result<Answers, Fault> {
        let Assignment { inquiry, model, .. } = &*self.assignment;
        let clip = Arc::new(shown.clip.clone());
        let (questions, decoding) = (self.questions.clone(), inquiry.decoding.clone());
        let answers = asking.ask(Ask { clip, questions, decoding })?;
        let is_deaf = answers.iter().flatten().any(|answer| answer.tokens.audio == Some(0));
        if is_deaf && !self.sample.classes_heard.is_empty() {
            let deaf = DeafModel { model: model.name.clone(), sample: self.sample.id };
            return Err(Fault::Setup(deaf.to_string()));
        }
        Ok(Answers { answers, trace: trace::of(&Span::current()) })
    }
}

impl Work for AskSample {
    type Outcome = Answers;

    fn perform(self, tools: &Tools) -> Result<Answers, Fault> {
        let asking =
            tools.model.as_ref().ok_or_else(|| Fault::Setup("no model is there to ask".to_owned()))?;
        self.span().in_scope(|| self.put(&self.show(tools)?, asking))
    }
}

impl Stage for Evaluator {
    type Work = AskSample;

    fn profile(&self) -> Profile {
        // Not blameless: a sample on which a model takes the process down ends in dead letters.
        Profile { stage: STAGE, inputs: vec![Topic::Samples], order: Order::Parallel, blameless: false }
    }

    fn restore(&mut self, _: &[StateEntry]) -> Result<(), StageError> {
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<AskSample>, StageError> {
        let asks = self.asks(sample(record)?, record.received.headers.trace)?;
        Ok(asks.map_or_else(|| Step::Done(Effects::default()), Step::Work))
    }

    fn conclude(&mut self, record: &Record, outcome: Answers) -> Result<Effects, StageError> {
        let outputs = self.answers(sample(record)?, record.received.headers.trace, outcome)?;
        Ok(Effects { outputs: outputs.collect(), ..Effects::default() })
    }
}

impl Evaluator {
    fn given(
        &self,
        sample: &SampleComposed,
        asked: Asked,
        answer: Result<Answer, AskError>,
        sample_trace: Option<TraceParent>,
        trace: Option<TraceParent>,
    ) -> AnswerGiven {
        let Assignment { inquiry, object, model, .. } = &*self.assignment;
        let given = AnswerGiven {
            id: asked.id,
            sample: sample.id,
            video: sample.host().map(|host| host.video.clone()).unwrap_or_default(),
            split: sample.split,
            recipe: sample.recipe.name(),
            class_seen: sample.class_seen.clone(),
            classes_heard: sample.classes_heard.clone(),
            condition: asked.put.condition.to_string(),
            question: asked.put.question.to_string(),
            expected: asked.put.expected,
            text: None,
            problem: None,
            chosen: Chosen::default(),
            option_scores: None,
            yes_probability: None,
            tokens: Tokens::default(),
            latency_ms: 0,
            requests: 0,
            cost_usd: None,
            model: model.name.clone(),
            identity: model.identity.clone(),
            evaluation: *object,
            sample_trace,
            trace,
        };
        match answer {
            Err(error) => AnswerGiven { problem: Some(error.to_string()), ..given },
            Ok(answer) => {
                let reader = OptionReader::new(&asked.put.query.options(&inquiry.options));
                // Without options any of the classes may be meant.
                let reader = match asked.put.query.expected() {
                    Expected::Text => OptionReader::new(&inquiry.options),
                    _ => reader,
                };
                AnswerGiven {
                    chosen: suite::read(&asked.put.query, &reader, &answer.text),
                    text: Some(answer.text),
                    option_scores: answer.option_scores,
                    yes_probability: answer.yes_probability,
                    tokens: tokens(answer.tokens),
                    latency_ms: u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX),
                    requests: answer.requests,
                    cost_usd: answer.cost_usd,
                    ..given
                }
            }
        }
    }
}

/// Counts of tokens as messages have them.
pub(crate) fn tokens(counted: counterpoint_models::TokenCounts) -> Tokens {
    let counterpoint_models::TokenCounts { prompt, text, video, audio, answer } = counted;
    Tokens { prompt, text, video, audio, answer }
}

fn sample(record: &Record) -> Result<&SampleComposed, StageError> {
    match &record.message {
        Message::SampleComposed(sample) => Ok(sample),
        other => Err(StageError::unexpected(STAGE, other)),
    }
}
