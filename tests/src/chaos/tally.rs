//! What a campaign came to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde_json::Value;

use super::{Round, dead_letters};
use crate::out::{Out, number, text};

/// Counts over all rounds of a campaign.
#[derive(Debug, Default)]
pub struct Tally {
    /// Runs that were disturbed and came to rest.
    pub rounds: u32,
    /// Processes killed by SIGKILL.
    pub kills: u32,
    /// Of these, by where they were killed.
    pub killed_at: BTreeMap<String, u32>,
    /// Other disturbances, by name.
    pub disturbed: BTreeMap<&'static str, u32>,
    /// Clips audited.
    pub clips: u64,
    /// Clips or records that were committed and are not there.
    pub lost: u64,
    /// Records visible twice.
    pub duplicated: u64,
    /// Records that point to media which is not there.
    pub missing_media: u64,
    /// Records that died with three processes in a row, and were put back.
    pub put_back: u64,
    /// From the restart of a killed instance to its first commit.
    pub recoveries_by_the_same: Vec<Duration>,
    /// From a kill to the first commit of another instance that was waiting.
    pub recoveries_by_another: Vec<Duration>,
}

impl Tally {
    pub(super) fn killed(&mut self, place: impl Into<String>) {
        self.kills += 1;
        *self.killed_at.entry(place.into()).or_default() += 1;
    }

    pub(super) fn met(&mut self, disturbance: &'static str) {
        *self.disturbed.entry(disturbance).or_default() += 1;
    }

    /// Lets a round come to rest and holds it against the undisturbed run.
    pub(super) fn check(&mut self, round: &Round<'_>, whole: &Out) {
        let out = round.out();
        let ended = round.run("a").run();
        ended.leaves_nobody();
        if round.broker_restarted && ended.stderr.contains("has been open for more than") {
            // A fault of the broker's own, which no client can mend: one that starts again passes over partitions
            // whose leader it does not know yet, and counts transactions of theirs as ended.
            self.met("broker restart that left a transaction hanging: the round was given up");
            return;
        }
        ended.done();
        let late = dead_letters(&out) > 0;
        if late {
            self.put_back += number(&out.ask(["topics", "dead-letters", "--requeue"])["put_back"]);
            round.run("a").run().done().leaves_nobody();
        }
        let audit = out.audit_of_any_outcome();
        let found = |what: &str| audit[what].as_array().map_or(0, |found| found.len() as u64);
        self.clips += number(&audit["clips"]);
        self.lost += found("lost");
        self.duplicated += found("duplicated");
        self.missing_media += found("missing_media");
        assert_eq!((&audit["ok"], &audit["at_rest"]), (&Value::Bool(true), &Value::Bool(true)), "{audit:#}");
        // A clip that was put back is sealed into a pool of its own generation, with donors of that one.
        let is_same = if late { pairs(&out) == pairs(whole) } else { out.manifest() == whole.manifest() };
        assert!(is_same, "{} is not the undisturbed run's", out.path("manifest.jsonl").display());
        assert_eq!(out.summary(), whole.summary());
    }
}

/// Which recipes were made of which clips.
fn pairs(out: &Out) -> BTreeSet<(String, String)> {
    out.samples().iter().map(|sample| (text(&sample["host"]), text(&sample["recipe"]))).collect()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, kills, clips, lost, duplicated, missing_media, put_back, .. } = self;
        writeln!(f, "{kills} kills in {rounds} rounds, {clips} clips audited")?;
        writeln!(f, "lost {lost}, duplicated {duplicated}, missing media {missing_media}")?;
        writeln!(f, "put back from dead letters {put_back}")?;
        for (place, times) in &self.killed_at {
            writeln!(f, "{times:>5}  killed {place}")?;
        }
        for (disturbance, times) in &self.disturbed {
            writeln!(f, "{times:>5}  {disturbance}")?;
        }
        recovery(f, "the same instance", &self.recoveries_by_the_same)?;
        recovery(f, "another instance", &self.recoveries_by_another)
    }
}

fn recovery(f: &mut fmt::Formatter<'_>, by: &str, times: &[Duration]) -> fmt::Result {
    let mut times = times.to_vec();
    times.sort();
    let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) else {
        return writeln!(f, "recovery by {by}: never seen");
    };
    writeln!(
        f,
        "recovery by {by}: median {:.2} s, longest {:.2} s of {}",
        median.as_secs_f64(),
        longest.as_secs_f64(),
        times.len()
    )
}
