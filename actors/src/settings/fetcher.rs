use std::time::Duration;

use counterpoint_messages::RejectReason;
use regex_lite::RegexBuilder;
use serde::{Deserialize, Serialize};

use super::SettingError;

/// A user's command that fetches clips. Part of no fingerprint: what it brings is what lies in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FetcherSettings {
    /// Program and arguments, run without a shell; none means that nothing is fetched. In each argument
    /// `{video}`, `{start}` and `{end}` (seconds), `{url}` and `{path}` (the file to write) are filled in.
    pub command: Vec<String>,
    /// What `{url}` stands for.
    pub url: String,
    /// File name ending of what the command writes, without the dot.
    pub ending: String,
    /// Commands at a time.
    pub concurrency: usize,
    /// Longest that a command may take, in seconds.
    pub timeout_seconds: u64,
    /// Largest file that it may write, in bytes.
    pub max_bytes: u64,
    /// Tries for a clip that fails in a passing way.
    pub max_attempts: u32,
    /// Seconds before the second try; each further one waits twice as long.
    pub retry_seconds: u64,
    /// Most commands that are begun in a minute; 0 for no limit.
    pub per_minute: u64,
    /// What failures mean, the first that fits; those of yt-dlp are known without.
    pub outcomes: Vec<FetchOutcome>,
}

/// What a failed command meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchOutcome {
    /// Exit code; any if not given.
    pub exit: Option<i32>,
    /// Regular expression that is searched in what it wrote to stderr, in any case; anything if not given.
    pub says: Option<String>,
    /// What that means.
    pub reason: FetchReason,
}

/// Why a clip could not be fetched, as far as a command can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchReason {
    /// No longer there.
    Gone,
    /// For chosen people only.
    Private,
    /// Not shown in this country.
    Region,
    /// Asks for an account of some age.
    Age,
    /// Asks for fewer requests.
    TooManyRequests,
    /// Cannot be reached.
    Network,
    /// Anything else.
    Unknown,
}

impl From<FetchReason> for RejectReason {
    fn from(reason: FetchReason) -> Self {
        match reason {
            FetchReason::Gone => Self::Gone,
            FetchReason::Private => Self::Private,
            FetchReason::Region => Self::Region,
            FetchReason::Age => Self::Age,
            FetchReason::TooManyRequests => Self::TooManyRequests,
            FetchReason::Network => Self::Network,
            FetchReason::Unknown => Self::FetchFailed,
        }
    }
}

impl Default for FetcherSettings {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            url: "https://www.youtube.com/watch?v={video}".to_owned(),
            ending: "mp4".to_owned(),
            concurrency: 2,
            timeout_seconds: 600,
            max_bytes: 1 << 30,
            max_attempts: 5,
            retry_seconds: 60,
            per_minute: 0,
            outcomes: Vec::new(),
        }
    }
}

impl FetcherSettings {
    /// Whether there is a command.
    pub fn is_on(&self) -> bool {
        !self.command.is_empty()
    }

    /// Longest that a command may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// Refuses what can never work; `extensions` are the endings that the source reads.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self, extensions: &[String]) -> Result<(), SettingError> {
        let day = 1..=86_400;
        let names_path = !self.is_on() || self.command.iter().any(|part| part.contains("{path}"));
        let is_pattern = |outcome: &&FetchOutcome| {
            outcome.says.as_ref().is_none_or(|says| RegexBuilder::new(says).build().is_ok())
        };
        let broken = self.outcomes.iter().find(|outcome| !is_pattern(outcome));
        SettingError::first_of([
            (
                "fetcher.command",
                format!("{:?}", self.command),
                names_path,
                "an argument has to hold {path}, the file to write",
            ),
            (
                "fetcher.ending",
                self.ending.clone(),
                extensions.contains(&self.ending),
                "one of source.extensions",
            ),
            (
                "fetcher.concurrency",
                self.concurrency.to_string(),
                (1..=64).contains(&self.concurrency),
                "from 1 to 64 commands",
            ),
            (
                "fetcher.timeout_seconds",
                self.timeout_seconds.to_string(),
                day.contains(&self.timeout_seconds),
                "from 1 second to a day",
            ),
            ("fetcher.max_bytes", self.max_bytes.to_string(), self.max_bytes >= 1, "at least 1 byte"),
            (
                "fetcher.max_attempts",
                self.max_attempts.to_string(),
                (1..=100).contains(&self.max_attempts),
                "from 1 to 100 tries",
            ),
            (
                "fetcher.retry_seconds",
                self.retry_seconds.to_string(),
                day.contains(&self.retry_seconds),
                "from 1 second to a day",
            ),
            (
                "fetcher.outcomes",
                format!("{:?}", broken.and_then(|outcome| outcome.says.as_ref())),
                broken.is_none(),
                "a regular expression, e.g. \"video (is )?gone\"",
            ),
        ])
    }
}
