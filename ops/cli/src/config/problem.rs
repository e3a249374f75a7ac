//! What is wrong with the settings, in words: which variable or file, which value, what it may be.

use figment::{
    Figment, Metadata, Source,
    error::{Actual, Error, Kind},
};

use super::PREFIX;

/// Where a setting was given: an environment variable or a file. `None` for a default.
pub fn origin(figment: &Figment, setting: &str) -> Option<String> {
    figment.find_metadata(setting).and_then(|metadata| place(metadata, setting))
}

/// One problem of many that reading the settings may come to.
pub fn describe(figment: &Figment, error: &Error) -> String {
    let mut path = error.path.clone();
    if let Kind::UnknownField(name, _) = &error.kind
        && path.last() != Some(name)
    {
        path.push(name.clone());
    }
    let setting = path.join(".");
    let origin = error
        .metadata
        .as_ref()
        .and_then(|metadata| place(metadata, &setting))
        .or_else(|| origin(figment, &setting));
    let name = match (setting.as_str(), origin) {
        ("", Some(origin)) => format!("settings in {origin}"),
        ("", None) => "settings".to_owned(),
        (setting, Some(origin)) => format!("setting {setting} in {origin}"),
        (setting, None) => format!("setting {setting}"),
    };
    match &error.kind {
        Kind::UnknownField(_, known) => format!("{name} is unknown: choose from {}", known.join(", ")),
        Kind::UnknownVariant(found, known) => {
            format!("{name} is `{found}`: choose from {}", known.join(", "))
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("{name} is {}: give {}", value(found), what(expected))
        }
        other => format!("{name}: {}", other.to_string().trim_end()),
    }
}

fn place(metadata: &Metadata, setting: &str) -> Option<String> {
    match &metadata.source {
        Some(Source::File(file)) => Some(file.display().to_string()),
        _ if metadata.name.contains("environment") => {
            Some(format!("environment variable {}", variable(setting)))
        }
        _ => None,
    }
}

/// The variable that gives a setting; of an unknown section the first of its variables.
fn variable(setting: &str) -> String {
    let name = format!("{PREFIX}{}", setting.replace('.', "__").to_uppercase());
    let section = format!("{name}__");
    std::env::vars_os()
        .filter_map(|(variable, _)| variable.into_string().ok())
        .find(|variable| variable.to_uppercase() == name || variable.to_uppercase().starts_with(&section))
        .unwrap_or(name)
}

fn value(found: &Actual) -> String {
    match found {
        Actual::Bool(found) => found.to_string(),
        Actual::Unsigned(found) => found.to_string(),
        Actual::Signed(found) => found.to_string(),
        Actual::Float(found) => found.to_string(),
        Actual::Str(found) => format!("`{found}`"),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        other => other.to_string(),
    }
}

/// What serde expects, without the names that Rust has for it.
fn what(expected: &str) -> String {
    match expected {
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number from 0".to_owned(),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "option" => "a text".to_owned(),
        "a sequence" => "a list, such as [\"mp4\", \"mkv\"]".to_owned(),
        section if section.starts_with("struct ") => "a section of settings".to_owned(),
        other => other.to_owned(),
    }
}
