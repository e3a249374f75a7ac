//! As much HTTP as tests speak: whole messages with a known length, one connection a question.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a broken expectation is how a test fails")]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// Longest that a server may take over one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines, as they came.
    pub headers: Vec<String>,
    /// Body.
    pub body: String,
}

/// Asks `http://ADDRESS/PATH...`.
///
/// # Errors
/// If the server cannot be reached or does not answer in HTTP.
pub fn get(url: &str) -> io::Result<Answer> {
    let malformed = || io::Error::other(format!("`{url}` is no http address"));
    let rest = url.strip_prefix("http://").ok_or_else(malformed)?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let target = address.to_socket_addrs()?.next().ok_or_else(malformed)?;
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Version 1.0: the body ends where the connection does.
    write!(stream, "GET /{path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let status = head.first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("`{}` is no answer", head.first)))?;
    let mut body = String::new();
    reader.read_to_string(&mut body)?;
    Ok(Answer { status, headers: head.headers, body })
}

/// The first line of a message and its headers.
pub(crate) struct Head {
    pub first: String,
    pub headers: Vec<String>,
}

/// The head of the next message; `None` at the end of the connection.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim() {
            "" => return Ok(Some(Head { first: first.trim().to_owned(), headers })),
            line => headers.push(line.to_owned()),
        }
    }
}

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path, with what follows it.
    pub path: String,
    /// Header lines, as they came.
    pub headers: Vec<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Reads the next one; `None` at the end of the connection.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(head) = read_head(reader)? else { return Ok(None) };
        let path = head.first.split(' ').nth(1).unwrap_or_default().to_owned();
        let length = header(&head.headers, "content-length").map_or(Ok(0), str::parse);
        let mut body = vec![0; length.map_err(io::Error::other)?];
        reader.read_exact(&mut body)?;
        Ok(Some(Self { path, headers: head.headers, body }))
    }
}

fn header<'a>(headers: &'a [String], name: &str) -> Option<&'a str> {
    headers.iter().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}
