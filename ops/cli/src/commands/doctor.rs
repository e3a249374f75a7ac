//! `doctor`: what this machine lacks, and the command that mends it.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use counterpoint_actors::settings::Effort;
use counterpoint_core::rules::Rules;
use counterpoint_worker::{Sandbox, worker_program};
use serde::Serialize;

use crate::{
    args::{self, Common},
    config::{Config, read as read_text},
    context::{plan, workers},
    local::{Examined, LocalModels, Weights},
    output::{Failure, Outcome, print, print_json, thousands},
};

#[derive(Serialize)]
struct Check {
    name: String,
    ok: bool,
    found: String,
    remedy: Option<String>,
}

pub fn run(arguments: &args::Doctor, common: &Common, local: Option<&'static dyn LocalModels>) -> Outcome {
    let config = Config::load(common);
    let mut checks = vec![settings(common, &config)];
    media(&mut checks);
    checks.push(disk());
    if let Ok(config) = &config {
        checks.extend(files(config));
        checks.extend(store(config));
    }
    if let (Some(folder), Some(local)) = (&arguments.model, local) {
        model(folder, local, &mut checks);
    }
    let all_right = checks.iter().all(|check| check.ok);
    if common.json {
        #[derive(Serialize)]
        struct Told<'a> {
            ok: bool,
            checks: &'a [Check],
        }
        print_json(&Told { ok: all_right, checks: &checks })?;
    } else {
        for Check { name, ok, found, remedy } in &checks {
            print(&format!("{} {name:28} {found}", if *ok { "ok     " } else { "MISSING" }));
            if let Some(remedy) = remedy {
                print(&format!("        mend it: {remedy}"));
            }
        }
        print(if all_right { "\nnothing is missing" } else { "\nmend what is missing and ask again" });
    }
    Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn settings(common: &Common, config: &Result<Config, Failure>) -> Check {
    let name = "settings".to_owned();
    match config {
        Ok(_) => {
            let file = common
                .config
                .as_ref()
                .map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
            Check { name, ok: true, found: file, remedy: None }
        }
        Err(error) => Check {
            name,
            ok: false,
            found: match error {
                Failure::Usage(reason) => reason.clone(),
                failed @ Failure::Failed(_) => failed.to_string(),
            },
            remedy: Some("correct the settings".to_owned()),
        },
    }
}

/// A checkpoint: the memory that it takes, which its configuration tells, and whether all of it is there.
fn model(folder: &Path, local: &dyn LocalModels, checks: &mut Vec<Check>) {
    let name = || "model".to_owned();
    let examined = match local.examine(folder) {
        Ok(examined) => examined,
        Err(error) => {
            return checks.push(Check {
                name: name(),
                ok: false,
                found: format!("{error:#}"),
                remedy: Some(format!("name the folder of a checkpoint, or fetch {} again", folder.display())),
            });
        }
    };
    let Examined { parameters, memory, weights } = examined;
    let parameters = format!("{} parameters", thousands(parameters));
    checks.push(match weights {
        Ok(Weights { bytes, ignored }) => {
            let mut found = format!("{parameters}, {} on disk", gibibytes(bytes));
            if ignored > 0 {
                found.push_str(&format!("; {ignored} tensors of the part that speaks are not read"));
            }
            Check { name: name(), ok: true, found, remedy: None }
        }
        Err(error) => Check {
            name: name(),
            ok: false,
            found: format!("{parameters}, but {error:#}"),
            remedy: Some(format!("fetch {} again, whole", folder.display())),
        },
    });
    checks.extend(memory.into_iter().map(|(name, bytes)| Check {
        name: format!("memory: {name}"),
        ok: true,
        found: gibibytes(bytes),
        remedy: None,
    }));
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1_u32 << 30))
}

/// The worker program, and what its graphs need of GStreamer.
fn media(checks: &mut Vec<Check>) {
    let program = worker_program();
    let name = "media worker".to_owned();
    let elements = workers(&Effort { workers: 1, ..Effort::default() })
        .and_then(|pool| pool.check().map_err(anyhow::Error::from));
    match elements {
        Err(error) => checks.push(Check {
            name,
            ok: false,
            found: error.to_string(),
            remedy: Some("cargo build --release -p counterpoint-worker".to_owned()),
        }),
        Ok((elements, sandbox)) => {
            checks.push(Check { name, ok: true, found: program.display().to_string(), remedy: None });
            checks.push(shut_in(sandbox));
            let missing: Vec<_> = elements.iter().filter(|element| !element.found).collect();
            if missing.is_empty() {
                checks.push(Check {
                    name: "gstreamer".to_owned(),
                    ok: true,
                    found: format!("all {} elements", elements.len()),
                    remedy: None,
                });
            }
            checks.extend(missing.into_iter().map(|element| Check {
                name: format!("gstreamer {}", element.element),
                ok: false,
                found: "not installed".to_owned(),
                remedy: Some(format!("apt-get install {}", element.package)),
            }));
        }
    }
}

