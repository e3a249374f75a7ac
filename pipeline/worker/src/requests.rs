use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use counterpoint_core::corpus::ClipScript;
use counterpoint_core::media_job::{MOST_INPUT_BYTES, SampleOutcome};
use counterpoint_messages::{ContainerFacts, RejectReason, SignalStatistics};
use rustix::fs::OFlags;
use tempfile::{NamedTempFile, TempPath};

use crate::pool::unexpected;
use crate::protocol::{Job, Outcome};
use crate::{
    ComposeOutcome, ComposeRequest, MediaReject, PrepareRequest, SampleRequest, WorkerFault, WorkerPool,
};

/// A clip in its normal form. Its files are removed when this is dropped, unless they were moved away.
#[derive(Debug)]
pub struct Prepared {
    /// The normalised mp4.
    pub video: TempPath,
    /// FLAC of the PCM from which the mp4's AAC was encoded.
    pub sound: TempPath,
    /// What the file was before.
    pub container: ContainerFacts,
    /// What picture and sound are like.
    pub statistics: SignalStatistics,
    /// Length of the normalised mp4 in milliseconds.
    pub duration_ms: u64,
    /// Held picture and silence added at the end, in milliseconds.
    pub padded_ms: u64,
}

/// What a model is given of a clip.
#[derive(Clone, PartialEq)]
pub struct Sampled {
    /// RGB bytes, `[T, size, size, 3]`.
    pub rgb: Vec<u8>,
    /// Width and height of a frame in pixels.
    pub size: u32,
    /// Mono sound, -1 to 1; empty where the file has none.
    pub pcm: Vec<f32>,
    /// Moment of each frame in seconds, `[T]`.
    pub time: Vec<f64>,
}

impl std::fmt::Debug for Sampled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (frames, size, samples) = (self.time.len(), self.size, self.pcm.len());
        write!(f, "Sampled {{ {frames} frames of {size}x{size}, {samples} samples }}")
    }
}

/// A parent of a variant: its normalised mp4 and the FLAC of its sound.
#[derive(Debug, Clone, Copy)]
pub struct ParentPaths<'a> {
    /// The normalised mp4.
    pub video: &'a Path,
    /// The FLAC.
    pub sound: &'a Path,
}

