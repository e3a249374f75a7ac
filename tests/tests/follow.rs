//! Inputs that never end: clips copied slowly, lists that grow, pools that are sealed, kills, and a command
//! that fetches.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    thread,
    time::Duration,
};

use counterpoint_tests::{
    film::{self, Film},
    out::{Out, assert_adds_up, number, rejected_by},
    program::{Program, Running, until},
    workplace::{CLASSES, Workplace, video},
};

const SIGKILL: i32 = 9;

/// Follows with quick looks, and seals a pool every so many clips or minutes.
fn following(workplace: &Workplace, clips: u32, minutes: f64) -> Program {
    workplace
        .run()
        .with(["--follow"])
        .env("COUNTERPOINT_FOLLOW__SCAN_SECONDS", "0.1")
        .env("COUNTERPOINT_FOLLOW__SETTLE_SECONDS", "0.6")
        .env("COUNTERPOINT_FOLLOW__SEAL_CLIPS", clips.to_string())
        .env("COUNTERPOINT_FOLLOW__SEAL_MINUTES", minutes.to_string())
}

fn count(out: &Out, name: &str) -> u64 {
    out.status_if_begun().map_or(0, |status| number(&status["summary"][name]))
}

/// Aligned samples of `summary.json`, which is written with each pool.
fn told(out: &Out) -> u64 {
    match fs::read_to_string(out.path("summary.json")) {
        Ok(text) => number(&serde_json::from_str::<serde_json::Value>(&text).unwrap()["composed"]["aligned"]),
        Err(_) => 0,
    }
}

fn until_told(running: &mut Running, out: &Out, samples: u64) {
    running.until(&format!("{samples} clips are in pools"), |_| told(out) == samples);
}

/// The bytes of the good clip of this number, made elsewhere.
fn film(workplace: &Workplace, number: u32) -> Vec<u8> {
    let path = workplace.path("elsewhere.mp4");
    film::make(&[Film::new(&path, number)]);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    bytes
}

#[test]
fn clips_that_come_slowly_are_read_when_they_are_whole_and_pools_are_sealed_as_they_fill() {
    let workplace = Workplace::with_clips(4);
    let out = workplace.out();
    let mut running = following(&workplace, 4, 60.0).start();
    until_told(&mut running, &out, 4);
    let first = out.manifest();

    // A copy that never rests for as long as a file has to.
    let bytes = film(&workplace, 4);
    workplace.label(&video(4), "train", CLASSES[2].1);
    let mut file = OpenOptions::new().create(true).append(true).open(workplace.clip(&video(4))).unwrap();
    for part in bytes.chunks(bytes.len().div_ceil(12)) {
        file.write_all(part).unwrap();
        thread::sleep(Duration::from_millis(120));
    }
    drop(file);
    running.until("the slow copy is accepted", |_| count(&out, "accepted") == 5);
    assert_eq!(rejected_by(&out.status()["summary"], "decoder"), 0, "it was never read in part");

    // One that rests in its midst for longer.
    let bytes = film(&workplace, 5);
    workplace.label(&video(5), "eval", CLASSES[2].1);
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    fs::write(workplace.clip(&video(5)), half).unwrap();
    running.until("the half is rejected", |_| rejected_by(&out.status()["summary"], "decoder") == 1);
    OpenOptions::new().append(true).open(workplace.clip(&video(5))).unwrap().write_all(rest).unwrap();
    running.until("the whole is accepted", |_| count(&out, "accepted") == 6);

    for number in 6..8 {
        workplace.add_good(number);
    }
    until_told(&mut running, &out, 8);
    running.interrupt();
    running.wait().ended_with(0, &["run the same command again"]).leaves_nobody();
    let second = out.manifest();
    assert!(first.lines().all(|line| second.contains(line)), "a sealed pool does not change");

    workplace.add_good(8);
    workplace.run().run().done();
    let summary = out.summary();
    assert_adds_up(&summary);
    assert_eq!((number(&summary["found"]), number(&summary["accepted"])), (9, 9));
    assert_eq!(told(&out), 9);
    let third = out.manifest();
    assert!(second.lines().all(|line| third.contains(line)));
    assert_eq!(out.records()["decoded"], 9, "nothing is decoded twice");
}

#[test]
fn a_pool_is_sealed_when_its_time_has_come_and_idle_following_costs_next_to_nothing() {
    let workplace = Workplace::with_clips(2);
    let out = workplace.out();
    let mut running = following(&workplace, 0, 0.02).start();
    until_told(&mut running, &out, 2);
    running.until("it is at rest", |_| {
        let stages = out.status()["stages"].clone();
        stages.as_array().unwrap().iter().all(|stage| number(&stage["lag"]) == 0)
    });
    let at_rest = || (out.records(), running.processor_seconds());
    let (records, used) = at_rest();
    let pause = Duration::from_secs(4);
    thread::sleep(pause);
    let (later, used_later) = at_rest();
    assert_eq!(later, records, "nothing is written where nothing happens");
    let share = (used_later - used) / pause.as_secs_f64();
    eprintln!("idle following takes {:.1} % of a core", 100.0 * share);
    assert!(share < 0.2, "{share}");
    running.interrupt();
    running.wait().done();
}

