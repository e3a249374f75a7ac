//! Whether a revision kept the guarantee, found out from the log and the store alone.
//!
//! At rest every clip has ended exactly once: composed, rejected or dead-lettered; nothing that was
//! committed is lost or visible twice; every object that a record names is there with the bytes it had;
//! and the samples are what the sealed pools, the plan and the seed come to.
//!
//! [`Evidence`] is what the log says, [`audit`] holds it against the [`Grounds`]. Nothing is changed.

mod endings;
mod evidence;
mod finding;
mod media;
mod samples;

use std::{fmt, path::Path};

use counterpoint_core::{plan::Plan, variants::Relations};
pub use evidence::Evidence;
pub use finding::{Duplicated, Ended, Lost, MissingMedia, Reached, Unexplained};
use serde::Serialize;

use crate::store::{Store, StoreError};

/// What the evidence is held against.
#[derive(Clone, Copy)]
pub struct Grounds<'a> {
    /// Media objects.
    pub store: &'a Store,
    /// Plan of the revision.
    pub plan: &'a Plan,
    /// Seed of the revision.
    pub seed: u64,
    /// Which classes may lend each other sound, as in the revision.
    pub relations: &'a dyn Relations,
    /// Folder in which samples were made as files; those that were are read as well.
    pub made: Option<&'a Path>,
}

/// What was found. Counts are of the revision; a run without faults has four empty lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Number of the revision.
    pub revision: u64,
    /// Whether every input has ended: only then is a clip without an ending lost rather than on its way.
    pub at_rest: bool,
    /// Clips found.
    pub clips: u64,
    /// Of these, with samples.
    pub composed: u64,
    /// Of these, turned away after the source.
    pub rejected: u64,
    /// Of these, ended by a dead letter that was not put back.
    pub dead_letters: u64,
    /// Of these, still on their way.
    pub open: u64,
    /// Samples on the log.
    pub samples: u64,
    /// Objects and files that records name, each of which was read whole.
    pub objects: u64,
    /// What was committed, or has to be there by now, and is not.
    pub lost: Vec<Lost>,
    /// What is visible more than once.
    pub duplicated: Vec<Duplicated>,
    /// Objects that a record names and that are not there as it says.
    pub missing_media: Vec<MissingMedia>,
    /// What is there and should not be, or is not what it should be.
    pub unexplained: Vec<Unexplained>,
}

impl Audit {
    /// Whether the guarantee holds. It may hold for a run that is not at rest yet.
    pub fn is_ok(&self) -> bool {
        self.lost.is_empty()
            && self.duplicated.is_empty()
            && self.missing_media.is_empty()
            && self.unexplained.is_empty()
    }

    /// Every finding as a sentence, by kind.
    pub fn findings(&self) -> Vec<String> {
        let lost = self.lost.iter().map(|found| format!("lost: {found}"));
        let twice = self.duplicated.iter().map(|found| format!("visible twice: {found}"));
        let missing = self.missing_media.iter().map(|found| format!("missing media: {found}"));
        let unexplained = self.unexplained.iter().map(|found| format!("unexplained: {found}"));
        lost.chain(twice).chain(missing).chain(unexplained).collect()
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, clips, composed, rejected, dead_letters, open, samples, objects, .. } = self;
        let rest = if self.at_rest { "at rest" } else { "at work" };
        write!(
            f,
            "revision {revision}, {rest}: of {clips} clips {composed} composed, {rejected} rejected, \
             {dead_letters} in dead letters, {open} on their way; {samples} samples, {objects} objects"
        )?;
        let findings = self.findings();
        if findings.is_empty() {
            return f.write_str("; nothing lost, nothing twice, no media missing");
        }
        findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// Holds the evidence against the grounds. Reads every object once, so it takes as long as that; blocks.
///
/// # Errors
/// If the store cannot be read; an object that is not there is a finding.
pub fn audit(evidence: &Evidence, grounds: &Grounds<'_>) -> Result<Audit, StoreError> {
    let mut audit = Audit {
        revision: evidence.revision.declared.number,
        at_rest: evidence.is_at_rest(),
        clips: evidence.found.len() as u64,
        samples: evidence.samples.len() as u64,
        duplicated: evidence.repeated.clone(),
        ..Audit::default()
    };
    let pools = samples::check(evidence, grounds, &mut audit)?;
    endings::check(evidence, &pools, &mut audit);
    media::check(evidence, grounds, &mut audit)?;
    Ok(audit)
}

#[cfg(test)]
mod tests;
