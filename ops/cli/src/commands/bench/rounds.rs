//! Sides measured in turn: a round gives each one its turn, the next round begins with another, so that
//! whatever else the machine does falls on all of them alike.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::progress::{Interrupt, Screen};

/// What one turn took.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// From beginning to end.
    pub wall: Duration,
    /// Processor time over all processes that worked on it.
    pub cpu: Duration,
}

impl Spent {
    /// Measures work whose processes have all ended when it returns.
    pub fn on(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Self> {
        Self::beside(&[], work)
    }

    /// Measures work that other processes, which live on, have a part in.
    pub fn beside(processes: &[u32], work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let (cpu, start) = (processor_time(processes), Instant::now());
        work()?;
        let wall = start.elapsed();
        Ok(Self { wall, cpu: processor_time(processes).saturating_sub(cpu) })
    }
}

/// One way to do the work.
pub struct Side<'a> {
    /// Its name.
    pub name: &'static str,
    /// Does all of the work once.
    pub turn: Box<dyn FnMut() -> anyhow::Result<Spent> + 'a>,
}

impl<'a> Side<'a> {
    pub fn new(name: &'static str, turn: impl FnMut() -> anyhow::Result<Spent> + 'a) -> Self {
        Self { name, turn: Box::new(turn) }
    }
}

/// What the turns of a side took, round by round.
#[derive(Debug, Clone)]
pub struct Measured {
    pub name: &'static str,
    pub turns: Vec<Spent>,
}

/// Gives each side its turn in each of so many rounds, after one that is not counted.
pub fn alternate(
    sides: Vec<Side<'_>>,
    rounds: u32,
    interrupt: &Interrupt,
    screen: &Screen,
) -> anyhow::Result<Vec<Measured>> {
    in_turn(sides, 0..=rounds as usize, interrupt, screen)
}

/// The same with sides that have had a turn: all rounds count.
pub fn alternate_warm(
    sides: Vec<Side<'_>>,
    rounds: u32,
    interrupt: &Interrupt,
    screen: &Screen,
) -> anyhow::Result<Vec<Measured>> {
    in_turn(sides, 1..=rounds as usize, interrupt, screen)
}

/// Round 0 warms up.
fn in_turn(
    mut sides: Vec<Side<'_>>,
    rounds: RangeInclusive<usize>,
    interrupt: &Interrupt,
    screen: &Screen,
) -> anyhow::Result<Vec<Measured>> {
    let mut measured: Vec<Measured> =
        sides.iter().map(|side| Measured { name: side.name, turns: Vec::new() }).collect();
    let bar = screen.bar("rounds", rounds.clone().count());
    for round in rounds {
        for place in 0..sides.len() {
            let index = (place + round) % sides.len();
            let spent = (sides[index].turn)().with_context(|| sides[index].name.to_owned())?;
            if interrupt.is_set() {
                bail!("interrupted");
            }
            if round > 0 {
                measured[index].turns.push(spent);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(measured)
}

/// The middle one; the mean of the two middle ones where there are two.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Ticks of the processor times in `/proc`, a second.
fn ticks_a_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

/// Processor time of this process, of all its children that have ended, and of these processes.
pub fn processor_time(processes: &[u32]) -> Duration {
    let own = ticks("/proc/self/stat", 4);
    let others = processes.iter().map(|process| ticks(&format!("/proc/{process}/stat"), 2));
    let ticks = others.fold(own, u64::saturating_add);
    Duration::from_secs_f64(ticks as f64 / ticks_a_second() as f64)
}

/// The sum of the first `count` of utime, stime, cutime and cstime; 0 for a process that has ended.
fn ticks(path: &str, count: usize) -> u64 {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    // The program's name, in brackets, may hold anything; utime is the 12th field behind it.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    fields.split(' ').skip(11).take(count).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_side_has_a_turn_in_each_round_and_no_side_always_begins() {
        let order = RefCell::new(String::new());
        let side = |name: &'static str| {
            Side::new(name, || {
                order.borrow_mut().push_str(name);
                Spent::on(|| Ok(()))
            })
        };
        let sides = vec![side("a"), side("b")];
        let measured = alternate(sides, 3, &Interrupt::default(), &Screen::new()).unwrap();
        assert_eq!(order.into_inner(), "abbaabba");
        assert!(measured.iter().all(|side| side.turns.len() == 3), "the first round warms up");
        let warm = vec![Side::new("a", || Spent::on(|| Ok(())))];
        let measured = alternate_warm(warm, 3, &Interrupt::default(), &Screen::new()).unwrap();
        assert_eq!(measured[0].turns.len(), 3, "all rounds count");
    }

    #[test]
    fn an_interrupt_and_a_side_that_fails_end_the_rounds() {
        let failing = vec![Side::new("a", || bail!("broken"))];
        let error = alternate(failing, 1, &Interrupt::default(), &Screen::new()).unwrap_err();
        assert_eq!(format!("{error:#}"), "a: broken");
        let interrupt = Interrupt::default();
        interrupt.flag().store(true, std::sync::atomic::Ordering::Relaxed);
        let side = vec![Side::new("a", || Spent::on(|| Ok(())))];
        assert!(alternate(side, 1, &interrupt, &Screen::new()).is_err());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn processor_time_counts_this_process_and_those_named() {
        let before = processor_time(&[]);
        let mut sum = 0_u64;
        while processor_time(&[]) < before + Duration::from_millis(20) {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        let own = processor_time(&[std::process::id()]).as_secs_f64();
        assert!(own >= processor_time(&[]).as_secs_f64() * 1.5, "counted twice when it is named: {sum}");
        assert_eq!(ticks("/proc/0/stat", 4), 0);
    }
}
