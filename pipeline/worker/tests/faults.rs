//! Faults of the worker and of the machine, each told apart, and the next job works.
#![allow(clippy::unwrap_used, reason = "a test fails where its helpers do")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::*;
use counterpoint_core::corpus::{ClipFormat, ClipScript, ToyClass};
use counterpoint_core::media_job::Limits;
use counterpoint_worker::{WorkerFault, WorkerPool, WorkerSettings};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_killed_worker_is_reported_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, file) = (pool(), folder.path().join("clip.mp4"));
    // Large, so that there is time to kill.
    clip(&ball(1280, 720, "25/1", 250), H264, &tone(440, 2, 44_100, 10), AAC, "mp4mux", &file);
    let fault = std::thread::scope(|scope| {
        let job = scope.spawn(|| pool.prepare(&file, &small(), folder.path()));
        let victim = loop {
            match pool.busy_processes().first() {
                Some(id) => break *id,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        // Past the start of the job, before its end.
        std::thread::sleep(Duration::from_millis(150));
        kill_process(Pid::from_raw(victim as i32).unwrap(), Signal::KILL).unwrap();
        job.join().unwrap().unwrap_err()
    });
    assert!(matches!(fault, WorkerFault::Crashed { signal: Some(9), .. }), "{fault}");
    assert!(fault.is_attempt());
    prepared(&pool, &file, &small(), folder.path());
}

#[test]
fn a_worker_that_dies_between_jobs_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, file) = (pool(), folder.path().join("clip.mp4"));
    plain_clip(&file);
    prepared(&pool, &file, &small(), folder.path());
    let idle = pool.idle_processes();
    assert!(!idle.is_empty());
    for id in idle {
        kill_process(Pid::from_raw(id as i32).unwrap(), Signal::KILL).unwrap();
        while !has_ended(id) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    prepared(&pool, &file, &small(), folder.path());
}

/// Whether a child has ended; until its parent asks for its status it stays as a zombie.
fn has_ended(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn a_job_that_takes_too_long_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mp4");
    plain_clip(&file);
    let pool =
        WorkerPool::new(WorkerSettings { wall: Duration::from_millis(1), ..pool().settings().clone() })
            .unwrap();
    let fault = pool.prepare(&file, &small(), folder.path()).unwrap_err();
    assert!(matches!(fault, WorkerFault::Timeout { .. }), "{fault}");
}

#[test]
fn a_missing_program_is_named_with_its_remedy() {
    let settings = WorkerSettings { program: PathBuf::from("/no/such/worker"), ..pool().settings().clone() };
    let fault = WorkerPool::new(settings).unwrap_err();
    let text = fault.to_string();
    assert!(text.contains("/no/such/worker") && text.contains("cargo build"), "{text}");
    assert!(!fault.is_attempt());
}

#[test]
fn a_program_that_is_no_worker_is_a_fault_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mp4");
    plain_clip(&file);
    let settings = WorkerSettings { program: PathBuf::from("/bin/true"), ..pool().settings().clone() };
    let fault = match WorkerPool::new(settings) {
        Ok(pool) => pool.prepare(&file, &small(), folder.path()).unwrap_err(),
        Err(fault) => fault,
    };
    assert!(matches!(fault, WorkerFault::ProgramMissing { .. }), "{fault}");
    assert!(!fault.is_attempt());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mp4");
    plain_clip(&file);
    let missing = folder.path().join("no/such/folder");
    let fault = pool().prepare(&file, &small(), &missing).unwrap_err();
    assert!(matches!(&fault, WorkerFault::Output { path, .. } if path == &missing), "{fault}");
    assert!(!fault.is_attempt());
}

#[test]
fn a_full_disk_is_a_fault_of_the_machine() {
    // /dev/full fails every write as a full disk does; a folder cannot be put on it, a job's output can.
    let full = std::fs::OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    let error = std::io::Write::write_all(&mut &full, b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().join("small");
    std::fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&mount)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        // Without the right to mount, the mapping of the error alone can be shown.
        assert!(full_fault(Path::new("/dev/full")).contains("no space left"));
        return;
    }
    let file = folder.path().join("clip.mp4");
    plain_clip(&file);
    let pool = pool();
    let outcome = pool.prepare(&file, &small(), &mount);
    let left: Vec<_> = std::fs::read_dir(&mount).unwrap().collect();
    let unmounted = Command::new("umount").arg(&mount).status().unwrap();
    let fault = outcome.unwrap_err();
    assert!(matches!(fault, WorkerFault::OutputFull { .. }), "{fault}");
    assert!(!fault.is_attempt() && left.is_empty() && unmounted.success());
    prepared(&pool, &file, &small(), folder.path());
}

fn full_fault(path: &Path) -> String {
    WorkerFault::OutputFull { path: path.to_owned() }.to_string()
}

#[test]
fn workers_are_replaced_after_their_share_of_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool_with(Limits { jobs: 1, ..Limits::default() });
    let file = folder.path().join("clip.mp4");
    plain_clip(&file);
    for _ in 0..3 {
        sampled(&pool, &file, &tiny_sample(1.0));
    }
}

#[test]
fn many_threads_share_a_pool() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, file) = (pool(), folder.path().join("clip.mp4"));
    plain_clip(&file);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(sampled(&pool, &file, &tiny_sample(2.0)).time.len(), 20));
        }
    });
    assert!(pool.busy_processes().is_empty());
}

#[test]
fn every_element_is_there_and_has_a_package() {
    let (elements, _) = pool().check().unwrap();
    assert!(elements.iter().any(|element| element.element == "x264enc"));
    assert!(elements.iter().all(|element| element.found && !element.package.is_empty()), "{elements:?}");
    let output = Command::new(env!("CARGO_BIN_EXE_counterpoint-worker")).arg("--check").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), elements.len());
    assert!(text.lines().all(|line| line.starts_with("{\"element\":")), "{text}");
}

#[test]
fn a_synthetic_clip_is_a_clip_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, file) = (pool(), folder.path().join("toy.mp4"));
    let script = ClipScript {
        picture: ToyClass::ALL[0],
        sound: ToyClass::ALL[0],
        fault: None,
        seed: 7,
        format: ClipFormat::default(),
    };
    let bytes = pool.synthesize(&script, &file).unwrap();
    assert_eq!(bytes, std::fs::metadata(&file).unwrap().len());
    let clip = prepared(&pool, &file, &small(), folder.path());
    assert_eq!((clip.duration_ms, clip.padded_ms), (10_000, 0));
    assert!(clip.statistics.silent_share < 0.9 && clip.statistics.motion > 0.0, "{:?}", clip.statistics);
}
