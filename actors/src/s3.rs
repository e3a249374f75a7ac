//! Buckets of S3-compatible servers, for threads that may block.
//!
//! The client is asynchronous; it runs on a small runtime of its own, so that its methods may be called from
//! any thread, also from one that drives another runtime. Credentials come from the environment only
//! (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, or the machine's role).

mod url;

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{self, Read},
    sync::{Arc, OnceLock, mpsc},
    time::{Duration, SystemTime},
};

use futures::{StreamExt, TryStreamExt};
use object_store::{
    BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder,
    buffered::BufWriter, path::Path as Key,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, runtime::Runtime};

pub use self::url::S3Url;

/// Bytes sent at once; what is longer goes in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// Chunks on their way from the server to a slow reader.
const CHUNKS: usize = 4;

/// Silence after which a server is given up; a transfer that goes on may take as long as it needs.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// All tries of a request. What takes longer is a fault of ours, and the stage pauses.
const TRIES: Duration = Duration::from_secs(10);

/// How buckets are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// Address of a server that is not Amazon's, e.g. `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// Region; without one `AWS_REGION` decides, then `us-east-1`.
    pub region: Option<String>,
    /// Whether the endpoint may be reached without TLS.
    pub allow_http: bool,
}

/// A bucket could not do it.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// An object is not there.
    #[error("{url} is not there")]
    Gone {
        /// Address of the object.
        url: String,
    },
    /// The bucket is not there.
    #[error("there is no bucket for {url}: make it, or correct the name or setting s3.endpoint")]
    NoBucket {
        /// Address.
        url: String,
    },
    /// The server knows these keys and says no, or there are none.
    #[error(
        "access to {url} is denied ({detail}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to keys that may use it"
    )]
    Denied {
        /// Address.
        url: String,
        /// What the server said.
        detail: String,
    },
    /// The settings do not make a client.
    #[error("the settings do not lead to {url} ({detail}): correct s3.endpoint, s3.region or s3.allow_http")]
    Settings {
        /// Address.
        url: String,
        /// What is wrong.
        detail: String,
    },
    /// No answer, or none that makes sense. It may pass.
    #[error("{url} does not answer as it should ({detail}): nothing is lost, run again when it does")]
    Away {
        /// Address.
        url: String,
        /// What happened.
        detail: String,
    },
    /// What was to be sent cannot be read on this machine.
    #[error("cannot read what is to be sent to {url}")]
    Local {
        /// Address.
        url: String,
        /// What the system said.
        source: io::Error,
    },
}

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name below the prefix.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was last written, by the server's clock.
    pub modified: SystemTime,
}

/// What is to be stored.
#[derive(Debug)]
pub enum Body {
    /// From memory.
    Bytes(Vec<u8>),
    /// From a file, to its end.
    File(File),
}

/// Opens buckets.
#[derive(Clone, Default)]
pub struct S3 {
    settings: S3Settings,
    /// Id and secret, where they are not the environment's.
    keys: Option<(String, String)>,
    runtime: Arc<OnceLock<OwnRuntime>>,
    /// By name of the bucket: connections and credentials are kept from one request to the next.
    clients: Arc<Mutex<HashMap<String, Arc<dyn ObjectStore>>>>,
}

impl S3 {
    /// Opens buckets by these settings; connects to nothing yet.
    pub fn new(settings: S3Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The same with an access key of the caller's instead of the environment's.
    pub fn with_key(settings: S3Settings, id: &str, secret: &str) -> Self {
        Self { settings, keys: Some((id.to_owned(), secret.to_owned())), ..Self::default() }
    }

    /// A bucket, or a part of one. Whether it is there shows in the first request.
    ///
    /// # Errors
    /// [`S3Error::Settings`].
    pub fn bucket(&self, url: &S3Url) -> Result<Bucket, S3Error> {
        let wrong = |detail: String| S3Error::Settings { url: url.to_string(), detail };
        self.start_runtime().map_err(|error| wrong(error.to_string()))?;
        let mut clients = self.clients.lock();
        let client = match clients.get(&url.bucket) {
            Some(client) => Arc::clone(client),
            None => {
                let client = self.connect(&url.bucket).map_err(|error| wrong(error.to_string()))?;
                clients.insert(url.bucket.clone(), Arc::clone(&client));
                client
            }
        };
        Ok(Bucket { client, runtime: Arc::clone(&self.runtime), url: url.clone() })
    }

    fn connect(&self, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: 4,
            retry_timeout: TRIES,
        };
        let client = ClientOptions::new()
            .with_timeout_disabled()
            .with_read_timeout(SILENCE)
            .with_connect_timeout(CONNECT);
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_client_options(client)
            .with_retry(retry)
            .with_disable_bulk_delete(true);
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &self.settings.region {
            builder = builder.with_region(region);
        }
        if self.settings.allow_http {
            builder = builder.with_allow_http(true);
        }
        if let Some((id, secret)) = &self.keys {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        Ok(Arc::new(builder.build()?))
    }

    fn start_runtime(&self) -> io::Result<()> {
        if self.runtime.get().is_none() {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).thread_name("s3").enable_all().build()?;
            // Another thread may have been faster; one is enough.
            let _ = self.runtime.set(OwnRuntime(Some(runtime)));
        }
        Ok(())
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3({:?})", self.settings)
    }
}

