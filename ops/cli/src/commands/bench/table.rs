//! What a benchmark found: as a table for people, as one object for programs.

use std::{collections::BTreeMap, process::ExitCode};

use serde::Serialize;

use super::rounds::{Measured, median};
use crate::output::{Outcome, print, print_json};

/// All that a benchmark has to say.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Name of the benchmark.
    pub bench: &'static str,
    /// Processors of this machine.
    pub processors: usize,
    /// Measured rounds.
    pub rounds: u32,
    /// What was worked on.
    pub inputs: BTreeMap<&'static str, String>,
    /// What was compared before anything was timed.
    pub checks: Vec<Check>,
    /// What each side took.
    pub sides: Vec<SideLine>,
    /// One side against another.
    pub ratios: Vec<Ratio>,
    /// Numbers that are no times.
    pub figures: Vec<Figure>,
    /// What one has to know to read them.
    pub notes: Vec<String>,
}

/// A comparison of outputs.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was compared.
    pub what: String,
    /// What was found.
    pub found: String,
    /// Whether the times mean anything.
    pub holds: bool,
}

/// What one side took.
#[derive(Debug, Serialize)]
pub struct SideLine {
    /// Its name.
    pub side: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// Units in each turn.
    pub units: u64,
    /// Units a second, median of the rounds.
    pub units_per_second: f64,
    /// Processor milliseconds a unit, median of the rounds.
    pub cpu_ms_per_unit: f64,
    /// Seconds of each turn.
    pub seconds: Vec<f64>,
}

/// How many times as fast one side is as another.
#[derive(Debug, Serialize)]
pub struct Ratio {
    /// The faster one, it is hoped.
    pub side: &'static str,
    /// The one it is compared to.
    pub against: &'static str,
    /// Median over the rounds of the other's time divided by its time.
    pub median: f64,
    /// Lowest of the rounds.
    pub lowest: f64,
    /// Highest of the rounds.
    pub highest: f64,
    /// The same of processor time, by medians.
    pub cpu: f64,
    /// What the ratio should at least be.
    pub goal: Option<f64>,
}

/// A number with its unit.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
}

impl Findings {
    pub fn new(bench: &'static str, rounds: u32) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        Self {
            bench,
            processors,
            rounds,
            inputs: BTreeMap::new(),
            checks: Vec::new(),
            sides: Vec::new(),
            ratios: Vec::new(),
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a comparison of outputs.
    pub fn check(&mut self, what: impl Into<String>, found: impl Into<String>, holds: bool) {
        self.checks.push(Check { what: what.into(), found: found.into(), holds });
    }

    /// Adds a number that is no time.
    pub fn figure(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { what: what.into(), value, unit });
    }

    /// Adds what sides took that all did the same number of units.
    pub fn sides(&mut self, measured: &[Measured], unit: &'static str, units: u64) {
        for side in measured {
            let count = units.max(1) as f64;
            let seconds: Vec<f64> = side.turns.iter().map(|turn| turn.wall.as_secs_f64()).collect();
            let cpu = side.turns.iter().map(|turn| turn.cpu.as_secs_f64());
            self.sides.push(SideLine {
                side: side.name,
                unit,
                units,
                units_per_second: count / median(seconds.iter().copied()),
                cpu_ms_per_unit: median(cpu) * 1000.0 / count,
                seconds,
            });
        }
    }

    /// Compares two sides, round by round; nothing where one of them was not measured.
    pub fn ratio(
        &mut self,
        measured: &[Measured],
        side: &'static str,
        against: &'static str,
        goal: Option<f64>,
    ) {
        let find = |name| measured.iter().find(|side| side.name == name);
        let (Some(ours), Some(theirs)) = (find(side), find(against)) else { return };
        let ratios: Vec<f64> = ours
            .turns
            .iter()
            .zip(&theirs.turns)
            .map(|(ours, theirs)| theirs.wall.as_secs_f64() / ours.wall.as_secs_f64())
            .collect();
        let cpu = |side: &Measured| median(side.turns.iter().map(|turn| turn.cpu.as_secs_f64()));
        self.ratios.push(Ratio {
            side,
            against,
            median: median(ratios.iter().copied()),
            lowest: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            highest: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            cpu: cpu(theirs) / cpu(ours),
            goal,
        });
    }

