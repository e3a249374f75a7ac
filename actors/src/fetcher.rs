//! Fetches clips that the label lists want and the folder lacks, by a command of the user's.
//!
//! Reads [`InputOffered`] that ask for it; writes [`Rejected`] for each row that cannot be had, and
//! [`InputFetched`], after which the source reads the folder.
//!
//! 1. read the lists; what curation would keep and is not there is wanted;
//! 2. run the command for a few rows at a time, each into a hidden file that is renamed when it is whole;
//! 3. remember what failed: for ever, or until a time that grows with each try.
//!
//! The folder says what was fetched, so a kill loses nothing and nothing that is there is fetched again.
//! The stage has no clock: it takes the time from the offer and from the commands that have ended. It never
//! waits; what is not due yet is left, and [`InputFetched`] says when something will be.

mod clock;
mod command;
mod outcomes;
mod tried;
mod wanted;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use counterpoint_core::curation::Curator;
use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, Fingerprint, InputFetched, InputOffered, Message, RecordId, RejectReason, Rejected, Segment,
    StageName, Topic,
};

pub use self::{clock::Failed, tried::tried, wanted::row_key};
use self::{
    clock::{Pace, backoff_ms},
    command::Ended,
    outcomes::Outcomes,
    wanted::{Wanted, WantedRow},
};
use crate::{
    Tools,
    settings::{FetchReason, FetcherSettings, SourceSettings},
    source::settling::Moment,
    stage::{
        Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Trace, Work, read_state,
        state_entry,
    },
};

/// Rows tried before the source reads what came of them.
const ROWS_A_PART: u64 = 64;
/// Characters of what a command said that a record keeps.
const SAID: usize = 300;
/// Failures of unknown kind that the word on an input quotes.
const QUOTED: usize = 3;

const STAGE: StageName = StageName::Fetcher;

/// See the module.
#[derive(Debug)]
pub struct Fetcher {
    settings: FetcherSettings,
    source: SourceSettings,
    seed: u64,
    rulebook: Arc<Curator>,
    outcomes: Outcomes,
    fingerprint: Fingerprint,
    /// By video and segment.
    failed: HashMap<String, Failed>,
    pace: Pace,
    fetching: Option<Fetching>,
}

/// An input on its way.
#[derive(Debug)]
struct Fetching {
    input: RecordId,
    /// Everything that was not there.
    wanted: Wanted,
    /// Places in it of rows that may be tried now.
    due: VecDeque<usize>,
    /// Whether each row came.
    came: Vec<bool>,
    /// Rows tried since the source was told last.
    untold: u64,
    now_ms: i64,
}

/// IO of the fetcher.
#[derive(Debug)]
pub enum FetcherWork {
    /// Look what is wanted.
    List {
        /// What to read.
        input: InputOffered,
        /// Endings of media files.
        extensions: Vec<String>,
        /// Ending of those that are fetched.
        ending: String,
        /// Tells what is wanted.
        rulebook: Arc<Curator>,
    },
    /// Run commands, all at once.
    Fetch {
        /// How.
        settings: FetcherSettings,
        /// Where to.
        folder: PathBuf,
        /// What, by its place among the rows.
        rows: Vec<(usize, WantedRow)>,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum FetcherOutcome {
    /// What is wanted.
    Listed(Wanted),
    /// How each command ended, and when all had, in milliseconds since 1970.
    Fetched(Vec<(usize, Ended)>, i64),
}

impl Work for FetcherWork {
    type Outcome = FetcherOutcome;

    fn perform(self, tools: &Tools) -> Result<FetcherOutcome, Fault> {
        match self {
            Self::List { input, extensions, ending, rulebook } => {
                command::clean_up(Path::new(&input.clips));
                Ok(FetcherOutcome::Listed(wanted::wanted(&input, &extensions, &ending, &rulebook)))
            }
            Self::Fetch { settings, folder, rows } => {
                let ended: Result<Vec<_>, io::Error> = std::thread::scope(|scope| {
                    let fetch = |(place, row): &(usize, WantedRow)| {
                        let (place, row) = (*place, row.clone());
                        let (settings, folder) = (&settings, &folder);
                        scope.spawn(move || {
                            let name = row.file_name(&settings.ending).unwrap_or_default();
                            let ended = command::fetch(settings, &row, folder, &name, &tools.stopping)?;
                            Ok((place, ended))
                        })
                    };
                    let running: Vec<_> = rows.iter().map(fetch).collect();
                    let join = |thread: std::thread::ScopedJoinHandle<'_, io::Result<_>>| {
                        thread
                            .join()
                            .unwrap_or_else(|_| Err(io::Error::other("a thread of the fetcher panicked")))
                    };
                    running.into_iter().map(join).collect()
                });
                let ours = |error| Fault::Ours(format!("cannot run {:?}: {error}", settings.command));
                Ok(FetcherOutcome::Fetched(ended.map_err(ours)?, Moment::now().wall_ms))
            }
        }
    }
}

/// Id of a row of the label lists, whether or not its clip is there.
pub fn fetch_id(video: &str, segment: Option<Segment>) -> RecordId {
    let detail = match segment {
        Some(Segment { start_ms, end_ms }) => format!("row/{video}@{start_ms}-{end_ms}"),
        None => format!("row/{video}"),
    };
    Cause { stage: STAGE, transform: 1, settings: Fingerprint::default(), inputs: &[], detail: &detail }.id()
}

impl Fetcher {
    /// A fetcher that has tried nothing yet.
    pub fn new(
        settings: FetcherSettings,
        source: SourceSettings,
        seed: u64,
        rulebook: Arc<Curator>,
        fingerprint: Fingerprint,
    ) -> Self {
        let outcomes = Outcomes::new(&settings.outcomes);
        let (failed, pace, fetching) = (HashMap::new(), Pace::default(), None);
        Self { settings, source, seed, rulebook, outcomes, fingerprint, failed, pace, fetching }
    }

