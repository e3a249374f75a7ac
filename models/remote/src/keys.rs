//! Where keys come from.

use std::{env, fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path};

use counterpoint_models::{ModelError, RemoteModel};
use url::{Host, Url};

use crate::{RemoteSettings, Secret};

/// Longest file that can be a key's.
const MAX_BYTES: u64 = 16 << 10;

/// Bits of a file's mode that let others than its owner read it.
const READABLE_BY_OTHERS: u32 = 0o044;

/// The key for a server that speaks OpenAI's protocol, if there is one: many need none.
pub(crate) fn open_ai(
    model: &RemoteModel,
    url: &Url,
    settings: &RemoteSettings,
) -> Result<Option<Secret>, ModelError> {
    let settings = &settings.openai;
    let key = find(model, settings.key_file.as_deref(), "OPENAI_API_KEY", |name| env::var(name).ok())?;
    if key.is_some() && !settings.key_over_http {
        refuse_plain(model, url)?;
    }
    Ok(key)
}

/// The key for the Gemini API.
pub(crate) fn gemini(
    model: &RemoteModel,
    url: &Url,
    settings: &RemoteSettings,
) -> Result<Secret, ModelError> {
    let found =
        find(model, settings.gemini.key_file.as_deref(), "GEMINI_API_KEY", |name| env::var(name).ok())?;
    refuse_plain(model, url)?;
    found.ok_or_else(|| ModelError::Key {
        model: model.to_string(),
        problem: "there is none".to_owned(),
        remedy: "set GEMINI_API_KEY or remote.gemini.key_file",
    })
}

/// The key in the file, or else in the environment; an empty variable is none.
fn find(
    model: &RemoteModel,
    file: Option<&Path>,
    variable: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Secret>, ModelError> {
    let (text, place) = match file {
        Some(path) => (read(path)?, path.display().to_string()),
        None => match environment(variable).filter(|text| !text.trim().is_empty()) {
            Some(text) => (text, variable.to_owned()),
            None => return Ok(None),
        },
    };
    let unusable = || ModelError::Key {
        model: model.to_string(),
        problem: format!("what {place} holds is empty, or more than a line of visible characters"),
        remedy: "put the key there and nothing else",
    };
    Secret::new(text.trim()).map(Some).ok_or_else(unusable)
}

fn read(path: &Path) -> Result<String, ModelError> {
    let unreadable = |source| ModelError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & READABLE_BY_OTHERS != 0 {
        tracing::warn!(path = %path.display(), "others can read this key: chmod 600 takes that from them");
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// A key goes over an encrypted connection, or stays on this host.
fn refuse_plain(model: &RemoteModel, url: &Url) -> Result<(), ModelError> {
    let stays = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || stays {
        return Ok(());
    }
    Err(ModelError::Key {
        model: model.to_string(),
        problem: "everybody on the way could read it, as the address begins with http:".to_owned(),
        remedy: "use https, unset the key, or set remote.openai.key_over_http for a network that you trust",
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn model() -> RemoteModel {
        RemoteModel::Gemini { model: "m".to_owned() }
    }

    fn key_file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_goes_before_the_environment_and_an_empty_variable_is_none() {
        let (_folder, path) = key_file("from-the-file\n");
        let environment = |_: &str| Some("from-the-environment".to_owned());
        let found = |file, environment: &dyn Fn(&str) -> Option<String>| {
            find(&model(), file, "X", environment).unwrap()
        };
        let header = |secret: Option<Secret>| secret.map(|secret| secret.header("").unwrap());
        assert_eq!(header(found(Some(&path), &environment)).unwrap(), "from-the-file");
        assert_eq!(header(found(None, &environment)).unwrap(), "from-the-environment");
        assert!(found(None, &|_| Some(" ".to_owned())).is_none());
        assert!(found(None, &|_| None).is_none());
    }

    #[test]
    fn a_file_without_a_key_is_named_and_its_content_is_not() {
        for content in ["", " \n", "two words", "first\nsecond"] {
            let (_folder, path) = key_file(content);
            let error = find(&model(), Some(&path), "X", |_| None).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(!error.contains("second") && !error.contains("two words"), "{error}");
        }
        let missing = find(&model(), Some(Path::new("no/such/key")), "X", |_| None).unwrap_err();
        assert!(missing.to_string().contains("no/such/key"), "{missing}");
    }

    #[test]
    fn a_key_travels_encrypted_or_not_at_all() {
        for (url, goes) in [
            ("https://models.example/v1", true),
            ("http://localhost:8000/v1", true),
            ("http://127.0.0.1:8000/v1", true),
            ("http://[::1]:8000/v1", true),
            ("http://models.example/v1", false),
            ("http://10.0.0.5/v1", false),
            ("http://localhost.example/v1", false),
        ] {
            assert_eq!(refuse_plain(&model(), &Url::parse(url).unwrap()).is_ok(), goes, "{url}");
        }
    }
}
