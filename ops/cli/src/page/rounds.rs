//! The rounds of training of a run: what the log tells of them, and what their checkpoints were found to answer.

use std::{collections::BTreeSet, path::Path};

use counterpoint_actors::{later, revision::Revision};
use counterpoint_log::TopicLog;
use counterpoint_messages::{Message, StageName, Topic};
use counterpoint_pages::report::{Round, RoundOutcome, Rounds};
use futures::TryStreamExt;

use super::models::Reader;
use crate::commands::evaluate::Told;

/// Folder below that of a run in which each evaluation has one for its answers and scores.
pub const EVALUATIONS: &str = "evaluations";

/// What the section on rounds is filled with.
pub async fn rounds(log: &dyn TopicLog, revision: &Revision, out: &Path) -> Rounds {
    let mut reader = Reader { out, problems: Vec::new() };
    let (mut ended, mut known) = (Vec::new(), BTreeSet::new());
    let mut records = log.scan(Topic::Checkpoints);
    // Without them the page only says less.
    while let Ok(Some(record)) = records.try_next().await {
        if record.headers.revision != Some(revision.fingerprint(StageName::Trainer)) {
            continue;
        }
        let (training, outcome) = match later::read(&record) {
            Ok(Some(Message::CheckpointSaved(saved))) => {
                let scores = format!("{EVALUATIONS}/{}/scores.json", saved.training.id);
                let evaluation = reader.json::<Told>(&scores).map(|told| Box::new(told.reported()));
                let losses = [saved.losses.first, saved.losses.last];
                (saved.training, RoundOutcome::Saved { model: saved.model, losses, evaluation })
            }
            Ok(Some(Message::TrainingFailed(failed))) => {
                (failed.training, RoundOutcome::Failed { detail: failed.detail })
            }
            _ => continue,
        };
        // The first record of a training counts.
        if known.insert(training.id) {
            let (number, samples) = (training.round.unwrap_or_default(), training.samples);
            ended.push(Round { number, training: training.id.to_string(), samples, outcome });
        }
    }
    ended.sort_by_key(|round| round.number);
    Rounds { ended, problems: reader.problems }
}