    /// What may be tried now of what is wanted.
    fn begin(&self, input: &InputOffered, wanted: Wanted) -> Fetching {
        let now_ms = input.offered_at_ms;
        let is_due = |row: &WantedRow| match self.failed.get(&row.key()) {
            None => true,
            Some(failed) => failed.retry_at_ms.is_some_and(|at| at <= now_ms),
        };
        let due = wanted.rows.iter().enumerate().filter(|(_, row)| is_due(row)).map(|(place, _)| place);
        let (due, came) = (due.collect(), vec![false; wanted.rows.len()]);
        Fetching { input: input.id, wanted, due, came, untold: 0, now_ms }
    }

    fn next_rows(&mut self, fetching: &mut Fetching) -> Vec<(usize, WantedRow)> {
        let allowed = self.pace.allowed(fetching.now_ms, self.settings.per_minute);
        let count = usize::try_from(allowed).unwrap_or(usize::MAX).min(self.settings.concurrency);
        let places = fetching.due.drain(..count.min(fetching.due.len()));
        let row = |place: usize| Some((place, fetching.wanted.rows.get(place)?.clone()));
        places.filter_map(row).collect()
    }

    /// Takes in how commands ended.
    fn note(&mut self, fetching: &mut Fetching, ended: Vec<(usize, Ended)>) -> Result<Effects, StageError> {
        let mut effects = Effects { more: true, ..Effects::default() };
        let mut slower = None;
        self.pace.begun = self.pace.begun.saturating_add(ended.len() as u64);
        let all_unreachable = ended.iter().all(|(_, ended)| self.is_unreachable(ended));
        for (place, ended) in ended {
            let Some(row) = fetching.wanted.rows.get(place).cloned() else { continue };
            fetching.untold += 1;
            let key = row.key();
            let (reason, detail) = match ended {
                Ended::Interrupted => continue,
                Ended::Fetched => {
                    if let Some(came) = fetching.came.get_mut(place) {
                        *came = true;
                    }
                    self.pace.slowed = 0;
                    if self.failed.remove(&key).is_some() {
                        effects.state.push(forget(&key));
                    }
                    continue;
                }
                Ended::TimedOut => {
                    let limit = self.settings.timeout_seconds;
                    (RejectReason::TimedOut, format!("it took longer than fetcher.timeout_seconds, {limit}"))
                }
                Ended::TooLarge => {
                    let limit = self.settings.max_bytes;
                    (RejectReason::TooLarge, format!("it wrote more than fetcher.max_bytes, {limit}"))
                }
                Ended::Failed { exit, said } => {
                    let reason = self.outcomes.reason(exit, &said);
                    if reason == FetchReason::TooManyRequests
                        || (reason == FetchReason::Network && all_unreachable)
                    {
                        let asked = self.outcomes.retry_after(&said).unwrap_or_default().as_millis();
                        slower = slower.max(Some(u64::try_from(asked).unwrap_or(u64::MAX)));
                    }
                    (reason.into(), last_line(exit, &said))
                }
            };
            let failed = self.failed_again(&key, reason, &detail, fetching.now_ms);
            if failed.retry_at_ms.is_none() {
                effects.outputs.push(self.reject(&fetching.wanted.rows[place], reason, detail));
            }
            effects.state.push(state_entry(STAGE, format!("row/{key}"), &failed)?);
            self.failed.insert(key, failed);
        }
        if let Some(asked_ms) = slower {
            self.pace.slowed = self.pace.slowed.saturating_add(1);
            let wait = backoff_ms(self.first_wait_ms(), self.pace.slowed, self.seed, "").max(asked_ms);
            self.pace.slow_until_ms = later(fetching.now_ms, wait);
        }
        effects.state.push(state_entry(STAGE, "pace", &self.pace)?);
        Ok(effects)
    }

