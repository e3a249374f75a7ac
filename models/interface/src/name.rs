use std::{fmt, path::PathBuf, str::FromStr};

use url::Url;

/// Longest name that is read.
const MAX_LENGTH: usize = 4096;

/// Which model is meant (design section 5).
///
/// | written | is |
/// | --- | --- |
/// | `DIR` | a checkpoint folder in Hugging Face layout |
/// | `DIR+ADAPTER` | the same with a LoRA adapter folder |
/// | `openai:URL#NAME` | model NAME of a server that speaks OpenAI's chat completions below URL, e.g. `openai:http://localhost:8000/v1#Qwen/Qwen2.5-Omni-7B` |
/// | `gemini:NAME` | a model of the Gemini API |
/// | `file:PREDICTIONS.jsonl` | answers given earlier, whoever gave them |
///
/// Reading a name looks at no file. Nothing in a name is secret: an address that holds a user name, a password
/// or a query is refused, and the refusal does not repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModelName {
    /// Runs in this process.
    Local(LocalModel),
    /// Answers come from elsewhere.
    Remote(RemoteModel),
}

/// A model that runs in this process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalModel {
    /// Checkpoint folder.
    pub checkpoint: PathBuf,
    /// LoRA adapter folder.
    pub adapter: Option<PathBuf>,
}

/// A model whose answers come from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemoteModel {
    /// A server that speaks OpenAI's chat completions (vLLM, SGLang and others).
    OpenAi {
        /// Address below which `chat/completions` lies; without user, password, query and fragment.
        url: Url,
        /// Name by which the server knows the model.
        model: String,
    },
    /// A model of the Gemini API.
    Gemini {
        /// Name, e.g. `gemini-2.0-flash`.
        model: String,
    },
    /// Answers given earlier.
    Predictions {
        /// A file of JSON lines.
        path: PathBuf,
    },
}

/// A text that names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or with nothing where a part belongs.
    #[error("model `{name}` lacks {part}: write {form}")]
    Lacks {
        /// As given, without what may be secret.
        name: String,
        /// What is missing.
        part: &'static str,
        /// How such a name is written.
        form: &'static str,
    },
    /// Begins like `SCHEME:` with a scheme that is not known.
    #[error(
        "model `{name}` begins with `{scheme}:`, which is none of openai:, gemini: and file:; write ./{name} for a folder of that name"
    )]
    UnknownScheme {
        /// As given, without what may be secret.
        name: String,
        /// What stands before the colon.
        scheme: String,
    },
    /// The address cannot be read.
    #[error("model `{name}` holds no address of a server ({reason}): write openai:http://HOST:PORT/v1#NAME")]
    Address {
        /// As given, without what may be secret.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address holds what may be secret, and names are printed.
    #[error(
        "model `{name}` holds {part} in its address: leave it out, keys come from the environment or a file"
    )]
    Secret {
        /// As given, without what may be secret.
        name: String,
        /// What it holds.
        part: &'static str,
    },
    /// More than one `+`.
    #[error("model `{name}` holds more than one `+`: write DIR+ADAPTER, and rename folders that hold one")]
    Adapters {
        /// As given.
        name: String,
    },
    /// `tiny`, which is trained from nothing and cannot be asked.
    #[error(
        "model `tiny` exists only once it was trained: give the folder that `train --model tiny` wrote, or ./tiny for a folder of that name"
    )]
    Tiny,
    /// Holds characters that no name holds.
    #[error("model `{name}` holds {what}: {remedy}")]
    Characters {
        /// As given, without what may be secret.
        name: String,
        /// What is wrong.
        what: &'static str,
        /// What it may hold.
        remedy: &'static str,
    },
    /// Too long to be a name.
    #[error("a model's name of {length} bytes: at most {MAX_LENGTH} are read")]
    TooLong {
        /// Bytes given.
        length: usize,
    },
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if name.len() > MAX_LENGTH {
            return Err(NameError::TooLong { length: name.len() });
        }
        if name.chars().any(char::is_control) {
            let (what, remedy) = ("a control character", "names are one line of printable text");
            return Err(NameError::Characters { name: presentable(name), what, remedy });
        }
        match scheme_of(name) {
            Some(("openai", rest)) => open_ai(name, rest).map(Self::Remote),
            Some(("gemini", rest)) => gemini(name, rest).map(Self::Remote),
            Some(("file", "")) => Err(lacks(name, "a path", "file:PREDICTIONS.jsonl")),
            Some(("file", path)) => Ok(Self::Remote(RemoteModel::Predictions { path: path.into() })),
            Some((scheme, _)) => {
                Err(NameError::UnknownScheme { name: presentable(name), scheme: scheme.to_owned() })
            }
            None => local(name).map(Self::Local),
        }
    }
}

