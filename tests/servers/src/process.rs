//! A server as a child process.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// After so long a server will not come up any more.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Ports of this machine that are free now.
///
/// # Panics
/// If there are none.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All at once, so that no two are the same.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound listener has an address").port())
}

/// A child that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
}

impl ServerProcess {
    /// Starts it with its output going to `log`, and waits until `ready` says so.
    ///
    /// # Panics
    /// With the log, if it ends or is not ready in time.
    pub fn start(mut command: Command, log: &Path, mut ready: impl FnMut() -> io::Result<bool>) -> Self {
        let output = File::create(log).expect("a file for the server's output");
        let errors = output.try_clone().expect("a file for the server's output");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let name = command.get_program().to_string_lossy().into_owned();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let mut server = Self { child };
        let start = Instant::now();
        while !matches!(ready(), Ok(true)) {
            let ended = server.child.try_wait().expect("a child can be waited for");
            let said = || fs::read_to_string(log).unwrap_or_default();
            assert!(ended.is_none(), "{name} ended as it came up ({ended:?}):\n{}", said());
            assert!(start.elapsed() < PATIENCE, "{name} does not come up:\n{}", said());
            thread::sleep(PAUSE);
        }
        server
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Fails if it has ended already, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
