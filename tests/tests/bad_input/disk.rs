//! A disk that is full: a small file system in memory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use counterpoint_tests::{out::Out, workplace::Workplace};

/// A file system in memory, gone when this value is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one; `None` where that takes more rights than the test has.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let disk = Self(folder.to_owned());
        disk.mounted(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).then_some(disk)
    }

    fn resize(&self, size: &str) {
        assert!(self.mounted(&["-o", &format!("remount,size={size}")]));
    }

    fn mounted(&self, how: &[&str]) -> bool {
        Command::new("mount").args(how).arg(&self.0).status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_run_with_its_place_and_the_same_command_finishes_once_there_is_space() {
    let workplace = Workplace::with_clips(8);
    workplace.run().run().done();
    // Too little for the log itself, for the media, and for the files that are made of them.
    for (number, size) in ["16k", "300k", "900k", "2m"].into_iter().enumerate() {
        let folder = workplace.path(&format!("disk-{number}"));
        let Some(disk) = SmallDisk::mount(&folder, size) else {
            eprintln!("not tested: mounting a small file system needs root and CAP_SYS_ADMIN");
            return;
        };
        let run = || workplace.run_into(&folder).env("COUNTERPOINT_EFFORT__PATIENCE_SECONDS", "1");
        run().run().ended_with(1, &["no space left", folder.to_str().unwrap(), "free some and"]);
        disk.resize("64m");
        run().run().done();
        let out = Out::at(&folder);
        assert_eq!(out.manifest(), workplace.out().manifest(), "{size}");
        assert_eq!(out.summary(), workplace.out().summary(), "{size}");
    }
}
