//! Where Prometheus reads the metrics: `GET /metrics`, in its text format, on a thread of its own.
//!
//! Bounded: so many readers at once, so long each; those beyond wait in the system's queue of connections.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::{
    sync::{Semaphore, oneshot},
    time,
};

use crate::TelemetryError;

/// Readers at once.
const READERS: usize = 8;
/// Longest that one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to leave the system alone that gives no connection (no file descriptors, say).
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What Prometheus reads.
const PATH: &str = "/metrics";

/// The open address. Closed when this is dropped.
pub(crate) struct Scrape {
    address: SocketAddr,
    // Dropping it is the signal to stop.
    _stop: oneshot::Sender<()>,
}

impl Scrape {
    /// Opens `address` and serves what `registry` gathers.
    ///
    /// # Errors
    /// [`TelemetryError::Scrape`] if it cannot be opened.
    pub(crate) fn start(address: SocketAddr, registry: Registry) -> Result<Self, TelemetryError> {
        let refused = |source: io::Error| TelemetryError::Scrape { address, source };
        let listener = TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, registry) => {}
                    _ = stopped => {}
                }
            });
        };
        thread::Builder::new().name("telemetry-scrape".to_owned()).spawn(work).map_err(refused)?;
        Ok(Self { address, _stop: stop })
    }

    /// What a browser or Prometheus is given.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }
}

/// A reader of the meter provider, and the registry through which its metrics come out, under the very
/// names of the catalogue.
pub(crate) fn reader() -> Result<(PrometheusExporter, Registry), TelemetryError> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_units()
        .without_counter_suffixes()
        .scope_info_enabled(false)
        .build()
        .map_err(|error| TelemetryError::Exporter {
            endpoint: "Prometheus".to_owned(),
            reason: error.to_string(),
        })?;
    Ok((exporter, registry))
}

async fn serve(listener: TcpListener, registry: Registry) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!("metrics are not served: {error}"),
    };
    let readers = Arc::new(Semaphore::new(READERS));
    while let Ok(reader) = Arc::clone(&readers).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let registry = registry.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let answer = answer(&request, &registry);
                async { answer }
            });
            let mut connection = http1::Builder::new();
            let served = connection.keep_alive(false).serve_connection(TokioIo::new(stream), answer);
            // A reader that breaks off or dawdles has nothing to be told.
            let _ = time::timeout(PATIENCE, served).await;
            drop(reader);
        });
    }
}

fn answer(request: &Request<Incoming>, registry: &Registry) -> Result<Response<Full<Bytes>>, http::Error> {
    let plain = |status, text: String| Response::builder().status(status).body(Full::from(text));
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, format!("nothing is here: metrics are at {PATH}\n"));
    }
    if request.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "metrics can only be read: use GET\n".to_owned());
    }
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => {
            let mut answer = plain(StatusCode::OK, text)?;
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
            Ok(answer)
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
