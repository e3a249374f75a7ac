//! What may happen to a run.

use std::thread;

use rand::{Rng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{Round, Tally, growth::Growth, moment};
use crate::{
    disk::SmallDisk,
    program::{Program, Running},
    topics::Topics,
    workplace::video,
};

const SIGKILL: i32 = 9;

/// Name of the instance that is disturbed, and of the other one.
const THIS: &str = "a";
const OTHER: &str = "b";

/// Stages whose work makes media or other objects.
const STORING: [&str; 2] = ["decoder", "coordinator"];

const STAGES: [&str; 7] = ["source", "curator", "decoder", "gate", "coordinator", "composer", "reporter"];

/// Something that happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// SIGKILL at any moment.
    KillAtRandom,
    /// SIGKILL once media is stored and no record points to it.
    KillAfterMedia,
    /// SIGKILL once it is known what a record brings about.
    KillAfterOutputs,
    /// SIGKILL before a commit is handed to the log.
    KillBeforeCommit,
    /// SIGKILL when all of a commit is written and nothing of it is durable.
    KillInsideTransaction,
    /// SIGKILL when a commit is durable and nobody knows it.
    KillAfterCommit,
    /// SIGKILL while another instance waits to take over.
    KillBesideAnother,
    /// SIGSTOP until another instance has finished the run; then it awakes.
    Zombie,
    /// Two processes under one name, one of them killed.
    TwoUnderOneName,
    /// A stage that takes its time over every record.
    SlowStage,
    /// A record that panics its stage, time and again.
    PoisonRecord,
    /// The broker is restarted.
    BrokerRestart,
    /// No space is left for a while.
    FullDisk,
}

impl Disturbance {
    /// Each kind of kill, twice.
    pub fn kills() -> Vec<Self> {
        let kills = [
            Self::KillAtRandom,
            Self::KillAfterMedia,
            Self::KillAfterOutputs,
            Self::KillBeforeCommit,
            Self::KillInsideTransaction,
            Self::KillAfterCommit,
        ];
        kills.repeat(2)
    }

    /// Each of them, kills several times.
    pub fn all() -> Vec<Self> {
        let others = [
            Self::KillBesideAnother,
            Self::Zombie,
            Self::TwoUnderOneName,
            Self::SlowStage,
            Self::PoisonRecord,
            Self::BrokerRestart,
            Self::FullDisk,
        ];
        Self::kills().into_iter().chain(others).collect()
    }

    /// Lets it happen; whether the run came to its end, so that nothing is left to disturb.
    pub(super) fn strike(self, round: &mut Round<'_>, rng: &mut ChaCha8Rng, tally: &mut Tally) -> bool {
        let stage = *STAGES.choose(rng).expect("stages");
        match self {
            Self::KillAtRandom => kill_at_random(round, rng, tally),
            Self::KillAfterMedia => {
                let stage = *STORING.choose(rng).expect("stages");
                kill_at(round, &format!("{stage}::worked"), rng, tally)
            }
            Self::KillAfterOutputs => kill_at(round, &format!("{stage}::concluded"), rng, tally),
            Self::KillBeforeCommit => kill_at(round, &format!("{stage}::commit"), rng, tally),
            Self::KillInsideTransaction => kill_at(round, "log::inside", rng, tally),
            Self::KillAfterCommit => kill_at(round, "log::committed", rng, tally),
            Self::KillBesideAnother => kill_beside_another(round, rng, tally),
            Self::Zombie => zombie(round, rng, tally),
            Self::TwoUnderOneName => two_under_one_name(round, rng, tally),
            Self::SlowStage => {
                tally.met("slow stage");
                ends(round.run(THIS).failing(&format!("{stage}::plan=sleep(200)")))
            }
            Self::PoisonRecord => {
                tally.met("poison record");
                let points = format!("gate::plan=return(panic:{})", video(rng.random_range(0..super::CLIPS)));
                ends(round.run(THIS).failing(&points))
            }
            Self::BrokerRestart => broker_restart(round, rng, tally),
            Self::FullDisk => full_disk(round, tally),
        }
    }
}

/// Runs to the end, which comes.
fn ends(program: Program) -> bool {
    program.run().done().leaves_nobody();
    true
}

/// Starts the run, and measures how long it takes to its first commit if it follows a kill.
fn start(round: &Round<'_>, program: Program, tally: &mut Tally) -> Running {
    let is_restart = round.folder.exists();
    let mut running = program.start();
    if is_restart && let Some(time) = Growth::of(&round.topics).next(&round.folder, || running.has_ended()) {
        tally.recoveries_by_the_same.push(time);
    }
    running
}

