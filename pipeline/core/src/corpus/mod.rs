//! The synthetic corpus of the demo: small clips whose picture and sound are drawn from a class each.
//!
//! A class is a shape in a hue and a timbre; place, size, motion, pitch and noise are random. At three to five
//! irregular moments picture and sound change together, so that a person notices when one is shifted. A few
//! clips are bad on purpose, and a few rows of the label lists are, so that every gate has work to do.
//!
//! Everything is a pure function of a seed: [`Corpus::plan`] writes the scripts and label lists,
//! [`ClipScript::frame`] and [`ClipScript::pcm`] make one clip's picture and sound. [`Corpus::plan_for_judge`] plans
//! clips of their own for the judge of those clips to learn from.

mod classes;
mod noise;
mod picture;
mod script;
mod shapes;
mod sound;

use std::{collections::BTreeSet, fmt::Write};

pub use classes::ToyClass;
use counterpoint_messages::{Segment, Split};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
pub use script::{ClipFormat, ClipScript, Fault};

/// Of how many clips of a class one goes to the eval split.
const EVAL_EVERY: u32 = 3;

/// Bad clips of each [`Fault`].
const CLIPS_PER_FAULT: u32 = 3;

/// Clips that no list names, rows that name no clip, and rows that name two classes: of each so many.
const LABEL_PROBLEMS: u32 = 2;

/// Which of a seed's streams of random numbers the judge's clips are drawn from; [`Corpus::plan`] draws from the first.
const STREAM_OF_JUDGE: u64 = 1;

/// Characters of a source video's id.
const ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// A clip to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptedClip {
    /// Name of its file without extension: eleven characters, as YouTube's ids have.
    pub file_stem: String,
    /// What it shows and sounds like.
    pub script: ClipScript,
    /// Labels of its row in the segment lists; empty for a clip that no list names.
    pub labels: Vec<&'static str>,
    /// List that names it.
    pub split: Split,
    /// The part of its (imagined) source video that it was cut from.
    pub segment: Segment,
}

/// All clips of a demo and the lists that label them.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// Clips, each with a source video of its own.
    pub clips: Vec<ScriptedClip>,
    rows: Vec<LabelRow>,
}

/// A row of a segment list.
#[derive(Debug, Clone, PartialEq)]
struct LabelRow {
    video: String,
    segment: Segment,
    labels: Vec<&'static str>,
    split: Split,
}

impl Corpus {
    /// Plans `clips_per_class` good clips of each class, and the planted problems.
    pub fn plan(seed: u64, clips_per_class: u32, format: ClipFormat) -> Self {
        let mut planner = Planner::new(ChaCha8Rng::seed_from_u64(seed), format);
        for class in ToyClass::ALL {
            for number in 0..clips_per_class {
                planner.clip(class, None, split_of(number), class.labels().to_vec());
            }
        }
        for fault in Fault::ALL {
            for number in 0..CLIPS_PER_FAULT {
                let class = planner.any_class();
                planner.clip(class, Some(fault), split_of(number + 1), class.labels().to_vec());
            }
        }
        for number in 0..LABEL_PROBLEMS {
            let split = split_of(number + EVAL_EVERY - LABEL_PROBLEMS);
            let class = planner.any_class();
            planner.clip(class, None, split, Vec::new());
            planner.row_without_clip(split);
            let both = [class.labels(), class.next().labels()].concat();
            planner.clip(class, None, split, both);
        }
        planner.corpus
    }

