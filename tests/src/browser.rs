//! A real browser for the tests: Debian's Chromium, headless, driven over its DevTools protocol.

mod devtools;
mod events;
mod process;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use devtools::{DevTools, DevToolsError};
use events::{Event, thrown};
use process::Process;

/// Names under which Chromium is installed, the first found is taken.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// How long anything the browser is asked for may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Screenshots end here, in pixels: a taller page is cut.
const MAX_SCREENSHOT: u32 = 16_000;

/// The browser or the page did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// There is no browser.
    #[error("none of {} is on the PATH: install one with `apt-get install chromium`", PROGRAMS.join(", "))]
    Missing,
    /// A command failed.
    #[error("the browser cannot {doing}: {cause}")]
    Failed {
        /// What was asked for.
        doing: String,
        /// What the browser said.
        cause: String,
    },
    /// A script on the page threw.
    #[error("the script `{script}` threw: {cause}")]
    Threw {
        /// The script.
        script: String,
        /// What it threw.
        cause: String,
    },
    /// Something did not come true in time.
    #[error("waited {} s in vain until {what}; last seen: {last}", PATIENCE.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// The last value seen.
        last: Value,
    },
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn failed<E: fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> BrowserError {
    let doing = doing.into();
    move |cause| BrowserError::Failed { doing, cause: cause.to_string() }
}

/// The connection that a browser shares with its pages: one command at a time.
type Connection = Arc<Mutex<DevTools>>;

fn hold(connection: &Connection) -> MutexGuard<'_, DevTools> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running browser with a profile of its own; it is killed when this value is dropped.
pub struct Browser {
    connection: Connection,
    process: Process,
}

impl Browser {
    /// Starts Chromium on a free port and waits until it answers with its version.
    ///
    /// # Errors
    /// [`BrowserError::Missing`] without Chromium, else what kept it from starting.
    pub fn start() -> Result<Self, BrowserError> {
        let program = process::program().ok_or(BrowserError::Missing)?;
        let mut process = Process::start(&program)?;
        let mut devtools = DevTools::connect(&process.address()?, PATIENCE).map_err(failed("be reached"))?;
        devtools.call(None, "Browser.getVersion", json!({})).map_err(failed("say its version"))?;
        Ok(Self { connection: Arc::new(Mutex::new(devtools)), process })
    }

    /// Opens a file or an address in a new page and waits until it is loaded.
    ///
    /// # Errors
    /// [`BrowserError::File`] where the file is missing, [`BrowserError::Failed`] where it cannot be opened.
    pub fn open(&self, place: &str) -> Result<Page, BrowserError> {
        let address = if place.contains("://") {
            place.to_owned()
        } else {
            let path = fs::canonicalize(place)
                .map_err(|source| BrowserError::File { path: place.into(), source })?;
            format!("file://{}", path.display())
        };
        let session = self.new_session().map_err(failed("open a page"))?;
        let page = Page { connection: Arc::clone(&self.connection), session, address };
        page.listen().map_err(failed("report what happens on a page"))?;
        page.load()?;
        Ok(page)
    }

    /// Opens an empty page and gives the name of the session under which it is spoken to.
    fn new_session(&self) -> Result<String, DevToolsError> {
        let mut devtools = hold(&self.connection);
        let target = devtools.call(None, "Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = devtools.call(None, "Target.attachToTarget", attach)?;
        Ok(attached["sessionId"].as_str().unwrap_or_default().to_owned())
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Browser {{ process: {:?} }}", self.process.id())
    }
}

/// A size of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewport {
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
    /// Whether it is a phone's.
    pub phone: bool,
}

impl Viewport {
    /// A laptop.
    pub const DESKTOP: Self = Self { width: 1280, height: 900, phone: false };
    /// A small phone.
    pub const PHONE: Self = Self { width: 360, height: 800, phone: true };
}

/// An open page. It closes with its browser.
pub struct Page {
    connection: Connection,
    session: String,
    address: String,
}

impl Page {
    fn call(&self, method: &str, params: Value) -> Result<Value, DevToolsError> {
        hold(&self.connection).call(Some(&self.session), method, params)
    }