#[test]
fn a_follower_that_is_killed_again_and_again_loses_nothing_and_does_nothing_twice() {
    let workplace = Workplace::with_clips(2);
    let out = workplace.out();
    for round in 0..4 {
        let mut running = following(&workplace, 2, 0.01).start();
        let goal = u64::from(2 + round);
        running.until("it goes on", |_| count(&out, "decoded") >= goal);
        running.kill();
        let ended = running.wait();
        assert_eq!(ended.signal(), Some(SIGKILL));
        ended.leaves_nobody();
        workplace.add_good(2 + round);
    }
    workplace.run().run().done();
    let summary = out.summary();
    assert_adds_up(&summary);
    assert_eq!((number(&summary["found"]), number(&summary["accepted"]), told(&out)), (6, 6, 6));
    let records = out.records();
    assert_eq!((records["clips"], records["accepted"]), (6, 6));
}

/// A workplace whose downloader copies films from a folder beside it, once a file `ok` lies there.
fn downloading() -> (Workplace, PathBuf) {
    let workplace = Workplace::with_clips(2);
    let shop = workplace.path("shop");
    fs::create_dir(&shop).unwrap();
    for clip in 2..4 {
        film::make(&[Film::new(&shop.join(format!("{}.mp4", video(clip))), clip)]);
        workplace.label(&video(clip), if clip == 2 { "train" } else { "eval" }, CLASSES[1].1);
    }
    workplace.label("gonegonegon", "train", CLASSES[1].1);
    let script = format!(
        "#!/bin/sh\ncd '{}'\necho $1 >> calls\n\
         test -e $1.mp4 || {{ echo 'ERROR: Video unavailable' >&2; exit 1; }}\n\
         test -e ok && exec cp $1.mp4 \"$2\"\n\
         test -e hang && exec sleep 600\n\
         echo 'HTTP Error 429: Too Many Requests' >&2; exit 1\n",
        shop.display()
    );
    let program = workplace.path("download.sh");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = format!(
        "[fetcher]\ncommand = [\"{}\", \"{{video}}\", \"{{path}}\"]\nretry_seconds = 1\n",
        program.display()
    );
    fs::write(workplace.path("fetch.toml"), settings).unwrap();
    (workplace, shop)
}

#[test]
fn what_is_missing_is_fetched_in_its_time_and_what_cannot_be_had_is_told() {
    let (workplace, shop) = downloading();
    let out = workplace.out();
    let config = ["--config".into(), workplace.path("fetch.toml")];
    let mut running = following(&workplace, 4, 60.0).with(&config).start();
    running.until("the downloader was called", |_| shop.join("calls").exists());
    running.until("the clips that lie there are accepted", |_| count(&out, "accepted") == 2);
    fs::write(shop.join("ok"), "").unwrap();
    until_told(&mut running, &out, 4);
    running.until("the one that is gone is told", |_| rejected_by(&out.status()["summary"], "fetcher") == 1);
    running.interrupt();
    running.wait().done().leaves_nobody();
    workplace.run().with(&config).run().done();
    let summary = out.summary();
    assert_adds_up(&summary);
    assert_eq!(number(&summary["rejected"]["fetcher"]["gone"]), 1);
    let birds = &summary["coverage"]["Bird"];
    assert_eq!((number(&birds["wanted"]), number(&birds["accepted"])), (3, 2));
    assert_eq!(number(&birds["missing"]["gone"]), 1);
    assert!(out.text("report.html").contains("Coverage"));
}

#[test]
fn a_fetcher_that_is_interrupted_or_killed_leaves_no_command_running() {
    let (workplace, shop) = downloading();
    let config = ["--config".into(), workplace.path("fetch.toml")];
    fs::write(shop.join("hang"), "").unwrap();
    let calls = || fs::read_to_string(shop.join("calls")).unwrap_or_default().lines().count();
    let mut running = workplace.run().with(&config).start();
    running.until("a command hangs", |_| calls() >= 1);
    running.interrupt();
    running.wait().ended_with(130, &[]).leaves_nobody();

    let before = calls();
    let mut running = workplace.run().with(&config).start();
    running.until("a command hangs", |_| calls() > before);
    running.kill();
    let ended = running.wait();
    assert_eq!(ended.signal(), Some(SIGKILL));
    // What it started is ended by the next one.
    fs::write(shop.join("ok"), "").unwrap();
    workplace.run().with(&config).run().done().leaves_nobody();
    ended.leaves_nobody();
    until("every clip is accepted", || count(&workplace.out(), "accepted") == 4);
    assert_adds_up(&workplace.out().summary());
}
