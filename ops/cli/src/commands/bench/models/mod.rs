//! Benchmarks on models, each against transformers and PEFT on the same random checkpoint and the same drawn clip.
//!
//! Every side is a process of its own that has loaded its model before the clock ([`crate::sides`]), so that its memory
//! is its own too. The first turn of each is compared, and nothing is told where sides differ.

pub mod forward;
pub mod load;
pub mod lora;
pub mod questions;

use std::{cell::RefCell, fs, path::Path, process::Command};

use anyhow::Context as _;

use super::{
    Bench, lists,
    peers::{self, Dialogue, Tools},
    rounds::{self, Spent, alternate_warm},
    table::Findings,
    tree::highest,
};
use crate::{
    args::{Common, bench::ModelBench},
    context::Classification,
    output::Failure,
    sides::{Job, Outcome, Prompt, Scale, Work},
};

const SCRIPT: &str = include_str!("../../../../assets/bench/transformers.py");

/// How far numbers may be apart, and as a share of those above 1: single precision summed in another order.
const TOLERANCE: f64 = 1e-3;

/// A benchmark.
struct Plan {
    name: &'static str,
    sides: Vec<Seat>,
    pairs: Vec<Pair>,
    unit: &'static str,
    /// Units of a turn.
    units: u64,
    prompts: Vec<Prompt>,
    notes: &'static [&'static str],
}

/// Who does what.
#[derive(Clone, Copy)]
struct Seat {
    name: &'static str,
    who: Who,
    work: Work,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    Peer,
}

impl Seat {
    const fn ours(name: &'static str, work: Work) -> Self {
        Self { name, who: Who::Ours, work }
    }

    const fn peer(name: &'static str, work: Work) -> Self {
        Self { name, who: Who::Peer, work }
    }
}

/// Two sides whose outcomes have to be equal, and what is hoped for.
struct Pair {
    ours: &'static str,
    theirs: &'static str,
    /// How many times as fast ours should be.
    speed: Option<f64>,
    /// What share of the memory ours should take.
    memory: Option<f64>,
}

impl Pair {
    const fn of(ours: &'static str, theirs: &'static str) -> Self {
        Self { ours, theirs, speed: None, memory: None }
    }

    const fn faster(self, times: f64) -> Self {
        Self { speed: Some(times), ..self }
    }

    const fn smaller(self, share: f64) -> Self {
        Self { memory: Some(share), ..self }
    }
}

/// A side that has loaded its model.
struct Seated {
    seat: Seat,
    dialogue: RefCell<Dialogue>,
    process: u32,
    /// Most bytes it held when it was ready.
    loaded: u64,
    /// Of each turn.
    outcomes: RefCell<Vec<Outcome>>,
}

impl Seated {
    fn turn(&self, compared: bool) -> anyhow::Result<()> {
        let outcome = self.dialogue.borrow_mut().ask(&compared)?;
        self.outcomes.borrow_mut().push(outcome);
        Ok(())
    }
}