fn kill_at_random(round: &Round<'_>, rng: &mut ChaCha8Rng, tally: &mut Tally) -> bool {
    let running = round.run(THIS).start();
    thread::sleep(moment(round.length, rng));
    running.kill();
    was_killed(running, "at random", tally)
}

fn kill_at(round: &Round<'_>, point: &str, rng: &mut ChaCha8Rng, tally: &mut Tally) -> bool {
    let passed = rng.random_range(0..6);
    let points = format!("{point}={passed}*off->return(kill:)");
    let running = start(round, round.run(THIS).failing(&points), tally);
    was_killed(running, point, tally)
}

/// Counts a kill, if it came to one; whether the run came to its end instead.
fn was_killed(running: Running, place: &str, tally: &mut Tally) -> bool {
    let ended = running.wait();
    ended.leaves_nobody();
    if ended.signal() == Some(SIGKILL) {
        tally.killed(place);
        return false;
    }
    ended.done();
    true
}

fn kill_beside_another(round: &Round<'_>, rng: &mut ChaCha8Rng, tally: &mut Tally) -> bool {
    let mut first = round.run(THIS).start();
    first.until("it has begun", |_| round.out().status_if_begun().is_some());
    let mut second = round.run(OTHER).start();
    thread::sleep(moment(round.length / 2, rng));
    first.kill();
    let recovery = Growth::of(&round.topics).next(&round.folder, || second.has_ended());
    let is_over = was_killed(first, "beside another", tally);
    if !is_over {
        tally.recoveries_by_another.extend(recovery);
    }
    second.wait().done().leaves_nobody();
    true
}

fn zombie(round: &Round<'_>, rng: &mut ChaCha8Rng, tally: &mut Tally) -> bool {
    tally.met("zombie awakes");
    let mut zombie = round.run(THIS).start();
    zombie.until("it has begun", |_| round.out().status_if_begun().is_some());
    thread::sleep(moment(round.length / 2, rng));
    zombie.suspend();
    let other = round.run(OTHER).run();
    zombie.resume();
    other.leaves_nobody();
    if other.code() == Some(0) {
        // The zombie finds that its work was done by another.
        zombie.wait().done().leaves_nobody();
        return true;
    }
    // Suspended inside a transaction of the embedded engine it holds the one lock of its file.
    assert_eq!(round.topics, Topics::Embedded, "{}", other.stderr);
    other.ended_with(1, &["did not answer", "suspended"]);
    tally.met("zombie that held the file's lock");
    zombie.wait().done().leaves_nobody();
    true
}

fn two_under_one_name(round: &Round<'_>, rng: &mut ChaCha8Rng, tally: &mut Tally) -> bool {
    tally.met("two under one name");
    let [first, second] = [(), ()].map(|()| round.run(THIS).start());
    thread::sleep(moment(round.length, rng));
    let (victim, survivor) = if rng.random() { (first, second) } else { (second, first) };
    victim.kill();
    was_killed(victim, "beside another of its name", tally);
    // The survivor may have been told to make way for the other.
    let ended = survivor.wait();
    ended.leaves_nobody();
    assert!(matches!(ended.code(), Some(0 | 1)), "{}: {}", ended.status, ended.stderr);
    ended.code() == Some(0)
}

fn broker_restart(round: &mut Round<'_>, rng: &mut ChaCha8Rng, tally: &mut Tally) -> bool {
    let running = round.run(THIS).start();
    thread::sleep(moment(round.length, rng));
    if round.ground.restart_broker() {
        tally.met("broker restart");
        round.broker_restarted = true;
    }
    let ended = running.wait();
    ended.leaves_nobody();
    if ended.code() != Some(0) {
        // What is asked of the log at the very start and end is not asked twice: the same command goes on.
        ended.ended_with(1, &["did not answer"]);
        tally.met("broker restart that ended a run");
    }
    true
}

/// A folder of its own: the disk comes first, the run second.
fn full_disk(round: &mut Round<'_>, tally: &mut Tally) -> bool {
    let Some(disk) = SmallDisk::mount(&round.folder, "600k") else {
        let _ = std::fs::remove_dir(&round.folder);
        return false;
    };
    tally.met("full disk");
    let run = || round.run(THIS).env("COUNTERPOINT_EFFORT__PATIENCE_SECONDS", "1");
    run().run().ended_with(1, &["no space left"]).leaves_nobody();
    disk.resize("64m");
    run().run().done().leaves_nobody();
    round.disk = Some(disk);
    true
}
