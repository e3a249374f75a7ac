//! A server that stands in for one of a model: answers what the test tells it to, well or badly.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a broken expectation is how a test fails")]

use std::{
    io::{self, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::http::Request;

/// Pause between the bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(10);

/// What the server does with a request.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    manner: Manner,
}

#[derive(Debug, Clone, Copy)]
enum Manner {
    Whole,
    Half,
    Dripping,
    Never,
}

impl Reply {
    /// Status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), manner: Manner::Whole }
    }

    /// With a header line.
    #[must_use]
    pub fn with(mut self, header: impl Into<String>) -> Self {
        self.headers.push(header.into());
        self
    }

    /// Breaks off in the middle of the body.
    #[must_use]
    pub fn broken_off(self) -> Self {
        Self { manner: Manner::Half, ..self }
    }

    /// Sends the body byte by byte, slower than anybody waits.
    #[must_use]
    pub fn dripping(self) -> Self {
        Self { manner: Manner::Dripping, ..self }
    }

    /// Takes the request and never says a word.
    pub fn never() -> Self {
        Self { manner: Manner::Never, ..Self::new(200, "") }
    }

    /// Tells whether the connection goes on.
    fn send(&self, mut stream: &TcpStream) -> io::Result<bool> {
        if matches!(self.manner, Manner::Never) {
            loop {
                thread::park();
            }
        }
        let (status, length) = (self.status, self.body.len());
        let head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\n");
        let headers: String = self.headers.iter().map(|line| format!("{line}\r\n")).collect();
        stream.write_all(format!("{head}{headers}\r\n").as_bytes())?;
        match self.manner {
            Manner::Half => stream.write_all(&self.body[..length / 2])?,
            Manner::Dripping => {
                for byte in &self.body {
                    stream.write_all(&[*byte])?;
                    thread::sleep(DRIP);
                }
            }
            Manner::Whole | Manner::Never => stream.write_all(&self.body)?,
        }
        Ok(matches!(self.manner, Manner::Whole))
    }
}

/// A listener on a free port. Its threads end with the test's process.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl ModelServer {
    /// One that answers the n-th request (from 0) as `answer` says, each connection on a thread of its own.
    ///
    /// # Panics
    /// If nothing can listen here.
    pub fn start(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let server = Self { address, requests: Arc::clone(&requests) };
        let (answer, count) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                let requests = Arc::clone(&requests);
                thread::spawn(move || -> io::Result<()> {
                    let mut reader = BufReader::new(stream.try_clone()?);
                    while let Some(request) = Request::read(&mut reader)? {
                        requests.lock().expect("no thread panicked").push(request.clone());
                        let number = count.fetch_add(1, Ordering::SeqCst);
                        if !answer(number, &request).send(&stream)? {
                            break;
                        }
                    }
                    Ok(())
                });
            }
        });
        server
    }

    /// One that gives these replies in order, and the last one for ever.
    ///
    /// # Panics
    /// If nothing can listen here.
    pub fn scripted(replies: Vec<Reply>) -> Self {
        Self::start(move |number, _| {
            let last = || replies.last().expect("a script has a line");
            replies.get(number).unwrap_or_else(last).clone()
        })
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    ///
    /// # Panics
    /// If the server broke.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no thread panicked").clone()
    }
}
