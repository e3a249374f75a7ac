//! Who a process is, written beside what it owns, so that another one can tell whether it has ended.

use std::{fmt, fs, io, os::unix::fs::MetadataExt, process, str::FromStr};

use rustix::{io::Errno, process::Pid};

/// A process: its number alone is given to others after its end, the time of its start is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The running kernel, which tells hosts apart, and a host from what it was before it was restarted.
    boot: String,
    /// Number of the process namespace: containers on one host count their processes apart.
    namespace: u64,
    number: u32,
    /// When it was started, in the kernel's ticks.
    started: u64,
}

impl Process {
    /// The one that asks.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn this() -> io::Result<Self> {
        let (_, started) = life_of(process::id())?;
        Ok(Self {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            namespace: fs::metadata("/proc/self/ns/pid")?.ino(),
            number: process::id(),
            started,
        })
    }

    /// Whether it is certain to have ended. Of a process that cannot be seen from here, on another host or in
    /// another container, it never is.
    pub fn has_ended(&self) -> bool {
        let Ok(me) = Self::this() else { return false };
        if (&me.boot, me.namespace) != (&self.boot, self.namespace) {
            return false;
        }
        let Some(pid) = i32::try_from(self.number).ok().and_then(Pid::from_raw) else { return false };
        if rustix::process::test_kill_process(pid) == Err(Errno::SRCH) {
            return true;
        }
        life_of(self.number)
            .is_ok_and(|(state, started)| started != self.started || matches!(state, 'Z' | 'X'))
    }
}

/// Boot, namespace, number and start with `_` between them: letters, digits, `-` and `_` only.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot, namespace, number, started } = self;
        write!(f, "{boot}_{namespace}_{number}_{started}")
    }
}

/// A text that names no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not BOOT_NAMESPACE_NUMBER_START of a process")]
pub struct NoProcess(String);

impl FromStr for Process {
    type Err = NoProcess;

    fn from_str(text: &str) -> Result<Self, NoProcess> {
        let no_process = || NoProcess(text.to_owned());
        let parts: Vec<_> = text.split('_').collect();
        let [boot, namespace, number, started] = parts[..] else { return Err(no_process()) };
        let number_of = |text: &str| text.parse::<u64>().map_err(|_| no_process());
        Ok(Self {
            boot: boot.to_owned(),
            namespace: number_of(namespace)?,
            number: u32::try_from(number_of(number)?).map_err(|_| no_process())?,
            started: number_of(started)?,
        })
    }
}

/// State and start time of a process.
fn life_of(number: u32) -> io::Result<(char, u64)> {
    let path = format!("/proc/{number}/stat");
    let stat = fs::read_to_string(&path)?;
    parse_stat(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("cannot read {path}")))
}

/// The third and the twenty-second field of `proc(5)`'s `stat`. The second, the program's name in brackets, may
/// hold anything.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
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
        let me = Process::this().unwrap();
        assert!(!me.has_ended());
        assert!(Process { started: me.started - 1, ..me }.has_ended());
    }

    #[test]
    fn a_process_of_another_host_or_container_is_never_known_to_have_ended() {
        let ended = Process { started: 0, ..Process::this().unwrap() };
        assert!(!Process { boot: "other".to_owned(), ..ended.clone() }.has_ended());
        assert!(!Process { namespace: 1, ..ended }.has_ended());
    }

    #[test]
    fn a_child_has_ended_when_it_was_killed_even_before_its_parent_asks() {
        let mut child = process::Command::new("sleep").arg("60").spawn().unwrap();
        let (_, started) = life_of(child.id()).unwrap();
        let other = Process { number: child.id(), started, ..Process::this().unwrap() };
        assert!(!other.has_ended());
        child.kill().unwrap();
        while !other.has_ended() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(other.has_ended());
    }

    #[test]
    fn the_text_of_a_process_names_it_and_other_texts_name_none() {
        let me = Process::this().unwrap();
        assert_eq!(me.to_string().parse(), Ok(me.clone()));
        for text in ["", "1-2-3", "a_1_2", "a_1_2_x", "a_1_99999999999_2", "a_1_2_3_4"] {
            assert!(text.parse::<Process>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_program_name_with_brackets_and_spaces_is_read_over() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(parse_stat(stat), Some(('S', 4242)));
        assert_eq!(parse_stat("7 (a"), None);
    }
}
