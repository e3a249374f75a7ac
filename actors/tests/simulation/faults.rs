//! What goes wrong in a schedule, drawn from its seed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use counterpoint_messages::StageName;
use parking_lot::Mutex;

use crate::scheduler::Scheduler;

/// A way to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process is killed between two polls.
    Kill,
    /// A process is killed by its stage, at a point of its way with a record.
    Doom,
    /// A process stands still until its leases have run out, and goes on.
    Suspend,
    /// A process stands still for a moment.
    Stall,
    /// A commit or an abort fails and has no effect.
    CommitRefused,
    /// A commit has its effect and is reported as failed all the same.
    CommitUnknown,
    /// Reading fails for a moment.
    ReadFails,
    /// A group cannot be joined.
    JoinFails,
    /// A stage panics.
    Panic,
    /// The media worker dies of a clip.
    WorkerCrash,
    /// The media worker does not answer.
    WorkerLost,
    /// The store cannot take an object in.
    StoreFails,
    /// A piece of work takes long.
    Slow,
}

impl Fault {
    pub const ALL: [Self; 13] = [
        Self::Kill,
        Self::Doom,
        Self::Suspend,
        Self::Stall,
        Self::CommitRefused,
        Self::CommitUnknown,
        Self::ReadFails,
        Self::JoinFails,
        Self::Panic,
        Self::WorkerCrash,
        Self::WorkerLost,
        Self::StoreFails,
        Self::Slow,
    ];

    /// Highest probability each time it could strike.
    fn ceiling(self) -> f64 {
        match self {
            Self::Kill => 0.02,
            Self::Suspend | Self::Stall => 0.01,
            Self::Doom | Self::Panic => 0.1,
            Self::CommitRefused | Self::CommitUnknown => 0.3,
            Self::ReadFails | Self::JoinFails => 0.2,
            Self::WorkerCrash | Self::WorkerLost | Self::StoreFails | Self::Slow => 0.3,
        }
    }
}

/// A record that a stage cannot get past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    pub stage: StageName,
    /// Part of the record's text.
    pub needle: String,
    pub point: &'static str,
    /// Whether the process dies of it, or only the stage panics.
    pub kills: bool,
    /// Where the record is, once it was met.
    pub place: Option<String>,
}

/// The faults of one schedule.
pub struct Faults {
    scheduler: Arc<Scheduler>,
    state: Mutex<State>,
}

struct State {
    probabilities: BTreeMap<Fault, f64>,
    left: u32,
    poison: Option<Poison>,
    struck: BTreeMap<Fault, u64>,
    /// Times that a stage failed at a record, by stage, topic, partition and position.
    failures: BTreeMap<(StageName, String), u64>,
    /// Processes that ended with an error.
    failed_processes: u64,
}

/// Records that a stage may be poisoned with.
const NEEDLES: [(StageName, &str); 10] = [
    (StageName::Source, "InputOffered"),
    (StageName::Curator, "video000002"),
    (StageName::Decoder, "video000003"),
    (StageName::Gate, "video000001"),
    (StageName::Coordinator, "video000002"),
    (StageName::Coordinator, "InputSealed"),
    (StageName::Coordinator, "PoolComposed"),
    (StageName::Coordinator, "DeadLetter"),
    (StageName::Composer, "PoolSealed"),
    (StageName::Reporter, "RunFinished"),
];

impl Faults {
    /// None ever.
    pub fn none(scheduler: Arc<Scheduler>) -> Self {
        let state = State {
            probabilities: BTreeMap::new(),
            left: 0,
            poison: None,
            struck: BTreeMap::new(),
            failures: BTreeMap::new(),
            failed_processes: 0,
        };
        Self { scheduler, state: Mutex::new(state) }
    }

