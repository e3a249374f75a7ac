//! Models that run in this process, for programs that have them.
//!
//! The program `counterpoint` has none: a tensor library takes longer to load than most commands take to run. For a
//! command that needs one it becomes `counterpoint-with-models`, which lies beside it and has the same command line.

use std::{
    convert::Infallible, env, io, num::NonZeroUsize, os::unix::process::CommandExt as _, path::Path,
    process::Command,
};

use anyhow::Context as _;
use counterpoint_models::{
    LocalModel, LocalSettings, Model, ModelError, ModelName, ModelThread, Stop, Tutor,
};

use crate::{
    config::Config,
    sides::{Job, Side},
};

/// Program beside this one that has models in it.
const PROGRAM: &str = "counterpoint-with-models";

/// How often one of libtorch's threads looks for work before it sleeps, and what says so. By itself it looks for
/// milliseconds, which takes the cores from whatever else works on them; training alone loses nothing by less.
const SPINS: (&str, &str) = ("GOMP_SPINCOUNT", "1000");

/// What a program with models in it can do, beside training them.
pub trait LocalModels: Tutor {
    /// Opens a model to be asked, on the thread that it will live on.
    ///
    /// # Errors
    /// The file, the tensor or the setting that is wrong.
    fn open(
        &self,
        name: &LocalModel,
        settings: &LocalSettings,
        device: &str,
        stop: &Stop,
    ) -> Result<Box<dyn Model>, ModelError>;

    /// Runs a model on a file of tensors and writes what it computes; the number of tokens.
    ///
    /// # Errors
    /// A file that cannot be read or written, or tensors that do not fit.
    fn forward(
        &self,
        folder: &Path,
        inputs: &Path,
        out: &Path,
        attention: bool,
        device: &str,
    ) -> anyhow::Result<usize>;

    /// The losses of a short tuning.
    ///
    /// # Errors
    /// A file that cannot be read, or tensors that do not fit.
    fn lora_losses(
        &self,
        folder: &Path,
        inputs: &Path,
        lora: &Path,
        steps: usize,
        device: &str,
    ) -> anyhow::Result<Vec<f32>>;

    /// Writes a checkpoint with an adapter merged into it.
    ///
    /// # Errors
    /// The adapter fits no layer of the checkpoint, or a file cannot be read or written.
    fn merge(&self, model: &LocalModel, out: &Path) -> anyhow::Result<()>;

    /// What a checkpoint holds and what it takes, without reading a weight.
    ///
    /// # Errors
    /// A configuration that cannot be read or makes no model.
    fn examine(&self, folder: &Path) -> anyhow::Result<Examined>;

    /// A side of a benchmark, ready for its first turn.
    ///
    /// # Errors
    /// A file cannot be read or written, or the job's sizes make no model.
    fn side(&self, job: Job, device: &str) -> anyhow::Result<Side>;
}

/// What a checkpoint holds and takes.
#[derive(Debug)]
pub struct Examined {
    /// Numbers that the model consists of.
    pub parameters: u64,
    /// Bytes of memory for a use, for a clip of ten seconds.
    pub memory: Vec<(String, u64)>,
    /// Its tensors, or the file and the tensor that is wrong.
    pub weights: anyhow::Result<Weights>,
}

/// Tensors of a checkpoint.
#[derive(Debug)]
pub struct Weights {
    /// Bytes of them on disk.
    pub bytes: u64,
    /// Those of the part that speaks, which are not read.
    pub ignored: usize,
}

/// Opens a model by its name, on a thread of its own.
///
/// # Errors
/// Why it cannot be had.
pub fn open(
    name: &ModelName,
    config: &Config,
    device: &str,
    local: Option<&'static dyn LocalModels>,
) -> Result<ModelThread, ModelError> {
    let (name, device) = (name.clone(), device.to_owned());
    let (own, remote) = (config.local.clone(), config.remote.clone());
    ModelThread::start(NonZeroUsize::MIN, move |stop| match (&name, local) {
        (ModelName::Local(name), Some(local)) => local.open(name, &own, &device, stop),
        (ModelName::Local(name), None) => Err(ModelError::Load {
            model: name.checkpoint.display().to_string(),
            source: "this program has no models in it".into(),
        }),
        (ModelName::Remote(name), _) => counterpoint_remote::open(name, &remote, stop),
    })
}

/// Becomes the program that has models in it, with the same arguments.
///
/// # Errors
/// It is not there or cannot be started; otherwise this does not return.
pub fn become_the_one_with_models() -> anyhow::Result<Infallible> {
    let own = env::current_exe().context("cannot tell where this program lies")?;
    let program = own.with_file_name(PROGRAM);
    let mut command = Command::new(&program);
    command.args(env::args_os().skip(1));
    if env::var_os(SPINS.0).is_none() {
        command.env(SPINS.0, SPINS.1);
    }
    let error = command.exec();
    Err(match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "this command needs {}, which is not there; build it with `make build`",
            program.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot start {}", program.display())),
    })
}
