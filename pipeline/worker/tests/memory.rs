//! Frames travel through a memory file that a worker keeps from job to job.
#![allow(clippy::unwrap_used, reason = "a test fails where its helpers do")]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::*;
use counterpoint_core::media_job::{Limits, SampleRequest};
use counterpoint_worker::{WorkerPool, WorkerSettings};

fn pool_of_one() -> WorkerPool {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_counterpoint-worker"));
    let wall = Duration::from_secs(120);
    WorkerPool::new(WorkerSettings { program, workers: 1, limits: Limits::default(), wall }).unwrap()
}

#[test]
fn nothing_of_a_job_is_left_in_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, damaged) = (folder.path().join("plain.mp4"), folder.path().join("damaged.mp4"));
    plain_clip(&plain);
    std::fs::write(&damaged, b"no media").unwrap();
    // More than is kept, a reject, less than before, and more again.
    let large = SampleRequest { frames_per_second: 25.0, size: 256, rate: 48_000 };
    let requests = [tiny_sample(2.0), large, tiny_sample(50.0), tiny_sample(1.0), tiny_sample(5.0)];
    let kept = pool_of_one();
    let worker = kept.idle_processes();
    for request in requests {
        let alone = sampled(&pool_of_one(), &plain, &request);
        assert!(sampled(&kept, &plain, &request) == alone, "{request:?}");
        assert!(kept.sample(&damaged, &request).unwrap().is_err());
    }
    assert_eq!(kept.idle_processes(), worker, "it was one process all along");
}
