//! A disk that is full.

use counterpoint_tests::{disk::SmallDisk, out::Out, workplace::Workplace};

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
