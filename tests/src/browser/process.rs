//! The browser's process: how it is found, started and cleaned up after.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{BrowserError, PATIENCE, PROGRAMS, failed};

/// What the browser prints before the address of its DevTools.
const ANNOUNCEMENT: &str = "DevTools listening on ";

/// How long to sleep before looking again.
const PAUSE: Duration = Duration::from_millis(50);

/// Switches of the browser, besides its profile.
const SWITCHES: [&str; 18] = [
    "--headless",
    "--remote-debugging-port=0",
    // Containers run as root without user namespaces and with a small /dev/shm; it shows our own pages only.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    // Screenshots are alike on every machine.
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    // Players start from a script, unheard, and also in a page behind another.
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    // Nothing asks questions or calls home.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
];

/// A running browser; it is killed, and its profile removed, when this value is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    profile: TempDir,
}

impl Process {
    /// Starts a program as a browser with a new profile.
    pub(super) fn start(program: &Path) -> Result<Self, BrowserError> {
        let profile = tempfile::Builder::new()
            .prefix("counterpoint-chromium-")
            .tempdir()
            .map_err(|source| BrowserError::File { path: env::temp_dir(), source })?;
        // Its errors go to a file and not to a pipe, which somebody would have to empty for ever.
        let path = log(&profile);
        let errors = fs::File::create(&path).map_err(|source| BrowserError::File { path, source })?;
        let child = Command::new(program)
            .args(SWITCHES)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(failed(format!("start as {}", program.display())))?;
        Ok(Self { child, profile })
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the browser has announced the address of its DevTools.
    pub(super) fn address(&mut self) -> Result<String, BrowserError> {
        let deadline = Instant::now() + PATIENCE;
        let path = log(&self.profile);
        loop {
            // Looked at before its log, so that the last words of a process that has ended are read.
            let ended = self.child.try_wait().map_err(failed("be watched"))?;
            let said = fs::read(&path).map_err(|source| BrowserError::File { path: path.clone(), source })?;
            let said = String::from_utf8_lossy(&said);
            if let Some(address) = announced(&said) {
                return Ok(address.to_owned());
            }
            let why = match ended {
                Some(status) => status.to_string(),
                None if Instant::now() > deadline => format!("no address within {} s", PATIENCE.as_secs()),
                None => {
                    thread::sleep(PAUSE);
                    continue;
                }
            };
            return Err(failed("start")(format!("{why}; it said: {}", said.trim())));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The browser's helpers outlive it for a moment and may still write to its profile.
        for _ in 0..40 {
            let gone = match fs::remove_dir_all(self.profile.path()) {
                Ok(()) => true,
                Err(cause) => cause.kind() == io::ErrorKind::NotFound,
            };
            thread::sleep(PAUSE);
            if gone && !self.profile.path().exists() {
                return;
            }
        }
    }
}

/// The first browser on the `PATH`.
pub(super) fn program() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let candidates = PROGRAMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}

/// Where the browser's errors go.
fn log(profile: &TempDir) -> PathBuf {
    profile.path().join("stderr.log")
}

/// The address in what the browser has said so far, once its line is complete.
fn announced(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once(ANNOUNCEMENT)?;
    rest.split_once('\n').map(|(address, _)| address.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_once_its_line_is_complete() {
        let said = "[1:1] no bus\n\nDevTools listening on ws://127.0.0.1:40000/devtools/browser/7f";
        assert_eq!(announced(said), None);
        let said = format!("{said}00\n[1:1] no more\n");
        assert_eq!(announced(&said), Some("ws://127.0.0.1:40000/devtools/browser/7f00"));
    }

    #[test]
    fn a_browser_that_ends_at_once_says_why_and_leaves_nothing_behind() {
        // `ls` is a program that does not know the switches of a browser.
        let mut process = Process::start(Path::new("ls")).unwrap();
        let profile = process.profile.path().to_owned();
        let fault = process.address().unwrap_err().to_string();
        assert!(fault.contains("cannot start: exit status: 2") && fault.contains("--headless"), "{fault}");
        drop(process);
        assert!(!profile.exists());
    }
}
