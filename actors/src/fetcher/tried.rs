use std::collections::BTreeMap;

use counterpoint_log::{LogError, StateKey, TopicLog};
use counterpoint_messages::{StageName, Topic};
use futures::TryStreamExt;

use super::clock::Failed;
use crate::revision::Revision;

/// Rows that the fetcher of a revision tried for and did not get, by their [`row_key`](super::row_key).
///
/// # Errors
/// If the log cannot be read.
pub async fn tried(log: &dyn TopicLog, revision: &Revision) -> Result<BTreeMap<String, Failed>, LogError> {
    let fetcher = revision.fingerprint(StageName::Fetcher);
    let mut tried = BTreeMap::new();
    let mut records = log.scan(Topic::State(StageName::Fetcher));
    while let Some(record) = records.try_next().await? {
        let key = StateKey::parse(&record.key).filter(|key| key.fingerprint == fetcher);
        let row = key.and_then(|key| std::str::from_utf8(key.key).ok()?.strip_prefix("row/"));
        // What a later release noted of a row is not known here.
        if let (Some(row), Ok(failed)) = (row, serde_json::from_slice(&record.value)) {
            tried.insert(row.to_owned(), failed);
        }
    }
    Ok(tried)
}