    /// Plans `clips_per_class` clips of each class for a judge to learn from: good ones alone, all of the train split, of
    /// other source videos than those of [`Self::plan`] with the same seed.
    pub fn plan_for_judge(seed: u64, clips_per_class: u32, format: ClipFormat) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAM_OF_JUDGE);
        let mut planner = Planner::new(rng, format);
        for class in ToyClass::ALL {
            for _ in 0..clips_per_class {
                planner.clip(class, None, Split::Train, class.labels().to_vec());
            }
        }
        planner.corpus
    }

    /// The segment list of a split, in the format in which AudioSet publishes its lists.
    pub fn labels_csv(&self, split: Split) -> String {
        let rows: Vec<&LabelRow> = self.rows.iter().filter(|row| row.split == split).collect();
        let labels: usize = rows.iter().map(|row| row.labels.len()).sum();
        let distinct: BTreeSet<&str> = rows.iter().flat_map(|row| row.labels.iter().copied()).collect();
        let mut csv = format!(
            "# Synthetic segments in the format of AudioSet\n\
             # num_ytids={n}, num_segs={n}, num_unique_labels={}, num_positive_labels={labels}\n\
             # YTID, start_seconds, end_seconds, positive_labels\n",
            distinct.len(),
            n = rows.len(),
        );
        for row in rows {
            let seconds = |ms: u64| ms as f64 / 1000.0;
            let (start, end) = (seconds(row.segment.start_ms), seconds(row.segment.end_ms));
            let labels = row.labels.join(",");
            // Writing to a String cannot fail.
            let _ = writeln!(csv, "{}, {start:.3}, {end:.3}, \"{labels}\"", row.video);
        }
        csv
    }
}

fn split_of(number: u32) -> Split {
    if number % EVAL_EVERY == EVAL_EVERY - 1 { Split::Eval } else { Split::Train }
}

struct Planner {
    rng: ChaCha8Rng,
    format: ClipFormat,
    taken: BTreeSet<String>,
    corpus: Corpus,
}

impl Planner {
    fn new(rng: ChaCha8Rng, format: ClipFormat) -> Self {
        let corpus = Corpus { clips: Vec::new(), rows: Vec::new() };
        Self { rng, format, taken: BTreeSet::new(), corpus }
    }

    fn clip(&mut self, class: ToyClass, fault: Option<Fault>, split: Split, labels: Vec<&'static str>) {
        let sound = if fault == Some(Fault::WrongSound) { class.next() } else { class };
        let script =
            ClipScript { picture: class, sound, fault, seed: self.rng.random(), format: self.format.clone() };
        let (file_stem, segment) = self.source();
        if !labels.is_empty() {
            let labels = labels.clone();
            self.corpus.rows.push(LabelRow { video: file_stem.clone(), segment, labels, split });
        }
        self.corpus.clips.push(ScriptedClip { file_stem, script, labels, split, segment });
    }

    fn row_without_clip(&mut self, split: Split) {
        let (video, segment) = self.source();
        let labels = self.any_class().labels().to_vec();
        self.corpus.rows.push(LabelRow { video, segment, labels, split });
    }

    fn any_class(&mut self) -> ToyClass {
        ToyClass::ALL[self.rng.random_range(0..ToyClass::ALL.len())]
    }

    /// A source video of its own and the part of it that a clip was cut from.
    fn source(&mut self) -> (String, Segment) {
        let start_ms = self.rng.random_range(0..30) * 10_000;
        let end_ms = start_ms + u64::from(self.format.seconds.max(1)) * 1000;
        loop {
            let id: String = (0..11).map(|place| self.id_character(place)).collect();
            if self.taken.insert(id.clone()) {
                return (id, Segment { start_ms, end_ms });
            }
        }
    }

