//! Trainings whose folders lie in a run's, and how their losses go.
//!
//! A result is a folder `NAME` with `losses.jsonl` in it; while it is on its way, `NAME.training/part-N/losses.jsonl`
//! grows by a line a step, and is cut when a killed training does some steps again (`models/local/src/course.rs`).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use counterpoint_pages::{live::Training, plot::Series};
use serde::Deserialize;

use crate::commands::run::rounds::CHECKPOINTS;

/// Trainings that are shown; the oldest are not.
const SHOWN: usize = 6;
/// Folders below a run's that are looked through, itself included.
const PLACES: [&str; 3] = ["", "models", CHECKPOINTS];
/// What the folder of a training that is not at its end is called behind its name.
const WORKING: &str = ".training";
const LOSSES: &str = "losses.jsonl";
/// Bytes of a file that are read at a time; what is behind them is read by the next look.
const AT_A_TIME: u64 = 4 << 20;

/// The trainings of a run.
#[derive(Debug)]
pub(super) struct Trainings {
    out: PathBuf,
    /// By their folders.
    known: BTreeMap<PathBuf, Course>,
}

/// A training as far as it was read.
#[derive(Debug, Default)]
struct Course {
    /// The file that is being read, the first is 0.
    file: usize,
    /// Bytes of it that were read.
    read: u64,
    part: Option<u64>,
    losses: Series,
    breaks: Vec<(u64, String)>,
    /// What is wrong with a line.
    damaged: Option<String>,
    /// What kept the last look from reading.
    unreadable: Option<String>,
}

/// A line of losses; other fields are passed over.
#[derive(Deserialize)]
struct Line {
    /// Null where it is no number.
    loss: Option<f64>,
    /// In results.
    part: Option<u64>,
}

impl Trainings {
    /// Those in an output folder; none was read yet.
    pub(super) fn of(out: &Path) -> Self {
        Self { out: out.to_owned(), known: BTreeMap::new() }
    }

    /// Reads what is new.
    pub(super) fn look(&mut self) {
        let folders = self.folders();
        self.known.retain(|folder, _| folders.contains(folder));
        for folder in folders {
            self.known.entry(folder.clone()).or_default().read(&folder);
        }
    }

    /// The trainings by name, and what is wrong with their files, as sentences.
    pub(super) fn shown(&self) -> (Vec<Training>, Vec<String>) {
        let training = |(folder, course): (&PathBuf, &Course)| {
            let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = folder.strip_suffix(WORKING);
            Training {
                is_done: name.is_none(),
                name: name.unwrap_or(&folder).to_owned(),
                losses: course.losses.clone(),
                breaks: course.breaks.clone(),
            }
        };
        let shown = self.known.iter().filter(|(_, course)| course.losses.steps() > 0).map(training).collect();
        let problems = self.known.values().flat_map(|course| [&course.damaged, &course.unreadable]);
        (shown, problems.flatten().cloned().collect())
    }

    /// The newest folders of trainings, in the order of their names. What is not there or cannot be read has none.
    fn folders(&self) -> Vec<PathBuf> {
        let inside = PLACES.into_iter().filter_map(|place| fs::read_dir(self.out.join(place)).ok()).flatten();
        let mut folders: Vec<(SystemTime, PathBuf)> = inside
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|folder| {
                is_working(folder) || (folder.join(LOSSES).is_file() && !working(folder).exists())
            })
            .filter_map(|folder| Some((fs::metadata(&folder).ok()?.modified().ok()?, folder)))
            .collect();
        folders.sort();
        let newest = folders.split_off(folders.len().saturating_sub(SHOWN));
        let mut newest: Vec<_> = newest.into_iter().map(|(_, folder)| folder).collect();
        newest.sort();
        newest
    }
}

fn is_working(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(WORKING) && folder.join("part-1").is_dir()
}

/// The folder of the training that a result would come from.
fn working(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(WORKING);
    folder.with_file_name(name)
}

impl Course {
    /// Reads on; from the beginning where a file became shorter.
    fn read(&mut self, folder: &Path) {
        self.unreadable = None;
        loop {
            let path = match is_working(folder) {
                true => folder.join(format!("part-{}", self.file + 1)).join(LOSSES),
                false => folder.join(LOSSES),
            };
            match self.read_file(&path) {
                // A part that has begun ends those before it.
                Ok(true) if is_working(folder) && folder.join(format!("part-{}", self.file + 2)).is_dir() => {
                    (self.file, self.read) = (self.file + 1, 0);
                }
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(error) => {
                    self.unreadable = Some(format!("{} cannot be read: {error}.", path.display()));
                    return;
                }
            }
        }
    }

