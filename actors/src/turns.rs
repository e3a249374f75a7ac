//! Turns of those in a process that hold a model while they work, so that one such model is in memory at a time.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// How often one that waits looks whether it is to leave off.
const LOOK: Duration = Duration::from_millis(100);

/// A queue: whoever came first has its turn first.
#[derive(Debug, Default)]
pub struct Turns(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    tickets: Mutex<Tickets>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Tickets {
    next: u64,
    /// The first one has its turn.
    given: VecDeque<u64>,
}

/// A turn, over when dropped.
#[derive(Debug)]
pub struct Turn {
    queue: Arc<Queue>,
    ticket: u64,
}

impl Turns {
    /// Waits for a turn; `None` if told to leave off before it came. Holds the calling thread.
    pub fn take(&self, leave_off: &AtomicBool) -> Option<Turn> {
        let queue = Arc::clone(&self.0);
        let mut tickets = self.0.tickets.lock();
        let ticket = tickets.next;
        tickets.next = ticket.wrapping_add(1);
        tickets.given.push_back(ticket);
        let turn = Turn { queue, ticket };
        while tickets.given.front() != Some(&ticket) {
            if leave_off.load(Ordering::Relaxed) {
                // Before the turn, which gives its place back.
                drop(tickets);
                return None;
            }
            self.0.moved.wait_for(&mut tickets, LOOK);
        }
        drop(tickets);
        Some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.tickets.lock().given.retain(|ticket| *ticket != self.ticket);
        self.queue.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn turns_come_in_order_and_one_that_leaves_off_holds_nobody_up() {
        let (turns, go_on, leave_off) = (Turns::default(), AtomicBool::new(false), AtomicBool::new(false));
        let told = Mutex::new(Vec::new());
        let waiting = |count: usize| {
            while turns.0.tickets.lock().given.len() != count {
                thread::yield_now();
            }
        };
        let take = |name: &'static str, stop: &AtomicBool| {
            let turn = turns.take(stop);
            told.lock().push((name, turn.is_some()));
        };
        let first = turns.take(&go_on);
        thread::scope(|scope| {
            scope.spawn(|| take("leaves off", &leave_off));
            waiting(2);
            scope.spawn(|| take("second", &go_on));
            waiting(3);
            scope.spawn(|| take("third", &go_on));
            waiting(4);
            leave_off.store(true, Ordering::Relaxed);
            waiting(3);
            assert!(told.lock().iter().all(|(name, _)| *name == "leaves off"));
            drop(first);
        });
        assert_eq!(*told.lock(), [("leaves off", false), ("second", true), ("third", true)]);
    }
}
