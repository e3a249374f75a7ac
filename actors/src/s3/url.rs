//! Addresses of buckets.

use std::{fmt, str::FromStr};

/// Beginning of every address.
const SCHEME: &str = "s3://";

/// A bucket, or a part of it below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    pub(super) bucket: String,
    /// Without slashes at its ends; empty for the whole bucket.
    pub(super) prefix: String,
}

impl S3Url {
    /// Whether a text means a bucket and no local path.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The bucket, and the name of the object in it that the prefix is.
    pub fn split(&self) -> (Self, String) {
        (Self { bucket: self.bucket.clone(), prefix: String::new() }, self.prefix.clone())
    }
}

impl FromStr for S3Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| format!("`{text}` is not s3://BUCKET/PREFIX"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let is_plain = |part: &str| !part.is_empty() && !matches!(part, "." | "..");
        let is_bucket = !bucket.is_empty()
            && bucket.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter));
        if !is_bucket || !(prefix.is_empty() || prefix.split('/').all(is_plain)) {
            return Err(format!("`{text}` is not s3://BUCKET/PREFIX"));
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_bucket_and_perhaps_a_prefix() {
        for (text, bucket, prefix) in [
            ("s3://clips", "clips", ""),
            ("s3://clips/", "clips", ""),
            ("s3://my-clips/a/b/", "my-clips", "a/b"),
        ] {
            let url: S3Url = text.parse().unwrap();
            assert_eq!((url.bucket.as_str(), url.prefix.as_str()), (bucket, prefix));
            assert_eq!(url.to_string(), text.trim_end_matches('/'));
        }
        for text in ["", "clips", "s3://", "s3:///a", "s3://a b/c", "s3://a/../b", "s3://a/b//c", "/s3://a"] {
            assert!(text.parse::<S3Url>().unwrap_err().contains("s3://BUCKET/PREFIX"), "{text}");
        }
    }
}
