//! What a model was asked while it learned, as it stands in one file.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    time::SystemTime,
};

use counterpoint_pages::report::ExamPoint;

/// Bytes of a file that are read. A training asks a few times: only where it asks thousands of times is there more.
const AT_MOST: u64 = 256 << 10;

/// A file of exams as it was read last.
#[derive(Debug, Default)]
pub(super) struct Exams {
    /// What tells the file from another one in its place: inode, length and time of change. `None` where none was read.
    seen: Option<(u64, u64, SystemTime)>,
    points: Vec<ExamPoint>,
    problem: Option<String>,
}

impl Exams {
    /// Reads the file if it is not the one that was read before: each exam puts another one in its place.
    pub(super) fn look(&mut self, path: &Path) {
        match self.read(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => *self = Self::default(),
            Err(error) => {
                let problem = Some(format!("{} cannot be read: {error}.", path.display()));
                *self = Self { problem, ..Self::default() };
            }
        }
    }

    /// The lines of the file.
    pub(super) fn points(&self) -> &[ExamPoint] {
        &self.points
    }

    /// What is wrong with the file, as a sentence.
    pub(super) fn problem(&self) -> Option<&String> {
        self.problem.as_ref()
    }

    fn read(&mut self, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        let seen = Some((facts.ino(), facts.len(), facts.modified()?));
        if self.seen == seen {
            return Ok(());
        }
        let mut bytes = Vec::new();
        file.take(AT_MOST).read_to_end(&mut bytes)?;
        *self = Self { seen, ..Self::default() };
        // What is cut off at its end is no line.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(point) => self.points.push(point),
                Err(error) => self.problem = Some(format!("{} is damaged: {error}.", path.display())),
            }
        }
        if facts.len() > AT_MOST {
            let path = path.display();
            self.problem = Some(format!("{path} is longer than {AT_MOST} bytes: what follows is not shown."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(step: u64) -> String {
        format!("{{\"part\":1,\"step\":{step},\"asked\":\"audio\",\"right\":3,\"of\":8}}\n")
    }

    fn steps(exams: &Exams) -> Vec<u64> {
        exams.points().iter().map(|point| point.step).collect()
    }

    #[test]
    fn a_file_that_came_in_the_place_of_another_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, next) = (folder.path().join("exams.jsonl"), folder.path().join("exams.partial"));
        let mut exams = Exams::default();
        exams.look(&path);
        assert_eq!((steps(&exams), exams.problem()), (vec![], None));
        // The third is as long as the second and says something else.
        for told in [&[0, 20][..], &[0, 20, 40], &[0, 30, 60], &[0]] {
            fs::write(&next, told.iter().copied().map(line).collect::<String>()).unwrap();
            fs::rename(&next, &path).unwrap();
            exams.look(&path);
            assert_eq!((steps(&exams), exams.problem()), (told.to_vec(), None));
        }
        fs::remove_file(&path).unwrap();
        exams.look(&path);
        assert_eq!((steps(&exams), exams.problem()), (vec![], None));
    }

    #[test]
    fn what_is_damaged_cut_off_or_too_long_is_told_and_the_rest_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exams.jsonl");
        let mut exams = Exams::default();
        fs::write(&path, "{}\n".to_owned() + &line(20) + "{\"part\":1,\"st").unwrap();
        exams.look(&path);
        assert_eq!(steps(&exams), [20]);
        assert!(exams.problem().unwrap().contains("exams.jsonl is damaged"), "{:?}", exams.problem());

        let lines = 1 + AT_MOST as usize / line(20).len();
        fs::write(&path, line(20).repeat(lines)).unwrap();
        exams.look(&path);
        assert_eq!(steps(&exams), vec![20; lines - 1]);
        assert!(exams.problem().unwrap().contains("is longer than"), "{:?}", exams.problem());

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        exams.look(&path);
        assert!(steps(&exams).is_empty());
        assert!(exams.problem().unwrap().contains("cannot be read"), "{:?}", exams.problem());
    }
}
