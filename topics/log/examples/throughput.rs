//! Measures the log on SQLite: commits of a stage one after another and at once, reading, and how long a
//! record takes to another process. `cargo run --release -p counterpoint-log --example throughput [FOLDER]`

#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::time::{Duration, Instant};

use counterpoint_log::{
    Commit, Epoch, Event, EventStream, Group, Headers, LogError, Member, Membership, Outgoing, StateEntry,
    TopicLog,
    sqlite::{SqliteLog, SqliteOptions},
};
use counterpoint_messages::{Fingerprint, StageName, Topic};
use futures::StreamExt;

const RECORDS: usize = 100_000;
const BATCH: usize = 64;
const VALUE_BYTES: usize = 300;

fn batch(topic: Topic, first: usize, partitions: u32) -> Vec<Outgoing> {
    (first..first + BATCH)
        .map(|number| Outgoing {
            topic,
            partition: u32::try_from(number).unwrap_or(0) % partitions,
            key: number.to_le_bytes().to_vec(),
            value: vec![7; VALUE_BYTES],
            headers: Headers { revision: Some(Fingerprint([1; 8])), ..Headers::default() },
        })
        .collect()
}

async fn join(
    log: &SqliteLog,
    stage: StageName,
    input: Topic,
) -> Result<(EventStream, Box<dyn Member>, Epoch), LogError> {
    let group = Group { stage, fingerprint: Fingerprint([1; 8]) };
    let inputs = vec![input];
    let instance = "measured".to_owned();
    let (mut events, member) = log
        .join(Membership { group, instance, inputs, exclusive: true, max_records: 256, max_bytes: 1 << 20 })
        .await?;
    loop {
        if let Some(Event::Assigned { epoch, .. }) = events.next().await.transpose()? {
            return Ok((events, member, epoch));
        }
    }
}

fn report(what: &str, records: usize, took: Duration) {
    println!("{what}: {records} records in {took:.2?}, {:.0} a second", records as f64 / took.as_secs_f64());
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or(temporary.path().to_owned(), Into::into);
    let log = SqliteLog::open(&folder, SqliteOptions::default())?;
    let partitions = log.partitions(Topic::Clips);

    let (_events, member, epoch) = join(&log, StageName::Source, Topic::Inputs).await?;
    let (start, mut latencies) = (Instant::now(), Vec::new());
    for first in (0..RECORDS).step_by(BATCH) {
        let began = Instant::now();
        let state = vec![StateEntry { partition: 0, key: b"cursor".to_vec(), value: Some(vec![1; 64]) }];
        let outputs = batch(Topic::Clips, first, partitions);
        member.commit(epoch, Commit { outputs, state, positions: Vec::new() }).await?;
        latencies.push(began.elapsed());
    }
    report("commits of 64, one after another", latencies.len() * BATCH, start.elapsed());
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "  commit latency: median {:.2?}, 99th percentile {:.2?}, most {:.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );

    let start = Instant::now();
    let commits = (0..RECORDS).step_by(BATCH).map(|first| {
        member
            .commit(epoch, Commit { outputs: batch(Topic::Decoded, first, partitions), ..Commit::default() })
    });
    futures::stream::iter(commits)
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    report("commits of 64, 16 at once", RECORDS.next_multiple_of(BATCH), start.elapsed());

    let start = Instant::now();
    let curated = batch(Topic::Curated, 0, partitions);
    for _ in 0..100 {
        member.commit(epoch, Commit { outputs: curated.clone(), ..Commit::default() }).await?;
    }
    report("commits of 64 to a compacted topic", 100 * BATCH, start.elapsed());

    let (mut events, _member, _) = join(&log, StageName::Curator, Topic::Clips).await?;
    let (start, mut read) = (Instant::now(), 0);
    while let Some(Event::Records(page)) = events.next().await.transpose()? {
        read += page.len();
    }
    report("read by a member", read, start.elapsed());

    let start = Instant::now();
    let read = log.scan(Topic::Decoded).count().await;
    report("read by a scan", read, start.elapsed());

    let (arrivals, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let reader = tokio::spawn(async move {
        while let Some(Ok(event)) = events.next().await {
            if matches!(event, Event::Records(_)) && arrivals.send(Instant::now()).is_err() {
                break;
            }
        }
    });
    let other = SqliteLog::open(&folder, SqliteOptions::default())?;
    for (whose, writer) in [("the same", &log), ("another", &other)] {
        let mut latencies = Vec::new();
        for number in 0..40 {
            tokio::time::sleep(Duration::from_millis(100 + 7 * (number % 8))).await;
            let began = Instant::now();
            writer.append(batch(Topic::Clips, 0, 1)).await?;
            let arrival = arrived.recv().await.ok_or("the reader has stopped")?;
            latencies.push(arrival.saturating_duration_since(began));
        }
        latencies.sort();
        let (median, most) = (latencies[latencies.len() / 2], latencies[latencies.len() - 1]);
        println!("idle log, written by {whose} process: until read, median {median:.2?}, most {most:.2?}");
    }
    reader.abort();

    drop((other, log));
    let start = Instant::now();
    let log = SqliteLog::open(&folder, SqliteOptions::default())?;
    println!("opening the log again: {:.2?}", start.elapsed());
    let start = Instant::now();
    log.topics().await?;
    println!("describing the topics: {:.2?}", start.elapsed());
    Ok(())
}
