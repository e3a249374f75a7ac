//! `bench telemetry`: the same run with telemetry off, and fully on: every trace, log and metric to the collector
//! that `--otlp` names, and metrics served to a reader that asks every second.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use counterpoint_core::corpus::ClipFormat;

use super::{
    Bench, films,
    rounds::{Side, Spent, alternate},
    table::Findings,
};
use crate::{args::bench::Films, output::Failure};

const OFF: &str = "telemetry off";
const ON: &str = "telemetry on";

/// What on may cost: off takes at least so much of its time.
const GOAL: f64 = 0.98;

/// How often a reader asks for the metrics; Prometheus does every 5 to 60 seconds.
const SCRAPE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Longest time between the last metrics of a run and its end: its collector may take long.
const LAST_SECONDS: Duration = Duration::from_secs(10);

/// Seconds of a drawn film.
const SECONDS: u16 = 4;

/// AudioSet's ontology, which the corpus of the demo has as well.
const ONTOLOGY: &str = include_str!("../../../assets/ontology.json");

/// A label that AudioSet's ontology maps to a class, for every film.
const LABEL: &str = "/m/01yrx";

pub fn run(arguments: &Films, otlp: Option<&str>, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let otlp =
        otlp.ok_or_else(|| Failure::usage("give --otlp URL of a collector that takes what is sent"))?;
    if arguments.clips.is_some() {
        return Err(Failure::usage("bench telemetry draws its own films: leave --clips out"));
    }
    let work = Work::draw(arguments, bench)?;
    let mut findings = Findings::new("telemetry", bench.rounds.rounds);
    findings.inputs.insert("films", format!("{} drawn, {SECONDS} s each", work.films));
    findings.inputs.insert("collector", otlp.to_owned());
    let (off, on) = (work.manifest(None)?, work.manifest(Some(otlp))?);
    let lines = off.lines().count();
    findings.check("samples of both sides", format!("{lines} manifest lines"), off == on && lines > 0);
    let sides = vec![
        Side::new(ON, || Spent::on(|| work.run(Some(otlp)).map(drop))),
        Side::new(OFF, || Spent::on(|| work.run(None).map(drop))),
    ];
    let measured = alternate(sides, bench.rounds.rounds, bench.interrupt, bench.screen)?;
    findings.sides(&measured, "clips", work.films);
    findings.ratio(&measured, ON, OFF, Some(GOAL));
    findings.notes.push(format!(
        "on: every trace, log and metric is sent, and metrics are read every {SCRAPE:?}; a turn is a whole \
         process, which ends when the collector has taken what was left"
    ));
    Ok(findings)
}

/// Films and a list that names them.
struct Work {
    folder: PathBuf,
    size: u16,
    films: u64,
}

impl Work {
    fn draw(arguments: &Films, bench: &Bench<'_>) -> anyhow::Result<Self> {
        let (pool, size) = (bench.workers()?, arguments.film_size);
        let format = ClipFormat {
            size,
            seconds: SECONDS,
            frame_rate: 25,
            sample_rate: 44_100,
            ..ClipFormat::default()
        };
        let folder = bench.scratch.to_owned();
        let clips = folder.join("films");
        let count = arguments.films as usize;
        let files = films::draw(count, format, &clips, bench.config, &pool, bench.interrupt, bench.screen)?;
        let mut list = String::new();
        for file in &files {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            list.push_str(&format!("{stem},0.000,{SECONDS}.000,\"{LABEL}\"\n"));
        }
        for (name, text) in [("train.csv", list.as_str()), ("ontology.json", ONTOLOGY)] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self { folder, size, films: files.len() as u64 })
    }

    /// A run of its own program from beginning to end; its output folder.
    fn run(&self, otlp: Option<&str>) -> anyhow::Result<PathBuf> {
        let out = self.folder.join("out");
        if out.exists() {
            fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let mut command = Command::new(&program);
        command.arg("run").arg("--clips").arg(self.folder.join("films"));
        command.arg("--labels").arg(self.folder.join("train.csv"));
        command.arg("--ontology").arg(self.folder.join("ontology.json")).arg("--out").arg(&out);
        command.env("COUNTERPOINT_DECODER__SECONDS", SECONDS.to_string());
        command.env("COUNTERPOINT_DECODER__SIZE", (self.size & !1).to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let address = otlp.map(|_| free_address()).transpose()?;
        if let (Some(otlp), Some(address)) = (otlp, address) {
            command.args(["--otlp", otlp, "--metrics", &address.to_string()]);
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let status = wait(child, address)?;
        ensure!(status, "a run failed: try {} run on {}", program.display(), self.folder.display());
        Ok(out)
    }

    fn manifest(&self, otlp: Option<&str>) -> anyhow::Result<String> {
        let path = self.run(otlp)?.join("manifest.jsonl");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Waits for the end, reading the metrics meanwhile; whether the run came to a good end.
fn wait(mut child: Child, metrics: Option<SocketAddr>) -> anyhow::Result<bool> {
    let (mut next, mut read) = (Instant::now() + SCRAPE, 0);
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a run")? {
            return Ok(status.success());
        }
        if let Some(address) = metrics.filter(|_| next <= Instant::now()) {
            next += SCRAPE;
            match scrape(address) {
                Ok(bytes) => read += bytes,
                Err(_) if read == 0 => {}
                // A run that comes to its end serves no metrics any more. One that goes on without them would
                // not be measured at what is claimed.
                Err(error) if !ends_within(&mut child, LAST_SECONDS)? => {
                    bail!("the metrics of a run cannot be read: {error}")
                }
                Err(_) => {}
            }
        }
        thread::sleep(LOOK_AGAIN);
    }
}

fn ends_within(child: &mut Child, time: Duration) -> anyhow::Result<bool> {
    let last = Instant::now() + time;
    while Instant::now() < last {
        if child.try_wait().context("cannot wait for a run")?.is_some() {
            return Ok(true);
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(false)
}

/// Reads the metrics once; how many bytes came.
fn scrape(address: SocketAddr) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new())
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
    listener.local_addr().context("cannot find a free port")
}
