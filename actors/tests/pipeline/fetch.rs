//! A fetch command that brings what the lists want, fails in every way, hangs and writes too much.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use counterpoint_actors::{
    projection::Summary,
    settings::{FetchOutcome, FetchReason},
};
use counterpoint_log::{TopicLog, memory::MemoryLog, process::Process};
use counterpoint_messages::{Message, Topic};
use futures::TryStreamExt;

use crate::harness::{CLASSES, Harness, assert_adds_up};

fn memory() -> Arc<dyn TopicLog> {
    Arc::new(MemoryLog::new(4))
}

/// A harness whose downloader does what `script` says for each of these videos, all of them cats. The
/// script is given the video as $1 and the path to write as $2, and notes each call in `calls`.
fn downloading(videos: &[&str], script: &str) -> Harness {
    let mut harness = Harness::with_clips(2);
    let program = harness.path("download.sh");
    let calls = harness.path("calls");
    let head = format!("#!/bin/sh\necho \"$1\" >> '{}'\n", calls.display());
    fs::write(&program, head + script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    harness.fetcher.command = [program.to_str().unwrap(), "{video}", "{path}", "{start}", "{end}", "{url}"]
        .map(str::to_owned)
        .into();
    want(&harness, videos);
    harness
}

fn want(harness: &Harness, videos: &[&str]) {
    let list = harness.path("train.csv");
    let mut rows = fs::read_to_string(&list).unwrap();
    for video in videos {
        rows.push_str(&format!("{video},30.000,40.000,\"{}\"\n", CLASSES[0].1));
    }
    fs::write(&list, rows).unwrap();
}

fn calls(harness: &Harness) -> Vec<String> {
    let calls = fs::read_to_string(harness.path("calls")).unwrap_or_default();
    let mut calls: Vec<_> = calls.lines().map(str::to_owned).collect();
    calls.sort_unstable();
    calls
}

fn files(harness: &Harness) -> Vec<String> {
    let entries = fs::read_dir(harness.path("clips")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("video0000"));
    names.sort_unstable();
    names
}

fn missing(summary: &Summary, reason: &str) -> u64 {
    summary.coverage["Cat"].missing.get(reason).copied().unwrap_or(0)
}

/// Seconds until the fetcher has something to do again, by its last word.
fn retry_in_ms(log: &Arc<dyn TopicLog>) -> Option<i64> {
    actix::System::new().block_on(async {
        let records: Vec<_> = log.scan(Topic::Fetched).try_collect().await.unwrap();
        let last = Message::decode(&records.last().unwrap().value).unwrap();
        let Message::InputFetched(fetched) = last else { panic!("{last:?}") };
        fetched.retry_at_ms.map(|at| at - fetched.input.offered_at_ms)
    })
}

#[test]
fn what_the_lists_want_is_fetched_and_what_is_there_is_not() {
    let harness = downloading(
        &["-4gqARaE_JE", "holiday0001"],
        "test \"$3 $4\" = '30.000 40.000' && echo good $1 $5 > $2",
    );
    let cat = CLASSES[0].1;
    let rows = fs::read_to_string(harness.path("train.csv")).unwrap();
    // Neither speech nor two classes are wanted, and a path is no name.
    let unwanted = format!(
        "speech00001,0,10,\"/m/09x0r\"\nspeech00002,0,10,\"{cat},{}\"\n../outside01,0,10,\"{cat}\"\n",
        CLASSES[1].1
    );
    fs::write(harness.path("train.csv"), rows + &unwanted).unwrap();
    let log = memory();
    let summary = harness.run(&log);
    assert_adds_up(&summary);
    assert_eq!(calls(&harness), ["-4gqARaE_JE", "holiday0001"]);
    assert_eq!(files(&harness), ["-4gqARaE_JE_30.000_40.000.mp4", "holiday0001_30.000_40.000.mp4"]);
    let fetched = fs::read_to_string(harness.path("clips/-4gqARaE_JE_30.000_40.000.mp4")).unwrap();
    assert_eq!(fetched, "good -4gqARaE_JE https://www.youtube.com/watch?v=-4gqARaE_JE\n");
    assert_eq!((summary.found, summary.accepted), (4, 4));
    assert_eq!((missing(&summary, "not_tried"), summary.coverage["Cat"].wanted), (1, 5));

    assert_eq!(harness.run(&log).accepted, 4);
    assert_eq!(calls(&harness).len(), 2, "nothing is fetched twice");
}

#[test]
fn failures_that_stay_are_rejected_with_their_reason_and_not_tried_again() {
    let script = r#"
case $1 in
  gonegonegon) echo "ERROR: Video unavailable" >&2; exit 1;;
  privatevide) echo "ERROR: Private video. Sign in" >&2; exit 1;;
  regionregio) exit 7;;
  ageageageag) echo "Sign in to confirm your age" >&2; exit 1;;
  toolargetoo) head -c 3000000 /dev/zero > "$2"; echo good > "$2.end";;
  goodgoodgoo) echo good > "$2";;