    /// Some of them, in any strength.
    pub fn drawn(scheduler: Arc<Scheduler>) -> Self {
        let faults = Self::none(Arc::clone(&scheduler));
        let mut state = faults.state.lock();
        for fault in Fault::ALL {
            if scheduler.chance(0.4) {
                let strength = scheduler.below(Duration::from_secs(1)).as_secs_f64();
                state.probabilities.insert(fault, fault.ceiling() * strength * strength);
            }
        }
        state.left = 2 + scheduler.pick(30) as u32;
        if scheduler.chance(0.3) {
            let (stage, needle) = NEEDLES[scheduler.pick(NEEDLES.len())];
            let point = ["plan", "work", "conclude"][scheduler.pick(3)];
            // Long work, and work in processes of its own, proves nothing against a record that the process
            // dies with.
            let is_blameless = matches!(stage, StageName::Source | StageName::Decoder | StageName::Reporter);
            let kills = scheduler.chance(0.5) && (point == "plan" || !is_blameless);
            state.poison = Some(Poison { stage, needle: needle.to_owned(), point, kills, place: None });
        }
        drop(state);
        faults
    }

    /// Whether it happens here and now.
    pub fn strikes(&self, fault: Fault) -> bool {
        let mut state = self.state.lock();
        let probability = state.probabilities.get(&fault).copied().unwrap_or(0.0);
        if state.left == 0 || probability == 0.0 || !self.scheduler.chance(probability) {
            return false;
        }
        state.left -= 1;
        *state.struck.entry(fault).or_default() += 1;
        drop(state);
        self.scheduler.note(format_args!("{fault:?}"));
        true
    }

    /// Whether nothing goes wrong any more, apart from poison.
    pub fn are_over(&self) -> bool {
        let state = self.state.lock();
        state.left == 0 || state.probabilities.is_empty()
    }

    pub fn end(&self) {
        self.state.lock().left = 0;
    }

    /// Whether a stage cannot get past this record here, and if so whether its process dies of that.
    pub fn poisons(
        &self,
        stage: StageName,
        point: &str,
        place: &str,
        text: impl FnOnce() -> String,
    ) -> Option<bool> {
        let mut state = self.state.lock();
        let poison = state.poison.as_mut().filter(|poison| (poison.stage, poison.point) == (stage, point))?;
        let is_it = match &poison.place {
            Some(known) => known == place,
            None => text().contains(&poison.needle),
        };
        is_it.then(|| {
            poison.place = Some(place.to_owned());
            poison.kills
        })
    }

    /// Ends all of them, poison included.
    pub fn cure(&self) {
        self.end();
        self.state.lock().poison = None;
    }

    /// A death of a whole process.
    pub fn count_death(&self, fault: Fault) {
        *self.state.lock().struck.entry(fault).or_default() += 1;
    }

    pub fn struck(&self) -> BTreeMap<Fault, u64> {
        self.state.lock().struck.clone()
    }

    /// Remembers that a stage was made to fail at a record.
    pub fn blame(&self, stage: StageName, place: String) {
        *self.state.lock().failures.entry((stage, place)).or_default() += 1;
    }

    /// How often a stage was made to fail at a record.
    pub fn failures(&self, stage: StageName, place: &str) -> u64 {
        self.state.lock().failures.get(&(stage, place.to_owned())).copied().unwrap_or(0)
    }

    /// Remembers that a process gave up without having stopped its stages cleanly.
    pub fn count_failed_process(&self) {
        self.state.lock().failed_processes += 1;
    }

    /// Times that a record may have been taken for one that kills its process: each that a process or a
    /// worker died, and each that the log cannot tell from a death.
    pub fn deaths(&self) -> u64 {
        let state = self.state.lock();
        let struck = |fault| state.struck.get(&fault).copied().unwrap_or(0);
        let deaths = [Fault::Kill, Fault::Doom, Fault::Suspend, Fault::WorkerCrash].map(struck);
        deaths.iter().sum::<u64>() + state.failed_processes
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        write!(f, "{:?}, poison {:?}", state.struck, state.poison)
    }
}
