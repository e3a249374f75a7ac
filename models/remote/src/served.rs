//! A model that a server answers for, whatever protocol it speaks.

use std::{
    iter,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use counterpoint_models::{
    Answer, AskError, Clip, Decoding, Model, ModelError, ModelFacts, ModelInput, Question, RemoteModel, Stop,
    TokenCounts,
};
use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::{
    Price, RemoteSettings, Secret,
    likelihood::{self, Candidate},
    line::Line,
    media,
};

/// How a server is spoken to.
pub(crate) trait Protocol: Send + Sync {
    /// In which form it takes clips.
    const INPUT: ModelInput;

    /// Where requests go.
    fn url(&self) -> &Url;

    /// The header that carries the key.
    fn header(&self, key: &Secret) -> Option<HeaderMap>;

    /// What its answers depend on beside the model's name.
    fn fingerprint(&self) -> serde_json::Result<Vec<u8>>;

    /// The clip as parts of a request.
    fn media(&self, model: &str, clip: &Clip, max_bytes: usize) -> Result<Vec<Value>, AskError>;

    /// A request in JSON.
    fn request(
        &self,
        media: &[Value],
        question: &Question,
        decoding: &Decoding,
    ) -> serde_json::Result<Vec<u8>>;

    /// What a body of status 200 says.
    fn read(&self, body: &[u8]) -> Result<Said, Unusable>;
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    /// Candidates for the first token that is not blank; empty if the server told none.
    pub(crate) first: Vec<Candidate>,
    pub(crate) tokens: TokenCounts,
}

/// A body of status 200 without an answer in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Not what the protocol says: may be better next time.
    Garbled(String),
    /// The server declines.
    NoAnswer(String),
}

/// See the module.
pub(crate) struct Served<P> {
    facts: ModelFacts,
    protocol: P,
    line: Line,
    price: Option<Price>,
    concurrency: usize,
    max_request_bytes: usize,
}

impl<P: Protocol + 'static> Served<P> {
    /// Prepares the connection.
    pub(crate) fn open(
        model: &RemoteModel,
        name: &str,
        protocol: P,
        key: Option<Secret>,
        settings: &RemoteSettings,
        stop: &Stop,
    ) -> Result<Box<dyn Model>, ModelError> {
        let load = |source: Box<dyn std::error::Error + Send + Sync>| ModelError::Load {
            model: model.to_string(),
            source,
        };
        let fingerprint = protocol.fingerprint().map_err(|error| load(error.into()))?;
        let fingerprint = blake3::hash(&fingerprint).to_hex();
        let identity = format!("{model} settings {}", fingerprint.get(..16).unwrap_or_default());
        let headers = key.as_ref().and_then(|key| protocol.header(key)).unwrap_or_default();
        let line = Line::open(&model.to_string(), protocol.url().clone(), headers, key, settings, stop);
        Ok(Box::new(Self {
            facts: ModelFacts { name: model.to_string(), identity, input: P::INPUT },
            line: line.map_err(|error| load(error.into()))?,
            price: settings.prices.get(name).cloned(),
            concurrency: settings.concurrency,
            max_request_bytes: settings.max_request_bytes,
            protocol,
        }))
    }

    fn answer(&self, media: &[Value], question: &Question, decoding: &Decoding) -> Result<Answer, AskError> {
        let begun = Instant::now();
        let model = &self.facts.name;
        let request = self.protocol.request(media, question, decoding);
        let request = request.map_err(|error| AskError::Refused {
            model: model.clone(),
            problem: format!("the request cannot be written: {error}"),
        })?;
        if request.len() > self.max_request_bytes {
            return Err(media::too_large(model, "the request", self.max_request_bytes));
        }
        let (said, requests) = self.line.ask(&request, question, |body| self.protocol.read(body))?;
        let likelihoods = likelihood::read(question, &said.first);
        Ok(Answer {
            option_scores: likelihoods.option_scores,
            yes_probability: likelihoods.yes_probability,
            cost_usd: self.price.as_ref().and_then(|price| price.of(&said.tokens)),
            text: said.text,
            tokens: said.tokens,
            latency: begun.elapsed(),
            requests,
        })
    }
}

impl<P: Protocol + 'static> Model for Served<P> {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn ask(
        &mut self,
        clip: &Clip,
        questions: &[Question],
        decoding: &Decoding,
    ) -> Vec<Result<Answer, AskError>> {
        let media = match self.protocol.media(&self.facts.name, clip, self.max_request_bytes) {
            Ok(media) => media,
            Err(error) => return vec![Err(error); questions.len()],
        };
        let (this, media, next) = (&*self, &media, &AtomicUsize::new(0));
        let work = move || {
            let indices = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            let taken = indices.map_while(|index| Some((index, questions.get(index)?)));
            taken.map(|(index, question)| (index, this.answer(media, question, decoding))).collect::<Vec<_>>()
        };
        // This thread asks too, so one question needs no other.
        let mut answers = thread::scope(|scope| {
            let others = self.concurrency.min(questions.len()).saturating_sub(1);
            let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
            let mut answers = work();
            for other in others {
                // A panic goes on to the model's thread, which tells it.
                answers.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            answers
        });
        answers.sort_unstable_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}
