//! A run that never ends.

use anyhow::Context as _;
use counterpoint_actors::{follow::Follower, pipeline::RunningPipeline};

use super::REDRAW;
use crate::{
    output::Failure,
    progress::{Interrupt, Screen},
};

/// Runs until interrupted; without a source of its own, on what others offer.
pub async fn for_ever(
    mut running: RunningPipeline,
    follower: Option<Follower>,
    interrupt: &Interrupt,
    screen: &Screen,
) -> Result<(), Failure> {
    let following = async {
        match follower {
            Some(follower) => follower.follow().await.map(|_| ()),
            None => std::future::pending().await,
        }
    };
    tokio::pin!(following);
    let mut watch = screen.watch(&running);
    let (mut stopping, mut failed) = (false, None);
    loop {
        tokio::select! {
            ended = running.ended() => {
                drop(watch);
                ended.context("the run cannot go on")?;
                return match failed {
                    Some(error) => Err(Failure::Failed(anyhow::Error::from(error))),
                    None => Ok(()),
                };
            }
            result = &mut following, if !stopping => {
                failed = result.err();
                stopping = true;
                running.stop();
            }
            () = tokio::time::sleep(REDRAW) => {}
        }
        watch.draw(&running);
        if !stopping && interrupt.is_set() {
            stopping = true;
            running.stop();
        }
    }
}
