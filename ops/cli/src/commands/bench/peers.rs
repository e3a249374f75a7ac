//! What this program is compared to: ffmpeg, and Python with what a benchmark needs.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::Context as _;
use serde::{Serialize, de::DeserializeOwned};

/// A peer that is not on this machine.
#[derive(Debug, thiserror::Error)]
pub enum MissingPeer {
    /// ffmpeg or ffprobe.
    #[error(
        "{program} cannot be started: {source}; `ops/setup.sh bench` installs it, --alone measures without it"
    )]
    Ffmpeg { program: &'static str, source: io::Error },
    /// Python, or a module of it.
    #[error(
        "{} cannot {what}: {detail}; `ops/setup.sh bench` makes one that can, --python names another, \
         --alone measures without it",
        python.display()
    )]
    Python { python: PathBuf, what: &'static str, detail: String },
}

/// ffmpeg, known to be there.
#[derive(Debug, Clone, Copy)]
pub struct Ffmpeg;

impl Ffmpeg {
    /// Looks for it.
    pub fn find() -> Result<Self, MissingPeer> {
        let asked = Command::new("ffmpeg").arg("-version").stdin(Stdio::null()).output();
        asked.map(|_| Self).map_err(|source| MissingPeer::Ffmpeg { program: "ffmpeg", source })
    }

    /// Runs it; gives what it wrote to standard output and to standard error.
    pub fn run<S: AsRef<OsStr>>(
        self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<(String, String)> {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-hide_banner", "-nostats", "-y"]).args(arguments).stdin(Stdio::null());
        let done = command.output().context("cannot start ffmpeg")?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        if !done.status.success() {
            anyhow::bail!("ffmpeg failed ({}): {}", done.status, said.trim());
        }
        Ok((String::from_utf8_lossy(&done.stdout).into_owned(), said))
    }
}

/// The Python that `ops/setup.sh bench` makes: in `tools/bench` beside the folder of this program.
fn own_python() -> PathBuf {
    let target =
        std::env::current_exe().ok().and_then(|program| Some(program.parent()?.parent()?.to_owned()));
    target.unwrap_or_else(|| PathBuf::from("target")).join("tools/bench/bin/python")
}

/// Any Python will do for a script that uses nothing but its standard library.
pub fn plain_python(named: Option<&Path>) -> Result<PathBuf, MissingPeer> {
    let own = own_python();
    let python = match named {
        Some(named) => named.to_owned(),
        None if own.exists() => own,
        None => PathBuf::from("python3"),
    };
    let missing = |detail| MissingPeer::Python { python: python.clone(), what: "be started", detail };
    match Command::new(&python).arg("--version").stdin(Stdio::null()).output() {
        Ok(asked) if asked.status.success() => Ok(python),
        Ok(asked) => Err(missing(asked.status.to_string())),
        Err(error) => Err(missing(error.to_string())),
    }
}

/// A Python script at work that answers each line of JSON with one.
#[derive(Debug)]
pub struct Script {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Script {
    /// Starts `text` with `arguments`, and waits for its first line, an empty one, which says that all it
    /// imports is there.
    pub fn start(named: Option<&Path>, text: &str, arguments: &[String]) -> Result<Self, MissingPeer> {
        let python = named.map_or_else(own_python, Path::to_owned);
        let missing = |detail| MissingPeer::Python { python: python.clone(), what: "run torchcodec", detail };
        let started = Command::new(&python)
            .args(["-c", text])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|error| missing(error.to_string()))?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| missing("it has no standard output".to_owned()))?;
        let mut script = Self { child, questions, answers: BufReader::new(answers) };
        let mut ready = String::new();
        match script.answers.read_line(&mut ready) {
            Ok(length) if length > 0 => Ok(script),
            _ => Err(missing("it ended while it loaded what it needs (see above)".to_owned())),
        }
    }

    /// Asks, and waits for the answer.
    pub fn ask<A: DeserializeOwned>(&mut self, question: &impl Serialize) -> anyhow::Result<A> {
        let mut line = serde_json::to_string(question)?;
        line.push('\n');
        let questions = self.questions.as_mut().context("the script was told to end")?;
        questions.write_all(line.as_bytes()).context("the Python script is gone")?;
        questions.flush().context("the Python script is gone")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("the Python script does not answer")?;
        serde_json::from_str(&answer).context("the Python script failed (see above)")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It ends when nobody can ask it any more.
        self.questions.take();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_is_not_there_is_named_with_its_remedy() {
        let nowhere = Path::new("no/such/python");
        for error in
            [plain_python(Some(nowhere)).unwrap_err(), Script::start(Some(nowhere), "", &[]).unwrap_err()]
        {
            let text = error.to_string();
            assert!(text.contains("no/such/python") && text.contains("ops/setup.sh bench"), "{text}");
        }
    }

    #[test]
    fn a_script_answers_line_by_line_and_one_that_cannot_load_is_a_missing_peer() {
        let python = plain_python(None).unwrap();
        let text = "print(flush=True)\nwhile True:\n    try: print(int(input()) * 2, flush=True)\n    \
                    except EOFError: break";
        let mut script = Script::start(Some(&python), text, &[]).unwrap();
        assert_eq!(script.ask::<u32>(&21).unwrap(), 42);
        assert_eq!(script.ask::<u32>(&4).unwrap(), 8);
        let error = Script::start(Some(&python), "raise SystemExit(1)", &[]).unwrap_err();
        assert!(error.to_string().contains("cannot run torchcodec"), "{error}");
    }
}