esac"#;
    let videos = ["gonegonegon", "privatevide", "regionregio", "ageageageag", "toolargetoo", "goodgoodgoo"];
    let mut harness = downloading(&videos, script);
    harness.fetcher.max_bytes = 1 << 20;
    harness.fetcher.outcomes = vec![FetchOutcome { exit: Some(7), says: None, reason: FetchReason::Region }];
    let log = memory();
    let summary = harness.run(&log);
    assert_adds_up(&summary);
    assert_eq!((summary.found, summary.accepted), (3, 3));
    for reason in ["gone", "private", "region", "age", "too_large"] {
        assert_eq!(summary.rejected["fetcher"][reason], 1, "{reason}");
        assert_eq!(missing(&summary, reason), 1, "{reason}");
    }
    assert_eq!(files(&harness), ["goodgoodgoo_30.000_40.000.mp4"], "nothing half is left");
    assert_eq!(retry_in_ms(&log), None);
    assert_eq!(harness.run(&log), summary);
    assert_eq!(calls(&harness).len(), videos.len(), "none is tried again");

    // One of them comes from elsewhere after all.
    fs::write(harness.path("clips/gonegonegon.mp4"), "good after all").unwrap();
    let summary = harness.run(&log);
    assert_adds_up(&summary);
    assert_eq!(summary.accepted, 4);
    assert!(!summary.rejected["fetcher"].contains_key("gone"), "{:?}", summary.rejected);
    assert_eq!(missing(&summary, "gone"), 0);
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let script = "echo $$ >> $0.pids\nsleep 600 & echo $! >> $0.pids\necho part > $2.part\nsleep 600";
    let mut harness = downloading(&["hangshangsh"], script);
    harness.fetcher.timeout_seconds = 1;
    harness.fetcher.max_attempts = 1;
    let summary = harness.run(&memory());
    assert_eq!(summary.rejected["fetcher"]["timed_out"], 1);
    assert!(files(&harness).is_empty());
    let pids = fs::read_to_string(harness.path("download.sh.pids")).unwrap();
    assert_eq!(pids.lines().count(), 2);
    let begun = Instant::now();
    for pid in pids.lines() {
        let alive = || {
            let status = fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).unwrap_or_default();
            !status.is_empty() && !status.contains(") Z ")
        };
        while alive() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{pid} lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn passing_failures_are_tried_again_when_their_time_has_come_and_not_before() {
    let script = r#"
case $1 in
  toomanytoom) test -e "$0.ok" && echo good > "$2" || { echo "HTTP Error 429: Too Many Requests" >&2; echo "Retry-After: 1" >&2; exit 1; };;
  *) echo "connection refused" >&2; exit 1;;
