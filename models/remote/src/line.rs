//! The way to one server: requests, repeated until an answer, a refusal or the deadline.

use std::{
    error::Error,
    io::{self, Read},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use counterpoint_models::{AskError, Question, QuestionKind, Stop};
use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use url::Url;

use crate::{
    RemoteSettings, Secret,
    pace::{self, Pace},
    refusal::{self, Meaning},
    served::{Said, Unusable},
};

/// Longest body of a refusal that is read.
const MAX_REFUSAL: usize = 64 << 10;

/// See the module. Shared by the threads that ask questions on one clip.
pub(crate) struct Line {
    model: String,
    url: Url,
    headers: HeaderMap,
    secret: Option<Secret>,
    client: Client,
    pace: Mutex<Pace>,
    settings: RemoteSettings,
    stop: Stop,
    // By kind of question: whether one was answered.
    answered: [AtomicBool; 3],
}

/// How one request ended without an answer.
enum Failure {
    /// May pass.
    Passing(Passing),
    /// Will not.
    Final(AskError),
}

struct Passing {
    problem: String,
    retry_after: Option<Duration>,
}

impl From<String> for Failure {
    fn from(problem: String) -> Self {
        Self::Passing(Passing { problem, retry_after: None })
    }
}

impl Line {
    pub(crate) fn open(
        model: &str,
        url: Url,
        mut headers: HeaderMap,
        secret: Option<Secret>,
        settings: &RemoteSettings,
        stop: &Stop,
    ) -> reqwest::Result<Self> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let client = Client::builder()
            .user_agent(concat!("counterpoint/", env!("CARGO_PKG_VERSION")))
            // Clips and keys go where the settings say, and nowhere else.
            .redirect(Policy::none())
            .referer(false)
            // Every request has its own.
            .timeout(None)
            .build()?;
        Ok(Self {
            model: model.to_owned(),
            url,
            headers,
            secret,
            client,
            pace: Mutex::new(Pace::new(settings.requests_per_minute)),
            settings: settings.clone(),
            stop: stop.clone(),
            answered: Default::default(),
        })
    }

    /// Asks until there is an answer; tells also how many requests it took.
    pub(crate) fn ask(
        &self,
        request: &[u8],
        question: &Question,
        read: impl Fn(&[u8]) -> Result<Said, Unusable>,
    ) -> Result<(Said, u32), AskError> {
        let begun = Instant::now();
        let left = || self.settings.deadline().saturating_sub(begun.elapsed());
        let mut attempt = 0;
        let mut wait = self.pace().reserve(begun);
        let mut last = Passing { problem: "waiting for its turn".to_owned(), retry_after: None };
        loop {
            if wait >= left() {
                return Err(self.out_of_time(last));
            }
            if self.stop.wait(wait) {
                return Err(AskError::Stopped);
            }
            attempt += 1;
            last = match self.request_once(request, question, left().min(self.settings.timeout()), &read) {
                Ok(said) => return Ok((said, attempt)),
                Err(Failure::Final(error)) => return Err(error),
                // What the deadline cut short tells less than what came before.
                Err(Failure::Passing(_)) if attempt > 1 && left().is_zero() => last,
                Err(Failure::Passing(passing)) => passing,
            };
            if attempt >= self.settings.max_attempts {
                return Err(self.unavailable(last));
            }
            wait = self.wait(attempt, last.retry_after);
            let problem = &last.problem;
            tracing::warn!(model = self.model, attempt, problem, ?wait, "asking again");
        }
    }

    /// How long until the next request, which every other question heeds too if the server asked for it.
    fn wait(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let now = Instant::now();
        let mut pace = self.pace();
        if let Some(asked) = retry_after {
            pace.hold(now, asked);
        }
        pace::wait(&self.settings, attempt, retry_after, rand::random()).max(pace.reserve(now))
    }

    fn out_of_time(&self, last: Passing) -> AskError {
        if last.retry_after.is_some() {
            // It said when to come: too late for this question, but a hint for the next.
            return self.unavailable(last);
        }
        let (model, after) = (self.model.clone(), self.settings.deadline());
        AskError::Deadline { model, after, problem: last.problem }
    }

    fn unavailable(&self, Passing { problem, retry_after }: Passing) -> AskError {
        AskError::Unavailable { model: self.model.clone(), problem, retry_after }
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request_once(
        &self,
        request: &[u8],
        question: &Question,
        timeout: Duration,
        read: &impl Fn(&[u8]) -> Result<Said, Unusable>,
    ) -> Result<Said, Failure> {
        let post = self.client.post(self.url.clone()).headers(self.headers.clone()).timeout(timeout);
        let mut response = post.body(request.to_vec()).send().map_err(|error| {
            let what = if error.is_connect() { "cannot be connected to" } else { "the request failed" };
            words(what, error, timeout)
        })?;
        let status = response.status();
        let answered = self.answered(question);
        if status != StatusCode::OK {
            return Err(self.refused(response, answered.load(Ordering::Relaxed)));
        }
        let max = self.settings.max_response_bytes;
        let body = body_of(&mut response, max).map_err(|error| match error.downcast() {
            Ok(error) => words("its answer broke off", error, timeout),
            Err(error) => format!("its answer broke off: {error}"),
        })?;
        if body.len() > max {
            return Err(Failure::Final(AskError::Misconfigured {
                model: self.model.clone(),
                problem: format!("its answer is larger than {max} bytes"),
                remedy: "check the address, or raise remote.max_response_bytes".to_owned(),
            }));
        }
        match read(&body) {
            Ok(mut said) => {
                answered.store(true, Ordering::Relaxed);
                if let Some(hidden) = self.secret.as_ref().and_then(|secret| secret.hide_whole_in(&said.text))
                {
                    said.text = hidden;
                }
                Ok(said)
            }
            Err(Unusable::Garbled(problem)) => Err(self.hide(&problem).into()),
            Err(Unusable::NoAnswer(problem)) => {
                let problem = self.hide(&problem);
                Err(Failure::Final(AskError::Refused { model: self.model.clone(), problem }))
            }
        }
    }

    fn refused(&self, mut response: Response, has_answered: bool) -> Failure {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        // A refusal that breaks off is one all the same.
        let body = body_of(&mut response, MAX_REFUSAL).unwrap_or_default();
        let refusal =
            refusal::read(status, retry_after.as_deref(), &body, has_answered, |text| self.hide(text));
        let (model, problem) = (self.model.clone(), refusal.words);
        match refusal.meaning {
            Meaning::Later(retry_after) => Failure::Passing(Passing { problem, retry_after }),
            Meaning::NotThis => Failure::Final(AskError::Refused { model, problem }),
            Meaning::Nothing(remedy) => {
                Failure::Final(AskError::Misconfigured { model, problem, remedy: remedy.to_owned() })
            }
        }
    }

    fn answered(&self, question: &Question) -> &AtomicBool {
        let [free, options, yes_no] = &self.answered;
        match question.kind() {
            QuestionKind::Free => free,
            QuestionKind::Options(_) => options,
            QuestionKind::YesNo => yes_no,
        }
    }

    /// A server's words without the key, on one line.
    fn hide(&self, text: &str) -> String {
        let hidden = self.secret.as_ref().map(|secret| secret.hide_in(text));
        refusal::presentable(hidden.as_deref().unwrap_or(text))
    }
}

/// At most one byte more than `max`.
fn body_of(response: &mut Response, max: usize) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    response.take(limit).read_to_end(&mut body)?;
    Ok(body)
}

/// What went wrong on the way, with its causes and without the address, which the model's name tells.
fn words(what: &str, error: reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() {
        return format!("no answer to a request within {} s", timeout.as_secs_f64());
    }
    let error = error.without_url();
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    format!("{what}: {}", causes.join(": "))
}
