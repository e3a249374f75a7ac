//! `status --serve`: a page that shows a run while it goes on.
//!
//! One task follows the log and tells what there is to show whenever that has changed; the server shows it to
//! everybody who asks. What a run is doing is read from its log and its folder alone, so it may go on in any process,
//! have ended, or not have begun.

mod answers;
mod exams;
mod newest;
mod pace;
mod run;
mod server;
mod trainings;
mod watching;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use self::{server::serve, watching::Watcher};
use crate::{
    args::{self, Common},
    config::Config,
    output::{Failure, Outcome, print},
};

/// Serves the page until the program is told to end.
pub(super) fn run(port: u16, arguments: &args::Status, common: &Common) -> Outcome {
    if common.json {
        return Err(Failure::usage(
            "--json prints one object and ends, and --serve goes on: give one of them",
        ));
    }
    let config = Config::load(common)?;
    let address = SocketAddr::new(arguments.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port);
    actix::System::new().block_on(async {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!(
                "cannot serve a page at {address}: choose another --serve PORT (0 takes a free one) or --bind"
            )
        })?;
        let address = listener.local_addr().context("the page has no address")?;
        let (watcher, shown) = Watcher::new(&arguments.out, common, config);
        print(&format!("the run in {} is shown at http://{address}/ until Ctrl-C", arguments.out.display()));
        tokio::select! {
            never = watcher.watch() => match never {},
            never = serve(listener, shown, address.ip()) => match never {},
            ended = told_to_end() => {
                ended.context("Ctrl-C cannot be listened for")?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

/// Returns on Ctrl-C or SIGTERM.
async fn told_to_end() -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended,
        _ = term.recv() => Ok(()),
    }
}
