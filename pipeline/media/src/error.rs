use std::io;

use counterpoint_core::media_job::MediaReject;
use counterpoint_messages::RejectReason;

/// Why a media job has no result.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The input was turned away; the fault is the file's.
    #[error("{}: {}", .0.reason.as_str(), .0.detail)]
    Reject(MediaReject),
    /// The result could not be written; the fault is the disk's.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
    /// GStreamer lacks an element.
    #[error("gstreamer element {element} is missing; install it with `apt-get install {package}`")]
    MissingElement {
        /// Name of the element.
        element: String,
        /// Debian package that brings it.
        package: String,
    },
    /// A graph of ours failed on data of ours.
    #[error("{graph}: {detail}")]
    Graph {
        /// Which graph.
        graph: &'static str,
        /// What GStreamer said.
        detail: String,
    },
}

impl MediaError {
    /// The input is turned away for `reason`.
    pub fn reject(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self::Reject(MediaReject::new(reason, detail))
    }

    /// A graph of ours failed.
    pub fn graph(graph: &'static str, detail: impl ToString) -> Self {
        Self::Graph { graph, detail: detail.to_string() }
    }
}

impl From<MediaReject> for MediaError {
    fn from(reject: MediaReject) -> Self {
        Self::Reject(reject)
    }
}
