//! Folders and files that the program may not open. Root may open everything, so there the program is
//! started as nobody.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use counterpoint_tests::{
    out::number,
    program::{Program, built},
    shared,
    workplace::{Workplace, small, video},
};

/// User and group number of nobody on Debian.
const NOBODY: &str = "65534";

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A workplace that anybody may enter, with programs that anybody may start.
fn open_to_all(clips: u32) -> Workplace {
    let workplace = Workplace::with_clips(clips);
    allow(&workplace.path(""), 0o777);
    fs::create_dir(workplace.path("bin")).unwrap();
    for program in ["counterpoint", "counterpoint-worker"] {
        fs::copy(built(program), workplace.path("bin").join(program)).unwrap();
    }
    fs::copy(shared("ontology.json"), workplace.path("ontology.json")).unwrap();
    workplace
}

fn run(workplace: &Workplace) -> Program {
    let program = workplace.path("bin/counterpoint");
    let program = match rustix::process::geteuid().is_root() {
        true => Program::at(Path::new("setpriv"))
            .with(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
            .with([program]),
        false => Program::at(&program),
    };
    small(program)
        .env("HOME", workplace.path(""))
        .with(["run".as_ref(), "--clips".as_ref(), workplace.path("clips").as_os_str()])
        .with(["--labels".into(), workplace.path("train.csv"), workplace.path("eval.csv")])
        .with(["--ontology".into(), workplace.path("ontology.json"), "--out".into(), workplace.path("out")])
}

#[test]
fn what_may_not_be_read_is_named_and_is_read_once_it_may() {
    let workplace = open_to_all(4);
    let clips = workplace.path("clips");
    allow(&clips, 0o000);
    run(&workplace).run().ended_with(1, &[clips.to_str().unwrap(), "ermission denied", "check the path"]);
    allow(&clips, 0o755);

    let list = workplace.path("eval.csv");
    allow(&list, 0o000);
    run(&workplace).run().ended_with(1, &[list.to_str().unwrap(), "ermission denied", "check the path"]);
    allow(&list, 0o644);

    let (locked, file) = (workplace.path("clips/locked"), workplace.clip(&video(0)));
    fs::create_dir(&locked).unwrap();
    fs::rename(workplace.clip(&video(1)), locked.join("video000001.mp4")).unwrap();
    allow(&locked, 0o000);
    allow(&file, 0o000);
    let ended = run(&workplace).run().done();
    let left_out = format!("{} was left out: ", locked.display());
    assert!(ended.stderr.contains(&left_out), "{}", ended.stderr);
    let out = workplace.out();
    let summary = out.summary();
    assert_eq!(number(&summary["accepted"]), 2, "{summary:#}");
    let told = out.reject_of(&video(0));
    assert!(told.contains("unreadable_file") && told.contains("mend its permissions"), "{told}");

    allow(&locked, 0o755);
    allow(&file, 0o644);
    run(&workplace).run().done();
    let summary = out.summary();
    assert_eq!(number(&summary["accepted"]), 4, "{summary:#}");
}

#[test]
fn an_output_folder_that_may_not_be_written_is_named() {
    let workplace = open_to_all(2);
    let out = workplace.path("out");
    fs::create_dir(&out).unwrap();
    allow(&out, 0o555);
    run(&workplace).run().ended_with(1, &[out.to_str().unwrap(), "ermission denied"]);
    allow(&out, 0o777);
    run(&workplace).run().done();
    assert_eq!(number(&workplace.out().summary()["accepted"]), 2);
}
