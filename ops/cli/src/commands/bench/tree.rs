//! Memory of a program and of all that it starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a program and all that it started held at most, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peak {
    /// The program itself.
    pub program: u64,
    /// All processes at one moment, what they share counted in each.
    pub all: u64,
}

/// Runs a command to its end and watches its memory; its output goes where this program's does not.
pub fn watched(command: &mut Command, folder: &std::path::Path) -> anyhow::Result<Peak> {
    let said = folder.join("said.txt");
    let stderr = fs::File::create(&said).with_context(|| format!("cannot write {}", said.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    let mut peak = Peak::default();
    let status = loop {
        peak = peak.max(Peak::now(&child));
        if let Some(status) = child.try_wait().context("cannot wait for what was started")? {
            break status;
        }
        std::thread::sleep(LOOK);
    };
    if !status.success() {
        let said = fs::read_to_string(&said).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        anyhow::bail!("it failed ({status}): {}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(peak)
}

impl Peak {
    fn now(child: &Child) -> Self {
        let tree = below(child.id());
        let all = tree.iter().map(|process| kibibytes(*process, "VmRSS:")).sum::<u64>() * 1024;
        Self { program: highest(child.id()), all }
    }

    fn max(self, other: Self) -> Self {
        Self { program: self.program.max(other.program), all: self.all.max(other.all) }
    }
}

/// Most bytes that a living process ever held, as the system keeps it: between two looks as well.
pub fn highest(process: u32) -> u64 {
    kibibytes(process, "VmHWM:") * 1024
}

fn kibibytes(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let value =
        status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.unwrap_or(0)
}

/// A process and all that descend from it.
fn below(root: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(process);
        }
    }
    let (mut found, mut rest) = (BTreeSet::from([root]), vec![root]);
    while let Some(process) = rest.pop() {
        for child in children.get(&process).into_iter().flatten() {
            if found.insert(*child) {
                rest.push(*child);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_watched_with_those_it_starts_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let shell = |text: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", text]);
            watched(&mut command, folder.path())
        };
        let one = shell("sleep 0.3; true").unwrap();
        let three = shell("sleep 0.3 & sleep 0.3 & wait; true").unwrap();
        assert!(one.program > 0 && one.all >= one.program / 2, "{one:?}");
        assert!(three.all > one.all, "{three:?} {one:?}");
        let error = shell("echo no such luck >&2; exit 3").unwrap_err().to_string();
        assert!(error.contains("no such luck"), "{error}");
    }
}