esac"#;
    let mut harness = downloading(&["networknetw"], script);
    harness.fetcher.retry_seconds = 1;
    harness.fetcher.max_attempts = 2;
    harness.fetcher.concurrency = 1;
    let log = memory();
    let due = |log| {
        let wait = retry_in_ms(log).expect("there is something to be tried again");
        assert!((1..=3_000).contains(&wait), "{wait}");
        std::thread::sleep(Duration::from_millis(u64::try_from(wait).unwrap() + 50));
    };
    let summary = harness.run(&log);
    assert_adds_up(&summary);
    assert_eq!((missing(&summary, "network"), calls(&harness).len()), (1, 1));
    assert!(!summary.rejected.contains_key("fetcher"), "a passing failure is no reject yet");
    harness.run(&log);
    assert_eq!(calls(&harness).len(), 1, "its time has not come");
    due(&log);
    let summary = harness.run(&log);
    assert_eq!((summary.rejected["fetcher"]["network"], calls(&harness).len()), (1, 2));

    want(&harness, &["toomanytoom", "waitswaitsw"]);
    // The other side could not be reached twice, which slows all for one to three seconds.
    std::thread::sleep(Duration::from_millis(3_100));
    let summary = harness.run(&log);
    assert_eq!(missing(&summary, "too_many_requests"), 1);
    assert_eq!(missing(&summary, "not_tried"), 1, "where too many ask, the others wait as well");
    fs::write(harness.path("download.sh.ok"), "").unwrap();
    std::thread::sleep(Duration::from_millis(u64::try_from(retry_in_ms(&log).unwrap()).unwrap() + 50));
    let summary = harness.run(&log);
    assert_adds_up(&summary);
    assert!(files(&harness).contains(&"toomanytoom_30.000_40.000.mp4".to_owned()));
    assert_eq!(summary.accepted, 3);
}

#[test]
fn no_more_commands_are_begun_in_a_minute_than_allowed() {
    let videos = ["aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc", "ddddddddddd", "eeeeeeeeeee"];
    let mut harness = downloading(&videos, "echo good > $2");
    harness.fetcher.per_minute = 3;
    let log = memory();
    let summary = harness.run(&log);
    assert_eq!((calls(&harness).len(), summary.accepted), (3, 5));
    let wait = retry_in_ms(&log).unwrap();
    assert!((50_000..=60_000).contains(&wait), "{wait}");
    harness.run(&log);
    assert_eq!(calls(&harness).len(), 3);
}

#[test]
fn what_a_killed_fetcher_left_behind_is_removed_and_its_command_ended() {
    let harness = downloading(&["leftleftlef"], "echo good > $2");
    let clips = harness.path("clips");
    let this = Process::this().unwrap().to_string();
    let ended = format!("{}_0", this.rsplit_once('_').unwrap().0);
    let half = clips.join(format!(".fetching-{ended}-x"));
    fs::create_dir(&half).unwrap();
    fs::write(half.join("clip.mp4.part"), "half").unwrap();
    let mark = format!("{ended}:{}", clips.display());
    let mut left =
        std::process::Command::new("sleep").arg("600").env("COUNTERPOINT_FETCHING", mark).spawn().unwrap();
    let summary = harness.run(&memory());
    assert_eq!(summary.accepted, 3);
    assert!(!half.exists());
    assert!(!left.wait().unwrap().success(), "it was killed");
}

#[test]
fn a_command_that_is_not_there_ends_the_run_and_says_so() {
    let mut harness = downloading(&["nobodynobod"], "");
    harness.fetcher.command[0] = "/nowhere/to/be/found".to_owned();
    harness.effort.patience_seconds = 0;
    let error = harness.try_run(&memory()).unwrap_err().to_string();
    assert!(error.contains("fetcher") && error.contains("/nowhere/to/be/found"), "{error}");
}

#[test]
fn what_the_command_said_is_told_of_a_failure_of_unknown_kind_though_it_is_tried_again() {
    let harness = downloading(&["unheardofxx"], "echo 'the moon is full' >&2; exit 9");
    let log = memory();
    harness.run(&log);
    let explained = actix::System::new().block_on(async {
        let records: Vec<_> = log.scan(Topic::Runs).try_collect().await.unwrap();
        let sealed = records.iter().find_map(|record| match Message::decode(&record.value).unwrap() {
            Message::InputSealed(sealed) => Some(sealed.explanations),
            _ => None,
        });
        sealed.unwrap()
    });
    let told = explained
        .iter()
        .any(|line| line.contains("unheardofxx") && line.contains("the moon is full (exit code 9)"));
    assert!(told, "{explained:?}");
}
