//! An S3-compatible server in this process (`s3s-fs`): objects are files of a temporary folder.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use hyper::{Request, Response, StatusCode, body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    Body, HttpError, HttpResponse,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Id of the one access key.
pub const KEY_ID: &str = "counterpoint";
/// Its secret.
pub const SECRET: &str = "a secret of the tests";

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the S3 server cannot {doing}")]
pub struct S3ServerError {
    doing: &'static str,
    source: io::Error,
}

fn cannot(doing: &'static str) -> impl FnOnce(io::Error) -> S3ServerError {
    move |source| S3ServerError { doing, source }
}

/// A server on a port of its own. It ends when this value is dropped, and its objects with it.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    folder: TempDir,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct State {
    is_ill: AtomicBool,
    requests: AtomicU64,
    refused: AtomicU64,
}

impl S3Server {
    /// Starts one with these buckets on a free port; it answers when this returns.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start(buckets: &[&str]) -> Result<Self, S3ServerError> {
        let folder = TempDir::new().map_err(cannot("make a folder"))?;
        for bucket in buckets {
            fs::create_dir(folder.path().join(bucket)).map_err(cannot("make a bucket"))?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(cannot("take a port"))?;
        let address = listener.local_addr().map_err(cannot("take a port"))?;
        let mut server = Self { address, folder, state: Arc::default(), runtime: None };
        server.serve(listener)?;
        Ok(server)
    }

    /// Ends the server for a while; its objects stay.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts a stopped server again, on the port that it had.
    ///
    /// # Errors
    /// If the port is taken by now.
    pub fn start_again(&mut self) -> Result<(), S3ServerError> {
        let socket = TcpListener::bind(self.address).map_err(cannot("take its port again"))?;
        self.serve(socket)
    }

    fn serve(&mut self, listener: TcpListener) -> Result<(), S3ServerError> {
        listener.set_nonblocking(true).map_err(cannot("listen"))?;
        let files = FileSystem::new(self.folder.path())
            .map_err(|error| cannot("use its folder")(io::Error::other(format!("{error:?}"))))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = Watched { inner: builder.build(), state: Arc::clone(&self.state) };
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().map_err(cannot("start"))?;
        runtime.spawn(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let connections = Builder::new(TokioExecutor::new());
                    // A client that breaks off has nothing to be told.
                    let _ = connections.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        self.runtime = Some(runtime);
        Ok(())
    }

    /// What setting `s3.endpoint` takes.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a client needs in its environment: endpoint and access key.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("COUNTERPOINT_S3__ENDPOINT", self.endpoint()),
            ("COUNTERPOINT_S3__ALLOW_HTTP", "true".to_owned()),
            ("COUNTERPOINT_S3__REGION", "us-east-1".to_owned()),
        ]
    }

    /// Folder of a bucket: objects are files under their keys, and their times those of the files.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Copies the files of a folder into a bucket, under the prefix.
    ///
    /// # Errors
    /// If one cannot be copied.
    pub fn fill(&self, bucket: &str, prefix: &str, folder: &Path) -> io::Result<()> {
        let to = self.bucket(bucket).join(prefix);
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// From now on every request is answered by 500, or by what it asks for.
    pub fn set_ill(&self, is_ill: bool) {
        self.state.is_ill.store(is_ill, Ordering::SeqCst);
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Requests so far that were answered by 500 because the server was ill.
    pub fn refused(&self) -> u64 {
        self.state.refused.load(Ordering::SeqCst)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The service, counted, and ill when told so.
#[derive(Clone)]
struct Watched {
    inner: S3Service,
    state: Arc<State>,
}

impl Service<Request<Incoming>> for Watched {
    type Response = HttpResponse;
    type Error = HttpError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.state.requests.fetch_add(1, Ordering::SeqCst);
        if self.state.is_ill.load(Ordering::SeqCst) {
            self.state.refused.fetch_add(1, Ordering::SeqCst);
            let mut ill = Response::new(Body::empty());
            *ill.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Box::pin(async move { Ok(ill) });
        }
        Service::call(&self.inner, request)
    }
}