/// A runtime that may be dropped anywhere: ending it never waits.
#[derive(Debug)]
struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A bucket, or the part of it below a prefix; names are relative to it.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Arc<dyn ObjectStore>,
    runtime: Arc<OnceLock<OwnRuntime>>,
    url: S3Url,
}

impl Bucket {
    /// Its address.
    pub fn url(&self) -> &S3Url {
        &self.url
    }

    /// Asks for one object of a listing, which tells whether the bucket is there and may be read.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(&self) -> Result<(), S3Error> {
        let (client, prefix) = (Arc::clone(&self.client), self.prefix());
        let first = self.wait(async move { client.list(prefix.as_ref()).next().await.transpose() });
        first.and_then(|listed| listed.map_err(|error| self.error("", &error))).map(|_| ())
    }

    /// Stores an object, whole or not at all; one of this name is replaced.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn put(&self, name: &str, body: Body) -> Result<(), S3Error> {
        let (client, key) = (Arc::clone(&self.client), self.key(name));
        let stored = self.wait(async move {
            match body {
                Body::Bytes(bytes) => Ok(client.put(&key, bytes.into()).await.map(|_| ())),
                Body::File(file) => upload(client, key, file).await,
            }
        })?;
        match stored {
            Ok(stored) => stored.map_err(|error| self.error(name, &error)),
            Err(source) => Err(S3Error::Local { url: self.address(name), source }),
        }
    }

    /// An object's length in bytes, and its content from the beginning, which is fetched while it is read.
    ///
    /// # Errors
    /// [`S3Error::Gone`] if it is not there.
    pub fn read(&self, name: &str) -> Result<(u64, impl Iterator<Item = Result<Vec<u8>, S3Error>>), S3Error> {
        let (client, key) = (Arc::clone(&self.client), self.key(name));
        let got = self.wait(async move { client.get(&key).await })?;
        let got = got.map_err(|error| self.error(name, &error))?;
        let bytes = got.meta.size;
        let mut stream = got.into_stream();
        let (sender, chunks) = mpsc::sync_channel(CHUNKS);
        self.spawn(async move {
            while let Some(chunk) = stream.next().await {
                // A reader that has gone wants no more.
                if tokio::task::block_in_place(|| sender.send(chunk)).is_err() {
                    break;
                }
            }
        })?;
        let (bucket, name) = (self.clone(), name.to_owned());
        let chunks = chunks
            .into_iter()
            .map(move |chunk| chunk.map(|bytes| bytes.to_vec()).map_err(|error| bucket.error(&name, &error)));
        Ok((bytes, chunks))
    }

    /// When an object was last written; `None` if it is not there.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn modified(&self, name: &str) -> Result<Option<SystemTime>, S3Error> {
        let (client, key) = (Arc::clone(&self.client), self.key(name));
        match self.wait(async move { client.head(&key).await })? {
            Ok(meta) => Ok(Some(meta.last_modified.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(name, &error)),
        }
    }

    /// Removes an object; none of this name is no error.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn delete(&self, name: &str) -> Result<(), S3Error> {
        let (client, key) = (Arc::clone(&self.client), self.key(name));
        match self.wait(async move { client.delete(&key).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(name, &error)),
        }
    }

    /// Every object below a folder of the prefix, or below the prefix itself.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>, S3Error> {
        let (client, below) = (Arc::clone(&self.client), self.key(folder));
        let skipped = if self.url.prefix.is_empty() { 0 } else { self.url.prefix.len() + 1 };
        let listed = self.wait(async move {
            let whole = (!below.as_ref().is_empty()).then_some(&below);
            let objects =
                client.list(whole).try_filter_map(|ObjectMeta { location, size, last_modified, .. }| {
                    let name = location.as_ref().get(skipped..).map(str::to_owned);
                    let listed =
                        name.map(|name| Listed { name, bytes: size, modified: last_modified.into() });
                    std::future::ready(Ok(listed))
                });
            objects.try_collect::<Vec<_>>().await
        })?;
        listed.map_err(|error| self.error(folder, &error))
    }

    /// Address of an object.
    pub fn address(&self, name: &str) -> String {
        if name.is_empty() { self.url.to_string() } else { format!("{}/{name}", self.url) }
    }

    fn prefix(&self) -> Option<Key> {
        (!self.url.prefix.is_empty()).then(|| self.key(""))
    }

    fn key(&self, name: &str) -> Key {
        let parts = self.url.prefix.split('/').chain(name.split('/')).filter(|part| !part.is_empty());
        let name = parts.collect::<Vec<_>>().join("/");
        // Names come from listings as they are: encoding them again would name another object.
        Key::parse(&name).unwrap_or_else(|_| Key::from(name))
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<(), S3Error> {
        match self.runtime.get().and_then(|own| own.0.as_ref()) {
            Some(runtime) => {
                runtime.spawn(work);
                Ok(())
            }
            None => Err(self.ended()),
        }
    }

    /// Waits for the client without driving it: this thread may belong to another runtime.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, S3Error> {
        let (sender, done) = mpsc::sync_channel(1);
        self.spawn(async move {
            // Nobody waits any more: the program is ending.
            let _ = sender.send(work.await);
        })?;
        done.recv().map_err(|_| self.ended())
    }

    fn ended(&self) -> S3Error {
        S3Error::Away { url: self.url.to_string(), detail: "its client has ended".to_owned() }
    }

    fn error(&self, name: &str, error: &object_store::Error) -> S3Error {
        let url = self.address(name);
        let detail = in_full(error);
        match error {
            // A server that has the bucket but not the object says so in other words.
            _ if detail.contains("NoSuchBucket") => S3Error::NoBucket { url },
            object_store::Error::NotFound { .. } => S3Error::Gone { url },
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                S3Error::Denied { url, detail: in_short(&detail) }
            }
            // The client's listings say so in the text only.
            _ if ["403 Forbidden", "401 Unauthorized"].iter().any(|status| detail.contains(status)) => {
                S3Error::Denied { url, detail: in_short(&detail) }
            }
            _ => S3Error::Away { url, detail: in_short(&detail) },
        }
    }
}

