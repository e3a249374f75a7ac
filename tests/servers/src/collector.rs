//! A collector of telemetry on this host: takes OTLP/HTTP and keeps it, or takes it and never answers.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a broken expectation is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
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
    metrics::v1::{Metric, metric::Data},
    trace::v1::Span,
};
use prost::Message;

use crate::http::Request;

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
        Self::answering(|_| "200 OK")
    }

    fn answering(status: impl Fn(&str) -> &'static str + Clone + Send + 'static) -> Self {
        let (listener, collector) = Self::bind();
        let posts = Arc::clone(&collector.posts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (posts, status) = (Arc::clone(&posts), status.clone());
                // A client that breaks off has nothing to be told.
                thread::spawn(move || serve(stream, &posts, status));
            }
        });
        collector
    }

    /// One that takes what comes on other paths, and answers 400 on this one.
    ///
    /// # Panics
    /// If nothing can listen here.
    pub fn refusing(path: &'static str) -> Self {
        Self::answering(move |to| if to == path { "400 Bad Request" } else { "200 OK" })
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
        self.all_metrics().into_iter().map(|metric| metric.name).collect()
    }

    fn all_metrics(&self) -> Vec<Metric> {
        let requests = self.requests::<ExportMetricsServiceRequest>("/v1/metrics");
        let resources = requests.into_iter().flat_map(|request| request.resource_metrics);
        resources.flat_map(|resource| resource.scope_metrics).flat_map(|scope| scope.metrics).collect()
    }

    /// The values of each label that a metric came with.
    pub fn labels(&self, metric: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut labels = BTreeMap::<_, BTreeSet<_>>::new();
        for found in self.all_metrics().into_iter().filter(|found| found.name == metric) {
            let points = match found.data {
                Some(Data::Sum(sum)) => sum.data_points.into_iter().map(|point| point.attributes).collect(),
                Some(Data::Gauge(gauge)) => {
                    gauge.data_points.into_iter().map(|point| point.attributes).collect()
                }
                Some(Data::Histogram(histogram)) => {
                    histogram.data_points.into_iter().map(|point| point.attributes).collect()
                }
                _ => Vec::new(),
            };
            for label in points.into_iter().flatten() {
                let value = label.value.and_then(string).unwrap_or_default();
                labels.entry(label.key).or_default().insert(value);
            }
        }
        labels
    }

    /// `service.name` and `service.instance.id` of every request that came.
    pub fn senders(&self) -> Vec<(String, String)> {
        let traces = self.requests::<ExportTraceServiceRequest>("/v1/traces");
        let metrics = self.requests::<ExportMetricsServiceRequest>("/v1/metrics");
        let logs = self.requests::<ExportLogsServiceRequest>("/v1/logs");
        let traces = traces.into_iter().flat_map(|request| request.resource_spans).map(|of| of.resource);
        let metrics = metrics.into_iter().flat_map(|request| request.resource_metrics).map(|of| of.resource);
        let logs = logs.into_iter().flat_map(|request| request.resource_logs).map(|of| of.resource);
        let all = traces.chain(metrics).chain(logs).flatten();
        all.map(|resource| {
            let of = |name: &str| named(&resource.attributes, name).unwrap_or_default();
            (of("service.name"), of("service.instance.id"))
        })
        .collect()
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
    named(&span.attributes, name)
}

fn named(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    string(found?.value.clone()?)
}

fn string(value: AnyValue) -> Option<String> {
    match value.value? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Answers every request of a connection and keeps it.
fn serve(stream: TcpStream, posts: &Posts, status: impl Fn(&str) -> &'static str) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    while let Some(post) = Request::read(&mut requests)? {
        let answer = format!("HTTP/1.1 {}\r\ncontent-length: 0\r\n\r\n", status(&post.path));
        if let Ok(mut posts) = posts.lock() {
            posts.push((post.path, post.body));
        }
        requests.get_mut().write_all(answer.as_bytes())?;
    }
    Ok(())
}