    /// Has everything reported that [`Page::complaints`] tells and [`Page::load`] waits for.
    fn listen(&self) -> Result<(), DevToolsError> {
        for domain in ["Runtime", "Log", "Network", "Page"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        self.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }))?;
        Ok(())
    }

    /// Goes to the page's address and waits until it is loaded.
    fn load(&self) -> Result<(), BrowserError> {
        let address = &self.address;
        let opened = self
            .call("Page.navigate", json!({ "url": address }))
            .map_err(failed(format!("open {address}")))?;
        if let Some(cause) = opened["errorText"].as_str() {
            return Err(failed(format!("open {address}"))(cause));
        }
        let loader = opened["loaderId"].as_str().unwrap_or_default().to_owned();
        hold(&self.connection)
            .wait_for(&self.session, &Event::Loaded { loader })
            .map_err(failed(format!("load {address}")))
    }

    /// Everything the page has complained about so far: console warnings and errors, exceptions that
    /// nobody caught, requests that failed and requests that left the page.
    pub fn complaints(&self) -> Vec<String> {
        // Events come in order: with the answer, everything before it is here.
        let lost = self.evaluate("0").err().map(|cause| cause.to_string());
        let devtools = hold(&self.connection);
        let complaints = devtools.events(&self.session).filter_map(|event| match event {
            Event::Complaint(complaint) => Some(complaint.clone()),
            Event::Loaded { .. } => None,
        });
        complaints.chain(lost).collect()
    }

    /// Evaluates a JavaScript expression, awaits it if it is a promise, and gives its value as JSON.
    ///
    /// # Errors
    /// [`BrowserError::Threw`] with what the script threw.
    pub fn evaluate(&self, script: &str) -> Result<Value, BrowserError> {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut answer =
            self.call("Runtime.evaluate", params).map_err(failed(format!("evaluate `{script}`")))?;
        match &answer["exceptionDetails"] {
            Value::Null => Ok(answer["result"]["value"].take()),
            details => Err(BrowserError::Threw { script: script.to_owned(), cause: thrown(details) }),
        }
    }

    /// Waits until a JavaScript expression gives `true`.
    ///
    /// # Errors
    /// [`BrowserError::Late`] with the last value.
    pub fn wait_until(&self, what: &str, script: &str) -> Result<(), BrowserError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = self.evaluate(script)?;
            if last == Value::Bool(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(BrowserError::Late { what: what.to_owned(), last });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives the window a size.
    ///
    /// # Errors
    /// [`BrowserError::Failed`] where the browser refuses.
    pub fn set_viewport(&self, viewport: Viewport) -> Result<(), BrowserError> {
        let Viewport { width, height, phone } = viewport;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .map_err(failed("change the size of its window"))?;
        Ok(())
    }

    /// Makes the page believe that its reader prefers dark (or light) pages.
    ///
    /// # Errors
    /// [`BrowserError::Failed`] where the browser refuses.
    pub fn prefer_dark(&self, dark: bool) -> Result<(), BrowserError> {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).map_err(failed("change its colour scheme"))?;
        Ok(())
    }

    /// Keeps a picture of the whole page, from its top down to 16,000 pixels, as a PNG file.
    ///
    /// # Errors
    /// [`BrowserError::File`] where the file cannot be written.
    pub fn screenshot(&self, viewport: Viewport, path: &Path) -> Result<(), BrowserError> {
        let tall = self.evaluate("document.documentElement.scrollHeight")?.as_u64().unwrap_or(0);
        let height = u32::try_from(tall).unwrap_or(u32::MAX).max(viewport.height).min(MAX_SCREENSHOT);
        let clip = json!({ "x": 0, "y": 0, "width": viewport.width, "height": height, "scale": 1 });
        let params = json!({ "format": "png", "clip": clip, "captureBeyondViewport": true });
        let taken = self.call("Page.captureScreenshot", params).map_err(failed("take a picture"))?;
        let png =
            STANDARD.decode(taken["data"].as_str().unwrap_or_default()).map_err(failed("send a picture"))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(path, png))
            .map_err(|source| BrowserError::File { path: path.to_owned(), source })
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page {{ address: {:?}, session: {:?} }}", self.address, self.session)
    }
}
