//! What a page reports without being asked, as far as the checks want to know it.

use serde_json::Value;

/// Beginnings of addresses that a page may load without leaving its report or its own server.
const INSIDE: [&str; 5] = ["file:", "data:", "blob:", "http://127.0.0.1:", "http://localhost:"];

/// Something that happened on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The document that this loader brought is loaded, with everything on it.
    Loaded {
        /// The loader, as `Page.navigate` names it.
        loader: String,
    },
    /// Something went wrong, in words.
    Complaint(String),
}

impl Event {
    /// Reads an event of the protocol; `None` if it is of no interest.
    pub(super) fn read(method: &str, params: &Value) -> Option<Self> {
        match method {
            "Page.lifecycleEvent" => {
                (params["name"] == "load").then(|| Self::Loaded { loader: text(&params["loaderId"]) })
            }
            "Runtime.consoleAPICalled" => {
                let words: Vec<String> = params["args"].as_array().into_iter().flatten().map(words).collect();
                matches!(params["type"].as_str(), Some("error" | "warning" | "assert"))
                    .then(|| Self::Complaint(format!("console: {}", words.join(" "))))
            }
            "Runtime.exceptionThrown" => {
                Some(Self::Complaint(format!("exception: {}", thrown(&params["exceptionDetails"]))))
            }
            "Log.entryAdded" => Some(Self::Complaint(format!("log: {}", text(&params["entry"]["text"])))),
            // A player that has seen enough of its clip stops reading it.
            "Network.loadingFailed" => (params["canceled"] != true)
                .then(|| Self::Complaint(format!("request failed: {}", text(&params["errorText"])))),
            "Network.requestWillBeSent" => {
                let address = params["request"]["url"].as_str().unwrap_or_default();
                (!INSIDE.iter().any(|start| address.starts_with(start)))
                    .then(|| Self::Complaint(format!("request left the page: {address}")))
            }
            _ => None,
        }
    }
}

/// What was thrown, from the protocol's `ExceptionDetails`.
pub(super) fn thrown(details: &Value) -> String {
    match &details["exception"] {
        Value::Null => text(&details["text"]),
        value => words(value),
    }
}

/// A JavaScript value (the protocol's `RemoteObject`) as the console shows it.
fn words(value: &Value) -> String {
    match (&value["value"], &value["description"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        (Value::Null, _) => text(&value["type"]),
        (value, _) => value.to_string(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaint(method: &str, params: Value) -> Option<String> {
        match Event::read(method, &params)? {
            Event::Complaint(complaint) => Some(complaint),
            Event::Loaded { .. } => None,
        }
    }

    #[test]
    fn the_console_complains_in_warnings_and_errors_only() {
        let args = json!([{ "type": "string", "value": "so" }, { "type": "number", "value": 7 }]);
        let said = |kind| json!({ "type": kind, "args": args });
        for kind in ["error", "warning", "assert"] {
            let heard = complaint("Runtime.consoleAPICalled", said(kind));
            assert_eq!(heard.as_deref(), Some("console: so 7"), "{kind}");
        }
        assert_eq!(complaint("Runtime.consoleAPICalled", said("log")), None);
    }

    #[test]
    fn an_exception_is_told_by_its_value_or_else_by_its_text() {
        let error =
            json!({ "text": "Uncaught", "exception": { "type": "object", "description": "Error: no" } });
        assert_eq!(thrown(&error), "Error: no");
        assert_eq!(thrown(&json!({ "text": "Uncaught", "exception": { "type": "undefined" } })), "undefined");
        assert_eq!(thrown(&json!({ "text": "SyntaxError" })), "SyntaxError");
    }

    #[test]
    fn a_request_may_be_cancelled_but_not_fail() {
        let failed = |canceled| json!({ "errorText": "net::ERR_ABORTED", "canceled": canceled });
        assert_eq!(complaint("Network.loadingFailed", failed(true)), None);
        let heard = complaint("Network.loadingFailed", failed(false));
        assert_eq!(heard.as_deref(), Some("request failed: net::ERR_ABORTED"));
    }

    #[test]
    fn only_a_request_to_elsewhere_leaves_the_page() {
        let to = |url| complaint("Network.requestWillBeSent", json!({ "request": { "url": url } }));
        for inside in ["file:///report.html", "data:video/mp4;base64,", "http://127.0.0.1:8080/clip"] {
            assert_eq!(to(inside), None, "{inside}");
        }
        let left = to("https://example.org/font.woff2");
        assert_eq!(left.as_deref(), Some("request left the page: https://example.org/font.woff2"));
    }

    #[test]
    fn a_document_is_loaded_when_its_load_event_has_fired() {
        let reached = |name| json!({ "name": name, "loaderId": "L1" });
        assert_eq!(
            Event::read("Page.lifecycleEvent", &reached("load")),
            Some(Event::Loaded { loader: "L1".to_owned() })
        );
        assert_eq!(Event::read("Page.lifecycleEvent", &reached("DOMContentLoaded")), None);
    }
}