fn run(plan: Plan, arguments: &ModelBench, common: &Common, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let scale = scale(arguments)?;
    let python = peer(common, bench)?;
    let mut findings = Findings::new(plan.name, bench.rounds.rounds);
    let ModelBench { layers, width, pixels, seconds, threads } = arguments;
    findings
        .inputs
        .insert("model", format!("{layers} layers each of text, vision and audio, text {width} wide"));
    findings.inputs.insert("clip", format!("{seconds} s, {} frames of {pixels}x{pixels}", 2 * seconds));
    findings.inputs.insert("threads of each side", threads.to_string());
    findings.inputs.insert("load average before", load_average());

    let folder = bench.scratch.join("sides");
    let job = |work| Job { work, folder: folder.clone(), scale, prompts: plan.prompts.clone() };
    let settings = ["OMP_NUM_THREADS", "MKL_NUM_THREADS"].map(|name| (name, threads.to_string()));
    ours(&job(Work::Make), &common.device, &settings)?
        .ask::<Outcome>(&true)
        .context("the checkpoint and the clip cannot be made")?;
    let mut seated = Vec::new();
    for seat in &plan.sides {
        let dialogue = match (seat.who, &python) {
            (Who::Ours, _) => ours(&job(seat.work), &common.device, &settings)?,
            (Who::Peer, Some(python)) => {
                let told = [serde_json::to_string(&job(seat.work)).context("the job is no JSON")?];
                peers::script(Tools::Parity, Some(python.as_path()), SCRIPT, &told, &settings)
                    .map_err(anyhow::Error::from)?
            }
            (Who::Peer, None) => continue,
        };
        let process = dialogue.process();
        let side = Seated {
            seat: *seat,
            process,
            loaded: highest(process),
            dialogue: RefCell::new(dialogue),
            outcomes: RefCell::default(),
        };
        side.turn(true).context(seat.name)?;
        seated.push(side);
    }
    let find = |name| seated.iter().find(|side| side.seat.name == name);
    let pairs: Vec<(&Pair, &Seated, &Seated)> =
        plan.pairs.iter().filter_map(|pair| Some((pair, find(pair.ours)?, find(pair.theirs)?))).collect();
    check(&pairs, "the first turn", &mut findings);
    if findings.checks.iter().any(|check| !check.holds) {
        return Ok(findings);
    }

    let sides = seated.iter().map(|side| {
        rounds::Side::new(side.seat.name, move || Spent::beside(&[side.process], || side.turn(false)))
    });
    let measured = alternate_warm(sides.collect(), bench.rounds.rounds, bench.interrupt, bench.screen)?;
    check(&pairs, "every turn", &mut findings);
    findings.sides(&measured, plan.unit, plan.units);
    for pair in &plan.pairs {
        findings.ratio(&measured, pair.ours, pair.theirs, pair.speed);
    }
    memory(&seated, &pairs, &mut findings);
    findings.inputs.insert("load average after", load_average());
    findings.notes.extend(plan.notes.iter().map(|note| (*note).to_owned()));
    findings.notes.push("all sides are on one checkpoint of random weights, in f32".to_owned());
    Ok(findings)
}

/// The Python of the peer; nothing where it is not wanted.
fn peer(common: &Common, bench: &Bench<'_>) -> Result<Option<std::path::PathBuf>, Failure> {
    if bench.rounds.alone {
        return Ok(None);
    }
    if common.device != "cpu" {
        let text =
            format!("the peer computes on the CPU and this program would on {}: add --alone", common.device);
        return Err(Failure::usage(text));
    }
    let named = bench.rounds.python.as_deref();
    Ok(Some(peers::python(Tools::Parity, named).map_err(anyhow::Error::from)?))
}

fn scale(arguments: &ModelBench) -> Result<Scale, Failure> {
    let ModelBench { layers, width, pixels, seconds, .. } = *arguments;
    for (name, value, unit) in [("--width", width, 128), ("--pixels", pixels, 28)] {
        if value % unit != 0 {
            return Err(Failure::usage(format!("{name} {value} is no multiple of {unit}")));
        }
    }
    let [layers, width, pixels, seconds] = [layers, width, pixels, seconds].map(usize::from);
    Ok(Scale { layers, width, pixels, seconds })
}

/// This very program as a side.
fn ours(job: &Job, device: &str, settings: &[(&str, String)]) -> anyhow::Result<Dialogue> {
    let mut command = Command::new(std::env::current_exe().context("cannot tell where this program lies")?);
    command.args(["model", "side", "--device", device]);
    command.arg(serde_json::to_string(job).context("the job is no JSON")?);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    Dialogue::start(&mut command).context("this program's own side cannot be started")
}

/// Compares what came of all turns so far.
fn check(pairs: &[(&Pair, &Seated, &Seated)], when: &str, findings: &mut Findings) {
    for (pair, ours, theirs) in pairs {
        let (ours, theirs) = (ours.outcomes.borrow(), theirs.outcomes.borrow());
        let (found, holds) = compared(&ours, &theirs);
        findings.check(format!("{} against {}, {when}", pair.ours, pair.theirs), found, holds);
    }
}

