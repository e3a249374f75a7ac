//! Clips and media objects in buckets: the same results as on a local disk, whatever the server does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use counterpoint_messages::ContentHash;
use counterpoint_servers::s3::S3Server;
use counterpoint_tests::{
    out::{Out, number},
    program::{Program, until},
    shared,
    workplace::{Workplace, small, video},
};

const CLIPS: &str = "s3://clips/of/somebody";
const STORE: &str = "s3://store/run";

/// A server with the clips of a workplace.
fn server(workplace: &Workplace) -> S3Server {
    let server = S3Server::start(&["clips", "store"]).unwrap();
    server.fill("clips", "of/somebody", &workplace.path("clips")).unwrap();
    server
}

/// A program with access to the server, and its store there.
fn with(server: &S3Server, mut program: Program) -> Program {
    for (name, value) in server.environment() {
        program = program.env(name, value);
    }
    program.env("COUNTERPOINT_STORE__URL", STORE)
}

fn run(workplace: &Workplace, server: &S3Server, clips: &str, out: &Path) -> Program {
    let lists = ["train.csv", "eval.csv"].map(|name| workplace.path(name));
    let program = small(Program::counterpoint(["run", "--clips", clips]))
        .with(lists.iter().flat_map(|list| ["--labels".as_ref(), list.as_path()]))
        .with(["--ontology".into(), shared("ontology.json")])
        .with(["--out".as_ref(), out]);
    with(server, program)
}

/// Media files below a folder, by name, with their content.
fn made(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "mp4"));
    files.map(|file| (file.file_name().to_string_lossy().into(), fs::read(file.path()).unwrap())).collect()
}

#[test]
fn a_run_over_buckets_comes_to_what_a_local_one_comes_to_although_it_is_killed_and_the_server_falls_ill() {
    let workplace = Workplace::with_clips(6);
    workplace.run().with(["--materialise"]).run().done();
    let server = server(&workplace);
    let out = workplace.path("remote");
    let program = || run(&workplace, &server, CLIPS, &out).with(["--materialise"]);

    let stored = || {
        let files = walkdir::WalkDir::new(server.bucket("store")).into_iter().filter_map(Result::ok);
        files.filter(|entry| entry.file_type().is_file()).count()
    };
    // Killed when the first object of a clip has been stored, and again a little later.
    for objects in [6, 9] {
        let mut killed = program().start();
        killed.until("objects are stored", |_| stored() >= objects);
        killed.kill();
        killed.wait().leaves_nobody();
    }
    let (mut disturbed, before) = (program().start(), stored());
    disturbed.until("another object is stored", |_| stored() > before);
    server.set_ill(true);
    let refused = server.refused();
    disturbed.until("the server refuses", |_| server.refused() > refused + 20);
    server.set_ill(false);
    disturbed.wait().done();

    let (remote, local) = (Out::at(&out), workplace.out());
    assert_eq!(remote.manifest(), local.manifest());
    assert_eq!(remote.summary(), local.summary());
    assert_eq!(made(&out.join("samples")), made(&local.path("samples")));
    assert!(!out.join("objects").exists(), "nothing is stored beside the bucket");

    let composed = workplace.path("composed");
    let compose = Program::counterpoint(["compose", "--recipes", "aligned", "--from"]);
    with(&server, compose.with([&out]).with(["--out".as_ref(), composed.as_path()])).run().done();
    assert_eq!(made(&composed.join("aligned")), made(&out.join("samples/aligned")));

    // Without the settings of the store nothing is mixed up.
    let compose = Program::counterpoint(["compose", "--from"]).with([&out]);
    compose
        .with(["--out".as_ref(), workplace.path("nowhere").as_path()])
        .run()
        .ended_with(2, &["are not in", "store.url"]);
}