    /// Prints all of it; fails if outputs that should be equal are not.
    pub fn tell(&self, json: bool) -> Outcome {
        if json {
            print_json(self)?;
        } else {
            self.lines().iter().for_each(|line| print(line));
        }
        let broken: Vec<_> = self.checks.iter().filter(|check| !check.holds).collect();
        match broken.first() {
            None => Ok(ExitCode::SUCCESS),
            Some(check) => Err(anyhow::anyhow!(
                "the outputs differ, so the times say nothing: {}: {}",
                check.what,
                check.found
            )
            .into()),
        }
    }

    fn lines(&self) -> Vec<String> {
        let rounds = if self.sides.is_empty() {
            String::new()
        } else {
            format!(", medians of {} rounds", self.rounds)
        };
        let mut lines = vec![format!("{} on {} processors{rounds}", self.bench, self.processors)];
        lines.extend(self.inputs.iter().map(|(what, value)| format!("  {what}: {value}")));
        for check in &self.checks {
            let mark = if check.holds { "holds" } else { "DIFFERS" };
            lines.push(format!("  {mark}: {}: {}", check.what, check.found));
        }
        let width = self.sides.iter().map(|line| line.side.chars().count()).max().unwrap_or(0);
        for line in &self.sides {
            let (rate, cpu) = (significant(line.units_per_second), significant(line.cpu_ms_per_unit));
            let singular = line.unit.trim_end_matches('s');
            lines.push(format!(
                "{:width$}  {rate:>10} {}/s  {cpu:>8} ms of processor a {singular}",
                line.side, line.unit
            ));
        }
        for ratio in &self.ratios {
            let Ratio { side, against, median, lowest, highest, cpu, goal } = ratio;
            let goal = goal.map_or_else(String::new, |goal| format!(", goal {goal}x"));
            lines.push(format!(
                "{side} / {against}: {median:.2}x ({lowest:.2} to {highest:.2}), by processor time {cpu:.2}x{goal}"
            ));
        }
        for Figure { what, value, unit } in &self.figures {
            lines.push(format!("{what}: {} {unit}", significant(*value)));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }
}

/// Three digits that count, at least.
fn significant(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.01 => format!("{value:.4}"),
        _ => format!("{value:.6}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commands::bench::rounds::Spent;

    fn side(name: &'static str, seconds: [u64; 3]) -> Measured {
        let turn = |wall| Spent { wall: Duration::from_secs(wall), cpu: Duration::from_secs(wall * 2) };
        Measured { name, turns: seconds.map(turn).to_vec() }
    }

    #[test]
    fn ratios_are_taken_round_by_round_and_rates_from_medians() {
        let measured = [side("ours", [1, 2, 4]), side("theirs", [3, 4, 4])];
        let mut findings = Findings::new("test", 3);
        findings.sides(&measured, "clips", 10);
        findings.ratio(&measured, "ours", "theirs", Some(1.5));
        findings.ratio(&measured, "ours", "not measured", None);
        assert_eq!((findings.sides[0].units_per_second, findings.sides[0].cpu_ms_per_unit), (5.0, 400.0));
        let [ratio] = findings.ratios.as_slice() else { panic!("{:?}", findings.ratios) };
        assert_eq!((ratio.median, ratio.lowest, ratio.highest, ratio.cpu), (2.0, 1.0, 3.0, 2.0));
        let text = findings.lines().join("\n");
        assert!(
            text.contains("ours / theirs: 2.00x (1.00 to 3.00), by processor time 2.00x, goal 1.5x"),
            "{text}"
        );
    }

    #[test]
    fn outputs_that_differ_are_a_failure() {
        let mut findings = Findings::new("test", 3);
        findings.check("rows", "equal", true);
        assert!(findings.tell(true).is_ok());
        findings.check("pixels", "3 of 100 differ", false);
        assert!(findings.tell(false).unwrap_err().to_string().contains("pixels: 3 of 100 differ"));
    }
}
