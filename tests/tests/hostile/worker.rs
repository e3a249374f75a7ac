//! The corpus through the workers: outcomes, memory, replacement, what is left behind.

use std::{collections::BTreeSet, fs, process, time::Duration};

use counterpoint_core::media_job::Limits;
use counterpoint_tests::{
    film::{self, Film},
    hostile,
};
use counterpoint_worker::WorkerPool;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    alone,
    outcomes::{Outcome, Table, good, pool},
};

/// Fewer files would not be called a corpus.
const LEAST: usize = 400;

/// A job that takes longer hangs. Nothing of the corpus comes near, on a busy machine either.
const WALL: Duration = Duration::from_secs(120);

/// Hostile files between two good ones.
const BETWEEN: usize = 40;

/// Parts of texts that only those who wrote GStreamer understand.
const GIBBERISH: [&str; 7] = [".c(", ".c:", "gst_", "Gst", "/proc/", "0x", "\n"];

#[test]
fn every_hostile_file_has_one_outcome_and_good_ones_in_between_are_unharmed() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let film = folder.path().join("good.mp4");
    film::make(&[Film::new(&film, 7)]);
    let expected = good(&pool(WALL), &film, scratch.path());

    let open_before = open_files();
    let pool = pool(WALL);
    let seed = hostile::usual_seed();
    let files = hostile::corpus(&pool, folder.path(), seed);
    assert!(files.len() >= LEAST, "{} files", files.len());
    let table = Table::of(&pool, &files, scratch.path(), |index| {
        if index % BETWEEN == 0 {
            // A worker may have been killed for any reason; the next job has another.
            kill_one(&pool);
            let unharmed = good(&pool, &film, scratch.path()) == expected;
            assert!(unharmed, "a good film comes out changed after file {index} (seed {seed})");
        }
    });
    println!("seed {seed}\n{table}");

    for (name, outcome) in table.outcomes() {
        match outcome {
            Outcome::Done => {}
            Outcome::Rejected { reason, detail } => {
                let told = format!("{name}: {reason}: {detail} (seed {seed})");
                assert!(detail.contains("; "), "no remedy: {told}");
                assert!(!GIBBERISH.iter().any(|part| detail.contains(part)), "not for people: {told}");
            }
            Outcome::Dead(fault) => panic!("{name} kills its workers: {fault} (seed {seed})"),
        }
    }
    let limits = Limits::default();
    let most = limits.memory_bytes + limits.memory_bytes / 4;
    assert!(table.peak > 0 && table.peak < most, "a worker held {} bytes", table.peak);
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "left in the scratch folder: {left:?}");

    drop(pool);
    assert_eq!(children(), BTreeSet::new(), "workers or their remains are left");
    assert_eq!(open_files(), open_before, "descriptors are left open");
}

/// Kills a worker that is waiting for a job.
fn kill_one(pool: &WorkerPool) {
    if let Some(process) = pool.idle_processes().first().and_then(|id| Pid::from_raw(*id as i32)) {
        // It may have been given a job, or have ended, in the meantime: then it is replaced all the same.
        let _ = kill_process(process, Signal::KILL);
    }
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Processes that this one has started, those included that have ended and were not waited for.
fn children() -> BTreeSet<u32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter(|number| {
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            let rest = stat.rsplit(')').next().unwrap_or_default();
            rest.split_whitespace().nth(1) == Some(process::id().to_string().as_str())
        })
        .collect()
}

#[test]
fn a_worker_reaches_no_file_no_network_and_no_process() {
    let _turn = alone();
    let pool = pool(WALL);
    let (elements, sandbox) = pool.check().unwrap();
    assert!(elements.iter().all(|element| element.found), "{elements:?}");
    assert!(sandbox.is_shut(), "{sandbox:?}");
    // What the kernel says of the process, as nobody has to believe the worker itself.
    let worker = pool.idle_processes()[0];
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let fact = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    assert_eq!((fact("NoNewPrivs:").as_str(), fact("Seccomp:").as_str()), ("1", "2"), "{status}");
}
