use std::collections::{BTreeMap, BTreeSet};

use counterpoint_messages::{DeadLetter, RecordId, StageName, Topic};

use super::{
    Audit, Evidence,
    finding::{Duplicated, Ended, Lost, Reached, Unexplained},
    samples::Pools,
};

/// Counts how each clip ended.
pub(super) fn check(evidence: &Evidence, pools: &Pools, audit: &mut Audit) {
    let endings = endings(evidence, pools);
    for (clip, video) in &evidence.found {
        match endings.get(clip).map_or(&[][..], Vec::as_slice) {
            [] => {
                audit.open += 1;
                if audit.at_rest {
                    let (clip, video) = (*clip, video.clone());
                    audit.lost.push(Lost::Clip { clip, video, reached: reached(evidence, clip) });
                }
            }
            [ending] => match ending {
                Ended::Composed => audit.composed += 1,
                Ended::Rejected(_) => audit.rejected += 1,
                Ended::DeadLettered(_) => audit.dead_letters += 1,
            },
            several => audit.duplicated.push(Duplicated::Ending { clip: *clip, endings: several.to_vec() }),
        }
    }
    check_steps(evidence, audit);
    for (clip, endings) in &endings {
        if !evidence.found.contains_key(clip) {
            let what_is_there = format!("{endings:?}");
            audit.unexplained.push(Unexplained::Stray { clip: *clip, what_is_there });
        }
    }
    check_unreadable(evidence, audit);
    check_counts(evidence, audit);
}

/// All endings of each clip; exactly one is right.
fn endings(evidence: &Evidence, pools: &Pools) -> BTreeMap<RecordId, Vec<Ended>> {
    let mut endings: BTreeMap<RecordId, Vec<Ended>> = BTreeMap::new();
    let hosts = evidence.samples.values().filter_map(|sample| Some(sample.host()?.clip));
    let composed: BTreeSet<_> = hosts.chain(evidence.skipped.values().map(|skipped| skipped.host)).collect();
    for clip in &composed {
        endings.entry(*clip).or_default().push(Ended::Composed);
    }
    for turned in evidence.rejected.values().filter(|turned| turned.is_clip()) {
        endings.entry(turned.clip).or_default().push(Ended::Rejected(turned.stage));
    }
    for letter in &evidence.letters {
        match (letter.stage, letter.clip) {
            // A pool that was given up on: those of its clips that have no samples yet.
            (StageName::Composer, _) => {
                let pool = letter.key.as_slice().try_into().ok().map(RecordId);
                let members = pool.and_then(|pool| pools.members.get(&pool));
                for clip in members.into_iter().flatten().filter(|clip| !composed.contains(*clip)) {
                    endings.entry(*clip).or_default().push(Ended::DeadLettered(letter.stage));
                }
            }
            // Where the coordinator could not read an ending, that ending is the clip's all the same.
            (stage, Some(clip)) if ends_clips(&letter.topic) => {
                endings.entry(clip).or_default().push(Ended::DeadLettered(stage));
            }
            _ => {}
        }
    }
    endings
}

/// Whether a clip whose record on this topic was given up on goes no further.
fn ends_clips(topic: &str) -> bool {
    let topics = [Topic::Clips, Topic::Curated, Topic::Decoded, Topic::Probed, Topic::Accepted];
    Topic::parse(topic).is_some_and(|topic| topics.contains(&topic))
}

fn reached(evidence: &Evidence, clip: RecordId) -> Reached {
    if evidence.accepted.contains_key(&clip) {
        Reached::Accepted
    } else if evidence.decoded.contains_key(&clip) {
        Reached::Decoded
    } else if evidence.curated.contains(&clip) {
        Reached::Curated
    } else {
        Reached::Found
    }
}

