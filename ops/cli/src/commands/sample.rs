//! `sample`: frames and sound as a model gets them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use counterpoint_core::media_job::SampleRequest;
use counterpoint_worker::{MediaReject, Sampled, WorkerFault};
use safetensors::{Dtype, tensor::TensorView};
use serde::Serialize;

use super::{
    inputs::Inputs,
    prepare::{in_attempts, in_parallel},
};
use crate::{
    args::{self, Common},
    config::Config,
    context::workers,
    output::{Failure, Outcome, print, print_json, say},
    progress::{INTERRUPTED, Interrupt, Screen},
};

#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Read { source: PathBuf, path: PathBuf, frames: usize, samples: usize },
    Rejected { source: PathBuf, reason: String, detail: String },
}

pub fn run(arguments: &args::Sample, common: &Common, screen: &Screen) -> Outcome {
    let config = Config::load(common)?;
    let request =
        SampleRequest { frames_per_second: arguments.fps, size: arguments.size, rate: arguments.rate };
    check(&request)?;
    let inputs = Inputs::find(&arguments.paths, &config.source.extensions)?;
    let named = names(&inputs.files);
    fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make folder {}", arguments.out.display()))?;
    let pool = workers(&config.effort)?;
    let interrupt = Interrupt::default();
    let _listening = interrupt.listen_in_background();
    let bar = screen.bar("sample", named.len());
    let told = in_parallel(&named, config.effort.workers(), &interrupt, |(source, name)| {
        let told = sample(source, arguments.out.join(name), || pool.sample(source, &request));
        bar.inc(1);
        told
    })?;
    bar.finish_and_clear();
    let told: Vec<_> = told.into_iter().flatten().collect();
    if common.json {
        print_json(&BTreeMap::from([("samples", &told)]))?;
    } else {
        for told in &told {
            match told {
                Told::Read { path, frames, samples, .. } => {
                    print(&format!("{}: {frames} frames, {samples} sound samples", path.display()));
                }
                Told::Rejected { source, reason, detail } => {
                    say(&format!("{}: {reason}: {detail}", source.display()));
                }
            }
        }
    }
    Ok(match (interrupt.is_set(), inputs.are_all_there) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(1),
    })
}

/// What comes of a file that `read` reads, written to `path`.
fn sample(
    source: &Path,
    path: PathBuf,
    read: impl FnMut() -> Result<Result<Sampled, MediaReject>, WorkerFault>,
) -> anyhow::Result<Told> {
    let source = source.to_owned();
    Ok(match in_attempts(read)? {
        Ok(sampled) => {
            write(&sampled, &path)?;
            Told::Read { source, path, frames: sampled.time.len(), samples: sampled.pcm.len() }
        }
        Err(MediaReject { reason, detail }) => {
            Told::Rejected { source, reason: reason.as_str().to_owned(), detail }
        }
    })
}

/// Refuses what no decoder can do.
pub fn check(request: &SampleRequest) -> Result<(), Failure> {
    let SampleRequest { frames_per_second: fps, size, rate } = *request;
    let wrong = if !(0.01..=1000.0).contains(&fps) {
        format!("--fps from 0.01 to 1000, not {fps}")
    } else if !(2..=4096).contains(&size) {
        format!("--size from 2 to 4096, not {size}")
    } else if !(1000..=192_000).contains(&rate) {
        format!("--rate from 1000 to 192000, not {rate}")
    } else {
        return Ok(());
    };
    Err(Failure::usage(wrong))
}

/// `STEM.safetensors`, and a number behind the stem for later namesakes.
fn names(inputs: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut name = |input: &PathBuf| {
        let stem = input.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let count = taken.entry(stem.clone()).or_default();
        *count += 1;
        let name = if *count == 1 { stem } else { format!("{stem}-{count}") };
        (input.clone(), format!("{name}.safetensors"))
    };
    inputs.iter().map(&mut name).collect()
}

fn write(sampled: &Sampled, path: &Path) -> anyhow::Result<()> {
    let size = sampled.size as usize;
    let pcm: Vec<u8> = sampled.pcm.iter().flat_map(|value| value.to_le_bytes()).collect();
    let time: Vec<u8> = sampled.time.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensors = [
        ("rgb", TensorView::new(Dtype::U8, vec![sampled.time.len(), size, size, 3], &sampled.rgb)?),
        ("pcm", TensorView::new(Dtype::F32, vec![sampled.pcm.len()], &pcm)?),
        ("time", TensorView::new(Dtype::F64, vec![sampled.time.len()], &time)?),
    ];
    // Straight to the file: another copy of minutes of frames is more than some machines have.
    counterpoint_actors::store::write_atomically_by(path, |file| {
        safetensors::serialize_to_file(tensors, None, file).map_err(io::Error::other)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_wrong_values_the_first_is_named_and_no_other() {
        let told = |fps, size, rate| {
            let error = check(&SampleRequest { frames_per_second: fps, size, rate });
            error.map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        assert_eq!(told(2.0, 504, 16_000), "");
        assert_eq!(told(0.0, 504, 16_000), "--fps from 0.01 to 1000, not 0\ntry --help");
        assert!(told(f64::NAN, 504, 16_000).starts_with("--fps"));
        assert_eq!(told(2.0, 1, 16_000), "--size from 2 to 4096, not 1\ntry --help");
        assert_eq!(told(2.0, 504, 0), "--rate from 1000 to 192000, not 0\ntry --help");
    }

    fn two_frames() -> Sampled {
        Sampled { rgb: (0..24).collect(), size: 2, pcm: vec![0.5, -0.5], time: vec![0.0, 0.5] }
    }

    #[test]
    fn a_file_whose_worker_dies_is_tried_again_and_at_last_rejected_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let crash = || WorkerFault::Crashed { signal: Some(11), detail: String::new() };
        let mut faults = vec![crash()].into_iter();
        let told = sample(Path::new("x.mp4"), path.clone(), || {
            faults.next().map_or_else(|| Ok(Ok(two_frames())), Err)
        });
        assert!(matches!(told.unwrap(), Told::Read { frames: 2, samples: 2, .. }));
        assert!(path.is_file());
        let told = sample(Path::new("y.mp4"), folder.path().join("y.safetensors"), || Err(crash())).unwrap();
        assert!(matches!(&told, Told::Rejected { reason, .. } if reason == "corrupt_media"));
    }

    #[test]
    fn a_sample_is_written_whole_and_reads_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let sampled = two_frames();
        write(&sampled, &path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let rgb = tensors.tensor("rgb").unwrap();
        assert_eq!((rgb.shape(), rgb.data()), (&[2, 2, 2, 3][..], &sampled.rgb[..]));
        assert_eq!(tensors.tensor("pcm").unwrap().data(), [0, 0, 0, 63, 0, 0, 0, 191]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o644, "everybody may read it");
    }

    #[test]
    fn namesakes_get_files_of_their_own() {
        let inputs = ["a/x.mp4", "b/x.mkv", "y.mp4"].map(PathBuf::from);
        let names: Vec<_> = names(&inputs).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["x.safetensors", "x-2.safetensors", "y.safetensors"]);
    }
}
