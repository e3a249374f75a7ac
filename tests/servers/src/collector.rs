//! A collector of telemetry on this host: takes OTLP/HTTP and keeps it, or takes it and never answers.

use std::{
    io::{self, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;

use crate::http::read_request;

/// Path and body of each request.
type Posts = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A listener on a free port. Its threads end with the test's process.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    posts: Posts,
}

impl Collector {
    /// One that answers every request with 200.
    ///
    /// # Panics
    /// If nothing can listen here.
    pub fn start() -> Self {
        let (listener, collector) = Self::bind();
        let posts = Arc::clone(&collector.posts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let posts = Arc::clone(&posts);
                // A client that breaks off has nothing to be told.
                thread::spawn(move || serve(stream, &posts));
            }
        });
        collector
    }

    /// One that takes connections and never says a word.
    ///
    /// # Panics
    /// If nothing can listen here.
    pub fn silent() -> Self {
        let (listener, collector) = Self::bind();
        thread::spawn(move || listener.incoming().collect::<Vec<_>>());
        collector
    }

    fn bind() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        (listener, Self { address, posts: Posts::default() })
    }

    /// What `--otlp` takes.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The path of every request that came, as often as it came.
    ///
    /// # Panics
    /// If the collector broke.
    pub fn paths(&self) -> Vec<String> {
        let posts = self.posts.lock().expect("no thread of the collector panicked");
        posts.iter().map(|(path, _)| path.clone()).collect()
    }

    /// Every span that came.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests::<ExportTraceServiceRequest>("/v1/traces");
        let resources = requests.into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// The name of every metric that came.
    pub fn metrics(&self) -> Vec<String> {
        let requests = self.requests::<ExportMetricsServiceRequest>("/v1/metrics");
        let resources = requests.into_iter().flat_map(|request| request.resource_metrics);
        let metrics = resources.flat_map(|resource| resource.scope_metrics).flat_map(|scope| scope.metrics);
        metrics.map(|metric| metric.name).collect()
    }

    /// The text of every log record that came.
    pub fn logs(&self) -> Vec<String> {
        let requests = self.requests::<ExportLogsServiceRequest>("/v1/logs");
        let resources = requests.into_iter().flat_map(|request| request.resource_logs);
        let records = resources.flat_map(|resource| resource.scope_logs).flat_map(|scope| scope.log_records);
        records.filter_map(|record| string(record.body?)).collect()
    }

    fn requests<R: Message + Default>(&self, path: &str) -> Vec<R> {
        let posts = self.posts.lock().expect("no thread of the collector panicked");
        let bodies = posts.iter().filter(|(to, _)| to == path).map(|(_, body)| body.as_slice());
        bodies.map(|body| R::decode(body).expect("the body is the protobuf of its path")).collect()
    }
}

/// A span's attribute as text.
pub fn attribute(span: &Span, name: &str) -> Option<String> {
    let found: Option<&KeyValue> = span.attributes.iter().find(|attribute| attribute.key == name);
    string(found?.value.clone()?)
}

fn string(value: AnyValue) -> Option<String> {
    match value.value? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Answers 200 to every request of a connection and keeps it.
fn serve(stream: TcpStream, posts: &Posts) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    while let Some(post) = read_request(&mut requests)? {
        if let Ok(mut posts) = posts.lock() {
            posts.push(post);
        }
        requests.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
    Ok(())
}