/// `SCHEME` and what follows, if the text begins with letters and a colon. One letter is no scheme.
fn scheme_of(name: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = name.split_once(':')?;
    let is_scheme = scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    is_scheme.then_some((scheme, rest))
}

fn open_ai(name: &str, rest: &str) -> Result<RemoteModel, NameError> {
    const FORM: &str = "openai:URL#NAME";
    let address = |reason: String| NameError::Address { name: presentable(name), reason };
    // The model's own name may hold anything, so it is split off before the address is read.
    let (url, model) = rest.split_once('#').ok_or_else(|| lacks(name, "#NAME", FORM))?;
    if model.trim().is_empty() {
        return Err(lacks(name, "a name after #", FORM));
    }
    let mut url = Url::parse(url).map_err(|error| address(error.to_string()))?;
    let secret = |part| Err(NameError::Secret { name: presentable(name), part });
    match () {
        () if !url.username().is_empty() || url.password().is_some() => {
            return secret("a user or a password");
        }
        () if url.query().is_some() => return secret("a query"),
        () if !matches!(url.scheme(), "http" | "https") => {
            return Err(address("neither http nor https".to_owned()));
        }
        () if url.host_str().is_none_or(str::is_empty) => return Err(address("no host".to_owned())),
        () => {}
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(RemoteModel::OpenAi { url, model: model.to_owned() })
}

fn gemini(name: &str, model: &str) -> Result<RemoteModel, NameError> {
    if model.is_empty() {
        return Err(lacks(name, "a name", "gemini:NAME"));
    }
    // The name becomes part of a path.
    if !model.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) || model == ".." {
        let (what, remedy) = ("more than a model's name", "letters, digits, `-`, `_` and `.`");
        return Err(NameError::Characters { name: presentable(name), what, remedy });
    }
    Ok(RemoteModel::Gemini { model: model.to_owned() })
}

fn local(name: &str) -> Result<LocalModel, NameError> {
    const FORM: &str = "DIR, DIR+ADAPTER, openai:URL#NAME, gemini:NAME or file:PREDICTIONS.jsonl";
    if name == "tiny" {
        return Err(NameError::Tiny);
    }
    let mut parts = name.split('+');
    let checkpoint = parts.next().filter(|dir| !dir.is_empty());
    let checkpoint = checkpoint.ok_or_else(|| lacks(name, "a checkpoint folder", FORM))?.into();
    let adapter = match parts.next() {
        Some("") => return Err(lacks(name, "an adapter folder after +", FORM)),
        adapter => adapter.map(PathBuf::from),
    };
    match parts.next() {
        Some(_) => Err(NameError::Adapters { name: name.to_owned() }),
        None => Ok(LocalModel { checkpoint, adapter }),
    }
}

fn lacks(name: &str, part: &'static str, form: &'static str) -> NameError {
    NameError::Lacks { name: presentable(name), part, form }
}

/// The text without what may be secret in it: what stands between `//` and the last `@`, and what follows a
/// `?`. Cut where it is long, without control characters.
fn presentable(name: &str) -> String {
    let (before, _) = name.split_once('?').unwrap_or((name, ""));
    let hidden = if before.len() < name.len() { "?…" } else { "" };
    let shown = match before.rsplit_once('@') {
        Some((with_user, rest)) => {
            let start = with_user.find("//").map_or(0, |at| at.saturating_add(2));
            let start = if start == 0 { with_user.find(':').map_or(0, |at| at + 1) } else { start };
            format!("{}…@{rest}", with_user.get(..start).unwrap_or_default())
        }
        None => before.to_owned(),
    };
    shown.chars().filter(|letter| !letter.is_control()).take(200).chain(hidden.chars()).collect()
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(local) => local.fmt(f),
            Self::Remote(remote) => remote.fmt(f),
        }
    }
}

