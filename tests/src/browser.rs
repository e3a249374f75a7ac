//! A real browser for the tests: Debian's Chromium, headless, driven over its DevTools protocol.

use std::{
    env, fmt, fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use headless_chrome::{
    LaunchOptions, Tab,
    protocol::cdp::{Emulation, Network, Page as PageDomain, Runtime, types::Event},
};
use serde_json::Value;
use tempfile::TempDir;

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

fn failed(doing: impl Into<String>) -> impl FnOnce(anyhow::Error) -> BrowserError {
    let doing = doing.into();
    move |cause| BrowserError::Failed { doing, cause: format!("{cause:#}") }
}

/// A running browser with a profile of its own; it is killed when this value is dropped.
pub struct Browser {
    // Dropped before its profile folder.
    chrome: headless_chrome::Browser,
    _profile: Profile,
}

/// The folder of a browser's profile. The browser's helpers may still write to it for a moment after the
/// browser is killed, so it is removed more than once.
struct Profile(TempDir);

impl Drop for Profile {
    fn drop(&mut self) {
        for _ in 0..40 {
            let gone = match fs::remove_dir_all(self.0.path()) {
                Ok(()) => true,
                Err(cause) => cause.kind() == io::ErrorKind::NotFound,
            };
            std::thread::sleep(Duration::from_millis(50));
            if gone && !self.0.path().exists() {
                return;
            }
        }
    }
}

impl Browser {
    /// Starts Chromium on a free port and waits until it answers with its version.
    ///
    /// # Errors
    /// [`BrowserError::Missing`] without Chromium, else what kept it from starting.
    pub fn start() -> Result<Self, BrowserError> {
        let program = program().ok_or(BrowserError::Missing)?;
        let temporary = env::temp_dir();
        let profile = tempfile::Builder::new()
            .prefix("counterpoint-chromium-")
            .tempdir()
            .map_err(|source| BrowserError::File { path: temporary.clone(), source })?;
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|source| BrowserError::File { path: "127.0.0.1:0".into(), source })?
            .port();
        let args = [
            "--disable-quic",
            "--disable-component-update",
            "--mute-audio",
            "--autoplay-policy=no-user-gesture-required",
            "--hide-scrollbars",
        ];
        let chrome = headless_chrome::Browser::new(LaunchOptions {
            path: Some(program),
            user_data_dir: Some(profile.path().to_owned()),
            port: Some(port),
            sandbox: false,
            idle_browser_timeout: PATIENCE * 5,
            args: args.iter().map(|arg| arg.as_ref()).collect(),
            ..LaunchOptions::default()
        })
        .map_err(failed("start"))?;
        chrome.get_version().map_err(failed("say its version"))?;
        Ok(Self { chrome, _profile: Profile(profile) })
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
        let tab = self.chrome.new_tab().map_err(failed("open a page"))?;
        tab.set_default_timeout(PATIENCE);
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&complaints);
        tab.add_event_listener(Arc::new(move |event: &Event| {
            if let Some(complaint) = complaint(event) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(complaint);
            }
        }))
        .map_err(failed("listen to the page"))?;
        tab.enable_runtime().map_err(failed("report the console"))?;
        tab.enable_log().map_err(failed("report its log"))?;
        tab.call_method(Network::Enable {
            max_total_buffer_size: None,
            max_resource_buffer_size: None,
            max_post_data_size: None,
            report_direct_socket_traffic: None,
            enable_durable_messages: None,
        })
        .map_err(failed("report requests"))?;
        let page = Page { tab, complaints };
        page.tab.navigate_to(&address).map_err(failed(format!("open {address}")))?;
        page.tab.wait_until_navigated().map_err(failed(format!("load {address}")))?;
        page.wait_until("the page is complete", "document.readyState === 'complete'")?;
        Ok(page)
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Browser {{ process: {:?} }}", self.chrome.get_process_id())
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
    tab: Arc<Tab>,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Page {
    /// Everything the page has complained about so far: console warnings and errors, exceptions that
    /// nobody caught, requests that failed and requests that left the page.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Evaluates a JavaScript expression, awaits it if it is a promise, and gives its value as JSON.
    ///
    /// # Errors
    /// [`BrowserError::Threw`] with what the script threw.
    pub fn evaluate(&self, script: &str) -> Result<Value, BrowserError> {
        let answer = self
            .tab
            .call_method(Runtime::Evaluate {
                expression: script.to_owned(),
                return_by_value: Some(true),
                await_promise: Some(true),
                object_group: None,
                include_command_line_api: None,
                silent: None,
                context_id: None,
                generate_preview: None,
                user_gesture: None,
                throw_on_side_effect: None,
                timeout: None,
                disable_breaks: None,
                repl_mode: None,
                allow_unsafe_eval_blocked_by_csp: None,
                unique_context_id: None,
                serialization_options: None,
            })
            .map_err(failed(format!("evaluate `{script}`")))?;
        match answer.exception_details {
            Some(thrown) => Err(BrowserError::Threw {
                script: script.to_owned(),
                cause: thrown.exception.and_then(|value| value.description).unwrap_or(thrown.text),
            }),
            None => Ok(answer.result.value.unwrap_or(Value::Null)),
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
        self.tab
            .call_method(Emulation::SetDeviceMetricsOverride {
                width: viewport.width,
                height: viewport.height,
                device_scale_factor: 1.0,
                mobile: viewport.phone,
                scale: None,
                screen_width: None,
                screen_height: None,
                position_x: None,
                position_y: None,
                dont_set_visible_size: None,
                screen_orientation: None,
                viewport: None,
                display_feature: None,
                device_posture: None,
            })
            .map_err(failed("change the size of its window"))?;
        Ok(())
    }

    /// Makes the page believe that its reader prefers dark (or light) pages.
    ///
    /// # Errors
    /// [`BrowserError::Failed`] where the browser refuses.
    pub fn prefer_dark(&self, dark: bool) -> Result<(), BrowserError> {
        let feature = Emulation::MediaFeature {
            name: "prefers-color-scheme".to_owned(),
            value: if dark { "dark" } else { "light" }.to_owned(),
        };
        self.tab
            .call_method(Emulation::SetEmulatedMedia { media: None, features: Some(vec![feature]) })
            .map_err(failed("change its colour scheme"))?;
        Ok(())
    }

    /// Keeps a picture of the whole page, from its top down to 16,000 pixels, as a PNG file.
    ///
    /// # Errors
    /// [`BrowserError::File`] where the file cannot be written.
    pub fn screenshot(&self, viewport: Viewport, path: &Path) -> Result<(), BrowserError> {
        let tall = self.evaluate("document.documentElement.scrollHeight")?.as_u64().unwrap_or(0);
        let height = u32::try_from(tall).unwrap_or(u32::MAX).clamp(viewport.height, MAX_SCREENSHOT);
        let clip = PageDomain::Viewport {
            x: 0.0,
            y: 0.0,
            width: f64::from(viewport.width),
            height: f64::from(height),
            scale: 1.0,
        };
        let taken = self
            .tab
            .call_method(PageDomain::CaptureScreenshot {
                format: Some(PageDomain::CaptureScreenshotFormatOption::Png),
                quality: None,
                clip: Some(clip),
                from_surface: Some(true),
                capture_beyond_viewport: Some(true),
                optimize_for_speed: None,
            })
            .map_err(failed("take a picture"))?;
        let png = STANDARD.decode(taken.data).map_err(|cause| BrowserError::Failed {
            doing: "send a picture".to_owned(),
            cause: cause.to_string(),
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(path, png))
            .map_err(|source| BrowserError::File { path: path.to_owned(), source })
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page {{ address: {:?}, complaints: {} }}", self.tab.get_url(), self.complaints().len())
    }
}

fn program() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let candidates = PROGRAMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}

/// What an event has to complain about, if anything.
fn complaint(event: &Event) -> Option<String> {
    use Runtime::ConsoleAPICalledEventTypeOption as Kind;
    match event {
        Event::RuntimeConsoleAPICalled(called) => {
            let params = &called.params;
            let words: Vec<String> = params.args.iter().map(words).collect();
            matches!(params.Type, Kind::Error | Kind::Warning | Kind::Assert)
                .then(|| format!("console: {}", words.join(" ")))
        }
        Event::RuntimeExceptionThrown(thrown) => {
            let details = &thrown.params.exception_details;
            let cause = details.exception.as_ref().map_or_else(|| details.text.clone(), words);
            Some(format!("exception: {cause}"))
        }
        Event::LogEntryAdded(added) => Some(format!("log: {}", added.params.entry.text)),
        Event::NetworkLoadingFailed(failed) => {
            let params = &failed.params;
            // A player that has seen enough of its clip stops reading it.
            (params.canceled != Some(true)).then(|| format!("request failed: {}", params.error_text))
        }
        Event::NetworkRequestWillBeSent(sent) => {
            let address = &sent.params.request.url;
            let inside = ["file:", "data:", "blob:", "http://127.0.0.1:", "http://localhost:"];
            (!inside.iter().any(|start| address.starts_with(start)))
                .then(|| format!("request left the page: {address}"))
        }
        _ => None,
    }
}

fn words(value: &Runtime::RemoteObject) -> String {
    match (&value.value, &value.description) {
        (Some(Value::String(text)), _) => text.clone(),
        (_, Some(description)) => description.clone(),
        (Some(value), None) => value.to_string(),
        (None, None) => "undefined".to_owned(),
    }
}
