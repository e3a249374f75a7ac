//! Stages that work until one has read what is there now.

use std::time::Duration;

use counterpoint_actors::{PipelineError, pipeline::RunningPipeline};
use counterpoint_log::Position;
use counterpoint_messages::{StageName, Topic};

use crate::progress::{Interrupt, Screen};

const REDRAW: Duration = Duration::from_millis(100);

/// Waits until a stage has committed a position, or until interrupted, and for the end of all stages then; whether it
/// was interrupted before. `draw` is called now and then, `leave_off` once when interrupted.
///
/// # Errors
/// What keeps a stage from going on.
pub async fn reach(
    mut running: RunningPipeline,
    (stage, topic, position): (StageName, Topic, Position),
    screen: &Screen,
    mut draw: impl FnMut(&RunningPipeline),
    leave_off: impl FnOnce(),
) -> Result<bool, PipelineError> {
    let interrupt = Interrupt::default();
    let listener = interrupt.clone();
    actix::spawn(async move { listener.listen().await });
    let mut watch = screen.watch(&running);
    let (mut stopping, mut leave_off) = (false, Some(leave_off));
    loop {
        tokio::select! {
            ended = running.ended() => break ended?,
            () = tokio::time::sleep(REDRAW) => {}
        }
        watch.draw(&running);
        draw(&running);
        if stopping {
            continue;
        }
        if running.has_reached(stage, topic, position) {
            stopping = true;
            running.stop();
        } else if interrupt.is_set() {
            stopping = true;
            running.stop();
            // In this order: what is left off is not taken up again.
            if let Some(leave_off) = leave_off.take() {
                leave_off();
            }
        }
    }
    Ok(leave_off.is_none())
}
