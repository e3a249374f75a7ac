//! Which files of a followed folder are whole, as far as one can tell from outside: a file that is being
//! written changes its length or its time.
//!
//! Sightings live in memory only. After a restart a file that lies there for long counts at once, and one
//! that came just now is watched anew.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::files::MediaEntry;

/// A file whose time lies back by this and the settling time counts without being watched: no two clocks
/// that share a file system differ by so much.
const LONG_AGO: Duration = Duration::from_secs(60);

/// What was seen of the files that changed a short while ago.
#[derive(Debug, Default)]
pub struct Settling {
    /// By the place that was looked at, then by path.
    young: Mutex<HashMap<String, HashMap<String, Sighting>>>,
}

#[derive(Debug, Clone, Copy)]
struct Sighting {
    bytes: u64,
    modified_ms: i64,
    since: Instant,
}

/// Files told apart.
#[derive(Debug, Default)]
pub struct Settled {
    /// Those that count as there.
    pub files: Vec<MediaEntry>,
    /// How long until the next of the others may count; `None` if there are no others.
    pub next: Option<Duration>,
}

/// The time of a look, on both clocks: one that never jumps, and the one that file systems use.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Never jumps.
    pub instant: Instant,
    /// Milliseconds since 1970.
    pub wall_ms: i64,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), wall_ms: i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX) }
    }
}

impl Settling {
    /// Tells apart which of the files of a place have kept their length and time for `settle`.
    pub fn look(&self, place: &str, files: Vec<MediaEntry>, settle: Duration, now: Moment) -> Settled {
        let mut young = self.young.lock();
        // What is gone from the place is forgotten with the last look at it.
        let before = young.remove(place).unwrap_or_default();
        let mut settled = Settled::default();
        let mut still_young = HashMap::new();
        for file in files {
            let Some(sighting) = sight(before.get(&file.path), &file, settle, now) else {
                settled.files.push(file);
                continue;
            };
            match sighting.left(settle, now) {
                Duration::ZERO => settled.files.push(file.clone()),
                left => settled.next = Some(settled.next.map_or(left, |next| next.min(left))),
            }
            still_young.insert(file.path, sighting);
        }
        if !still_young.is_empty() {
            young.insert(place.to_owned(), still_young);
        }
        settled
    }
}

/// What is known of a file by now; `None` of one that needs no watching.
fn sight(before: Option<&Sighting>, file: &MediaEntry, settle: Duration, now: Moment) -> Option<Sighting> {
    if age(file.modified_ms, now) >= settle + LONG_AGO {
        return None;
    }
    let same = before.filter(|before| (before.bytes, before.modified_ms) == (file.bytes, file.modified_ms));
    let new = Sighting { bytes: file.bytes, modified_ms: file.modified_ms, since: now.instant };
    Some(same.copied().unwrap_or(new))
}

/// How long ago a file was changed by the clocks of both; zero if that lies ahead.
fn age(modified_ms: i64, now: Moment) -> Duration {
    Duration::from_millis(u64::try_from(now.wall_ms.saturating_sub(modified_ms)).unwrap_or(0))
}

impl Sighting {
    /// How long until it counts. Watching alone is enough. The file's own time shortens it by half at
    /// most, so that a clock that runs behind does not do away with the watching.
    fn left(&self, settle: Duration, now: Moment) -> Duration {
        let watched = now.instant.saturating_duration_since(self.since);
        let by_its_time = settle.saturating_sub(age(self.modified_ms, now));
        let by_half = (settle / 2).saturating_sub(watched);
        settle.saturating_sub(watched).min(by_its_time.max(by_half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(4);

    fn file(bytes: u64, modified_ms: i64) -> MediaEntry {
        MediaEntry { path: "clips/a.mp4".to_owned(), stem: "a".to_owned(), bytes, modified_ms }
    }

    /// Looks at one file, `seconds` after a start at which the file systems' clock stood at 1,000 s.
    struct Watch(Settling, Instant);

    impl Watch {
        fn counts(&self, file: MediaEntry, seconds: u64) -> bool {
            let after = Duration::from_secs(seconds);
            let wall_ms = 1_000_000 + i64::try_from(after.as_millis()).unwrap();
            let now = Moment { instant: self.1 + after, wall_ms };
            !self.0.look("clips", vec![file], SETTLE, now).files.is_empty()
        }
    }

    fn watch() -> Watch {
        Watch(Settling::default(), Instant::now())
    }

    #[test]
    fn a_file_counts_once_it_has_kept_its_length_and_time() {
        let watch = watch();
        assert!(!watch.counts(file(1, 1_000_000), 0));
        assert!(!watch.counts(file(1, 1_000_000), 3));
        assert!(!watch.counts(file(2, 1_004_000), 4), "it grew");
        assert!(!watch.counts(file(2, 1_004_000), 7));
        assert!(watch.counts(file(2, 1_004_000), 8));
        assert!(watch.counts(file(2, 1_004_000), 9), "and goes on to count");
        assert!(!watch.counts(file(3, 1_010_000), 10), "until it changes");
    }

    #[test]
    fn a_file_that_lies_there_for_long_counts_at_first_sight() {
        assert!(watch().counts(file(1, 1_000_000 - 64_000), 0));
        assert!(!watch().counts(file(1, 1_000_000 - 63_000), 0));
    }

    #[test]
    fn clocks_that_disagree_neither_let_a_file_in_at_once_nor_keep_it_out_for_ever() {
        let behind = watch();
        assert!(!behind.counts(file(1, 970_000), 0));
        assert!(behind.counts(file(1, 970_000), 2));
        let ahead = watch();
        assert!(!ahead.counts(file(1, 9_000_000), 0));
        assert!(ahead.counts(file(1, 9_000_000), 4));
    }

    #[test]
    fn a_look_at_one_place_forgets_nothing_of_another_whose_name_begins_alike() {
        let settling = Settling::default();
        let start = Instant::now();
        let look = |place: &str, path: Option<&str>, seconds| {
            let files = path.map(|path| MediaEntry { path: path.to_owned(), ..file(1, 1_000_000) });
            let now = Moment { instant: start + Duration::from_secs(seconds), wall_ms: 1_000_000 };
            settling.look(place, files.into_iter().collect(), SETTLE, now).files.len()
        };
        let places = [("/data2", "/data2/a.mp4"), ("/data/train.csv", "/data/train.csv")];
        for (place, path) in places {
            assert_eq!(look(place, Some(path), 0), 0);
        }
        look("/data", None, 1);
        for (place, path) in places {
            assert_eq!(look(place, Some(path), 4), 1, "{path} was watched for long enough");
        }
    }

    #[test]
    fn it_says_when_to_look_again_and_forgets_what_is_gone() {
        let settling = Settling::default();
        let now = Moment { instant: Instant::now(), wall_ms: 1_000_000 };
        let settled = settling.look("clips", vec![file(1, 999_000)], SETTLE, now);
        assert_eq!((settled.files.len(), settled.next), (0, Some(Duration::from_secs(3))));
        assert_eq!(settling.look("clips", vec![], SETTLE, now).next, None);
        assert!(settling.young.lock().is_empty());
    }
}
