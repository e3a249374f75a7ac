use std::collections::VecDeque;

use counterpoint_log::{Outgoing, Position, Received, StateEntry};

use super::Record;

/// The records of one partition that were read and are not committed yet, in order.
#[derive(Debug, Default)]
pub(super) struct Lane {
    slots: VecDeque<Slot>,
    /// Whether a record of a later release stands behind the slots: nothing behind it is taken in.
    held: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Slot {
    pub position: Position,
    pub bytes: usize,
    pub status: Status,
}

/// How far a record has come.
#[derive(Debug)]
pub(super) enum Status {
    /// Not looked at yet, or to be tried again.
    Waiting(Received),
    /// Its work is under way.
    Working(Box<Record>),
    /// Only to be committed.
    Done(Finished),
    /// Taken out for a moment by the code that decides what it becomes.
    Taken,
}

/// What a finished record brings about, in the bytes that will be written.
#[derive(Debug, Default)]
pub(super) struct Finished {
    pub outputs: Vec<Outgoing>,
    pub state: Vec<StateEntry>,
}

impl Lane {
    pub fn push(&mut self, received: Received) {
        if self.held {
            return;
        }
        let (position, bytes) = (received.position, received.key.len() + received.value.len());
        self.slots.push_back(Slot { position, bytes, status: Status::Waiting(received) });
    }

    /// Leaves this record and all behind it alone, for as long as the partition is assigned; they will be
    /// read again by the next one. Those before it go on.
    pub fn hold(&mut self, position: Position) {
        if let Some(first) = self.slots.iter().position(|slot| slot.position == position) {
            self.slots.truncate(first);
        }
        self.held = true;
    }

    pub fn bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.bytes).sum()
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The first record that nobody works on yet.
    pub fn next_waiting(&self) -> Option<Position> {
        self.slots.iter().find(|slot| matches!(slot.status, Status::Waiting(_))).map(|slot| slot.position)
    }

    /// Takes a record's status out, leaving [`Status::Taken`] until [`Lane::put`].
    pub fn take(&mut self, position: Position) -> Option<Status> {
        let slot = self.slots.iter_mut().find(|slot| slot.position == position)?;
        Some(std::mem::replace(&mut slot.status, Status::Taken))
    }

    pub fn put(&mut self, position: Position, status: Status) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.position == position) {
            slot.status = status;
        }
    }

    /// Removes the first record if it is done: only then may the position move past it.
    pub fn pop_done(&mut self) -> Option<(Position, Finished)> {
        if !matches!(self.slots.front()?.status, Status::Done(_)) {
            return None;
        }
        match self.slots.pop_front()? {
            Slot { position, status: Status::Done(finished), .. } => Some((position, finished)),
            _ => None,
        }
    }

    /// Forgets the records nobody works on yet; they will be read again.
    pub fn forget_waiting(&mut self) {
        if let Some(first) = self.slots.iter().position(|slot| matches!(slot.status, Status::Waiting(_))) {
            // Those behind it could not be committed either: the position never passes a gap.
            self.slots.truncate(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use counterpoint_log::Headers;
    use counterpoint_messages::Topic;

    use super::*;

    fn received(position: u64) -> Received {
        Received {
            topic: Topic::Clips,
            partition: 0,
            position: Position(position),
            key: vec![],
            value: vec![0; 10],
            headers: Headers::default(),
            written_ms: 0,
        }
    }

    #[test]
    fn a_done_record_waits_for_those_before_it() {
        let mut lane = Lane::default();
        for position in [3, 7, 9] {
            lane.push(received(position));
        }
        assert_eq!(lane.bytes(), 30);
        lane.put(Position(7), Status::Done(Finished::default()));
        assert!(lane.pop_done().is_none());
        lane.put(Position(3), Status::Done(Finished::default()));
        assert_eq!(lane.pop_done().unwrap().0, Position(3));
        assert_eq!(lane.pop_done().unwrap().0, Position(7));
        assert!(lane.pop_done().is_none());
        assert_eq!(lane.next_waiting(), Some(Position(9)));
    }

    #[test]
    fn a_held_record_keeps_back_itself_and_what_comes_behind_but_not_what_is_before() {
        let mut lane = Lane::default();
        for position in [3, 7, 9] {
            lane.push(received(position));
        }
        lane.hold(Position(7));
        lane.push(received(11));
        assert_eq!((lane.len(), lane.bytes()), (1, 10), "what waits takes no credit");
        assert_eq!(lane.next_waiting(), Some(Position(3)));
        lane.put(Position(3), Status::Done(Finished::default()));
        assert_eq!(lane.pop_done().unwrap().0, Position(3));
        assert!(lane.pop_done().is_none() && lane.next_waiting().is_none());
    }

    #[test]
    fn forgetting_what_waits_keeps_what_is_done_before_it() {
        let mut lane = Lane::default();
        for position in [1, 2, 3] {
            lane.push(received(position));
        }
        lane.put(Position(1), Status::Done(Finished::default()));
        lane.put(Position(3), Status::Done(Finished::default()));
        lane.forget_waiting();
        assert_eq!(lane.len(), 1);
        assert!(lane.pop_done().is_some());
    }
}