impl fmt::Display for LocalModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.checkpoint.display())?;
        match &self.adapter {
            Some(adapter) => write!(f, "+{}", adapter.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for RemoteModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenAi { url, model } => write!(f, "openai:{}#{model}", url.as_str().trim_end_matches('/')),
            Self::Gemini { model } => write!(f, "gemini:{model}"),
            Self::Predictions { path } => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(name: &str) -> Result<ModelName, NameError> {
        name.parse()
    }

    fn refusal(name: &str) -> String {
        read(name).unwrap_err().to_string()
    }

    #[test]
    fn every_form_is_read_and_printed_as_it_was_written() {
        let names = [
            "checkpoints/base",
            "./tiny",
            "/models/base+runs/adapter-3",
            "openai:http://localhost:8000/v1#Qwen/Qwen2.5-Omni-7B",
            "openai:https://models.example/v1#a#b?c",
            "openai:http://[::1]:8000#m",
            "gemini:gemini-2.0-flash",
            "file:runs/last/answers.jsonl",
        ];
        for name in names {
            assert_eq!(read(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn the_parts_are_where_they_belong() {
        assert_eq!(
            read("base+adapter"),
            Ok(ModelName::Local(LocalModel { checkpoint: "base".into(), adapter: Some("adapter".into()) }))
        );
        let Ok(ModelName::Remote(RemoteModel::OpenAi { url, model })) = read("openai:http://h:1/v1/#org/m")
        else {
            panic!("not read as a server")
        };
        assert_eq!((url.as_str(), model.as_str()), ("http://h:1/v1", "org/m"));
        assert_eq!(
            read("file:a:b.jsonl"),
            Ok(ModelName::Remote(RemoteModel::Predictions { path: "a:b.jsonl".into() }))
        );
    }

    #[test]
    fn what_names_no_model_is_refused_with_the_remedy() {
        for (name, part) in [
            ("", "a checkpoint folder"),
            ("+adapter", "a checkpoint folder"),
            ("base+", "an adapter folder"),
            ("a+b+c", "more than one `+`"),
            ("tiny", "train --model tiny"),
            ("openai:", "#NAME"),
            ("openai:http://h/v1", "#NAME"),
            ("openai:http://h/v1# ", "a name after #"),
            ("openai:h/v1#m", "no address"),
            ("openai:ftp://h/v1#m", "neither http nor https"),
            ("openai:http://#m", "no address"),
            ("gemini:", "a name"),
            ("gemini:../../files", "more than a model's name"),
            ("gemini:..", "more than a model's name"),
            ("file:", "a path"),
            ("anthropic:m", "none of openai:, gemini: and file:"),
            ("a\u{1b}[2Jb", "a control character"),
        ] {
            let refusal = refusal(name);
            assert!(refusal.contains(part), "{name:?}: {refusal}");
            assert!(!refusal.contains('\u{1b}'), "{refusal:?}");
        }
        assert_eq!(read(&"x".repeat(5000)), Err(NameError::TooLong { length: 5000 }));
    }

    #[test]
    fn an_address_with_secrets_is_refused_and_not_repeated() {
        for name in [
            "openai:http://user:hunter2@h/v1#m",
            "openai:http://hunter2@h/v1#m",
            "openai:http://h/v1?key=hunter2#m",
            "openai:http://h/v1?hunter2",
            "openai:http://user:hunter2@h/v1",
            "openai:user:hunter2@h/v1#m",
            "openai:http://a@b:hunter2@h/v1#m",
            "openia:http://user:hunter2@h/v1#m",
            "openai:http://us er:hunter2@h:99999999/v1?x#m",
        ] {
            let error = read(name).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_read_again(name in ".{0,60}") {
            if let Ok(model) = read(&name) {
                prop_assert_eq!(read(&model.to_string()), Ok(model));
            }
        }
    }
}
