//! What the worker gives up before it reads a byte of media: files, network, processes.
//!
//! Two layers. A filter of system calls (seccomp) leaves those that decoding needs: memory, threads,
//! clocks, and the descriptors it was given. Every other call is answered as by a kernel that does not have
//! it, for which libraries have a fallback. Where the kernel has Landlock, it forbids every path, port and
//! signal once more. Whatever GStreamer loads has to be loaded before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::process::Command;

use counterpoint_core::media_job::Sandbox;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Landlock of the newest kernel that is known here; older ones enforce what they have.
const LANDLOCK: ABI = ABI::V6;

/// Calls that decoding and encoding need, and that reach nothing but this process and its descriptors.
const ALLOWED: [i64; 69] = [
    // Descriptors that are open already.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // The socket of the parent; there can be no other.
    libc::SYS_socketpair,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads of this process.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_setattr,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_getparam,
    libc::SYS_getpriority,
    libc::SYS_getcpu,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // Signals to itself.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Clocks and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    // What it is.
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// Calls that only the older of the supported machines has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: [i64; 4] = [libc::SYS_poll, libc::SYS_select, libc::SYS_arch_prctl, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: [i64; 0] = [];

/// Gives everything up, for this thread and all that it starts; the filter of calls holds for every thread.
///
/// # Errors
/// When the kernel has the means and refuses them.
pub fn enter() -> io::Result<Sandbox> {
    let (landlock, seccomp) = (forbid_paths()?, filter_calls()?);
    Ok(Sandbox {
        landlock,
        seccomp,
        opens_no_path: File::open("/proc/self/status").is_err(),
        makes_no_socket: UdpSocket::bind("127.0.0.1:0").is_err(),
        starts_no_process: Command::new("/proc/self/exe").arg("--help").spawn().is_err(),
    })
}

fn forbid_paths() -> io::Result<bool> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(LANDLOCK)))
        .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(io::Error::other)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn filter_calls() -> io::Result<bool> {
    let program = program().map_err(io::Error::other)?;
    match seccompiler::apply_filter_all_threads(&program) {
        Ok(()) => Ok(true),
        // A kernel without filters, or a container that forbids them.
        Err(seccompiler::Error::Prctl(_) | seccompiler::Error::Seccomp(_)) => Ok(false),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let own = u64::from(std::process::id());
    let number =
        |argument, value| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
    let unsigned = |value: i32| u64::from(value.unsigned_abs());
    let thread = unsigned(libc::CLONE_THREAD);
    let is_thread =
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
    let conditions = [
        // A thread, never a process. The newer call hides its flags, so it is not there.
        (libc::SYS_clone, is_thread),
        (libc::SYS_kill, number(0, own)?),
        (libc::SYS_tgkill, number(0, own)?),
        (libc::SYS_prlimit64, number(0, 0)?),
        (libc::SYS_prctl, number(0, unsigned(libc::PR_SET_NAME))?),
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.into_iter().chain(ALLOWED_HERE).map(|call| (call, Vec::new())).collect();
    for (call, condition) in conditions {
        rules.insert(call, vec![SeccompRule::new(vec![condition])?]);
    }
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, unknown, SeccompAction::Allow, machine)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landlock_alone_keeps_a_thread_from_paths() {
        let opens = || File::open("/proc/self/status").is_ok();
        let (landlock, opened) =
            std::thread::spawn(move || (forbid_paths().unwrap(), opens())).join().unwrap();
        assert_eq!(opened, !landlock);
        assert!(opens(), "another thread is free");
    }

    #[test]
    fn the_filter_is_written_for_this_machine() {
        assert!(program().unwrap().len() > ALLOWED.len());
    }
}
