//! The limited program that touches untrusted media.
//!
//! Its parent starts it with a socket as standard input and sends limits, then jobs ([`counterpoint_worker::protocol`]). It
//! sets the limits on itself and enters its sandbox before it reads a byte of media, does one job at a time,
//! touches nothing but the file descriptors that come with a job, and ends when the parent does. `counterpoint-worker --check`
//! prints which GStreamer elements are installed, one JSON object a line.

mod sandbox;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use counterpoint_core::corpus::ClipScript;
use counterpoint_core::media_job::Sandbox;
use counterpoint_media::{Budget, MediaError, ParentFiles, Pcm, process_cpu};
use counterpoint_worker::protocol::{Job, Limits, Outcome, Taken};
use counterpoint_worker::wire;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Open files a worker may hold: GStreamer's own, and those of a job.
const OPEN_FILES: u64 = 256;

/// Address space for each byte of resident memory: libraries and reserves of the allocator are mapped, but
/// hardly touched.
const ADDRESS_SPACE: u64 = 4;

/// The part of its memory by which a job may pass the limit before allocations fail: between two looks at
/// what is resident, it cannot have taken more.
const MEMORY_SLACK: u64 = 4;

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        None => serve(),
        Some("--check") => print_check(),
        Some(_) => {
            report("usage: counterpoint-worker [--check]; without it, a parent is expected on a socket");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("counterpoint-worker: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Standard error is the last resort; what cannot be written there is lost.
fn report(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn print_check() -> io::Result<()> {
    counterpoint_media::start().map_err(io::Error::other)?;
    let mut out = io::stdout().lock();
    for element in counterpoint_media::check() {
        writeln!(out, "{}", serde_json::to_string(&element)?)?;
    }
    Ok(())
}

fn serve() -> io::Result<()> {
    let socket = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let Some((limits, _)) = wire::receive::<Limits>(&socket)? else { return Ok(()) };
    limit_process(&limits)?;
    counterpoint_media::start().map_err(io::Error::other)?;
    let sandbox = sandbox::enter()?;
    end_with_parent(socket.try_clone()?)?;
    while let Some((job, files)) = wire::receive::<Job>(&socket)? {
        limit_cpu(&limits)?;
        wire::send(&socket, &Taken, &[])?;
        let outcome = run(job, files, &limits, sandbox).unwrap_or_else(outcome_of);
        wire::send(&socket, &outcome, &[])?;
    }
    Ok(())
}

/// Limits that hold for the whole life of the process.
fn limit_process(limits: &Limits) -> io::Result<()> {
    let set = |resource, limit| setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    set(Resource::Core, 0)?;
    set(Resource::Nofile, OPEN_FILES)?;
    set(Resource::Fsize, limits.file_bytes)?;
    set(Resource::Data, limits.memory_bytes.saturating_add(limits.memory_bytes / MEMORY_SLACK))?;
    set(Resource::As, limits.memory_bytes.saturating_mul(ADDRESS_SPACE))?;
    Ok(())
}

/// The hard stop behind the budget of a job: the process is killed at twice the time.
fn limit_cpu(limits: &Limits) -> io::Result<()> {
    let most = process_cpu().as_secs().saturating_add(limits.cpu_seconds.saturating_mul(2)).saturating_add(2);
    setrlimit(Resource::Cpu, Rlimit { current: Some(most), maximum: None })?;
    Ok(())
}

/// Watches for the end of the parent, also in the middle of a job.
fn end_with_parent(socket: UnixStream) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let watch = move || {
        loop {
            let mut watched = [PollFd::new(&socket, PollFlags::RDHUP)];
            let polled = poll(&mut watched, None);
            if polled.is_ok() && !watched[0].revents().is_empty() {
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
        }
    };
    std::thread::Builder::new().name("parent-watch".to_owned()).spawn(watch)?;
    Ok(())
}

/// Does one job with the files that came with it.
fn run(job: Job, files: Vec<OwnedFd>, limits: &Limits, sandbox: Sandbox) -> Result<Outcome, MediaError> {
    let mut files: Vec<File> = files.into_iter().map(File::from).collect();
    match (job, files.as_mut_slice()) {
        (Job::Prepare(request), [input, video, sound]) => {
            let mut budget = budget(input, limits);
            counterpoint_media::prepare(input, &request, &mut budget, video, sound).map(Outcome::Prepared)
        }
        (Job::Sample(request), [input, out]) => {
            let mut budget = budget(input, limits);
            counterpoint_media::sample(input, &request, &mut budget, out).map(Outcome::Sampled)
        }
        (Job::Compose(request), [out, host_video, host_sound, donors @ ..]) => {
            let donors: Vec<ParentFiles<'_>> = donors
                .chunks_exact(2)
                .map(|donor| ParentFiles { video: &donor[0], sound: &donor[1] })
                .collect();
            let host = ParentFiles { video: host_video, sound: host_sound };
            counterpoint_media::compose(&request, host, &donors, out).map(Outcome::Composed)
        }
        (Job::Synthesize(script), [out]) => synthesize(&script, out).map(Outcome::Synthesized),
        (Job::Check, []) => Ok(Outcome::Checked(counterpoint_media::check(), sandbox)),
        (_, files) => Err(MediaError::Graph {
            graph: "worker",
            detail: format!("a job came with {} files, which are not those it needs", files.len()),
        }),
    }
}

fn budget(input: &File, limits: &Limits) -> Budget {
    let stored = input.metadata().map_or(0, |metadata| metadata.len());
    Budget::new(limits.clone(), stored)
}

fn synthesize(script: &ClipScript, out: &mut File) -> Result<u64, MediaError> {
    let side = |length: u32| {
        u16::try_from(length).map_err(|_| MediaError::Graph {
            graph: "worker",
            detail: format!("a synthetic clip of {length} pixels is too large"),
        })
    };
    let pcm = Pcm::from_mono(&script.pcm(), script.sample_rate());
    let frames = (0..script.frame_count()).map(|index| script.frame(index));
    let (width, height) = (side(script.width())?, side(script.height())?);
    counterpoint_media::encode_clip(width, height, script.frame_rate(), frames, Some(&pcm), out)
}

fn outcome_of(error: MediaError) -> Outcome {
    match error {
        MediaError::Reject(reject) => Outcome::Rejected(reject),
        MediaError::Output(error) => {
            // The disk is full in a way that GStreamer names without a number.
            let full = error.kind() == io::ErrorKind::StorageFull;
            let errno = error.raw_os_error().or(full.then_some(rustix::io::Errno::NOSPC.raw_os_error()));
            Outcome::OutputFailed(errno, error.to_string())
        }
        MediaError::MissingElement { element, package } => Outcome::ElementMissing(element, package),
        MediaError::Graph { .. } => Outcome::Broken(error.to_string()),
    }
}