    fn is_unreachable(&self, ended: &Ended) -> bool {
        match ended {
            Ended::Failed { exit, said } => self.outcomes.reason(*exit, said) == FetchReason::Network,
            _ => false,
        }
    }

    fn first_wait_ms(&self) -> u64 {
        self.settings.retry_seconds.saturating_mul(1000)
    }

    /// What is remembered of a row that failed once more.
    fn failed_again(&self, key: &str, reason: RejectReason, said: &str, now_ms: i64) -> Failed {
        use RejectReason::{Age, Gone, Private, Region, TooLarge, TooManyRequests};
        let before = self.failed.get(key).map_or(0, |failed| failed.attempts);
        // That too many ask says nothing about this clip.
        let attempts = before.saturating_add(u32::from(reason != TooManyRequests));
        let is_for_ever = matches!(reason, Gone | Private | Region | Age | TooLarge)
            || attempts >= self.settings.max_attempts;
        let wait = backoff_ms(self.first_wait_ms(), attempts.max(1), self.seed, key);
        let retry_at_ms = (!is_for_ever).then(|| later(now_ms, wait));
        Failed { attempts, reason, retry_at_ms, said: said.to_owned() }
    }

    fn reject(&self, row: &WantedRow, reason: RejectReason, detail: String) -> Output {
        let (clip, inputs) = (fetch_id(&row.video, Some(row.segment)), &[]);
        let detail_of_id = format!("rejected/{}", row.key());
        let settings = self.fingerprint;
        let id = Cause { stage: STAGE, transform: 1, settings, inputs, detail: &detail_of_id }.id();
        let rejected = Rejected {
            id,
            clip,
            video: row.video.clone(),
            path: row.file_name(&self.settings.ending).unwrap_or_default(),
            split: Some(row.split),
            stage: STAGE,
            reason,
            detail: format!("{detail}; --from fetcher tries again"),
        };
        Output::of_clip(Topic::Rejected, id, clip, &row.video, rejected).in_trace(Trace::Own)
    }

    /// Hands the input on: whole, or what came of it so far.
    fn hand_on(&self, input: &InputOffered, fetching: &Fetching, complete: bool) -> Output {
        let mut missing: BTreeMap<String, BTreeMap<RejectReason, u64>> = BTreeMap::new();
        let mut retry_at_ms: Option<i64> = None;
        let mut waiting = 0_u64;
        let mut quoted = Vec::new();
        let open_at = self.pace.open_at(fetching.now_ms, self.settings.per_minute);
        for (row, _) in fetching.wanted.rows.iter().zip(&fetching.came).filter(|(_, came)| !**came) {
            let failed = self.failed.get(&row.key());
            if let Some(failed) = failed {
                *missing.entry(row.class.clone()).or_default().entry(failed.reason).or_default() += 1;
            }
            let at = failed.map_or(Some(open_at), |failed| failed.retry_at_ms.map(|at| at.max(open_at)));
            if self.settings.is_on()
                && let Some(at) = at
            {
                waiting += 1;
                let failed = failed.filter(|failed| failed.reason == RejectReason::FetchFailed);
                if let Some(Failed { said, .. }) = failed
                    && quoted.len() < QUOTED
                {
                    quoted.push(format!(
                        "{} could not be fetched, for a reason that no rule of fetcher.outcomes knows: {said}",
                        row.video
                    ));
                }
                retry_at_ms = Some(retry_at_ms.map_or(at, |earliest| earliest.min(at)));
            }
        }
        let mut explanations = Vec::new();
        if let Some(at) = retry_at_ms {
            let seconds = at.saturating_sub(fetching.now_ms).max(0) / 1000;
            explanations.push(format!(
                "clips still to be fetched: {waiting}, the first {seconds} s after this input was read; run again, \
                 or with --follow"
            ));
        }
        explanations.extend(quoted);
        if fetching.wanted.unnameable > 0 {
            let rows = fetching.wanted.unnameable;
            explanations.push(format!("rows whose video cannot be a file name, never fetched: {rows}"));
        }
        let fetched = InputFetched { input: input.clone(), complete, missing, retry_at_ms, explanations };
        let detail = match complete {
            true => "fetched".to_owned(),
            false => format!("fetched until {}", fetching.due.len()),
        };
        let (settings, inputs) = (self.fingerprint, &[input.id]);
        let key = Cause { stage: STAGE, transform: 1, settings, inputs, detail: &detail }.id();
        Output::of_run(Topic::Fetched, key, fetched)
    }
}

fn later(now_ms: i64, wait_ms: u64) -> i64 {
    now_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX))
}

