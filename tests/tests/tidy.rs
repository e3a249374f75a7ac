//! What a linter cannot check: promises about the files themselves.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use counterpoint_messages::{MessageKind, StageName};
use walkdir::{DirEntry, WalkDir};

/// Lines that a source file may have.
const MAX_LINES: usize = 500;

/// Notes that belong into an issue, and calls that belong to debugging. Split so that this file passes.
const LEFTOVERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("db", "g!(")];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Ways to name a package mirror, which is a matter of a machine's own settings.
const MIRRORS: [&str; 4] = [
    concat!("replace-", "with"),
    concat!("index-", "url"),
    concat!("GOPR", "OXY="),
    concat!("sparse", "+http"),
];

/// Where every dependency comes from.
const CRATES: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether the entry is ours: not built, not made by a run, not the version control's own.
fn is_ours(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    entry.depth() == 0 || !matches!(&*name, ".git" | "target" | "out" | ".cache")
}

/// Every text file of the project, with its path below the root.
fn texts() -> Vec<(String, String)> {
    let root = root();
    let files = WalkDir::new(&root).into_iter().filter_entry(is_ours).filter_map(Result::ok);
    files
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(&root).ok()?.to_string_lossy().into_owned();
            Some((path, fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}

/// `path:line` of every line that holds one of these.
fn lines_with(needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in (1..).zip(text.lines()) {
            if needles.iter().any(|needle| line.contains(needle)) {
                found.push(format!("{path}:{number}"));
            }
        }
    }
    found
}

/// Folders of the workspace's crates, with their manifests.
fn crates() -> Vec<(PathBuf, String)> {
    let root = root();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let members = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']'));
    let members = members.map(|(members, _)| members).unwrap_or_default();
    members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .filter(|member| !member.is_empty())
        .map(|member| root.join(member))
        .filter_map(|folder| Some((folder.clone(), fs::read_to_string(folder.join("Cargo.toml")).ok()?)))
        .collect()
}

/// Names of the Rust files in a folder, without `.rs`.
fn modules(folder: &str) -> BTreeSet<String> {
    let files = fs::read_dir(root().join(folder)).into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".rs")?.to_owned())).collect()
}

/// `ClipFound` as the name of its file, `clip_found`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn the_checks_see_the_project() {
    let paths: Vec<_> = texts().into_iter().map(|(path, _)| path).collect();
    for path in ["Cargo.toml", "Makefile", ".ci/run", "tests/tests/tidy.rs", "topics/messages/src/lib.rs"] {
        assert!(paths.iter().any(|seen| seen == path), "{path} is not checked");
    }
    let folders: Vec<_> = crates().into_iter().map(|(folder, _)| folder).collect();
    for folder in ["topics/messages", "ops/telemetry", "tests"] {
        assert!(folders.iter().any(|seen| seen.ends_with(folder)), "{folder} is not checked");
    }
}

#[test]
fn nothing_is_left_over_from_writing() {
    none("left over", lines_with(&LEFTOVERS));
}

#[test]
fn no_path_of_one_machine_is_named() {
    none("paths of one machine", lines_with(&MACHINE_PATHS));
}

#[test]
fn no_package_mirror_is_named_and_every_dependency_comes_from_the_public_registry() {
    none("package mirrors", lines_with(&MIRRORS));
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let sources: BTreeSet<_> = lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    assert_eq!(sources, BTreeSet::from([format!("\"{CRATES}\"").as_str()]));
}

#[test]
fn no_source_file_is_too_long_to_hold_one_idea() {
    let long =
        texts().into_iter().filter(|(path, text)| path.ends_with(".rs") && text.lines().count() > MAX_LINES);
    none(
        "files of more than 500 lines",
        long.map(|(path, text)| format!("{path}: {}", text.lines().count())).collect(),
    );
}

#[test]
fn every_crate_says_what_it_is_for() {
    for (folder, _) in crates() {
        let entries = ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file));
        for entry in entries.iter().filter(|entry| entry.exists()) {
            let text = fs::read_to_string(entry).unwrap();
            assert!(text.starts_with("//! "), "{} does not begin with a doc comment", entry.display());
        }
    }
}

#[test]
fn every_crate_inherits_the_lints_of_the_workspace() {
    for (folder, manifest) in crates() {
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has lints of its own", folder.display());
    }
}

#[test]
fn only_telemetry_speaks_to_opentelemetry() {
    let others = crates().into_iter().filter(|(_, manifest)| manifest.contains("\nopentelemetry"));
    let folders: Vec<_> = others.filter_map(|(folder, _)| Some(folder.file_name()?.to_owned())).collect();
    // The servers hold a collector that reads what was sent; the tests only name a feature.
    let allowed = ["telemetry", "servers", "tests"];
    assert_eq!(folders, allowed, "metrics are recorded by the events of counterpoint-telemetry");
}

#[test]
fn the_files_of_the_actors_hold_every_stage() {
    let files = modules("actors/src");
    for stage in StageName::ALL {
        assert!(files.contains(stage.as_str()), "actors/src/{stage}.rs is missing");
    }
}

#[test]
fn the_files_of_the_messages_are_the_kinds_of_messages() {
    let mut files = modules("topics/messages/src");
    files.remove("lib");
    let kinds = MessageKind::ALL.iter().map(|kind| snake_case(&format!("{kind:?}"))).collect();
    assert_eq!(files, kinds);
}
