use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// W3C trace context of a record: which clip's trace it belongs to and which span wrote it
/// (<https://www.w3.org/TR/trace-context/>, version 00); in JSON the text of that header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    /// Trace: one clip's way from found to composed or rejected.
    pub trace_id: [u8; 16],
    /// Span that wrote the record.
    pub span_id: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl TraceParent {
    /// The trace's id, as tracing tools search for it; nothing where the trace is not recorded.
    pub fn recorded(&self) -> Option<String> {
        self.sampled.then(|| hex::encode(self.trace_id))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{}-{}-{:02x}",
            hex::encode(self.trace_id),
            hex::encode(self.span_id),
            u8::from(self.sampled)
        )
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

impl TryFrom<String> for TraceParent {
    type Error = ParseTraceParentError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A header that is no `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no W3C traceparent")]
pub struct ParseTraceParentError(String);

impl FromStr for TraceParent {
    type Err = ParseTraceParentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTraceParentError(text.to_owned());
        let mut parts = text.split('-');
        let (Some(version), Some(trace), Some(span), Some(flags)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error());
        };
        if version.len() != 2 || version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(error());
        }
        let mut parent = Self { trace_id: [0; 16], span_id: [0; 8], sampled: false };
        let mut flag = [0; 1];
        hex::decode_to_slice(trace, &mut parent.trace_id).map_err(|_| error())?;
        hex::decode_to_slice(span, &mut parent.span_id).map_err(|_| error())?;
        hex::decode_to_slice(flags, &mut flag).map_err(|_| error())?;
        if parent.trace_id == [0; 16] || parent.span_id == [0; 8] {
            return Err(error());
        }
        parent.sampled = flag[0] & 1 == 1;
        Ok(parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_the_rest() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent: TraceParent = text.parse().unwrap();
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), text);
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
    }
}