/// Sends a file in parts; a part that is missing leaves nothing behind under the key.
async fn upload(
    client: Arc<dyn ObjectStore>,
    key: Key,
    mut file: File,
) -> io::Result<object_store::Result<()>> {
    let mut writer = BufWriter::with_capacity(client, key, PART_BYTES);
    loop {
        let mut part = Vec::new();
        let limit = PART_BYTES as u64;
        let read = tokio::task::block_in_place(|| file.by_ref().take(limit).read_to_end(&mut part));
        let sent = match read {
            Ok(0) => break,
            Ok(_) => writer.put(part.into()).await,
            Err(error) => {
                // What was sent so far is dropped by the server, now or by its own rules.
                let _ = writer.abort().await;
                return Err(error);
            }
        };
        if let Err(error) = sent {
            let _ = writer.abort().await;
            return Ok(Err(error));
        }
    }
    Ok(writer.shutdown().await.map_err(object_store_error))
}

/// The error that the writer wrapped, as far as it can be had.
fn object_store_error(error: io::Error) -> object_store::Error {
    match error.downcast::<object_store::Error>() {
        Ok(error) => error,
        Err(error) => object_store::Error::Generic { store: "S3", source: Box::new(error) },
    }
}

/// An error with all its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

/// On one line of bearable length.
fn in_short(detail: &str) -> String {
    const LONGEST: usize = 300;
    let words: Vec<_> = detail.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= LONGEST {
        line
    } else {
        line.chars().take(LONGEST).chain("...".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_is_named_and_any_thread_may_wait_for_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let settings = S3Settings { endpoint: Some(endpoint), allow_http: true, ..S3Settings::default() };
        let bucket = S3::with_key(settings, "id", "secret").bucket(&"s3://clips/a".parse().unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // A thread that drives another runtime, and drops the client's there.
        let error = runtime.block_on(async move { bucket.check().unwrap_err() });
        assert!(matches!(error, S3Error::Away { .. }), "{error}");
        assert!(error.to_string().contains("s3://clips/a"), "{error}");
    }

    #[test]
    fn a_bucket_has_one_client_however_often_it_is_opened() {
        let s3 = S3::with_key(S3Settings::default(), "id", "secret");
        let open = |url: &str| s3.clone().bucket(&url.parse().unwrap()).unwrap();
        let (first, again, other) = (open("s3://clips/a"), open("s3://clips/b"), open("s3://store"));
        assert!(Arc::ptr_eq(&first.client, &again.client));
        assert!(!Arc::ptr_eq(&first.client, &other.client));
        assert_eq!(again.url().to_string(), "s3://clips/b");
    }
}
