//! `bench`: this program side by side with what others use for the same work. One benchmark a file.
//!
//! Every benchmark compares the outputs first, then measures in rounds in which each side has its turn, all on the
//! same processors, and tells medians and ratios.

mod curate;
mod films;
mod lists;
mod memory;
mod models;
mod peers;
mod prepare;
mod rounds;
mod sample;
mod table;
mod telemetry;
mod topics;
mod tree;
mod variants;

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use counterpoint_worker::WorkerPool;

use crate::{
    args::{
        Common,
        bench::{self, Benchmark, Rounds},
    },
    config::Config,
    context::workers,
    output::{Failure, Outcome},
    progress::{Interrupt, Screen},
};

/// What every benchmark works with.
pub struct Bench<'a> {
    rounds: &'a Rounds,
    config: &'a Config,
    scratch: &'a Path,
    interrupt: &'a Interrupt,
    screen: &'a Screen,
}

impl Bench<'_> {
    /// Processes of each side: one a core.
    fn processes(&self) -> usize {
        self.config.effort.workers()
    }

    fn workers(&self) -> anyhow::Result<Arc<WorkerPool>> {
        workers(&self.config.effort)
    }
}

pub fn run(arguments: &bench::Bench, common: &Common, screen: &Screen) -> Outcome {
    let config = Config::load(common)?;
    let folder = arguments.rounds.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch =
        tempfile::Builder::new().prefix("counterpoint-bench-").tempdir_in(&folder).with_context(|| {
            format!("cannot make a folder in {}; name another with --scratch", folder.display())
        })?;
    let interrupt = Interrupt::default();
    let _listening = interrupt.listen_in_background();
    let bench = Bench {
        rounds: &arguments.rounds,
        config: &config,
        scratch: scratch.path(),
        interrupt: &interrupt,
        screen,
    };
    let findings: Result<table::Findings, Failure> = match &arguments.name {
        Benchmark::Prepare(films) => prepare::run(films, &bench),
        Benchmark::Sample(films) => sample::run(films, &bench),
        Benchmark::Variants(films) => variants::run(films, &bench),
        Benchmark::Topics(topics) => topics::run(topics, common, &bench),
        Benchmark::Curate(curate) => curate::run(curate, &bench),
        Benchmark::Memory(memory) => memory::run(memory, &bench),
        Benchmark::Telemetry(films) => telemetry::run(films, common.otlp.as_deref(), &bench),
        Benchmark::Questions(model) => models::questions::run(model, common, &bench),
        Benchmark::Lora(model) => models::lora::run(model, common, &bench),
        Benchmark::Load(model) => models::load::run(model, common, &bench),
        Benchmark::Forward(model) => models::forward::run(model, common, &bench),
    };
    findings?.tell(common.json)
}
