//! Clips that are not there, but whose rows the label lists have.

use std::{collections::BTreeMap, fs::File};

use counterpoint_actors::{
    fetcher::{Failed, row_key, tried},
    pipeline,
    source::settling::Moment,
};
use counterpoint_core::{curation::Curator, segments::SegmentReader};
use counterpoint_messages::{InputOffered, Segment};
use serde::Serialize;

use crate::{context::ExistingRun, output::say};

/// A row of the label lists whose clip is not there.
#[derive(Debug, Serialize)]
pub struct Waiting {
    /// Source video.
    pub video: String,
    /// Annotated part, in milliseconds.
    pub segment: Segment,
    /// Label list and line that have it.
    pub listed: String,
    /// Tries that failed.
    pub attempts: u32,
    /// When it may be tried again, in milliseconds since 1970; null where nothing fetches it, or at once.
    pub retry_at_ms: Option<i64>,
    /// What it waits for, in words.
    pub what: String,
}

/// The rows of the first of these videos that the newest input's lists have; none without an input.
pub async fn waiting(
    run: &ExistingRun,
    rulebook: &Curator,
    videos: &[String],
) -> anyhow::Result<Vec<Waiting>> {
    let Some(input) = pipeline::inputs(&*run.log).await?.pop() else { return Ok(Vec::new()) };
    let tried = tried(&*run.log, &run.revision).await?;
    let mut found: BTreeMap<usize, Vec<Waiting>> = BTreeMap::new();
    for list in &input.labels {
        let file = match File::open(&list.path) {
            Ok(file) => file,
            Err(error) => {
                say(&format!("cannot read the label list {}: {error}", list.path));
                continue;
            }
        };
        for row in SegmentReader::new(file, &list.path).flatten() {
            let Some(place) = videos.iter().position(|video| *video == row.youtube_id) else { continue };
            let failed = tried.get(&row_key(&row.youtube_id, row.segment));
            let what = match rulebook.curate(&row.labels) {
                Err(reject) => format!("it is not wanted: {reject}"),
                Ok(curated) => waits_for(&input, curated.class, failed, Moment::now().wall_ms),
            };
            found.entry(place).or_default().push(Waiting {
                video: row.youtube_id,
                segment: row.segment,
                listed: format!("{} line {}", list.path, row.line),
                attempts: failed.map_or(0, |failed| failed.attempts),
                retry_at_ms: failed.and_then(|failed| failed.retry_at_ms),
                what,
            });
        }
    }
    Ok(found.into_values().next().unwrap_or_default())
}

/// What a wanted row waits for.
fn waits_for(input: &InputOffered, class: &str, failed: Option<&Failed>, now_ms: i64) -> String {
    let Some(Failed { attempts, reason, retry_at_ms, said }) = failed else {
        return match input.fetch {
            true => format!("it waits to be fetched, for {class}; it was not tried yet"),
            false => format!(
                "no file of it was found below {}, and nothing fetches it (setting fetcher.command)",
                input.clips
            ),
        };
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let again = match retry_at_ms {
        Some(at) if *at > now_ms => format!("it may be tried again in {} s", (at - now_ms).div_euclid(1000)),
        Some(_) => "it is tried again by the next run, or by one with --follow".to_owned(),
        None => "it is not tried again".to_owned(),
    };
    format!(
        "it waits to be fetched, for {class}; tries that failed: {attempts}, the last as {}{said}; {again}",
        reason.as_str()
    )
}

#[cfg(test)]
mod tests {
    use counterpoint_messages::{RecordId, RejectReason};

    use super::*;

    #[test]
    fn what_a_row_waits_for_is_told_with_its_last_failure_and_the_next_try() {
        let input = |fetch| InputOffered {
            id: RecordId([0; 16]),
            clips: "clips".to_owned(),
            labels: vec![],
            ontology: "ontology.json".to_owned(),
            nonce: 0,
            offered_at_ms: 0,
            follow: None,
            fetch,
        };
        let failed = |retry_at_ms| Failed {
            attempts: 2,
            reason: RejectReason::FetchFailed,
            retry_at_ms,
            said: "the moon is full (exit code 9)".to_owned(),
        };
        let told = |retry_at_ms| waits_for(&input(true), "Cat", Some(&failed(retry_at_ms)), 1_000);
        let later = told(Some(36_000));
        for words in ["for Cat", "failed: 2", "the moon is full (exit code 9)", "again in 35 s"] {
            assert!(later.contains(words), "{later}");
        }
        assert!(told(Some(900)).contains("by the next run") && told(None).contains("not tried again"));
        assert!(waits_for(&input(true), "Cat", None, 0).contains("not tried yet"));
        assert!(waits_for(&input(false), "Cat", None, 0).contains("below clips, and nothing fetches it"));
    }
}