/// The program and the files that the settings name.
fn files(config: &Config) -> Vec<Check> {
    let check = |name: &str, read: Result<String, String>, remedy: &str| {
        let (name, ok) = (name.to_owned(), read.is_ok());
        let remedy = (!ok).then(|| remedy.to_owned());
        Check { name, ok, found: read.unwrap_or_else(|problem| problem), remedy }
    };
    let mut checks = Vec::new();
    if let Some(program) = config.fetcher.command.first() {
        let found = find_program(program);
        let found = found.map(|path| path.display().to_string());
        let found = found.ok_or_else(|| format!("no program `{program}` can be run"));
        checks.push(check("fetch program", found, "install it, or correct fetcher.command"));
    }
    let name = &config.composer.plan;
    let read = plan(name).map(|_| name.clone()).map_err(|problem| match problem {
        Failure::Usage(reason) => reason,
        failed @ Failure::Failed(_) => failed.to_string(),
    });
    checks.push(check("plan", read, "correct composer.plan or its file"));
    if let Some(rules) = &config.curator.rules {
        let text = read_text("rules", rules.as_ref()).map_err(|error| format!("{error:#}"));
        let parsed = text.and_then(|text| Rules::from_toml(&text, rules).map_err(|error| error.to_string()));
        checks.push(check("rules", parsed.map(|_| rules.clone()), "correct curator.rules or its file"));
    }
    checks
}

/// Where a program is that a command names, as the system looks for it.
fn find_program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = match name.contains('/') {
        true => vec![name.into()],
        false => env::split_paths(&folders).map(|folder| folder.join(name)).collect(),
    };
    let may_run =
        |path: &PathBuf| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    candidates.into_iter().find(may_run)
}

/// Whether the bucket of the settings can be reached and written, where they name one.
fn store(config: &Config) -> Option<Check> {
    let (url, tried) = config.try_store()?;
    let name = "store".to_owned();
    Some(match tried {
        Ok(()) => Check { name, ok: true, found: format!("{url} can be read and written"), remedy: None },
        Err(error) => {
            let remedy = "mend what the store says, or correct store.url".to_owned();
            Check { name, ok: false, found: error.to_string(), remedy: Some(remedy) }
        }
    })
}

/// What keeps the media worker from files, network and processes.
fn shut_in(sandbox: Sandbox) -> Check {
    let named = |facts: &[(bool, &'static str)], holds: bool| {
        let names = facts.iter().filter(|(fact, _)| *fact == holds).map(|(_, name)| *name);
        names.collect::<Vec<_>>().join(", ")
    };
    let means = named(&[(sandbox.seccomp, "seccomp"), (sandbox.landlock, "landlock")], true);
    let reach = [
        (sandbox.opens_no_path, "files"),
        (sandbox.makes_no_socket, "network"),
        (sandbox.starts_no_process, "processes"),
    ];
    let is_shut = sandbox.is_shut();
    Check {
        name: "media worker sandbox".to_owned(),
        ok: is_shut,
        found: if is_shut { means } else { format!("the worker still reaches {}", named(&reach, false)) },
        remedy: (!is_shut)
            .then(|| "use Linux 5.13 or newer, and a container that allows seccomp and landlock".to_owned()),
    }
}

/// A full disk stops a run; tell early.
fn disk() -> Check {
    const ENOUGH: u64 = 1 << 30;
    let name = "disk of this folder".to_owned();
    match rustix::fs::statvfs(".") {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{:.1} GiB free", free as f64 / f64::from(1 << 30));
            let remedy = (free < ENOUGH).then(|| "free at least 1 GiB, or choose --out elsewhere".to_owned());
            Check { name, ok: free >= ENOUGH, found, remedy }
        }
        Err(error) => {
            Check { name, ok: false, found: error.to_string(), remedy: Some("check the folder".to_owned()) }
        }
    }
}
