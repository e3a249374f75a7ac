//! A line for each step, in a file beside the kept states. A training that goes on cuts off what it does again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{TrainError, trainer::Step};

/// Name of the file.
const FILE: &str = "losses.jsonl";

/// The file, open at its end.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// The journal of a training of which so many steps are done: the lines of these stay.
    pub(super) fn open(folder: &Path, done: u64) -> Result<Self, TrainError> {
        let path = folder.join(FILE);
        let failed = |source| TrainError::Write { path: path.clone(), source };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|source| TrainError::Read { path: path.clone(), source })?,
        };
        let lines = usize::try_from(done).unwrap_or(usize::MAX);
        let kept: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
        if text.split_inclusive('\n').take(lines).filter(|line| line.ends_with('\n')).count() != lines {
            let reason = format!("it has fewer lines than the {done} steps that are done");
            return Err(TrainError::Damaged { file: path, reason });
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        file.set_len(kept as u64).map_err(failed)?;
        Ok(Self { path, file })
    }

    /// Adds a line.
    pub(super) fn write(&mut self, step: &Step) -> Result<(), TrainError> {
        let line = serde_json::to_string(step).map_err(io::Error::from).map(|line| line + "\n");
        let written = line.and_then(|line| self.file.write_all(line.as_bytes()));
        written.map_err(|source| TrainError::Write { path: self.path.clone(), source })
    }

    /// Makes all lines durable: before the state that counts on them.
    pub(super) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_all().map_err(|source| TrainError::Write { path: self.path.clone(), source })
    }
}