/// How far outcomes are apart, turn by turn, and whether that is near enough.
fn compared(ours: &[Outcome], theirs: &[Outcome]) -> (String, bool) {
    let (mut texts, mut other, mut numbers, mut apart) = (0, 0, 0, 0.0_f64);
    let counts = |outcomes: &[Outcome]| -> Vec<_> {
        outcomes.iter().map(|outcome| (outcome.texts.len(), outcome.numbers.len())).collect()
    };
    let counts = [counts(ours), counts(theirs)];
    for (ours, theirs) in ours.iter().zip(theirs) {
        texts += ours.texts.len();
        other += ours.texts.iter().zip(&theirs.texts).filter(|(ours, theirs)| ours != theirs).count();
        numbers += ours.numbers.len();
        for (ours, theirs) in ours.numbers.iter().zip(&theirs.numbers) {
            let distance = (ours - theirs).abs() / theirs.abs().max(1.0);
            apart = if distance.is_finite() { apart.max(distance) } else { f64::INFINITY };
        }
    }
    let mut found = Vec::new();
    if texts > 0 {
        found.push(format!("{} of {texts} texts equal", texts - other));
    }
    if numbers > 0 {
        found.push(format!("{numbers} numbers, {apart:.1e} apart at most"));
    }
    let [of_ours, of_theirs] = &counts;
    let alike = of_ours == of_theirs && !found.is_empty();
    if !alike {
        found.push(format!("texts and numbers a turn {of_ours:?} against {of_theirs:?}"));
    }
    (found.join(", "), alike && other == 0 && apart <= TOLERANCE)
}

/// Tells the most that each side held, and compares.
fn memory(seated: &[Seated], pairs: &[(&Pair, &Seated, &Seated)], findings: &mut Findings) {
    let peaks: Vec<(u32, u64)> = seated.iter().map(|side| (side.process, highest(side.process))).collect();
    for (side, (_, peak)) in seated.iter().zip(&peaks) {
        let name = side.seat.name;
        findings.figure(format!("peak memory of {name}"), *peak as f64 / 1e6, "MB");
        findings.figure(format!("peak memory of {name} until it was ready"), side.loaded as f64 / 1e6, "MB");
    }
    let peak = |side: &Seated| {
        let found = peaks.iter().find(|(process, _)| *process == side.process);
        found.map_or(f64::NAN, |(_, peak)| *peak as f64)
    };
    for (pair, ours, theirs) in pairs {
        let goal = pair.memory.map_or_else(String::new, |goal| format!(", goal {goal}"));
        let what = format!("memory of {} / {}{goal}", pair.ours, pair.theirs);
        findings.figure(what, peak(ours) / peak(theirs), "times");
    }
}

/// How busy the machine was over the last minute, five and fifteen.
fn load_average() -> String {
    let told = fs::read_to_string(Path::new("/proc/loadavg")).unwrap_or_default();
    told.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The classes that are offered: those of the paper.
fn classes() -> anyhow::Result<Vec<String>> {
    let ontology = lists::ONTOLOGY.to_owned();
    let classification = Classification::of(ontology, "the built-in ontology", None, "built in")?;
    Ok(classification.rulebook.classes().iter().map(|class| class.name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(texts: &[&str], numbers: &[f64]) -> Outcome {
        Outcome { texts: texts.iter().map(|&text| text.to_owned()).collect(), numbers: numbers.to_vec() }
    }

    #[test]
    fn outcomes_that_differ_in_a_text_a_number_or_a_count_do_not_hold() {
        let whole = outcome(&["Cat", "Rain"], &[0.5, 200.0]);
        let holds = |theirs: &Outcome| compared(std::slice::from_ref(&whole), std::slice::from_ref(theirs)).1;
        assert!(holds(&whole));
        assert!(holds(&outcome(&["Cat", "Rain"], &[0.5001, 200.1])), "numbers are near enough");
        for other in [
            outcome(&["Cat", "Rait"], &[0.5, 200.0]),
            outcome(&["Cat", "Rain"], &[0.502, 200.0]),
            outcome(&["Cat", "Rain"], &[0.5, f64::NAN]),
            outcome(&["Cat"], &[0.5, 200.0]),
            outcome(&["Cat", "Rain"], &[0.5]),
        ] {
            assert!(!holds(&other), "{other:?}");
        }
        let twice = [whole.clone(), whole];
        assert!(!compared(&twice[..1], &twice).1, "another number of turns");
        assert!(!compared(&[Outcome::default()], &[Outcome::default()]).1, "nothing was compared");
    }
}
