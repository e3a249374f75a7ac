//! A real Jaeger: takes OTLP, keeps traces in memory, answers questions about them.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a broken expectation is how a test fails")]

use std::{
    collections::BTreeMap,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    ServerError,
    child::{ServerProcess, free_ports},
    folder::Folder,
    http::get,
    tools::tool,
};

/// The release that `ops/setup.sh test` builds.
const VERSION: &str = "1.76.0";

/// After so long a span will not arrive any more.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Jaeger on free ports; ends when this is dropped.
#[derive(Debug)]
pub struct JaegerServer {
    otlp: u16,
    query: u16,
    // Dropped before the folder: a live process would write on.
    _process: ServerProcess,
    _folder: Folder,
}

/// A span as the query API tells it.
#[derive(Debug, Clone)]
pub struct JaegerSpan {
    /// Id, as hex.
    pub id: String,
    /// The span it is a child of.
    pub parent: Option<String>,
    /// Traces it is linked to.
    pub links: Vec<String>,
    /// Name.
    pub name: String,
    /// `service.name` of the process that sent it.
    pub service: String,
    /// `service.instance.id` of that process.
    pub instance: String,
    /// Attributes and status, as text.
    pub tags: BTreeMap<String, String>,
    /// When it began, in microseconds since 1970.
    pub start_us: u64,
    /// Microseconds from its begin to its end.
    pub duration_us: u64,
}

/// A trace as the query API tells it.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Id, as hex.
    pub id: String,
    /// Spans, the earliest first.
    pub spans: Vec<JaegerSpan>,
}

impl JaegerServer {
    /// Starts one and waits until it answers a question.
    ///
    /// # Errors
    /// If it is not installed, or ends or stays silent instead.
    pub fn start() -> Result<Self, ServerError> {
        let program = tool(&format!("jaeger-{VERSION}"))?;
        let folder = Folder::temporary("jaeger-")?;
        let [otlp, otlp_grpc, http, grpc, query, query_grpc, admin] = free_ports()?;
        let mut command = Command::new(&program);
        command.current_dir(folder.path());
        for (flag, port) in [
            ("collector.otlp.http.host-port", otlp),
            ("collector.otlp.grpc.host-port", otlp_grpc),
            ("collector.grpc-server.host-port", grpc),
            ("collector.http-server.host-port", http),
            ("query.http-server.host-port", query),
            ("query.grpc-server.host-port", query_grpc),
            ("admin.http.host-port", admin),
        ] {
            command.arg(format!("--{flag}=127.0.0.1:{port}"));
        }
        let log = folder.path().join("jaeger.log");
        let mut process = ServerProcess::start("Jaeger", &command, &log, folder.temporary_path())?;
        process.ready(|| {
            get(&format!("http://127.0.0.1:{query}/api/services")).is_ok_and(|answer| answer.status == 200)
        })?;
        Ok(Self { otlp, query, _process: process, _folder: folder })
    }

    /// What `--otlp` takes.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp)
    }

    /// Names of the services that sent anything.
    pub fn services(&self) -> Vec<String> {
        let services = self.ask("services");
        services.as_array().into_iter().flatten().map(text).collect()
    }

    /// Asks for a trace until it is there and `complete` says that nothing is missing.
    ///
    /// # Panics
    /// With what there is, if it stays incomplete.
    pub fn trace(&self, id: &str, mut complete: impl FnMut(&Trace) -> bool) -> Trace {
        let start = Instant::now();
        loop {
            let told = self.ask(&format!("traces/{id}"));
            let trace = told.get(0).map(|trace| Trace::read(id, trace));
            if let Some(trace) = trace.clone().filter(&mut complete) {
                return trace;
            }
            assert!(start.elapsed() < PATIENCE, "trace {id} stays incomplete: {trace:#?}");
            thread::sleep(PAUSE);
        }
    }

    /// Ids of up to 1,500 traces with a span of this name and these tags.
    pub fn find(&self, service: &str, operation: &str, tags: &[(&str, &str)]) -> Vec<String> {
        let tags: BTreeMap<_, _> = tags.iter().copied().collect();
        let tags = serde_json::to_string(&tags).expect("tags are text");
        let tags: String = tags.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = self.ask(&format!(
            "traces?service={service}&operation={operation}&tags={tags}&limit=1500&lookback=1h"
        ));
        found.as_array().into_iter().flatten().map(|trace| text(&trace["traceID"])).collect()
    }

    /// The `data` of an answer of the query API; null where it has none.
    fn ask(&self, question: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/api/{question}", self.query);
        let answer = get(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let told: Value = serde_json::from_str(&answer.body)
            .unwrap_or_else(|error| panic!("{url}: {error} in {}", answer.body));
        told["data"].clone()
    }
}

impl Trace {
    fn read(id: &str, told: &Value) -> Self {
        let spans = told["spans"].as_array().into_iter().flatten();
        let mut spans: Vec<_> = spans.map(|span| JaegerSpan::read(id, span, &told["processes"])).collect();
        spans.sort_by_key(|span| span.start_us);
        Self { id: id.to_owned(), spans }
    }

    /// Spans without a parent.
    pub fn roots(&self) -> Vec<&JaegerSpan> {
        self.spans.iter().filter(|span| span.parent.is_none()).collect()
    }

    /// Spans whose parent is not in the trace.
    pub fn orphans(&self) -> Vec<&JaegerSpan> {
        let is_here = |id: &String| self.spans.iter().any(|span| span.id == *id);
        self.spans.iter().filter(|span| span.parent.as_ref().is_some_and(|id| !is_here(id))).collect()
    }

    /// Spans of this name at this stage.
    pub fn at(&self, name: &str, stage: &str) -> Vec<&JaegerSpan> {
        self.spans.iter().filter(|span| span.name == name && span.tag("stage") == Some(stage)).collect()
    }
}

impl JaegerSpan {
    fn read(trace: &str, told: &Value, processes: &Value) -> Self {
        let process = &processes[text(&told["processID"])];
        let references: Vec<_> = told["references"].as_array().into_iter().flatten().collect();
        let parent = references.iter().find(|to| to["refType"] == "CHILD_OF" && to["traceID"] == trace);
        let links = references.iter().filter(|to| to["traceID"] != trace);
        Self {
            id: text(&told["spanID"]),
            parent: parent.map(|parent| text(&parent["spanID"])),
            links: links.map(|link| text(&link["traceID"])).collect(),
            name: text(&told["operationName"]),
            service: text(&process["serviceName"]),
            instance: tags(&process["tags"]).remove("service.instance.id").unwrap_or_default(),
            tags: tags(&told["tags"]),
            start_us: told["startTime"].as_u64().unwrap_or_default(),
            duration_us: told["duration"].as_u64().unwrap_or_default(),
        }
    }

    /// An attribute as text.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.get(name).map(String::as_str)
    }

    /// Whether its status says that it failed.
    pub fn is_error(&self) -> bool {
        self.tag("otel.status_code") == Some("ERROR")
    }
}

fn tags(told: &Value) -> BTreeMap<String, String> {
    let tags = told.as_array().into_iter().flatten();
    tags.map(|tag| (text(&tag["key"]), text(&tag["value"]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