    /// The first one is no dash, so that a file name is never taken for a flag.
    fn id_character(&mut self, place: usize) -> char {
        let choices = if place == 0 { &ID_ALPHABET[..62] } else { ID_ALPHABET };
        char::from(choices[self.rng.random_range(0..choices.len())])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::identity::is_youtube_id;

    fn corpus() -> Corpus {
        Corpus::plan(7, 8, ClipFormat::default())
    }

    #[test]
    fn a_seed_always_plans_the_same_corpus_and_another_one_another() {
        assert_eq!(corpus(), corpus());
        assert_ne!(corpus(), Corpus::plan(8, 8, ClipFormat::default()));
        assert_eq!(corpus().clips[0].file_stem, "QtCuEmzWPFQ");
    }

    #[test]
    fn every_class_has_clips_in_both_splits_and_every_fault_is_planted() {
        let corpus = corpus();
        let mut good: BTreeMap<(ToyClass, Split), u32> = BTreeMap::new();
        for clip in corpus.clips.iter().filter(|clip| clip.script.fault.is_none() && !clip.labels.is_empty())
        {
            *good.entry((clip.script.picture, clip.split)).or_default() += 1;
        }
        assert!(ToyClass::ALL.iter().all(|class| good[&(*class, Split::Train)] >= 6));
        assert!(ToyClass::ALL.iter().all(|class| good[&(*class, Split::Eval)] >= 2));
        for fault in Fault::ALL {
            let splits: Vec<Split> = corpus
                .clips
                .iter()
                .filter(|clip| clip.script.fault == Some(fault))
                .map(|clip| clip.split)
                .collect();
            assert!(splits.contains(&Split::Train) && splits.contains(&Split::Eval), "{fault:?} {splits:?}");
        }
    }

    #[test]
    fn only_a_clip_with_the_wrong_sound_shows_and_sounds_two_classes() {
        for clip in corpus().clips {
            let disagrees = clip.script.picture != clip.script.sound;
            assert_eq!(disagrees, clip.script.fault == Some(Fault::WrongSound));
        }
    }

    #[test]
    fn no_two_clips_share_a_source_video() {
        let corpus = corpus();
        let stems: BTreeSet<&str> = corpus.clips.iter().map(|clip| clip.file_stem.as_str()).collect();
        assert_eq!(stems.len(), corpus.clips.len());
        assert!(stems.iter().all(|stem| is_youtube_id(stem) && !stem.starts_with('-')));
    }

    #[test]
    fn a_judge_learns_from_good_clips_of_every_class_and_of_none_that_it_judges() {
        let own = Corpus::plan_for_judge(7, 3, ClipFormat::default());
        assert_eq!(own, Corpus::plan_for_judge(7, 3, ClipFormat::default()));
        let mut good: BTreeMap<ToyClass, u32> = BTreeMap::new();
        for clip in &own.clips {
            assert_eq!((clip.split, clip.script.fault), (Split::Train, None));
            assert_eq!(
                (clip.script.picture, clip.labels.as_slice()),
                (clip.script.sound, clip.script.picture.labels())
            );
            *good.entry(clip.script.picture).or_default() += 1;
        }
        assert_eq!(good, BTreeMap::from(ToyClass::ALL.map(|class| (class, 3))));
        assert_eq!(own.labels_csv(Split::Train).lines().filter(|line| !line.starts_with('#')).count(), 24);
        assert!(own.labels_csv(Split::Eval).lines().all(|line| line.starts_with('#')));
        let judged = corpus();
        for clip in &own.clips {
            let is_same = |other: &ScriptedClip| {
                other.file_stem == clip.file_stem || other.script.seed == clip.script.seed
            };
            assert!(!judged.clips.iter().any(is_same), "{}", clip.file_stem);
        }
    }

    #[test]
    fn the_lists_hold_the_planted_label_problems() {
        let corpus = corpus();
        let lists = [Split::Train, Split::Eval].map(|split| corpus.labels_csv(split));
        let rows: Vec<&str> =
            lists.iter().flat_map(|csv| csv.lines()).filter(|line| !line.starts_with('#')).collect();
        let videos: BTreeSet<&str> =
            rows.iter().filter_map(|row| row.split_once(',')).map(|(id, _)| id).collect();
        assert_eq!(videos.len(), rows.len(), "no video stands in both lists or twice");
        let unlabelled = corpus.clips.iter().filter(|clip| !videos.contains(clip.file_stem.as_str())).count();
        let stems: BTreeSet<&str> = corpus.clips.iter().map(|clip| clip.file_stem.as_str()).collect();
        assert_eq!(unlabelled, LABEL_PROBLEMS as usize);
        assert_eq!(videos.difference(&stems).count(), LABEL_PROBLEMS as usize);
        for clip in corpus.clips.iter().filter(|clip| !clip.labels.is_empty()) {
            let list = &lists[usize::from(clip.split == Split::Eval)];
            let start = clip.segment.start_ms / 1000;
            let row =
                format!("{}, {start}.000, {}.000, \"{}\"", clip.file_stem, start + 10, clip.labels.join(","));
            assert!(list.lines().any(|line| line == row), "{row}");
        }
    }
}
