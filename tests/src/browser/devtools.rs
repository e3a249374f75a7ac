//! The browser's DevTools protocol: commands, answers and events as JSON over one WebSocket.
//!
//! A command is answered under its own number; a page is spoken to under the name of its session.
//! Reference: <https://chromedevtools.github.io/devtools-protocol/>.

use std::{
    io,
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tungstenite::{
    Message, WebSocket,
    client::client_with_config,
    protocol::{CloseFrame, WebSocketConfig},
};

use super::events::Event;

/// The browser does not answer as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum DevToolsError {
    /// There is no connection, or not any more.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// The browser answered with an error.
    #[error("{method} is refused: {cause}")]
    Refused {
        /// The command.
        method: String,
        /// What the browser said.
        cause: String,
    },
    /// What was waited for did not arrive.
    #[error("{what} is missing after {} s", patience.as_secs_f32())]
    Late {
        /// The answer or the event.
        what: String,
        /// How long it was waited for.
        patience: Duration,
    },
}

impl From<tungstenite::Error> for DevToolsError {
    fn from(cause: tungstenite::Error) -> Self {
        Self::Lost(cause.to_string())
    }
}

impl From<io::Error> for DevToolsError {
    fn from(cause: io::Error) -> Self {
        Self::Lost(cause.to_string())
    }
}

/// A connection to a browser, with what its pages have reported so far.
pub(super) struct DevTools {
    socket: WebSocket<TcpStream>,
    patience: Duration,
    /// Number of the last command.
    last: u64,
    /// Every event of interest, with the session it belongs to.
    events: Vec<(String, Event)>,
}

impl DevTools {
    /// Connects to the address that the browser printed, `ws://HOST:PORT/PATH`. Everything that is asked
    /// of the connection must happen within `patience`.
    pub(super) fn connect(address: &str, patience: Duration) -> Result<Self, DevToolsError> {
        let host = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next());
        let host = host.ok_or_else(|| DevToolsError::Lost(format!("{address} is no ws:// address")))?;
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        // A screenshot is one frame of any size, and it comes from a program of this machine.
        let unlimited = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = client_with_config(address, stream, Some(unlimited))
            .map_err(|cause| DevToolsError::Lost(cause.to_string()))?;
        Ok(Self { socket, patience, last: 0, events: Vec::new() })
    }

    /// Sends a command, to a page if it names a session, and waits for its result.
    pub(super) fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<Value, DevToolsError> {
        self.last = self.last.saturating_add(1);
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        self.socket.send(Message::text(command.to_string()))?;
        let deadline = Instant::now() + self.patience;
        loop {
            let mut message = self.receive(method, deadline)?;
            // The answer to a command that was given up may still arrive under its own number.
            if message["id"] != self.last {
                continue;
            }
            if let Some(cause) = message["error"]["message"].as_str() {
                return Err(DevToolsError::Refused { method: method.to_owned(), cause: cause.to_owned() });
            }
            return Ok(message["result"].take());
        }
    }

    /// Waits until a session has reported an event, unless it already has.
    pub(super) fn wait_for(&mut self, session: &str, event: &Event) -> Result<(), DevToolsError> {
        let deadline = Instant::now() + self.patience;
        while !self.events(session).any(|seen| seen == event) {
            self.receive(&format!("{event:?}"), deadline)?;
        }
        Ok(())
    }

    /// What a session has reported so far, oldest first.
    pub(super) fn events(&self, session: &str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |(of, _)| of == session).map(|(_, event)| event)
    }

    /// The next message, which is remembered if it is an event of interest. `awaited` is what is missing
    /// if none arrives.
    fn receive(&mut self, awaited: &str, deadline: Instant) -> Result<Value, DevToolsError> {
        let late = || DevToolsError::Late { what: awaited.to_owned(), patience: self.patience };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        self.socket.get_ref().set_read_timeout(Some(left))?;
        let message = match self.socket.read() {
            Ok(Message::Text(text)) => serde_json::from_str(&text)
                .map_err(|cause| DevToolsError::Lost(format!("it sent no JSON: {cause}")))?,
            Ok(Message::Close(frame)) => {
                let why = frame.map(|CloseFrame { code, reason }| format!("{code} {reason}"));
                return Err(DevToolsError::Lost(why.unwrap_or_else(|| "the browser closed it".to_owned())));
            }
            Ok(_) => Value::Null,
            Err(tungstenite::Error::Io(cause)) if cause.kind() == io::ErrorKind::WouldBlock => {
                return Err(late());
            }
            Err(cause) => return Err(cause.into()),
        };
        if let (Some(session), Some(method)) = (message["sessionId"].as_str(), message["method"].as_str())
            && let Some(event) = Event::read(method, &message["params"])
        {
            self.events.push((session.to_owned(), event));
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Connects to a browser that answers every command with these messages, where `"id": 0` stands for
    /// the command's own number.
    fn browser_that_says(messages: Vec<Value>) -> DevTools {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = format!("ws://{}/devtools/browser/test", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
            while let Ok(Message::Text(command)) = socket.read() {
                let command: Value = serde_json::from_str(&command).unwrap();
                for mut message in messages.clone() {
                    if message["id"] == 0 {
                        message["id"] = command["id"].clone();
                    }
                    socket.send(Message::text(message.to_string())).unwrap();
                }
            }
        });
        DevTools::connect(&address, Duration::from_secs(60)).unwrap()
    }

    fn log(session: &str, text: &str) -> Value {
        json!({ "method": "Log.entryAdded", "sessionId": session, "params": { "entry": { "text": text } } })
    }

    #[test]
    fn a_command_gets_its_own_answer_and_the_events_before_it_are_kept_by_session() {
        let answers = vec![
            json!({ "id": 4711, "result": "of another command" }),
            log("A", "one"),
            log("B", "two"),
            json!({ "id": 0, "result": "mine" }),
        ];
        let mut browser = browser_that_says(answers);
        assert_eq!(browser.call(Some("A"), "Runtime.evaluate", json!({})).unwrap(), "mine");
        let heard: Vec<_> = browser.events("A").collect();
        assert_eq!(heard, [&Event::Complaint("log: one".to_owned())]);
    }

    #[test]
    fn a_refusal_names_the_command_and_the_cause() {
        let refusal = json!({ "id": 0, "error": { "code": -32601, "message": "'Page.fly' wasn't found" } });
        let fault = browser_that_says(vec![refusal]).call(None, "Page.fly", json!({})).unwrap_err();
        assert_eq!(fault.to_string(), "Page.fly is refused: 'Page.fly' wasn't found");
    }

    #[test]
    fn a_command_that_is_never_answered_is_given_up() {
        let mut browser = browser_that_says(vec![log("A", "busy")]);
        browser.patience = Duration::from_millis(50);
        let fault = browser.call(None, "Browser.getVersion", json!({})).unwrap_err();
        assert!(
            matches!(&fault, DevToolsError::Late { what, .. } if what == "Browser.getVersion"),
            "{fault}"
        );
    }

    #[test]
    fn an_event_is_waited_for_also_after_the_answer() {
        let loaded = Event::Loaded { loader: "L1".to_owned() };
        let load = json!({ "name": "load", "loaderId": "L1" });
        let answers = vec![
            json!({ "id": 0, "result": {} }),
            json!({ "method": "Page.lifecycleEvent", "sessionId": "A", "params": load }),
        ];
        let mut browser = browser_that_says(answers);
        browser.call(Some("A"), "Page.navigate", json!({})).unwrap();
        browser.wait_for("A", &loaded).unwrap();
        assert_eq!(browser.events("A").collect::<Vec<_>>(), [&loaded]);
    }
}
