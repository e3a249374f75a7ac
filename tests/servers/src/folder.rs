//! Where a server keeps its data.

use std::{fs, path::Path, thread};

use tempfile::TempDir;

use crate::ServerError;

/// A folder that the user named and keeps, or a temporary one that goes with the server, unless a test
/// has just failed: then what the server wrote may say why.
#[derive(Debug)]
pub(crate) enum Folder {
    Kept(std::path::PathBuf),
    Temporary(Option<TempDir>),
}

impl Folder {
    pub(crate) fn kept(path: &Path) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Io { what: "cannot make folder", place: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        Ok(Self::Kept(fs::canonicalize(path).map_err(failed)?))
    }

    pub(crate) fn temporary(prefix: &str) -> Result<Self, ServerError> {
        let made = tempfile::Builder::new().prefix(prefix).tempdir();
        let folder = made.map_err(|source| ServerError::Io {
            what: "cannot make a folder in",
            place: std::env::temp_dir(),
            source,
        })?;
        Ok(Self::Temporary(Some(folder)))
    }

    /// The path, if it is to go with the server.
    pub(crate) fn temporary_path(&self) -> Option<&Path> {
        match self {
            Self::Kept(_) => None,
            Self::Temporary(folder) => folder.as_ref().map(TempDir::path),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.as_ref().map_or(Path::new(""), TempDir::path),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Temporary(folder) = self
            && thread::panicking()
            && let Some(folder) = folder.take()
        {
            eprintln!("kept for a look: {}", folder.keep().display());
        }
    }
}
