//! Where media objects lie.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use counterpoint_actors::{
    s3::{Body, S3, S3Error, S3Settings, S3Url},
    settings::SettingError,
    source::places::Places,
    store::Store,
};
use serde::{Deserialize, Serialize};

use super::Config;

/// The media store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `s3://BUCKET/PREFIX`, for one run alone; without it the folder `OUT/objects`.
    pub url: Option<String>,
    /// Bytes of objects of a bucket that are kept in `OUT/cache`, beside those in use.
    pub cache_bytes: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { url: None, cache_bytes: 4 << 30 }
    }
}

/// Refuses what can never work.
pub fn check(store: &StoreSettings, s3: &S3Settings) -> Result<(), SettingError> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let is_http = |scheme: &str| s3.endpoint.as_ref().is_none_or(|endpoint| endpoint.starts_with(scheme));
    let checks = [
        (
            "store.url",
            text(&store.url),
            store.url.as_ref().is_none_or(|url| url.parse::<S3Url>().is_ok()),
            "s3://BUCKET/PREFIX, or nothing for the folder OUT/objects",
        ),
        ("store.cache_bytes", store.cache_bytes.to_string(), store.cache_bytes >= 1, "at least 1"),
        (
            "s3.endpoint",
            text(&s3.endpoint),
            is_http("http://") || is_http("https://"),
            "the address of a server, such as https://minio.example:9000",
        ),
        (
            "s3.endpoint",
            text(&s3.endpoint),
            s3.allow_http || s3.endpoint.is_none() || !is_http("http://"),
            "begin it with https://, or set s3.allow_http = true to do without TLS",
        ),
    ];
    SettingError::first_of(checks)
}

impl Config {
    /// Opens the store of the run in `out`.
    pub fn open_store(&self, out: &Path) -> anyhow::Result<Store> {
        let Some(url) = &self.store.url else { return Ok(Store::open(&objects(out))?) };
        let url = url.parse::<S3Url>().map_err(anyhow::Error::msg)?;
        let bucket = self.s3().bucket(&url)?;
        let local = out.join("cache");
        Store::in_bucket(bucket, &local, self.store.cache_bytes)
            .with_context(|| format!("cannot open the store {url} (setting store.url)"))
    }

    /// Writes a small object into the bucket of the settings and removes it; the bucket's address, unless the
    /// settings name none.
    pub fn try_store(&self) -> Option<(&str, Result<(), S3Error>)> {
        let url = self.store.url.as_deref()?;
        let attempt = || {
            let parsed =
                url.parse::<S3Url>().map_err(|detail| S3Error::Settings { url: url.to_owned(), detail })?;
            let bucket = self.s3().bucket(&parsed)?;
            let name = format!("scratch/doctor-{}", std::process::id());
            bucket.check()?;
            bucket.put(&name, Body::Bytes(b"counterpoint doctor".to_vec()))?;
            bucket.delete(&name)
        };
        Some((url, attempt()))
    }

    /// Reads input media.
    pub fn places(&self) -> Places {
        Places::new(self.s3())
    }

    fn s3(&self) -> S3 {
        S3::new(self.s3.clone())
    }
}

/// Folder of a run's media objects, unless they lie in a bucket.
fn objects(out: &Path) -> PathBuf {
    out.join("objects")
}
