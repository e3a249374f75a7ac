//! Virtual time, one seeded choice after the other, and an executor that polls one task at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What virtual time counts from; only differences are ever looked at.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Task of no process: what goes on whatever is killed.
pub const NOBODY: usize = usize::MAX;

/// Longest that a poll takes.
const LONGEST_POLL: Duration = Duration::from_micros(400);

/// Decides everything that happens.
pub struct Scheduler {
    state: Mutex<State>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

struct State {
    now: Duration,
    rng: ChaCha8Rng,
    timers: BTreeMap<(Duration, u64), Waker>,
    tasks: BTreeMap<u64, Task>,
    frozen: BTreeSet<usize>,
    last: u64,
    steps: u64,
    trace: blake3::Hasher,
    told: Option<Vec<String>>,
}

struct Task {
    process: usize,
    /// Taken out while it is polled.
    future: Option<BoxFuture<'static, ()>>,
}

struct TaskWaker {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().insert(self.task);
    }
}

impl Scheduler {
    /// The one of a seed; `tells` keeps every note as text.
    pub fn new(seed: u64, tells: bool) -> Arc<Self> {
        LazyLock::force(&BEGINNING);
        Arc::new(Self {
            state: Mutex::new(State {
                now: Duration::ZERO,
                rng: ChaCha8Rng::seed_from_u64(seed),
                timers: BTreeMap::new(),
                tasks: BTreeMap::new(),
                frozen: BTreeSet::new(),
                last: 0,
                steps: 0,
                trace: blake3::Hasher::new(),
                told: tells.then(Vec::new),
            }),
            ready: Arc::default(),
        })
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        self.state.lock().now
    }

    pub fn instant(&self) -> Instant {
        *BEGINNING + self.now()
    }

    /// Polls so far.
    pub fn steps(&self) -> u64 {
        self.state.lock().steps
    }

    /// Ends when it is this late.
    pub fn sleep_until(self: &Arc<Self>, deadline: Instant) -> Sleep {
        let deadline = deadline.saturating_duration_since(*BEGINNING);
        Sleep { scheduler: Arc::clone(self), deadline, timer: None }
    }

    pub fn sleep(self: &Arc<Self>, duration: Duration) -> Sleep {
        self.sleep_until(self.instant() + duration)
    }

    /// Ends after a time below `longest`, or at once.
    pub async fn dawdle(self: &Arc<Self>, longest: Duration) {
        if self.chance(0.5) {
            let duration = self.below(longest);
            self.sleep(duration).await;
        }
    }

    /// True with this probability.
    pub fn chance(&self, probability: f64) -> bool {
        self.state.lock().rng.random_bool(probability.clamp(0.0, 1.0))
    }

    /// A duration below this one.
    pub fn below(&self, longest: Duration) -> Duration {
        longest.mul_f64(self.state.lock().rng.random())
    }

    /// A number below this one.
    pub fn pick(&self, end: usize) -> usize {
        self.state.lock().rng.random_range(0..end.max(1))
    }

    /// Makes something part of what the same seed must repeat.
    pub fn note(&self, what: impl Display) {
        let mut state = self.state.lock();
        let line = format!("{:>10.4} {what}", state.now.as_secs_f64());
        state.trace.update(line.as_bytes());
        if let Some(told) = &mut state.told {
            told.push(line);
        }
    }

    /// Hash of all notes.
    pub fn trace(&self) -> String {
        self.state.lock().trace.finalize().to_hex()[..16].to_owned()
    }

    /// Every note, where they were kept.
    pub fn told(&self) -> Vec<String> {
        self.state.lock().told.clone().unwrap_or_default()
    }

    /// Gives a process a task.
    pub fn spawn(&self, process: usize, future: BoxFuture<'static, ()>) {
        let mut state = self.state.lock();
        state.last += 1;
        let task = state.last;
        state.tasks.insert(task, Task { process, future: Some(future) });
        drop(state);
        self.ready.lock().insert(task);
    }

    /// Ends every task of a process where it stands.
    pub fn drop_tasks(&self, process: usize) {
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        let tasks = std::mem::take(&mut state.tasks);
        for (number, task) in tasks {
            if task.process == process {
                dropped.push(task);
            } else {
                state.tasks.insert(number, task);
            }
        }
        // What is dropped may wake others, or ask for the time.
        drop(state);
    }

    /// Keeps the tasks of a process from being polled, or lets them be polled again.
    pub fn freeze(&self, process: usize, frozen: bool) {
        let mut state = self.state.lock();
        if frozen {
            state.frozen.insert(process);
        } else {
            state.frozen.remove(&process);
        }
    }

    /// Polls one task that can go on, or lets time pass until one can; false when nothing ever will.
    pub fn step(&self) -> bool {
        let Some((number, mut future)) = self.choose() else { return self.pass_time() };
        let waker = Arc::new(TaskWaker { task: number, ready: Arc::clone(&self.ready) }).into();
        let ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut state = self.state.lock();
        state.steps += 1;
        let took = LONGEST_POLL.mul_f64(state.rng.random());
        state.now += took;
        if ended {
            state.tasks.remove(&number);
        } else if let Some(task) = state.tasks.get_mut(&number) {
            task.future = Some(future);
        }
        let line = [number.to_le_bytes(), (state.now.as_nanos() as u64).to_le_bytes()].concat();
        state.trace.update(&line);
        drop(state);
        self.fire();
        true
    }

    fn choose(&self) -> Option<(u64, BoxFuture<'static, ()>)> {
        let mut state = self.state.lock();
        let mut ready = self.ready.lock();
        ready.retain(|task| state.tasks.contains_key(task));
        let can_go_on: Vec<u64> = ready
            .iter()
            .filter(|number| {
                state.tasks.get(number).is_some_and(|task| !state.frozen.contains(&task.process))
            })
            .copied()
            .collect();
        if can_go_on.is_empty() {
            return None;
        }
        let chosen = can_go_on[state.rng.random_range(0..can_go_on.len())];
        ready.remove(&chosen);
        let future = state.tasks.get_mut(&chosen)?.future.take()?;
        Some((chosen, future))
    }

    fn pass_time(&self) -> bool {
        let mut state = self.state.lock();
        let Some((deadline, _)) = state.timers.keys().next().copied() else { return false };
        state.now = state.now.max(deadline);
        drop(state);
        self.fire();
        true
    }

    /// Wakes whoever waited for a time that has come.
    fn fire(&self) {
        let mut state = self.state.lock();
        let behind = (state.now + Duration::from_nanos(1), 0);
        let later = state.timers.split_off(&behind);
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
    }
}

/// See [`Scheduler::sleep_until`].
pub struct Sleep {
    scheduler: Arc<Scheduler>,
    deadline: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let scheduler = Arc::clone(&self.scheduler);
        let mut state = scheduler.state.lock();
        if state.now >= self.deadline {
            return Poll::Ready(());
        }
        let timer = match self.timer {
            Some(timer) => timer,
            None => {
                state.last += 1;
                *self.timer.insert(state.last)
            }
        };
        state.timers.insert((self.deadline, timer), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.scheduler.state.lock().timers.remove(&(self.deadline, timer));
        }
    }
}