/// Every step of a clip follows from the one before, and from a clip that was found.
fn check_steps(evidence: &Evidence, audit: &mut Audit) {
    let Evidence { found, curated, decoded, accepted, .. } = evidence;
    for clip in curated.iter().filter(|clip| !found.contains_key(*clip)) {
        audit.unexplained.push(Unexplained::Stray { clip: *clip, what_is_there: "Curated".to_owned() });
    }
    let mut missing = |clip: &RecordId, reached, missing| {
        audit.lost.push(Lost::Step { clip: *clip, reached, missing });
    };
    for clip in decoded.keys().filter(|clip| !curated.contains(*clip)) {
        missing(clip, Reached::Decoded, Reached::Curated);
    }
    for clip in accepted.keys().filter(|clip| !decoded.contains_key(*clip)) {
        missing(clip, Reached::Accepted, Reached::Decoded);
    }
    for turned in evidence.rejected.values() {
        match turned.stage {
            StageName::Decoder if !curated.contains(&turned.clip) => {
                missing(&turned.clip, Reached::Found, Reached::Curated);
            }
            StageName::Gate if !decoded.contains_key(&turned.clip) => {
                missing(&turned.clip, Reached::Curated, Reached::Decoded);
            }
            _ => {}
        }
    }
}

fn check_unreadable(evidence: &Evidence, audit: &mut Audit) {
    let of_models = |topic| matches!(topic, Topic::Trainings | Topic::Checkpoints | Topic::Answers);
    let read =
        |topic| !of_models(topic) && !matches!(topic, Topic::Samples | Topic::Skipped | Topic::Revisions);
    for (topic, partition, position, is_newer) in &evidence.unreadable {
        let is_told = evidence.letters.iter().any(|letter| {
            (Topic::parse(&letter.topic), letter.partition, letter.position)
                == (Some(*topic), *partition, position.0)
        });
        if audit.at_rest && !is_newer && !is_told && read(*topic) {
            let (topic, partition, position) = (*topic, *partition, position.0);
            audit.lost.push(Lost::Record { topic, partition, position });
        }
    }
}

/// What the end of the run says, against what is there.
fn check_counts(evidence: &Evidence, audit: &mut Audit) {
    if !audit.at_rest {
        return;
    }
    if let Some(sealed) = &evidence.sealed {
        let found = evidence.found.len() as u64;
        if sealed.total != found || sealed.total_ids != evidence.found_ids() {
            audit.lost.push(Lost::Clips { sealed: sealed.total, found });
        }
    }
    let Some(finished) = &evidence.finished else { return };
    // What the coordinator gave up on it did not count.
    let given_up = |topic: Topic| {
        let letters = evidence.letters.iter();
        letters
            .filter(|letter| letter.stage == StageName::Coordinator && letter.topic == topic.to_string())
            // Files that the source turned away never were clips.
            .filter(|letter| letter.clip.is_some_and(|clip| evidence.found.contains_key(&clip)))
            .count() as u64
    };
    let rejected = evidence.rejected.values().filter(|turned| turned.is_clip()).count() as u64;
    let accepted = evidence.accepted.len() as u64;
    // Letters about no clip, and those of the reporter, may have been written, and put back, after the end.
    let letters = evidence.letters.len() as u64 + evidence.put_back;
    let is_of_clip =
        |letter: &&DeadLetter| letter.clip.is_some_and(|clip| evidence.found.contains_key(&clip));
    let of_clips = evidence.letters.iter().filter(is_of_clip).count() as u64;
    let of_clips = of_clips.saturating_sub(given_up(Topic::DeadLetters));
    let counts = [
        ("accepted", finished.accepted, accepted.saturating_sub(given_up(Topic::Accepted))),
        ("rejected", finished.rejected, rejected.saturating_sub(given_up(Topic::Rejected))),
        ("dead_letters", finished.dead_letters, finished.dead_letters.max(of_clips).min(letters)),
    ];
    for (name, said, counted) in counts {
        if said != counted {
            let name = format!("{name} of the run's end");
            audit.unexplained.push(Unexplained::Count { name, said, counted });
        }
    }
}
