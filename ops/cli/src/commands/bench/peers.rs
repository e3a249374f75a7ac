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
        "{} cannot {what}: {detail}; `ops/setup.sh {}` makes one that can, --python names another, \
         --alone measures without it",
        python.display(),
        tools.name()
    )]
    Python { python: PathBuf, tools: Tools, what: &'static str, detail: String },
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

/// Which Python, by what `ops/setup.sh` calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tools {
    /// With torchcodec.
    Bench,
    /// With transformers and PEFT.
    Parity,
}

impl Tools {
    fn name(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Parity => "parity",
        }
    }

    fn runs(self) -> &'static str {
        match self {
            Self::Bench => "run torchcodec",
            Self::Parity => "run transformers and PEFT",
        }
    }

    /// The Python that `ops/setup.sh` makes: in a folder of that name beside the folder of this program.
    fn python(self) -> PathBuf {
        let target =
            std::env::current_exe().ok().and_then(|program| Some(program.parent()?.parent()?.to_owned()));
        let target = target.unwrap_or_else(|| PathBuf::from("target"));
        target.join("tools").join(self.name()).join("bin/python")
    }
}

/// Any Python will do for a script that uses nothing but its standard library.
pub fn plain_python(named: Option<&Path>) -> Result<PathBuf, MissingPeer> {
    let own = Tools::Bench.python();
    let python = match named {
        Some(named) => named.to_owned(),
        None if own.exists() => own,
        None => PathBuf::from("python3"),
    };
    startable(python, Tools::Bench)
}

/// The Python with these tools, known to start.
pub fn python(tools: Tools, named: Option<&Path>) -> Result<PathBuf, MissingPeer> {
    startable(named.map_or_else(|| tools.python(), Path::to_owned), tools)
}

fn startable(python: PathBuf, tools: Tools) -> Result<PathBuf, MissingPeer> {
    let what = "be started";
    match Command::new(&python).arg("--version").stdin(Stdio::null()).output() {
        Ok(asked) if asked.status.success() => Ok(python),
        Ok(asked) => Err(MissingPeer::Python { python, tools, what, detail: asked.status.to_string() }),
        Err(error) => Err(MissingPeer::Python { python, tools, what, detail: error.to_string() }),
    }
}

/// A program at work that answers each line of JSON with one.
#[derive(Debug)]
pub struct Dialogue {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Starts a Python script, and waits until all that it imports is there.
pub fn script(
    tools: Tools,
    named: Option<&Path>,
    text: &str,
    arguments: &[String],
    settings: &[(&str, String)],
) -> Result<Dialogue, MissingPeer> {
    let python = named.map_or_else(|| tools.python(), Path::to_owned);
    let mut command = Command::new(&python);
    command.args(["-c", text]).args(arguments).envs(settings.iter().map(|(name, value)| (name, value)));
    let missing = |detail| MissingPeer::Python { python, tools, what: tools.runs(), detail };
    Dialogue::start(&mut command).map_err(|error| missing(error.to_string()))
}

impl Dialogue {
    /// Starts a program, and waits for its first line, an empty one, which says that all it needs is there.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| io::Error::other("it has no standard output"))?;
        let mut dialogue = Self { child, questions, answers: BufReader::new(answers) };
        let mut ready = String::new();
        match dialogue.answers.read_line(&mut ready) {
            Ok(length) if length > 0 => Ok(dialogue),
            _ => Err(io::Error::other("it ended while it loaded what it needs (see above)")),
        }
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    pub fn ask<A: DeserializeOwned>(&mut self, question: &impl Serialize) -> anyhow::Result<A> {
        let mut line = serde_json::to_string(question)?;
        line.push('\n');
        let questions = self.questions.as_mut().context("the other program was told to end")?;
        questions.write_all(line.as_bytes()).context("the other program is gone")?;
        questions.flush().context("the other program is gone")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("the other program does not answer")?;
        serde_json::from_str(&answer).context("the other program failed (see above)")
    }
}

impl Drop for Dialogue {
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
        for (error, remedy) in [
            (plain_python(Some(nowhere)).unwrap_err(), "ops/setup.sh bench"),
            (python(Tools::Parity, Some(nowhere)).unwrap_err(), "ops/setup.sh parity"),
            (script(Tools::Parity, Some(nowhere), "", &[], &[]).unwrap_err(), "ops/setup.sh parity"),
        ] {
            let text = error.to_string();
            assert!(text.contains("no/such/python") && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn a_script_answers_line_by_line_and_one_that_cannot_load_is_a_missing_peer() {
        let python = plain_python(None).unwrap();
        let text = "print(flush=True)\nwhile True:\n    try: print(int(input()) * 2, flush=True)\n    \
                    except EOFError: break";
        let mut started = script(Tools::Bench, Some(&python), text, &[], &[]).unwrap();
        assert_eq!(started.ask::<u32>(&21).unwrap(), 42);
        assert_eq!(started.ask::<u32>(&4).unwrap(), 8);
        let error = script(Tools::Bench, Some(&python), "raise SystemExit(1)", &[], &[]).unwrap_err();
        assert!(error.to_string().contains("cannot run torchcodec"), "{error}");
    }
}
