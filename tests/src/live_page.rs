//! `status --serve` as a program that a test has started.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use counterpoint_servers::{Answer, get};
use serde_json::Value;

use crate::program::{Program, Running};

/// Longest that an event may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that serves the page of a run.
#[derive(Debug)]
pub struct LivePage {
    /// The program.
    pub program: Running,
    /// Address of the page, `http://HOST:PORT/`.
    pub url: String,
}

impl LivePage {
    /// Serves the page of the run in a folder at a free port, and waits until it does.
    pub fn of(out: &Path) -> Self {
        Self::start(Program::counterpoint(["status", "--serve", "0", "--out"]).with([out]))
    }

    /// Starts a program that serves the page, and waits until it says where.
    pub fn start(program: Program) -> Self {
        let mut program = program.start();
        let url = |program: &Running| {
            let told = program.stdout();
            told.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
        };
        program.until("it says where the page is", |program| url(program).is_some());
        let url = url(&program).expect("an address");
        Self { program, url }
    }

    /// Asks for something below the page's address.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn get(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.url)).expect("the page is served")
    }

    /// Waits until the page as it is served anew holds all of this.
    pub fn until_it_says(&mut self, words: &[&str]) {
        let url = self.url.clone();
        self.program.until(&format!("the page says {words:?}"), |_| {
            let page = get(&url).expect("the page is served").body;
            words.iter().all(|word| page.contains(word))
        });
    }

    /// A reader of its events.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn events(&self) -> Events {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).expect("the page is served");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        write!(stream, "GET /events HTTP/1.0\r\nhost: {address}\r\n\r\n").expect("a question");
        Events { lines: BufReader::new(stream) }
    }
}

/// A reader of events.
#[derive(Debug)]
pub struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    /// The next event: the parts of the page that changed.
    ///
    /// # Panics
    /// If none comes, or it is no JSON.
    #[allow(clippy::should_implement_trait, reason = "it ends by panicking, not by None")]
    pub fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("an event comes");
            assert!(read > 0, "the events ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).expect("an event is JSON");
            }
        }
    }
}
