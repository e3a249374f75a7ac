//! How many segments each step of curation kept and why it lost the others.

use std::collections::BTreeMap;

use counterpoint_messages::RejectReason;
use serde::Serialize;

use super::{Curated, CurationReject};
use crate::segments::RowError;

/// Unknown labels counted by name; a list of rubbish must not fill the memory.
const UNKNOWN_NAMED: usize = 1_000;
/// Broken rows kept word for word.
const BROKEN_SHOWN: usize = 20;

/// Counts over a list of segments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Funnel {
    /// Segments that could be read.
    pub rows: u64,
    /// Their labels in all.
    pub labels: u64,
    /// Segments kept, by class.
    pub kept: BTreeMap<String, u64>,
    /// Segments turned away, by the reason recorded on the log.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Of those, segments of one class with further sounds outside the classes, by the name of the
    /// sound; a segment with two such sounds counts for both.
    pub other_sounds: BTreeMap<String, u64>,
    /// Labels that the ontology does not have, with their number; the first thousand names.
    pub unknown_labels: BTreeMap<String, u64>,
    /// Unknown labels beyond those names.
    pub unknown_beyond: u64,
    /// Rows that could not be read.
    pub broken_rows: u64,
    /// The first broken rows, each as a message.
    pub broken_shown: Vec<String>,
}

impl Funnel {
    /// Counts a segment with its number of labels and what curation made of it.
    pub fn count(&mut self, labels: usize, outcome: &Result<Curated<'_>, CurationReject<'_>>) {
        self.rows += 1;
        self.labels = self.labels.saturating_add(labels as u64);
        let unknown = match outcome {
            Ok(curated) => {
                add(&mut self.kept, curated.class);
                &curated.unknown
            }
            Err(reject) => {
                *self.rejected.entry(reject.reason()).or_default() += 1;
                if let CurationReject::OtherSound { others, .. } = reject {
                    for other in others {
                        add(&mut self.other_sounds, &other.name);
                    }
                }
                reject.unknown()
            }
        };
        for label in unknown {
            if self.unknown_labels.len() < UNKNOWN_NAMED || self.unknown_labels.contains_key(label) {
                add(&mut self.unknown_labels, label);
            } else {
                self.unknown_beyond += 1;
            }
        }
    }

    /// Counts a row that could not be read.
    pub fn count_broken(&mut self, error: &RowError) {
        self.broken_rows += 1;
        if self.broken_shown.len() < BROKEN_SHOWN {
            self.broken_shown.push(error.to_string());
        }
    }

    /// Segments kept, over all classes.
    pub fn kept_total(&self) -> u64 {
        self.kept.values().sum()
    }

    /// Mean number of labels a segment; `None` without segments. Appendix A gives 2.7 for AudioSet.
    pub fn mean_labels(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.labels as f64 / self.rows as f64)
    }
}

/// Adds one to the count of `name`, without an allocation where the name is known.
fn add(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_labels_beyond_the_limit_are_counted_without_their_names() {
        let mut funnel = Funnel::default();
        for n in 0..UNKNOWN_NAMED + 5 {
            let unknown = vec![format!("/x/{n}")];
            funnel.count(1, &Err(CurationReject::NoClass { excluded: Vec::new(), unknown }));
        }
        assert_eq!(funnel.unknown_labels.len(), UNKNOWN_NAMED);
        assert_eq!(funnel.unknown_beyond, 5);
        assert_eq!(funnel.rejected[&RejectReason::NoClass], funnel.rows);
    }

    #[test]
    fn a_list_without_segments_has_no_mean() {
        assert_eq!(Funnel::default().mean_labels(), None);
    }
}
