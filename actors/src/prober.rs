//! Has a model judge whether a clip's class is to be seen and to be heard.
//!
//! Reads [`ClipDecoded`]; writes [`ClipProbed`] (appendix B.1). Only where the settings name a judge.
//!
//! 1. the clip is read once, and shown three times: without sound, with a black picture, whole;
//! 2. each is asked about: visible alone, audible alone, and both of the whole clip, in one prefix;
//! 3. what the judge said is kept as it came. Words that are neither yes nor no are no yes. The gate decides.

use std::sync::Arc;

use counterpoint_core::{
    media_job::SampleRequest,
    questions::{Probe, Wording, yes_no},
};
use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, ClipDecoded, ClipProbed, Fingerprint, Message, ProbeAnswer, ProbeAnswers, StageName, Tokens, Topic,
};
use counterpoint_models::{Answer, Ask, AskError, Decoding, ModelFacts, Question};
use counterpoint_telemetry::{span, trace};

use crate::{
    Tools,
    evaluator::tokens,
    settings::ProberSettings,
    showing::show_clip,
    stage::{Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Work},
};

const STAGE: StageName = StageName::Prober;

/// Samples a second that models take.
const RATE: u32 = 16_000;

/// See the module.
#[derive(Debug)]
pub struct Prober {
    settings: ProberSettings,
    size: u32,
    judge: ModelFacts,
    fingerprint: Fingerprint,
}

impl Prober {
    /// A prober with this judge, which is shown pictures of `size` pixels on a side.
    pub fn new(settings: ProberSettings, size: u32, judge: ModelFacts, fingerprint: Fingerprint) -> Self {
        Self { settings, size, judge, fingerprint }
    }

    fn question(&self, probe: Probe, class: &str) -> Result<Question, StageError> {
        let wording = Wording { judge_suffix: self.settings.suffix, ..Wording::default() };
        let question = Question::yes_no(probe.query(class).text(&[], &wording));
        question.map_err(|error| StageError::Content(error.to_string()))
    }
}

/// A clip to be judged.
#[derive(Debug)]
pub struct JudgeClip {
    decoded: ClipDecoded,
    questions: [Question; 4],
    judge: ModelFacts,
    request: SampleRequest,
    decoding: Decoding,
}

/// What was said, in the order of [`Probe::ALL`].
pub type Judged = [Result<Answer, AskError>; 4];

impl Work for JudgeClip {
    type Outcome = Judged;

    fn perform(self, tools: &Tools) -> Result<Judged, Fault> {
        let judge =
            tools.model.as_ref().ok_or_else(|| Fault::Setup("no judge is there to ask".to_owned()))?;
        let span =
            tracing::info_span!(parent: None, span::MODEL_ASK, stage = %STAGE, clip = %self.decoded.clip.id);
        if let Some(clip) = trace::current() {
            trace::link(&span, clip);
        }
        let _entered = span.entered();
        let shown = show_clip(&tools.reading(), &self.decoded, self.judge.input, &self.request)?;
        let ask = |clip: Arc<counterpoint_models::Clip>, questions: Vec<Question>| {
            judge.ask(Ask { clip, questions, decoding: self.decoding.clone() })
        };
        let [visual, audio, seen, heard] = self.questions;
        let lost = || Fault::Record("the judge gave fewer answers than it was asked questions".to_owned());
        let one = |answers: Vec<Result<Answer, AskError>>| answers.into_iter().next().ok_or_else(lost);
        let visual = one(ask(Arc::new(shown.without_sound), vec![visual])?)?;
        let audio = one(ask(Arc::new(shown.without_picture), vec![audio])?)?;
        let both = ask(Arc::new(shown.whole), vec![seen, heard])?;
        let [seen, heard]: [_; 2] = both.try_into().map_err(|_| lost())?;
        Ok([visual, audio, seen, heard])
    }
}

impl Stage for Prober {
    type Work = JudgeClip;

    fn profile(&self) -> Profile {
        // Not blameless: a clip on which the judge takes the process down ends in dead letters.
        Profile { stage: STAGE, inputs: vec![Topic::Decoded], order: Order::Parallel, blameless: false }
    }

    fn restore(&mut self, _: &[StateEntry]) -> Result<(), StageError> {
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<JudgeClip>, StageError> {
        let decoded = decoded(record)?;
        let question = |probe| self.question(probe, &decoded.class);
        let [visual, audio, seen, heard] = Probe::ALL;
        Ok(Step::Work(JudgeClip {
            questions: [question(visual)?, question(audio)?, question(seen)?, question(heard)?],
            decoded: decoded.clone(),
            judge: self.judge.clone(),
            request: SampleRequest {
                frames_per_second: self.settings.frames_per_second,
                size: self.size,
                rate: RATE,
            },
            decoding: Decoding { max_new_tokens: self.settings.max_new_tokens, ..Decoding::default() },
        }))
    }

    fn conclude(&mut self, record: &Record, judged: Judged) -> Result<Effects, StageError> {
        let decoded = decoded(record)?;
        let id = Cause {
            stage: STAGE,
            transform: 1,
            settings: self.fingerprint,
            inputs: &[decoded.id],
            detail: "",
        }
        .id();
        let [visual_alone, audio_alone, visual_together, audio_together] = judged.map(answer);
        let (clip, video) = (decoded.clip.id, decoded.clip.video.clone());
        let message = ClipProbed {
            id,
            decoded: decoded.clone(),
            judge: self.judge.name.clone(),
            identity: self.judge.identity.clone(),
            answers: ProbeAnswers { visual_alone, audio_alone, visual_together, audio_together },
        };
        Ok(Effects::output(Output::of_clip(Topic::Probed, id, clip, &video, message)))
    }
}

/// What counts of an answer; one that was refused is no yes.
fn answer(answer: Result<Answer, AskError>) -> ProbeAnswer {
    match answer {
        Ok(answer) => ProbeAnswer {
            is_yes: yes_no(&answer.text) == Some(true),
            yes_probability: answer.yes_probability,
            latency_ms: u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX),
            tokens: tokens(answer.tokens),
            text: Some(answer.text),
        },
        Err(_) => ProbeAnswer {
            text: None,
            is_yes: false,
            yes_probability: None,
            latency_ms: 0,
            tokens: Tokens::default(),
        },
    }
}

fn decoded(record: &Record) -> Result<&ClipDecoded, StageError> {
    match &record.message {
        Message::ClipDecoded(decoded) => Ok(decoded),
        other => Err(StageError::unexpected(STAGE, other)),
    }
}
