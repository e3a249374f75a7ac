//! Progress on stderr: bars where it is a terminal, a line now and then where it is not.

use std::{
    io::{self, IsTerminal, Write},
    ops::Deref,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use counterpoint_actors::{
    pipeline::RunningPipeline,
    stage::{Phase, StageHealth},
};
use counterpoint_messages::StageName;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::thousands;

/// How often long work says how far it is where no bars are drawn.
pub const LINE_EVERY: Duration = Duration::from_secs(10);

/// The terminal, shared by bars and log lines.
#[derive(Debug, Clone)]
pub struct Screen {
    bars: MultiProgress,
}

impl Screen {
    pub fn new() -> Self {
        Self { bars: MultiProgress::new() }
    }

    /// Writes a log line without tearing the bars.
    pub fn write_above(&self, line: &[u8]) {
        self.bars.suspend(|| {
            // Nowhere is left to say that stderr is gone.
            let _ = io::stderr().lock().write_all(line);
        });
    }

    /// A bar over a known number of things.
    pub fn bar(&self, what: &'static str, total: usize) -> Bar {
        let template = "{prefix:>12} {wide_bar} {human_pos}/{human_len} {eta:>5}";
        let bar = self.bars.add(ProgressBar::new(total as u64)).with_prefix(what);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Bar { bar, last_line: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Draws how the stages are doing, until dropped.
    pub fn watch(&self, running: &RunningPipeline) -> Watch {
        let lines = running.health().into_iter().map(|(stage, _)| {
            let bar = self.bars.add(ProgressBar::new_spinner()).with_prefix(stage.as_str());
            if let Ok(style) = ProgressStyle::with_template("{prefix:>12} {spinner} {wide_msg}") {
                bar.set_style(style);
            }
            (stage, bar)
        });
        Watch { lines: lines.collect(), last_line: Instant::now(), last_said: String::new() }
    }
}

/// How far a command is with a known number of things.
#[derive(Debug, Clone)]
pub struct Bar {
    bar: ProgressBar,
    last_line: Arc<Mutex<Instant>>,
}

impl Bar {
    /// So many more are done.
    pub fn inc(&self, done: u64) {
        self.bar.inc(done);
        self.tell();
    }

    /// So many are done.
    pub fn set_position(&self, done: u64) {
        self.bar.set_position(done);
        self.tell();
    }

    fn tell(&self) {
        if !io::stderr().is_terminal()
            && let Ok(mut last_line) = self.last_line.try_lock()
            && last_line.elapsed() > LINE_EVERY
        {
            *last_line = Instant::now();
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            tracing::info!("{}: {} of {}", self.bar.prefix(), thousands(done), thousands(all));
        }
    }
}

impl Deref for Bar {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.bar
    }
}

/// Lines of a running pipeline.
pub struct Watch {
    lines: Vec<(StageName, ProgressBar)>,
    last_line: Instant,
    last_said: String,
}

impl Watch {
    /// Draws the present state.
    pub fn draw(&mut self, running: &RunningPipeline) {
        let health = running.health();
        for ((_, bar), (_, health)) in self.lines.iter().zip(&health) {
            bar.set_message(describe(health));
            bar.tick();
        }
        if !io::stderr().is_terminal() && self.last_line.elapsed() > LINE_EVERY {
            self.last_line = Instant::now();
            let stages: Vec<_> =
                health.iter().map(|(stage, health)| format!("{stage} {}", health.records)).collect();
            let done = stages.join(", ");
            // A run that follows may have nothing to do for days.
            if done != self.last_said {
                tracing::info!("records done: {done}");
                self.last_said = done;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (_, bar) in &self.lines {
            bar.finish_and_clear();
        }
    }
}

fn describe(health: &StageHealth) -> String {
    let done = format!("{} done", thousands(health.records));
    match &health.phase {
        Phase::Joining => "joining".to_owned(),
        Phase::Waiting { holder } => format!("waiting: {holder} is at it"),
        Phase::Paused { cause } => format!("{done}, paused: {cause}"),
        Phase::Running if health.caught_up => match health.held.values().next() {
            Some(record) => format!("{done}, paused: {record}"),
            None => format!("{done}, nothing to do"),
        },
        Phase::Running => {
            format!("{done}, {} at work, {} waiting", health.running, health.records_in_flight)
        }
    }
}

/// Set by the first Ctrl-C or SIGTERM; the second ends the program at once.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on; needs a tokio runtime that lives as long as the work.
    pub async fn listen(&self) {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut term) = signal(SignalKind::terminate()) else { return };
        let mut first = true;
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            if !first {
                std::process::exit(INTERRUPTED.into());
            }
            first = false;
            self.0.store(true, Ordering::Relaxed);
            tracing::info!("finishing what has begun; once more ends at once");
        }
    }

    /// Listens on a thread of its own, for commands without a runtime, until the answer is dropped.
    pub fn listen_in_background(&self) -> Listening {
        let interrupt = self.clone();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(async {
                    tokio::select! {
                        () = interrupt.listen() => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Listening { _stop: stop }
    }

    /// Whether it was set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For work that looks at it.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// A listener at work; dropped, it makes way for the next one, so that each Ctrl-C is answered once.
#[must_use]
pub struct Listening {
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// Exit code of an interrupted command, as shells have it.
pub const INTERRUPTED: u8 = 130;
