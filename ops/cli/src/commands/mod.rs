//! One command a file.

mod bench;
mod classes;
mod compose;
mod curate;
mod demo;
mod doctor;
mod inputs;
mod prepare;
mod run;
mod sample;
mod status;
mod topics;

use std::time::Duration;

use counterpoint_telemetry::{LOG_VARIABLE, LogSink, Telemetry, TelemetrySettings};

use crate::{
    args::{Arguments, Command, Common},
    output::{Failure, Outcome},
    progress::Screen,
};

/// Longest that the end of a command waits for a collector.
const FLUSH: Duration = Duration::from_secs(2);

/// Does what the command line says.
pub fn run(arguments: Arguments) -> Outcome {
    let Arguments { command, common } = arguments;
    let screen = Screen::new();
    let telemetry = telemetry(&common, &screen)?;
    let outcome = match command {
        Command::Demo(demo) => demo::run(&demo, &common, &screen),
        Command::Run(run) => run::run(&run, &common, &screen),
        Command::Classes(classes) => classes::run(&classes, &common),
        Command::Curate(curate) => curate::run(&curate, &common, &screen),
        Command::Prepare(prepare) => prepare::run(&prepare, &common, &screen),
        Command::Sample(sample) => sample::run(&sample, &common, &screen),
        Command::Compose(compose) => compose::run(&compose, &common, &screen),
        Command::Topics(topics) => topics::run(&topics, &common),
        Command::Status(status) => status::run(&status, &common),
        Command::Bench(bench) => bench::run(&bench, &common, &screen),
        Command::Doctor => doctor::run(&common),
    };
    telemetry.shutdown(FLUSH);
    outcome
}

fn telemetry(common: &Common, screen: &Screen) -> Result<Telemetry, Failure> {
    let bars = screen.clone();
    counterpoint_telemetry::init(&TelemetrySettings {
        otlp: common.otlp.clone(),
        filter: std::env::var(LOG_VARIABLE).ok(),
        sink: LogSink::new(move |line: &[u8]| bars.write_above(line)),
        ..TelemetrySettings::default()
    })
    .map_err(|error| Failure::usage(error.to_string()))
}