#[test]
fn an_object_that_vanished_or_changed_between_found_and_decoded_costs_its_own_clip_only() {
    let workplace = Workplace::with_clips(4);
    let server = server(&workplace);
    let out = Out::at(&workplace.path("out"));
    let program = || run(&workplace, &server, CLIPS, &out.path(""));
    let begun = program().with(["--stages", "source,curator"]).start();
    until("all are found", || {
        out.status_if_begun().is_some_and(|status| number(&status["summary"]["curated"]) == 4)
    });
    begun.interrupt();
    begun.wait();
    let object = |number| server.bucket("clips").join(format!("of/somebody/{}.mp4", video(number)));
    fs::remove_file(object(0)).unwrap();
    fs::copy(object(2), object(1)).unwrap();
    program().run().done();
    let rejected = &out.summary()["rejected"]["decoder"];
    assert_eq!(rejected.to_string(), r#"{"media_changed":1,"media_missing":1}"#);
    assert_eq!(number(&out.summary()["accepted"]), 2);
}

#[test]
fn a_bucket_is_followed_what_comes_later_is_read_once_and_a_server_that_falls_ill_is_waited_for() {
    let workplace = Workplace::with_clips(2);
    let server = server(&workplace);
    let out = Out::at(&workplace.path("out"));
    let program = || {
        run(&workplace, &server, CLIPS, &out.path(""))
            .with(["--follow"])
            .env("COUNTERPOINT_FOLLOW__SCAN_SECONDS", "0.1")
            .env("COUNTERPOINT_FOLLOW__SETTLE_SECONDS", "0.3")
            .env("COUNTERPOINT_FOLLOW__SEAL_CLIPS", "2")
    };
    let accepted = || out.status_if_begun().map_or(0, |status| number(&status["summary"]["accepted"]));
    let fill = || server.fill("clips", "of/somebody", &workplace.path("clips")).unwrap();
    let mut following = program().start();
    following.until("what is there is accepted", |_| accepted() == 2);

    workplace.add_good(2);
    fill();
    following.until("what came later is accepted", |_| accepted() == 3);

    server.set_ill(true);
    let refused = server.refused();
    following.until("the server refuses", |_| server.refused() > refused);
    workplace.add_good(3);
    fill();
    server.set_ill(false);
    following.until("what came meanwhile is accepted", |_| accepted() == 4);
    following.kill();
    following.wait();

    workplace.add_good(4);
    fill();
    let mut following = program().start();
    following.until("what came after the kill is accepted", |_| accepted() == 5);
    following.interrupt();
    following.wait().done();
    assert_eq!(out.records()["decoded"], 5, "no object is decoded twice");
}

#[test]
fn a_server_or_bucket_that_is_not_there_is_told_at_the_start_with_its_remedy() {
    let workplace = Workplace::with_clips(2);
    let mut server = server(&workplace);
    let out = workplace.path("out");
    let told = |program: Program, words: &[&str]| {
        program.run().ended_with(1, words);
    };
    let doctor = || with(&server, Program::counterpoint(["doctor"]));
    let found = doctor().run();
    assert!(found.stdout.contains("s3://store/run can be read and written"), "{}", found.stdout);
    let away = ["there is no bucket for s3://none/x", "make it, or correct the name"];
    told(run(&workplace, &server, "s3://none/x", &out), &away);
    told(run(&workplace, &server, CLIPS, &out).env("COUNTERPOINT_STORE__URL", "s3://none/x"), &away);
    told(
        run(&workplace, &server, CLIPS, &out).env("AWS_SECRET_ACCESS_KEY", "wrong"),
        &["access to s3://clips/of/somebody is denied", "AWS_ACCESS_KEY_ID"],
    );
    run(&workplace, &server, "s3://clips/../x", &out).run().ended_with(2, &["is not s3://BUCKET/PREFIX"]);
    server.stop();
    told(
        run(&workplace, &server, CLIPS, &out),
        &["s3://clips/of/somebody does not answer", "run again when it does"],
    );
    let found = with(&server, Program::counterpoint(["doctor"])).run();
    assert!(found.stdout.contains("MISSING store"), "{}", found.stdout);
    assert!(!out.join("manifest.jsonl").exists());
    server.start_again().unwrap();
    run(&workplace, &server, CLIPS, &out).run().done();
}

/// Puts an object that no record points to; as old as that.
fn orphan(objects: &Path, hours: u64) -> PathBuf {
    let hash = ContentHash::of(b"an orphan").to_string();
    let path = objects.join(&hash[..2]).join(&hash);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "an orphan").unwrap();
    age(&path, hours);
    path
}

fn age(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3600);
    File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
}

/// Makes everything in the store so old.
fn age_all(objects: &Path, hours: u64) {
    for entry in walkdir::WalkDir::new(objects).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            age(entry.path(), hours);
        }
    }
}

#[test]
fn a_sweep_removes_the_orphan_and_nothing_that_a_run_needs() {
    let workplace = Workplace::with_clips(4);
    let server = server(&workplace);
    let local = || small(Program::counterpoint(["sweep", "--json", "--out"])).with([workplace.path("out")]);
    let remote = || {
        with(&server, Program::counterpoint(["sweep", "--json", "--out"]).with([workplace.path("remote")]))
    };
    workplace.run().run().done();
    run(&workplace, &server, CLIPS, &workplace.path("remote")).run().done();

    let places: [(PathBuf, &dyn Fn() -> Program); 2] =
        [(workplace.path("out/objects"), &local), (server.bucket("store").join("run"), &remote)];
    for (objects, sweep) in places {
        let told = |arguments: &[&str]| sweep().with(arguments).run().done().json();
        age_all(&objects, 80);
        let orphan = orphan(&objects, 80);
        let dry = told(&["--dry-run"]);
        assert_eq!((number(&dry["marked"]), number(&dry["removed"])), (1, 0), "{dry}");
        let first = told(&[]);
        assert_eq!(number(&first["marked"]), 1, "{first}");
        // Four clips in two files each, two listings, ontology, rules and plan.
        assert_eq!(number(&first["in_use"]), 13, "{first}");
        assert_eq!(number(&told(&[])["waiting"]), 1);
        age_all(&objects.join("tombstones"), 50);
        assert_eq!(number(&told(&["--older-than", "72"])["waiting"]), 1);
        let last = told(&["--older-than", "48"]);
        assert_eq!((number(&last["removed"]), number(&last["removed_bytes"])), (1, 9), "{last}");
        assert!(!orphan.exists());
        assert_eq!(number(&told(&[])["objects"]), 13);
    }
    workplace.run().with(["--materialise"]).run().done();
    let again = run(&workplace, &server, CLIPS, &workplace.path("remote")).with(["--materialise"]);
    again.run().done();
    assert_eq!(Out::at(&workplace.path("remote")).manifest(), workplace.out().manifest());

    Program::counterpoint(["sweep", "--out"])
        .with([workplace.path("remote")])
        .run()
        .ended_with(2, &["are not in", "store.url"]);
    local().with(["--older-than", "0"]).run().ended_with(2, &["--older-than"]);
}
