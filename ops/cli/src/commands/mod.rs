//! One command a file.

mod ask;
mod asking;
mod audit;
mod bench;
mod classes;
mod compose;
mod curate;
mod demo;
mod doctor;
pub mod evaluate;
pub mod experiment;
mod inputs;
mod model;
mod prepare;
mod reaching;
mod replay;
mod run;
mod sample;
mod score;
mod status;
mod sweep;
mod topics;
mod train;

use std::time::Duration;

use counterpoint_telemetry::{LOG_VARIABLE, LogSink, Telemetry, TelemetryError, TelemetrySettings};

use counterpoint_models::ModelName;

use crate::{
    args::{Arguments, Command, Common},
    config,
    local::{LocalModels, become_the_one_with_models},
    output::{Failure, Outcome},
    progress::Screen,
};

/// Longest that the end of a command waits for a collector.
const FLUSH: Duration = Duration::from_secs(2);

/// Does what the command line says.
pub fn run(arguments: Arguments, local: Option<&'static dyn LocalModels>) -> Outcome {
    let Arguments { command, common } = arguments;
    if local.is_none() && needs_local_models(&command, &common) {
        match become_the_one_with_models()? {}
    }
    let screen = Screen::new();
    let telemetry = telemetry(&command, &common, &screen)?;
    let outcome = match command {
        Command::Demo(demo) => demo::run(&demo, &common, &screen, local),
        Command::Run(run) => run::run(&run, &common, &screen, local),
        Command::Classes(classes) => classes::run(&classes, &common),
        Command::Curate(curate) => curate::run(&curate, &common, &screen),
        Command::Prepare(prepare) => prepare::run(&prepare, &common, &screen),
        Command::Sample(sample) => sample::run(&sample, &common, &screen),
        Command::Compose(compose) => compose::run(&compose, &common, &screen),
        Command::Topics(topics) => topics::run(&topics, &common),
        Command::Status(status) => status::run(&status, &common),
        Command::Sweep(sweep) => sweep::run(&sweep, &common),
        Command::Bench(bench) => bench::run(&bench, &common, &screen),
        Command::Ask(ask) => ask::run(&ask, &common, local),
        Command::Train(train) => with(local, |local| train::run(&train, &common, &screen, local)),
        Command::Model(model) => with(local, |local| model::run(&model, &common, local)),
        Command::Evaluate(evaluate) => evaluate::run(&evaluate, &common, &screen, local),
        Command::Replay(replay) => replay::run(&replay, &common, &screen, local),
        Command::Experiment(on) => experiment::run(&on.experiment, &common, &screen, local),
        Command::Score(score) => score::run(&score, &common),
        Command::Doctor(doctor) => doctor::run(&doctor, &common, local),
    };
    telemetry.shutdown(FLUSH);
    outcome
}

/// Whether a command cannot be done without a model that runs in this process.
fn needs_local_models(command: &Command, common: &Common) -> bool {
    match command {
        Command::Demo(demo) => !demo.pipeline_only,
        // What is wrong with the settings is told by the command itself.
        Command::Run(_) => config::Config::load(common).is_ok_and(|config| {
            let judge = config.prober.judge.and_then(|judge| judge.parse().ok());
            matches!(judge, Some(ModelName::Local(_))) || config.trainer.base.is_some()
        }),
        Command::Ask(ask) => matches!(ask.model, ModelName::Local(_)),
        Command::Evaluate(evaluate) => matches!(evaluate.model, ModelName::Local(_)),
        Command::Replay(replay) => matches!(replay.checkpoint, ModelName::Local(_)),
        Command::Experiment(on) => on.experiment.needs_local_models(),
        Command::Train(_) | Command::Model(_) => true,
        Command::Doctor(doctor) => doctor.model.is_some(),
        _ => false,
    }
}

fn telemetry(command: &Command, common: &Common, screen: &Screen) -> Result<Telemetry, Failure> {
    let settings = config::Telemetry::load(common)?;
    // Only what runs for long has metrics worth a port of its own.
    let metrics = match command {
        Command::Run(run) => run.metrics.clone().or(settings.metrics),
        Command::Demo(demo) => demo.metrics.clone().or(settings.metrics),
        _ => None,
    };
    let bars = screen.clone();
    counterpoint_telemetry::init(&TelemetrySettings {
        otlp: common.otlp.clone().or(settings.otlp),
        metrics,
        sample_share: settings.sample_share,
        instance: instance(),
        filter: std::env::var(LOG_VARIABLE).ok(),
        sink: LogSink::new(move |line: &[u8]| bars.write_above(line)),
        ..TelemetrySettings::default()
    })
    .map_err(|error| match error {
        TelemetryError::Scrape { .. } => Failure::Failed(error.into()),
        error => Failure::usage(error.to_string()),
    })
}

/// Tells this process from all others that send to the same collector.
fn instance() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}

/// Does what needs a model in this process.
fn with(
    local: Option<&'static dyn LocalModels>,
    run: impl FnOnce(&'static dyn LocalModels) -> Outcome,
) -> Outcome {
    match local {
        Some(local) => run(local),
        None => Err(Failure::usage("this program has no models in it; run the one that has")),
    }
}
