//! The real stages on the log in memory, under one seeded scheduler that decides everything that happens,
//! faults included. See ARCHITECTURE.md.
//!
//! `SIMULATION_SEED=N` runs that one schedule and tells every step; `SIMULATION_SCHEDULES=N` runs so many
//! fresh ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod corpus;
mod faults;
mod faulty_log;
mod machine;
#[path = "../common/prepared.rs"]
mod prepared;
mod process;
mod schedule;
mod scheduler;
#[path = "../common/tallied.rs"]
mod tallied;
mod workers;

use std::{
    collections::BTreeMap,
    env,
    sync::LazyLock,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use faults::Fault;
use faulty_log::Broken;
use parking_lot::Mutex;
use schedule::{Failure, Options, Report};

const SEED: &str = "SIMULATION_SEED";
const SCHEDULES: &str = "SIMULATION_SCHEDULES";

/// Schedules of the fixed set.
const FIXED: u64 = 300;
/// Seeds of the fixed set that found something, and what it was.
const FOUND: [(u64, &str); 7] = [
    (1795413604247, "the audit did not know the fetcher's dead letters"),
    (1795412258991, "the same; and what the fetcher only passes over ended as if it were the fetcher's"),
    (1795414508161, "a marked attempt that failed counted twice, so a record was given up on after two"),
    (1795426086141, "a pool's letter that the coordinator could not read kept the run waiting for the pool"),
    (
        1795426189095,
        "an input's letter that the coordinator could not read kept the run waiting for its seal",
    ),
    (1795426277866, "a pool's letter again, after panics"),
    (1795428033849, "a clip's letter, through two of the coordinator's own"),
];
/// Fresh schedules where their number is not given: few, as `make simulate` is where they are hunted.
const FRESH: u64 = 200;
/// Schedules within which a broken rule must be noticed.
const WITHIN: u64 = 300;

/// Manifests of runs in which nothing went wrong, by corpus.
static CALM: LazyLock<BTreeMap<usize, String>> = LazyLock::new(|| {
    let calm = Options { is_calm: true, ..Options::default() };
    let reports = (0..3).map(|seed| schedule::run(seed, calm).unwrap_or_else(|failure| panic!("{failure}")));
    reports.map(|report| (report.corpus, report.manifest.unwrap())).collect()
});

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Runs a schedule and compares its samples with those of a run in which nothing went wrong.
fn check(seed: u64, options: Options) -> Result<Report, Failure> {
    let report = schedule::run(seed, options)?;
    match &report.manifest {
        Some(manifest) if *manifest != CALM[&report.corpus] => Err(Failure {
            what: "its samples are not those of a run in which nothing went wrong".to_owned(),
            trace: report.trace,
            faults: format!("{:?}", report.struck),
            told: vec![],
        }),
        _ => Ok(report),
    }
}

/// What many schedules came to.
#[derive(Default)]
struct Totals {
    schedules: u64,
    struck: BTreeMap<Fault, u64>,
    letters: u64,
    virtual_time: Duration,
}

/// Runs the schedules of these seeds, several at once; the first that fails ends it.
fn run_all(seeds: impl Iterator<Item = u64> + Send) -> Totals {
    let (seeds, failed) = (Mutex::new(seeds), Mutex::new(None));
    let totals = Mutex::new(Totals::default());
    LazyLock::force(&CALM);
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let next = seeds.lock().next();
                    let Some(seed) = next.filter(|_| failed.lock().is_none()) else { return };
                    match check(seed, Options::default()) {
                        Ok(report) => totals.lock().add(report),
                        Err(failure) => {
                            failed.lock().get_or_insert((seed, failure));
                        }
                    }
                }
            });
        }
    });
    if let Some((seed, failure)) = failed.into_inner() {
        panic!("{SEED}={seed} fails, again with `make simulate SEED={seed}`: {failure}");
    }
    totals.into_inner()
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.schedules += 1;
        self.letters += report.letters;
        self.virtual_time += report.took;
        for (fault, times) in report.struck {
            *self.struck.entry(fault).or_default() += times;
        }
    }

    fn tell(&self, took: Duration) {
        let a_minute = self.schedules as f64 / took.as_secs_f64() * 60.0;
        eprintln!(
            "{} schedules in {:.1} s ({a_minute:.0} a minute), {:.1} hours of virtual time, {} dead letters",
            self.schedules,
            took.as_secs_f64(),
            self.virtual_time.as_secs_f64() / 3600.0,
            self.letters,
        );
        eprintln!("faults: {:?}", self.struck);
    }
}

#[test]
fn a_fixed_set_of_schedules_keeps_the_guarantee() {
    let start = Instant::now();
    let totals = run_all((0..FIXED).chain(FOUND.map(|(seed, _)| seed)));
    totals.tell(start.elapsed());
    for fault in Fault::ALL {
        assert!(totals.struck.contains_key(&fault), "{fault:?} never struck");
    }
    assert!(totals.letters > 0, "no record was ever given up on");
}

#[test]
fn fresh_schedules_keep_the_guarantee() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    if let Some(seed) = number(SEED) {
        let told = check(seed, Options { tells: true, ..Options::default() });
        match told {
            Ok(report) => eprintln!("seed {seed} is fine: {report:?}"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let first = now();
    eprintln!("schedules from {SEED}={first}");
    let start = Instant::now();
    let schedules = number(SCHEDULES).unwrap_or(FRESH);
    let totals = run_all(first..first + schedules);
    totals.tell(start.elapsed());
}

#[test]
fn a_seed_gives_the_same_schedule_every_time() {
    for seed in 0..40 {
        let [first, second] = [(); 2].map(|()| schedule::run(seed, Options::default()));
        let [first, second] = [first.unwrap(), second.unwrap()];
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn a_rule_that_is_broken_on_purpose_is_noticed() {
    let rules = [
        Broken::PositionsFirst,
        Broken::OutputsFirst,
        Broken::StateLast,
        Broken::AttemptsForgotten,
        Broken::Unfenced,
    ];
    LazyLock::force(&CALM);
    thread::scope(|scope| {
        let noticed = rules.map(|broken| {
            scope.spawn(move || {
                let options = Options { broken: Some(broken), ..Options::default() };
                let noticed = (0..WITHIN).find_map(|seed| Some((seed, check(seed, options).err()?)));
                let (seed, failure) = noticed.unwrap_or_else(|| panic!("{broken:?} is not noticed"));
                let what = failure.what.lines().take(2).collect::<Vec<_>>().join(" ");
                eprintln!("{broken:?} is noticed by schedule {seed}: {what}");
            })
        });
        noticed.into_iter().for_each(|noticed| noticed.join().unwrap());
    });
}
