//! The media files that `prepare` and `sample` are given.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::output::{Failure, say};

/// Media files named by the user, themselves or by their folders.
#[derive(Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Files in a stable order, also those that are not there: each gets its reject.
    pub files: Vec<PathBuf>,
    /// Whether every path that the user gave is there.
    pub are_all_there: bool,
}

impl Inputs {
    /// Files as they are, and of folders, with their subfolders, the files of these endings. Tells of
    /// folders without any.
    ///
    /// # Errors
    /// If there is nothing to do at all.
    pub fn find(paths: &[PathBuf], extensions: &[String]) -> Result<Self, Failure> {
        let mut inputs = Self { files: Vec::new(), are_all_there: true };
        let mut empty = Vec::new();
        for path in paths {
            if !path.is_dir() {
                inputs.are_all_there &= path.exists();
                inputs.files.push(path.clone());
                continue;
            }
            let before = inputs.files.len();
            inputs.files.extend(below(path, extensions));
            if inputs.files.len() == before {
                empty.push(format!("no file ending in {} below {}", extensions.join(", "), path.display()));
            }
        }
        if inputs.files.is_empty() {
            return Err(Failure::Failed(anyhow::anyhow!("{}", empty.join("\n"))));
        }
        for line in &empty {
            say(line);
        }
        Ok(inputs)
    }
}

fn below(folder: &Path, extensions: &[String]) -> impl Iterator<Item = PathBuf> {
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    walk.into_iter().flatten().map(walkdir::DirEntry::into_path).filter(|file| {
        let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        file.is_file() && ending.is_some_and(|ending| extensions.contains(&ending))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn extensions() -> Vec<String> {
        ["mp4", "mkv"].map(str::to_owned).to_vec()
    }

    #[test]
    fn files_are_taken_as_they_are_and_folders_by_their_endings() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("deep");
        fs::create_dir(&inside).unwrap();
        for name in ["b.MP4", "a.mkv", "notes.txt"] {
            fs::write(inside.join(name), "").unwrap();
        }
        let typed = inside.join("notes.txt");
        let inputs = Inputs::find(&[typed.clone(), folder.path().to_owned()], &extensions()).unwrap();
        assert_eq!(inputs.files, [typed, inside.join("a.mkv"), inside.join("b.MP4")]);
        assert!(inputs.are_all_there);
    }

    #[test]
    fn a_path_that_is_not_there_stays_an_input_and_is_remembered() {
        let inputs = Inputs::find(&["nowhere.mp4".into()], &extensions()).unwrap();
        assert_eq!(inputs, Inputs { files: vec!["nowhere.mp4".into()], are_all_there: false });
    }

    #[test]
    fn folders_without_any_media_file_are_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = Inputs::find(&[folder.path().to_owned()], &extensions()).unwrap_err().to_string();
        assert!(error.starts_with("no file ending in mp4, mkv below /"), "{error}");
    }
}
