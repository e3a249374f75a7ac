//! Who a process is, so that another one can tell whether it is still there.

use std::{fs, io, process};

use rustix::{io::Errno, process::Pid};

/// A process: its number alone is given to others after its end, the time of its start is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Name of the host, for people.
    pub(super) host: String,
    /// The running kernel, which tells hosts of one name apart.
    pub(super) boot: String,
    /// Process namespace: containers on one host count their processes apart.
    pub(super) namespace: String,
    /// Process number.
    pub(super) process: i64,
    /// When it was started, in the kernel's ticks.
    pub(super) started: i64,
}

impl Identity {
    pub(super) fn of_this_process() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let (_, started) = parse_stat(&stat)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "cannot read /proc/self/stat"))?;
        Ok(Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            namespace: fs::read_link("/proc/self/ns/pid")?.to_string_lossy().into_owned(),
            process: i64::from(process::id()),
            started,
        })
    }

    /// Whether `other` is certain to have ended; of a process that cannot be seen from here it never is.
    pub(super) fn knows_gone(&self, other: &Self) -> bool {
        if (&self.boot, &self.namespace) != (&other.boot, &other.namespace) {
            return false;
        }
        let Some(pid) = i32::try_from(other.process).ok().and_then(Pid::from_raw) else { return false };
        if rustix::process::test_kill_process(pid) == Err(Errno::SRCH) {
            return true;
        }
        match fs::read_to_string(format!("/proc/{}/stat", other.process)).as_deref().map(parse_stat) {
            Ok(Some((state, started))) => started != other.started || matches!(state, 'Z' | 'X'),
            _ => false,
        }
    }
}

/// State and start time of a process, the third and the twenty-second field of `proc(5)`'s `stat`. The
/// second, the program's name in brackets, may hold anything.
fn parse_stat(stat: &str) -> Option<(char, i64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_number_given_to_another_process_is_not_taken_for_the_first() {
        let me = Identity::of_this_process().unwrap();
        assert!(!me.knows_gone(&me));
        assert!(me.knows_gone(&Identity { started: me.started - 1, ..me.clone() }));
    }

    #[test]
    fn a_process_of_another_host_or_container_is_never_known_to_be_gone() {
        let me = Identity::of_this_process().unwrap();
        let ended = Identity { started: me.started - 1, ..me.clone() };
        assert!(!me.knows_gone(&Identity { boot: "other".into(), ..ended.clone() }));
        assert!(!me.knows_gone(&Identity { namespace: "pid:[1]".into(), ..ended }));
    }

    #[test]
    fn a_child_is_gone_when_it_was_killed_even_before_its_parent_asks() {
        let me = Identity::of_this_process().unwrap();
        let mut child = process::Command::new("sleep").arg("60").spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let other =
            Identity { process: i64::from(child.id()), started: parse_stat(&stat).unwrap().1, ..me.clone() };
        assert!(!me.knows_gone(&other));
        child.kill().unwrap();
        while !me.knows_gone(&other) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(me.knows_gone(&other));
    }

    #[test]
    fn a_program_name_with_brackets_and_spaces_is_read_over() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(parse_stat(stat), Some(('S', 4242)));
        assert_eq!(parse_stat("7 (a"), None);
    }
}