fn forget(key: &str) -> StateEntry {
    StateEntry { partition: 0, key: format!("row/{key}").into_bytes(), value: None }
}

/// What a command said last.
fn last_line(exit: Option<i32>, said: &str) -> String {
    let line = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let line: String = line.unwrap_or("it said nothing").chars().take(SAID).collect();
    match exit {
        Some(code) => format!("{line} (exit code {code})"),
        None => format!("{line} (ended by a signal)"),
    }
}

impl Stage for Fetcher {
    type Work = FetcherWork;

    fn profile(&self) -> Profile {
        Profile { stage: STAGE, inputs: vec![Topic::Inputs], order: Order::Sequential, blameless: true }
    }

    fn restore(&mut self, state: &[StateEntry]) -> Result<(), StageError> {
        (self.failed, self.pace, self.fetching) = (HashMap::new(), Pace::default(), None);
        for entry in state {
            let key = String::from_utf8_lossy(&entry.key);
            if let Some(row) = key.strip_prefix("row/") {
                self.failed.insert(row.to_owned(), read_state(STAGE, entry)?);
            } else if key == "pace" {
                self.pace = read_state(STAGE, entry)?;
            }
        }
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<FetcherWork>, StageError> {
        let input = offered(record)?;
        if !input.fetch {
            return Ok(Step::Done(Effects::default()));
        }
        let Some(mut fetching) = self.fetching.take().filter(|fetching| fetching.input == input.id) else {
            return Ok(Step::Work(FetcherWork::List {
                input: input.clone(),
                extensions: self.source.extensions.clone(),
                ending: self.settings.ending.clone(),
                rulebook: Arc::clone(&self.rulebook),
            }));
        };
        let is_part = fetching.untold >= ROWS_A_PART;
        if is_part && input.follow.is_none() {
            fetching.untold = 0;
            let mut effects = Effects::output(self.hand_on(input, &fetching, false));
            effects.more = true;
            self.fetching = Some(fetching);
            return Ok(Step::Done(effects));
        }
        // A followed input is offered again at once where there is more, and the folder with it.
        let rows = if is_part || !self.settings.is_on() { vec![] } else { self.next_rows(&mut fetching) };
        if rows.is_empty() {
            return Ok(Step::Done(Effects::output(self.hand_on(input, &fetching, true))));
        }
        self.fetching = Some(fetching);
        let (settings, folder) = (self.settings.clone(), PathBuf::from(&input.clips));
        Ok(Step::Work(FetcherWork::Fetch { settings, folder, rows }))
    }

    fn conclude(&mut self, record: &Record, outcome: FetcherOutcome) -> Result<Effects, StageError> {
        let input = offered(record)?;
        match outcome {
            FetcherOutcome::Listed(wanted) => {
                self.fetching = Some(self.begin(input, wanted));
                Ok(Effects { more: true, ..Effects::default() })
            }
            FetcherOutcome::Fetched(ended, now_ms) => {
                let Some(mut fetching) = self.fetching.take() else {
                    return Err(StageError::Content(format!("input {} was not listed", input.id)));
                };
                fetching.now_ms = fetching.now_ms.max(now_ms);
                let effects = self.note(&mut fetching, ended);
                self.fetching = Some(fetching);
                effects
            }
        }
    }
}

fn offered(record: &Record) -> Result<&InputOffered, StageError> {
    match &record.message {
        Message::InputOffered(input) => Ok(input),
        other => Err(StageError::unexpected(STAGE, other)),
    }
}
