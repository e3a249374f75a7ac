//! A small disk that can be full: a file system in memory.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory, gone when this value is dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one on a new folder, of a size such as `900k`; `None` where that takes more rights than the
    /// test has.
    ///
    /// # Panics
    /// If the folder cannot be made.
    pub fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir(folder).expect("a folder to mount on");
        let disk = Self(folder.to_owned());
        disk.mounted(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).then_some(disk)
    }

    /// Gives it another size.
    ///
    /// # Panics
    /// If that fails.
    pub fn resize(&self, size: &str) {
        assert!(self.mounted(&["-o", &format!("remount,size={size}")]), "the disk is resized");
    }

    fn mounted(&self, how: &[&str]) -> bool {
        Command::new("mount").args(how).arg(&self.0).status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Where it was never mounted there is nothing to undo.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
