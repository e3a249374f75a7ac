//! Whether a tally comes to what the projection of the same log says, in whatever order topics are read.

use std::collections::BTreeMap;

use counterpoint_actors::{
    projection::Projection,
    revision::Revision,
    tally::{Counts, Tally},
};
use counterpoint_log::TopicLog;
use counterpoint_messages::{RecipeName, RejectReason, StageName, Topic};
use futures::TryStreamExt;

/// A tally of everything, once it is sure that the order of the topics makes no difference; else what differs.
pub async fn checked(log: &dyn TopicLog, revision: &Revision) -> Result<Tally, String> {
    let projection = Projection::of(log, revision).await.map_err(|error| error.to_string())?;
    let expected = counts(&projection);
    let mut backwards = Topic::MESSAGES;
    backwards.reverse();
    for (topics, at_a_time) in [(backwards, 7), (backwards, usize::MAX), (Topic::MESSAGES, usize::MAX)] {
        let tally = tallied(log, revision, &topics, at_a_time).await;
        if *tally.counts() != expected {
            return Err(format!("{:?} instead of {expected:?}, {at_a_time} {topics:?}", tally.counts()));
        }
    }
    Ok(tallied(log, revision, &Topic::MESSAGES, 1).await)
}

/// Tells a tally the records of the topics in turn, so many of each at a time.
async fn tallied(log: &dyn TopicLog, revision: &Revision, topics: &[Topic], at_a_time: usize) -> Tally {
    let mut tally = Tally::new(revision);
    let mut left = Vec::new();
    for topic in topics {
        let records: Vec<_> = log.scan(*topic).try_collect().await.unwrap();
        left.push(records.into_iter());
    }
    while left.iter().any(|records| records.len() > 0) {
        for record in left.iter_mut().flat_map(|records| records.take(at_a_time).collect::<Vec<_>>()) {
            tally.take(&record);
        }
    }
    tally
}

/// The counts of a summary.
fn counts(projection: &Projection) -> Counts {
    let summary = &projection.summary;
    let mut rejected: BTreeMap<_, u64> = BTreeMap::new();
    for clip in &projection.rejected {
        if clip.reason != RejectReason::Unlabelled {
            *rejected.entry((clip.stage, clip.reason)).or_default() += 1;
        }
    }
    let mut dead_letters: BTreeMap<StageName, u64> = BTreeMap::new();
    for letter in &projection.dead_letters {
        *dead_letters.entry(letter.stage).or_default() += 1;
    }
    Counts {
        found: summary.found,
        unlabelled: summary.unlabelled,
        curated: summary.curated,
        decoded: summary.decoded,
        accepted: summary.accepted,
        composed: RecipeName::ALL.map(|recipe| (recipe, summary.composed[recipe.as_str()])).into(),
        rejected,
        skipped: summary.skipped.values().flat_map(BTreeMap::values).sum(),
        dead_letters,
        later_records: summary.later_records,
    }
}
