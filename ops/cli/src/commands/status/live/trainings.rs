//! Trainings whose folders lie in a run's, how their losses go, and what their models knew on the way.
//!
//! A result is a folder with [`Trained::LOSSES`] and perhaps [`Trained::EXAMS`] in it. While it is on its way they lie in
//! the folders of the parts, [`Trained::part`], of its working folder, [`Trained::working`]: there the losses grow by a
//! line a step, and are cut when a killed training does some steps again; the exams are written anew with each.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use counterpoint_models::Trained;
use counterpoint_pages::{live::Training, plot::Series, report::ExamPoint};
use serde::Deserialize;

use super::exams::Exams;
use crate::commands::run::rounds::CHECKPOINTS;

/// Trainings that are shown; the oldest are not.
const SHOWN: usize = 6;
/// Folders below a run's that are looked through, itself included.
const PLACES: [&str; 3] = ["", "models", CHECKPOINTS];
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
    /// Number of each part that has losses, and the steps before it.
    parts: Vec<(u64, u64)>,
    losses: Series,
    /// Exams of the files that were read or are being read.
    exams: Vec<Exams>,
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
            let name = folder.strip_suffix(Trained::WORKING);
            Training {
                is_done: name.is_none(),
                name: name.unwrap_or(&folder).to_owned(),
                losses: course.losses.clone(),
                breaks: course.breaks(),
                exams: course.exams(),
            }
        };
        let shown = self.known.iter().filter(|(_, course)| course.losses.steps() > 0).map(training).collect();
        let problems = self.known.values().flat_map(Course::problems);
        (shown, problems.cloned().collect())
    }

    /// The newest folders of trainings, in the order of their names. What is not there or cannot be read has none.
    fn folders(&self) -> Vec<PathBuf> {
        let inside = PLACES.into_iter().filter_map(|place| fs::read_dir(self.out.join(place)).ok()).flatten();
        let mut folders: Vec<(SystemTime, PathBuf)> = inside
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|folder| {
                let is_result = || folder.join(Trained::LOSSES).is_file();
                is_working(folder) || (is_result() && !Trained::working(folder).exists())
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
    name.ends_with(Trained::WORKING) && Trained::part(folder, 1).is_dir()
}

/// Where the files of this number lie, the first is 0: in a part of a working folder, or in a result.
fn place(folder: &Path, file: usize) -> PathBuf {
    if is_working(folder) { Trained::part(folder, file + 1) } else { folder.to_owned() }
}

impl Course {
    /// Reads on.
    fn read(&mut self, folder: &Path) {
        self.read_losses(folder);
        self.exams.resize_with(self.file + 1, Exams::default);
        for (file, exams) in (0..).zip(&mut self.exams) {
            exams.look(&place(folder, file).join(Trained::EXAMS));
        }
    }

    /// Reads losses on; from the beginning where a file became shorter.
    fn read_losses(&mut self, folder: &Path) {
        self.unreadable = None;
        loop {
            let path = place(folder, self.file).join(Trained::LOSSES);
            match self.read_file(&path) {
                // A part that has begun ends those before it.
                Ok(true) if is_working(folder) && Trained::part(folder, self.file + 2).is_dir() => {
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
        if self.parts.last().is_none_or(|(before, _)| *before != part) {
            self.parts.push((part, self.losses.steps()));
        }
        self.losses.push(line.loss.unwrap_or(f64::NAN));
    }

    /// Steps before which a part begins, and its name.
    fn breaks(&self) -> Vec<(u64, String)> {
        let later = self.parts.iter().skip(1);
        later.map(|(part, before)| (before + 1, format!("part {part}"))).collect()
    }

    /// What the model knew, each time with the steps of all parts that were taken before.
    fn exams(&self) -> Vec<(u64, ExamPoint)> {
        let placed = |exam: &ExamPoint| {
            let place = self.parts.iter().position(|(part, _)| *part == exam.part)?;
            let (_, before) = self.parts[place];
            let end = self.parts.get(place + 1).map_or(self.losses.steps(), |(_, before)| *before);
            let after = before.checked_add(exam.step)?;
            // What was asked after more steps than there are comes back when those are read, or, where a killed
            // training does them again, is asked again.
            (after <= end).then(|| (after, exam.clone()))
        };
        self.exams.iter().flat_map(Exams::points).filter_map(placed).collect()
    }

    /// What is wrong with its files, as sentences.
    fn problems(&self) -> impl Iterator<Item = &String> {
        let of_losses = [&self.damaged, &self.unreadable].into_iter().flatten();
        of_losses.chain(self.exams.iter().filter_map(Exams::problem))
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

    fn exam(part: u64, step: u64, right: u64) -> String {
        format!("{{\"part\":{part},\"step\":{step},\"asked\":\"audio\",\"right\":{right},\"of\":8}}\n")
    }

    /// Steps of all parts before each exam, and what was right in it.
    fn known(training: &Training) -> Vec<(u64, u64)> {
        training.exams.iter().map(|(after, exam)| (*after, exam.right)).collect()
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
    fn what_a_model_knew_stands_after_the_steps_of_all_parts() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let mut trainings = Trainings::of(out);
        write(out, "models/base.training/part-1/losses.jsonl", &lines(&[3.0, 2.0]));
        trainings.look();
        assert!(known(&trainings.shown().0[0]).is_empty(), "it was not asked yet");
        write(out, "models/base.training/part-1/exams.jsonl", &(exam(1, 0, 1) + &exam(1, 2, 3)));
        trainings.look();
        assert_eq!(known(&trainings.shown().0[0]), [(0, 1), (2, 3)]);

        write(out, "models/base.training/part-2/losses.jsonl", &lines(&[1.0, 0.5, 0.4]));
        let second = exam(2, 0, 3) + &exam(2, 3, 8);
        write(out, "models/base.training/part-2/exams.jsonl", &second);
        trainings.look();
        let all: [(u64, u64); 4] = [(0, 1), (2, 3), (2, 3), (5, 8)];
        assert_eq!(known(&trainings.shown().0[0]), all);

        // Its last steps are taken again, and what was asked after them waits for them.
        write(out, "models/base.training/part-2/losses.jsonl", &lines(&[1.0]));
        trainings.look();
        trainings.look();
        assert_eq!(known(&trainings.shown().0[0]), all[..3]);

        let of_part = |part, steps| format!("{{\"loss\":1.0,\"part\":{part}}}\n").repeat(steps);
        write(out, "models/base/losses.jsonl", &(of_part(1, 2) + &of_part(2, 3)));
        write(out, "models/base/exams.jsonl", &(exam(1, 0, 1) + &exam(1, 2, 3) + &second));
        fs::remove_dir_all(out.join("models/base.training")).unwrap();
        trainings.look();
        let (shown, problems) = trainings.shown();
        assert_eq!((known(&shown[0]), shown[0].is_done, problems.len()), (all.to_vec(), true, 0));
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
        write(out, "models/b/exams.jsonl", "no json\n");
        write(out, "models/notes.txt", "no training");
        write(out, "checkpoints/round/losses.jsonl", &lines(&[1.0, 1.0, 1.0]));
        trainings.look();
        let (shown, problems) = trainings.shown();
        assert_eq!(shown.iter().map(|training| training.losses.steps()).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("models/b/losses.jsonl is damaged"), "{problems:?}");
        assert!(problems[1].contains("models/b/exams.jsonl is damaged"), "{problems:?}");
    }
}