impl WorkerPool {
    /// Brings the file at `input` to the normal form of `request`, into two files in `scratch`.
    ///
    /// # Errors
    /// Inner: the file was turned away. Outer: the job has no outcome.
    pub fn prepare(
        &self,
        input: &Path,
        request: &PrepareRequest,
        scratch: &Path,
    ) -> Result<Result<Prepared, MediaReject>, WorkerFault> {
        let source = match open(input) {
            Ok(source) => source,
            Err(reject) => return Ok(Err(reject)),
        };
        let video = new_file(scratch, ".mp4")?;
        let sound = new_file(scratch, ".flac")?;
        let job = Job::Prepare(request.clone());
        match self.run(&job, &[source.as_fd(), video.as_fd(), sound.as_fd()])? {
            Ok(Outcome::Prepared(outcome)) => Ok(Ok(Prepared {
                video: video.into_temp_path(),
                sound: sound.into_temp_path(),
                container: outcome.container,
                statistics: outcome.statistics,
                duration_ms: outcome.duration_ms,
                padded_ms: outcome.padded_ms,
            })),
            Ok(Outcome::OutputFailed(errno, said)) => Err(output_fault(scratch, errno, said)),
            Err(reject) => Ok(Err(reject)),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads what a model is given of the file at `input`, through memory.
    ///
    /// # Errors
    /// Inner: the file was turned away. Outer: the job has no outcome.
    pub fn sample(
        &self,
        input: &Path,
        request: &SampleRequest,
    ) -> Result<Result<Sampled, MediaReject>, WorkerFault> {
        let source = match open(input) {
            Ok(source) => source,
            Err(reject) => return Ok(Err(reject)),
        };
        let job = Job::Sample(request.clone());
        self.run_in_memory(&job, source.as_fd(), |outcome, memory| read_sampled(outcome, memory, request))
    }

    /// Makes the variant that `request` asks for, at `output`: complete and synced, or not at all.
    ///
    /// # Errors
    /// Inner: a parent was turned away. Outer: the job has no outcome.
    pub fn compose(
        &self,
        request: &ComposeRequest,
        host: ParentPaths<'_>,
        donors: &[ParentPaths<'_>],
        output: &Path,
    ) -> Result<Result<ComposeOutcome, MediaReject>, WorkerFault> {
        let parents = std::iter::once(&host).chain(donors).flat_map(|parent| [parent.video, parent.sound]);
        let parents: Vec<File> = match parents.map(open).collect() {
            Ok(parents) => parents,
            Err(reject) => return Ok(Err(reject)),
        };
        let file = beside(output)?;
        let files: Vec<BorrowedFd<'_>> =
            std::iter::once(file.as_fd()).chain(parents.iter().map(File::as_fd)).collect();
        match self.run(&Job::Compose(request.clone()), &files)? {
            Ok(Outcome::Composed(outcome)) => {
                publish(file, output)?;
                Ok(Ok(outcome))
            }
            Ok(Outcome::OutputFailed(errno, said)) => Err(output_fault(output, errno, said)),
            Err(reject) => Ok(Err(reject)),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes the synthetic clip of `script`, at `output`: complete and synced, or not at all. Gives its
    /// length in bytes.
    ///
    /// # Errors
    /// When the job has no outcome.
    pub fn synthesize(&self, script: &ClipScript, output: &Path) -> Result<u64, WorkerFault> {
        let file = beside(output)?;
        match self.run(&Job::Synthesize(Box::new(script.clone())), &[file.as_fd()])? {
            Ok(Outcome::Synthesized(bytes)) => {
                publish(file, output)?;
                Ok(bytes)
            }
            Ok(Outcome::OutputFailed(errno, said)) => Err(output_fault(output, errno, said)),
            other => Err(unexpected(&other)),
        }
    }
}

/// Reads what a sample job wrote.
fn read_sampled(
    outcome: &Outcome,
    mut memory: &File,
    request: &SampleRequest,
) -> Result<Sampled, WorkerFault> {
    let fault = |error| WorkerFault::output(Path::new("memory for frames"), error);
    let shape = match outcome {
        Outcome::Sampled(shape) => shape,
        Outcome::OutputFailed(errno, said) => {
            return Err(output_fault(Path::new("memory for frames"), *errno, said.clone()));
        }
        other => return Err(unexpected(&Ok(other.clone()))),
    };
    let (pixels, sound) = lengths(shape, request.size, memory.metadata().map_err(fault)?.len())?;
    memory.rewind().map_err(fault)?;
    let (rgb, sound) = (read_next(memory, pixels).map_err(fault)?, read_next(memory, sound).map_err(fault)?);
    Ok(Sampled {
        rgb,
        size: shape.size,
        pcm: sound.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
        time: (0..shape.frames).map(|frame| frame as f64 / request.frames_per_second).collect(),
    })
}

/// The next `length` bytes of a file, in memory that is not cleared first.
fn read_next(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Bytes of the frames and of the sound in an output of `written` bytes. A worker that was led astray by its input
/// may claim anything: nothing is allocated for what is not there.
fn lengths(shape: &SampleOutcome, size: u32, written: u64) -> Result<(usize, usize), WorkerFault> {
    let frame = u64::from(shape.size).checked_pow(2).and_then(|pixels| pixels.checked_mul(3));
    let rgb = frame.and_then(|frame| frame.checked_mul(shape.frames));
    let lengths = rgb
        .zip(shape.samples.checked_mul(4))
        .filter(|(rgb, sound)| shape.size == size && size > 0 && rgb.checked_add(*sound) == Some(written));
    let lengths = lengths.and_then(|(rgb, sound)| Some((rgb.try_into().ok()?, sound.try_into().ok()?)));
    lengths.ok_or_else(|| WorkerFault::Broken {
        detail: format!("it claims {shape:?} of {size} pixels, and wrote {written} bytes"),
    })
}

/// Opens an input to read; only regular files, and never waiting for one.
fn open(path: &Path) -> Result<File, MediaReject> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let opened = file.and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((metadata, _)) if metadata.is_file() && metadata.len() > MOST_INPUT_BYTES => {
            Err(MediaReject::new(
                RejectReason::TooLarge,
                format!(
                    "{} has {} bytes, more than {MOST_INPUT_BYTES}; cut it first",
                    path.display(),
                    metadata.len()
                ),
            ))
        }
        Ok((metadata, file)) if metadata.is_file() => Ok(file),
        Ok(_) => Err(MediaReject::new(
            RejectReason::UnreadableFile,
            format!("{} is no regular file; name a media file", path.display()),
        )),
        Err(error) => Err(unopened(path, &error)),
    }
}

/// The reject for an input that cannot be opened.
fn unopened(path: &Path, error: &io::Error) -> MediaReject {
    let (reason, remedy) = match error.kind() {
        io::ErrorKind::NotFound => (RejectReason::MediaMissing, "put the file back"),
        _ => (RejectReason::UnreadableFile, "check the permissions of the file and its folder"),
    };
    MediaReject::new(reason, format!("cannot open {}: {error}; {remedy}", path.display()))
}

fn new_file(folder: &Path, suffix: &str) -> Result<NamedTempFile, WorkerFault> {
    // What becomes of it is an ordinary file, not a private one: the umask decides who may read it.
    let everybody = Permissions::from_mode(0o666);
    let mut builder = tempfile::Builder::new();
    let file = builder.prefix(".clip-").suffix(suffix).permissions(everybody).tempfile_in(folder);
    file.map_err(|error| WorkerFault::output(folder, error))
}

/// A temporary file in the folder of `output`.
fn beside(output: &Path) -> Result<NamedTempFile, WorkerFault> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    new_file(folder, ".part").map_err(|fault| match fault {
        WorkerFault::OutputFull { .. } => WorkerFault::OutputFull { path: output.to_owned() },
        other => other,
    })
}

/// Syncs `file`, gives it its name, and syncs the name.
fn publish(file: NamedTempFile, output: &Path) -> Result<(), WorkerFault> {
    let fault = |error| WorkerFault::output(output, error);
    file.as_file().sync_all().map_err(fault)?;
    let file = file.persist(output).map_err(|error| fault(error.error))?;
    drop(file);
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)
}

fn output_fault(path: &Path, errno: Option<i32>, said: String) -> WorkerFault {
    WorkerFault::output(path, errno.map_or_else(|| io::Error::other(said), io::Error::from_raw_os_error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_permission_is_unreadable_and_a_vanished_one_missing() {
        let path = Path::new("clip.mp4");
        let denied = unopened(path, &io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(denied.reason, RejectReason::UnreadableFile);
        assert!(denied.detail.contains("clip.mp4"), "{}", denied.detail);
        assert_eq!(open(Path::new("/no/such/clip.mp4")).unwrap_err().reason, RejectReason::MediaMissing);
    }

    #[test]
    fn a_sample_that_is_not_as_long_as_claimed_is_a_fault_of_the_worker_before_memory_is_taken() {
        let shape = |frames, size, samples| SampleOutcome { frames, size, samples };
        assert_eq!(lengths(&shape(2, 4, 5), 4, 116).unwrap(), (96, 20));
        assert_eq!(lengths(&shape(0, 4, 0), 4, 0).unwrap(), (0, 0));
        for (claim, size, written) in [
            (shape(2, 4, 5), 4, 115),
            (shape(2, 4, 5), 4, 117),
            (shape(2, 8, 0), 4, 384),
            (shape(u64::MAX, 4, u64::MAX), 4, 116),
            (shape(u64::MAX, 0, 0), 0, 0),
            (shape(1 << 40, u32::MAX, 0), u32::MAX, 0),
        ] {
            let fault = lengths(&claim, size, written).unwrap_err();
            assert!(matches!(fault, WorkerFault::Broken { .. }), "{fault}");
        }
    }

    #[test]
    fn folders_and_devices_are_unreadable() {
        for path in ["/tmp", "/dev/null"] {
            assert_eq!(open(Path::new(path)).unwrap_err().reason, RejectReason::UnreadableFile, "{path}");
        }
    }
}
