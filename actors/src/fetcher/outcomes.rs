//! What a failed fetch command meant, told from its exit code and what it wrote to stderr.

use std::{sync::LazyLock, time::Duration};

use regex_lite::{Regex, RegexBuilder};

use crate::settings::{FetchOutcome, FetchReason};

/// What yt-dlp and plain downloaders say, in the order in which it is asked: a page that asks for fewer
/// requests also says that the video is unavailable.
const KNOWN: [(&str, FetchReason); 7] = [
    (r"HTTP Error 429|too many requests|rate.?limit|confirm you.re not a bot", FetchReason::TooManyRequests),
    (r"private video|video is private|members.only|join this channel", FetchReason::Private),
    (r"in your country|geo.?restrict|not available from your location|blocked it in", FetchReason::Region),
    (r"confirm your age|age.restricted|inappropriate for some users", FetchReason::Age),
    (
        r"video unavailable|no longer available|has been removed|removed by the (uploader|user)|account.{0,40}(terminated|closed)|does not exist|HTTP Error (404|410)|returned error: (404|410)",
        FetchReason::Gone,
    ),
    (
        r"timed out|connection (refused|reset|aborted)|network is unreachable|no route to host|name resolution|getaddrinfo|could not resolve|unable to connect|remote end closed|HTTP Error 5\d\d|returned error: 5\d\d",
        FetchReason::Network,
    ),
    (r"returned error: 429", FetchReason::TooManyRequests),
];

/// Exit code and words by which a reason is recognised.
type Rule = (Option<i32>, Option<Regex>, FetchReason);

/// [`KNOWN`], built once: a stage is built anew for each of its lives.
static BUILT_IN: LazyLock<Vec<Rule>> =
    LazyLock::new(|| KNOWN.iter().map(|(says, reason)| (None, pattern(says), *reason)).collect());
static RETRY_AFTER: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"retry.?after\D{0,4}(\d{1,6})"));

/// Rules by which failures are told apart: the user's, then the built-in ones.
#[derive(Debug, Clone)]
pub struct Outcomes {
    users: Vec<Rule>,
}

/// In any case, and in the size that such a rule may have.
fn pattern(text: &str) -> Option<Regex> {
    // What is not one was refused with the settings.
    RegexBuilder::new(text).case_insensitive(true).build().ok()
}

impl Outcomes {
    /// With these rules of the user.
    pub fn new(users: &[FetchOutcome]) -> Self {
        let users = users.iter().map(|rule| (rule.exit, rule.says.as_deref().and_then(pattern), rule.reason));
        Self { users: users.collect() }
    }

    /// The first rule that fits.
    pub fn reason(&self, exit: Option<i32>, stderr: &str) -> FetchReason {
        let fits = |rule: &&Rule| {
            rule.0.is_none_or(|code| exit == Some(code))
                && rule.1.as_ref().is_none_or(|says| says.is_match(stderr))
        };
        self.users.iter().chain(&*BUILT_IN).find(fits).map_or(FetchReason::Unknown, |rule| rule.2)
    }

    /// How long the other side asks to be left alone, if it says so: `Retry-After: 120`.
    pub fn retry_after(&self, stderr: &str) -> Option<Duration> {
        let found = RETRY_AFTER.as_ref()?.captures(stderr)?;
        Some(Duration::from_secs(found.get(1)?.as_str().parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_downloaders_say_is_understood() {
        let outcomes = Outcomes::new(&[]);
        for (says, reason) in [
            ("ERROR: [youtube] x: Video unavailable", FetchReason::Gone),
            ("ERROR: Video unavailable. This video has been removed by the uploader", FetchReason::Gone),
            (
                "This video is no longer available because the YouTube account associated with this video has been terminated.",
                FetchReason::Gone,
            ),
            (
                "ERROR: [youtube] x: Private video. Sign in if you've been granted access",
                FetchReason::Private,
            ),
            ("The uploader has not made this video available in your country", FetchReason::Region),
            (
                "Sign in to confirm your age. This video may be inappropriate for some users.",
                FetchReason::Age,
            ),
            (
                "ERROR: unable to download video data: HTTP Error 429: Too Many Requests",
                FetchReason::TooManyRequests,
            ),
            ("Sign in to confirm you’re not a bot", FetchReason::TooManyRequests),
            ("curl: (22) The requested URL returned error: 429", FetchReason::TooManyRequests),
            ("curl: (22) The requested URL returned error: 404", FetchReason::Gone),
            ("<urlopen error [Errno -3] Temporary failure in name resolution>", FetchReason::Network),
            ("HTTP Error 503: Service Unavailable", FetchReason::Network),
            ("Segmentation fault", FetchReason::Unknown),
            ("", FetchReason::Unknown),
        ] {
            assert_eq!(outcomes.reason(Some(1), says), reason, "{says}");
        }
    }

    #[test]
    fn the_users_rules_come_first() {
        let rule =
            |exit, says: Option<&str>, reason| FetchOutcome { exit, says: says.map(str::to_owned), reason };
        let outcomes = Outcomes::new(&[
            rule(Some(7), None, FetchReason::Region),
            rule(None, Some("^nicht da"), FetchReason::Gone),
        ]);
        assert_eq!(outcomes.reason(Some(7), "Private video"), FetchReason::Region);
        assert_eq!(outcomes.reason(Some(8), "Nicht da"), FetchReason::Gone);
        assert_eq!(outcomes.reason(None, "Private video"), FetchReason::Private);
    }

    #[test]
    fn a_wish_to_be_left_alone_is_read() {
        let outcomes = Outcomes::new(&[]);
        assert_eq!(outcomes.retry_after("HTTP 429\nRetry-After: 120\n"), Some(Duration::from_secs(120)));
        assert_eq!(outcomes.retry_after("retry after 5 seconds"), Some(Duration::from_secs(5)));
        assert_eq!(outcomes.retry_after("HTTP 429"), None);
    }
}