    /// Reads what is new in a file; whether that is all there is.
    fn read_file(&mut self, path: &Path) -> io::Result<bool> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        if length < self.read {
            // Steps were taken back: the next look reads them all again.
            *self = Self::default();
            return Ok(false);
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.take(AT_A_TIME).read_to_end(&mut bytes)?;
        // A line that is being written has no end yet.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Line>(line) {
                Ok(line) => self.step(&line),
                Err(error) => self.damaged = Some(format!("{} is damaged: {error}.", path.display())),
            }
        }
        Ok(self.read >= length)
    }

    fn step(&mut self, line: &Line) {
        let part = line.part.unwrap_or(self.file as u64 + 1);
        if self.part.is_some_and(|before| before != part) {
            self.breaks.push((self.losses.steps() + 1, format!("part {part}")));
        }
        self.part = Some(part);
        self.losses.push(line.loss.unwrap_or(f64::NAN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(out: &Path, name: &str, text: &str) {
        let path = out.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn lines(losses: &[f64]) -> String {
        losses.iter().map(|loss| format!("{{\"step\":1,\"loss\":{loss},\"lr\":0.1}}\n")).collect()
    }

    fn values(training: &Training) -> Vec<f64> {
        training.losses.points().iter().map(|point| point.value).collect()
    }

    #[test]
    fn a_training_is_followed_over_its_parts_to_its_result() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let mut trainings = Trainings::of(out);
        trainings.look();
        assert_eq!(trainings.shown(), (vec![], vec![]));
        write(out, "models/base.training/part-1/losses.jsonl", &(lines(&[3.0, 2.0]) + "{\"step\":3,\"lo"));
        write(out, "models/base.training/lessons.json", "{}");
        trainings.look();
        let (shown, problems) = trainings.shown();
        assert_eq!((shown[0].name.as_str(), shown[0].is_done, problems.len()), ("base", false, 0));
        assert_eq!(values(&shown[0]), [3.0, 2.0], "a line that is being written waits for its end");

        write(out, "models/base.training/part-1/losses.jsonl", &lines(&[3.0, 2.0, 1.0]));
        write(out, "models/base.training/part-2/losses.jsonl", &lines(&[0.5]));
        trainings.look();
        let (shown, _) = trainings.shown();
        assert_eq!(values(&shown[0]), [3.0, 2.0, 1.0, 0.5]);
        assert_eq!(shown[0].breaks, [(4, "part 2".to_owned())]);

        let of_part = |part, loss| format!("{{\"step\":1,\"loss\":{loss},\"lr\":0.1,\"part\":{part}}}\n");
        write(out, "models/base/losses.jsonl", &(of_part(1, 3.0) + &of_part(2, 0.5)));
        trainings.look();
        assert_eq!(trainings.shown().0.len(), 1, "a result counts when its training is over");
        assert!(!trainings.shown().0[0].is_done);
        fs::remove_dir_all(out.join("models/base.training")).unwrap();
        trainings.look();
        let (shown, _) = trainings.shown();
        assert_eq!((shown.len(), shown[0].is_done, values(&shown[0])), (1, true, vec![3.0, 0.5]));
        assert_eq!(shown[0].breaks, [(2, "part 2".to_owned())]);
    }

    #[test]
    fn steps_that_are_taken_again_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let mut trainings = Trainings::of(out);
        write(out, "tiny.training/part-1/losses.jsonl", &lines(&[3.0, 2.0, 1.0]));
        trainings.look();
        write(out, "tiny.training/part-1/losses.jsonl", &lines(&[3.0, 2.0]));
        trainings.look();
        trainings.look();
        assert_eq!(values(&trainings.shown().0[0]), [3.0, 2.0]);
    }

    #[test]
    fn what_is_damaged_is_told_and_the_rest_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let mut trainings = Trainings::of(out);
        write(out, "models/a/losses.jsonl", "{\"loss\":null}\n{\"loss\":2.0}\n");
        write(out, "models/b/losses.jsonl", &("no json\n".to_owned() + &lines(&[1.0])));
        write(out, "models/notes.txt", "no training");
        write(out, "checkpoints/round/losses.jsonl", &lines(&[1.0, 1.0, 1.0]));
        trainings.look();
        let (shown, problems) = trainings.shown();
        assert_eq!(shown.iter().map(|training| training.losses.steps()).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("models/b/losses.jsonl is damaged"), "{problems:?}");
    }
}
