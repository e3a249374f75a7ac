//! Ends runs and seals pools.
//!
//! Reads the endings of clips ([`ClipAccepted`], [`counterpoint_messages::Rejected`], [`DeadLetter`]) and
//! of inputs ([`InputSealed`]), and [`PoolComposed`]; writes [`counterpoint_messages::PoolSealed`] and
//! [`RunFinished`].
//!
//! Topics have no common order, so nothing is concluded from what came first: the source says how many
//! clips there are and what their ids add up to, and the run is at rest when the endings add up to the
//! same. Then the accepted clips that are in no pool yet are sealed, and when their pools are composed
//! the run is finished.
//!
//! A followed input never comes to rest for long, so where nothing but followed inputs wait, pools are
//! sealed when the input says so: when enough clips are accepted, or when it was offered with the word to
//! seal. [`RunFinished`] follows each such pool, and names the inputs that have ended by then. A followed input
//! ends with the clips as they come to rest or, where they never do, when a later one stands for it: what the
//! later one counts includes its clips. So however long an input is followed, one of it waits.

use std::collections::BTreeMap;

use counterpoint_core::{
    plan::Plan,
    pool::{PoolListing, PoolMember},
};
use counterpoint_log::StateEntry;
use counterpoint_messages::{
    Cause, ClipAccepted, ContentHash, DeadLetter, Fingerprint, FormatLevel, IdSum, InputSealed, Message,
    PoolComposed, RecordId, RecordRequeued, RunFinished, Split, StageName, Topic, TraceParent,
};
use serde::{Deserialize, Serialize};

use crate::{
    Tools,
    dead_letters::{clip_of, input_of},
    stage::{
        Effects, Fault, Order, Output, Profile, Record, Stage, StageError, Step, Trace, Work, read_state,
        state_entry,
    },
};

const STAGE: StageName = StageName::Coordinator;

/// Inputs that one record names: few enough for its size, and for the state that holds them until then.
const NAMED: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Coordinator {
    plan: Plan,
    fingerprint: Fingerprint,
    level: FormatLevel,
    tally: Tally,
    /// Members of sealed pools and, with the generation that is next, of those to come.
    members: BTreeMap<RecordId, PoolMember>,
    /// Of those, members of pools to come.
    unsealed: u64,
}

/// What has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    found: u64,
    found_ids: IdSum,
    /// Below zero for as long as a record's return was read and its end was not.
    ended: i64,
    ended_ids: IdSum,
    accepted: u64,
    rejected: u64,
    dead: i64,
    /// Sealed inputs that end when the clips come to rest; of followed ones only the newest.
    inputs: Vec<RecordId>,
    /// Newest sealed generation of each split.
    generations: BTreeMap<String, u32>,
    /// Sealed pools that are not composed yet.
    composing: Vec<RecordId>,
    finished_runs: u64,
    /// Whether every one of `inputs` is followed.
    #[serde(default)]
    following: bool,
    /// Accepted clips that make a pool while following; 0 for no such limit.
    #[serde(default)]
    seal_clips: u64,
    /// Whether what is accepted is to be sealed, however little it is.
    #[serde(default)]
    due: bool,
    /// Whether something was sealed whose end is not told yet.
    #[serde(default)]
    owed: bool,
    /// The followed one of `inputs`.
    #[serde(default)]
    followed: Option<RecordId>,
    /// Followed inputs that a later one stands for, as far as no [`RunFinished`] has named them.
    #[serde(default)]
    superseded: Vec<RecordId>,
}

/// Listings of pools to be sealed, as bytes.
#[derive(Debug)]
pub struct StoreListings(Vec<(PoolListing, Vec<u8>)>);

impl Work for StoreListings {
    type Outcome = Vec<(PoolListing, ContentHash)>;

    fn perform(self, tools: &Tools) -> Result<Self::Outcome, Fault> {
        self.0
            .into_iter()
            .map(|(listing, bytes)| Ok((listing, tools.store.put_bytes(&bytes)?.hash)))
            .collect()
    }
}

impl Coordinator {
    /// A coordinator that seals pools for this plan.
    pub fn new(plan: Plan, fingerprint: Fingerprint) -> Self {
        let level = FormatLevel::FIRST;
        Self { plan, fingerprint, level, tally: Tally::default(), members: BTreeMap::new(), unsealed: 0 }
    }

    fn ended(&mut self, clip: RecordId) {
        self.tally.ended += 1;
        self.tally.ended_ids = self.tally.ended_ids.plus(clip);
    }

    fn accept(
        &mut self,
        accepted: &ClipAccepted,
        trace: Option<TraceParent>,
    ) -> Result<StateEntry, StageError> {
        self.tally.accepted += 1;
        self.ended(accepted.clip.id);
        // Release 0.1 refuses members with a field that it does not know, in a listing as in the state.
        let trace = trace.filter(|_| self.level > FormatLevel::FIRST);
        let member = PoolMember::new(accepted, self.generation(accepted.clip.split) + 1, trace);
        let entry = state_entry(STAGE, format!("member/{}", member.clip), &member)?;
        self.members.insert(member.clip, member);
        self.unsealed += 1;
        Ok(entry)
    }

    fn generation(&self, split: Split) -> u32 {
        self.tally.generations.get(split.as_str()).copied().unwrap_or(0)
    }

    /// Counts a letter; the input whose seal will never be read because of it, if there is one. What that
    /// input brought ends by itself, and the next input's seal counts it; whoever waits for it need not.
    fn dead(&mut self, letter: &DeadLetter) -> Option<RecordId> {
        self.tally.dead += 1;
        match letter.stage {
            StageName::Curator
            | StageName::Decoder
            | StageName::Prober
            | StageName::Gate
            | StageName::Coordinator => {
                if let Some(clip) = clip_of(letter) {
                    self.ended(clip);
                }
            }
            // The pool's clips have ended; only their samples are missing until it is put back.
            StageName::Composer => {
                // One entry only: where the word that it was put back was read first, there are two.
                let composing = &mut self.tally.composing;
                if let Some(place) = composing.iter().position(|pool| pool.0.as_slice() == letter.key) {
                    composing.remove(place);
                }
            }
            // No clip ends by what models are trained or asked.
            StageName::Fetcher
            | StageName::Source
            | StageName::Planner
            | StageName::Trainer
            | StageName::Evaluator
            | StageName::Reporter => {}
        }
        input_of(letter)
    }

    /// Takes a letter in and, if it is its own, what it could not read, as far as a run would wait for that
    /// for ever. A letter of its own may be about one before: reading it seals pools, and dies of that as well.
    fn learn(&mut self, letter: &DeadLetter) -> Option<RecordId> {
        let mut cut_off = self.dead(letter);
        let mut given_up = own(letter);
        while let Some(Message::DeadLetter(inner)) = given_up {
            cut_off = self.dead(&inner);
            given_up = own(&inner);
        }
        match given_up {
            Some(Message::InputSealed(sealed)) => return Some(sealed.input),
            Some(Message::PoolComposed(composed)) => self.composed(composed.pool),
            Some(Message::RecordRequeued(requeued)) => self.requeued(&requeued),
            _ => {}
        }
        cut_off
    }

    fn composed(&mut self, pool: RecordId) {
        self.tally.composing.retain(|composing| *composing != pool);
    }

    /// Undoes [`Self::dead`], in whichever order the two are read.
    fn requeued(&mut self, requeued: &RecordRequeued) {
        self.tally.dead -= 1;
        match (requeued.stage, requeued.clip, requeued.key.as_slice().try_into()) {
            (StageName::Composer, _, Ok(pool)) => self.tally.composing.push(RecordId(pool)),
            (
                StageName::Fetcher
                | StageName::Source
                | StageName::Composer
                | StageName::Planner
                | StageName::Trainer
                | StageName::Evaluator
                | StageName::Reporter,
                ..,
            )
            | (_, None, _) => {}
            (_, Some(clip), _) => {
                self.tally.ended -= 1;
                self.tally.ended_ids = self.tally.ended_ids.minus(clip);
            }
        }
    }

    fn input_sealed(&mut self, sealed: &InputSealed) {
        let tally = &mut self.tally;
        // One that was put back may know of fewer clips than one that was read before.
        if sealed.total >= tally.found {
            (tally.found, tally.found_ids) = (sealed.total, sealed.total_ids);
        }
        tally.following = sealed.follow.is_some() && (tally.following || tally.inputs.is_empty());
        tally.seal_clips = sealed.follow.map_or(0, |follow| follow.seal_clips);
        tally.due |= sealed.follow.is_some_and(|follow| follow.seal);
        if sealed.follow.is_some()
            && let Some(before) = tally.followed.replace(sealed.input)
        {
            tally.inputs.retain(|input| *input != before);
            tally.superseded.push(before);
        }
        tally.inputs.push(sealed.input);
    }

    /// Whether every clip has ended.
    fn is_at_rest(&self) -> bool {
        let tally = &self.tally;
        i64::try_from(tally.found).is_ok_and(|found| found == tally.ended)
            && tally.found_ids == tally.ended_ids
    }

    /// What is to be done now, after whatever record.
    fn next(&mut self) -> Next {
        let tally = &mut self.tally;
        if tally.inputs.is_empty() && !tally.owed {
            return Next::Wait;
        }
        if tally.following {
            tally.due |= tally.seal_clips > 0 && self.unsealed >= tally.seal_clips;
            if tally.due && self.unsealed > 0 {
                return Next::Seal;
            }
            tally.owed |= std::mem::take(&mut tally.due);
            return if tally.owed && tally.composing.is_empty() { Next::Finish } else { Next::Wait };
        }
        match self.is_at_rest() && self.tally.composing.is_empty() {
            false => Next::Wait,
            true if self.unsealed > 0 => Next::Seal,
            true => Next::Finish,
        }
    }

    /// Listings of the splits that have members in no pool yet.
    fn unsealed_pools(&self) -> Result<Vec<(PoolListing, Vec<u8>)>, StageError> {
        let mut listings = Vec::new();
        for split in [Split::Train, Split::Eval] {
            let members: Vec<_> =
                self.members.values().filter(|member| member.split == split).cloned().collect();
            if members.iter().any(|member| member.generation > self.generation(split)) {
                let content = |error: &dyn std::fmt::Display| StageError::Content(error.to_string());
                let listing = PoolListing::new(split, members).map_err(|error| content(&error))?;
                let bytes = listing.to_bytes().map_err(|error| content(&error))?;
                listings.push((listing, bytes));
            }
        }
        Ok(listings)
    }

    /// Ends what has ended: all inputs, if no clip is on its way.
    fn finish_ended(&mut self, effects: &mut Effects) {
        let mut inputs = std::mem::take(&mut self.tally.superseded);
        if self.is_at_rest() {
            inputs.append(&mut self.tally.inputs);
            self.tally.followed = None;
        }
        (self.tally.due, self.tally.owed) = (false, false);
        while inputs.len() > NAMED {
            let rest = inputs.split_off(NAMED);
            self.finish(std::mem::replace(&mut inputs, rest), effects);
        }
        self.finish(inputs, effects);
    }

    fn finish(&mut self, inputs: Vec<RecordId>, effects: &mut Effects) {
        self.tally.finished_runs += 1;
        let key = Cause {
            stage: STAGE,
            transform: 1,
            settings: self.fingerprint,
            inputs: &inputs,
            detail: &format!("run {}", self.tally.finished_runs),
        }
        .id();
        let Tally { accepted, rejected, dead, .. } = self.tally;
        let dead_letters = u64::try_from(dead).unwrap_or(0);
        let finished = RunFinished { inputs, accepted, rejected, dead_letters };
        effects.outputs.push(Output::of_run(Topic::Runs, key, finished).in_trace(Trace::Own));
    }
}

/// What the coordinator does when it has taken a record in.
enum Next {
    Wait,
    Seal,
    Finish,
}

/// What this stage itself gave up on, if it can be read.
fn own(letter: &DeadLetter) -> Option<Message> {
    (letter.stage == STAGE).then(|| Message::decode(&letter.raw).ok()).flatten()
}

impl Stage for Coordinator {
    type Work = StoreListings;

    fn profile(&self) -> Profile {
        Profile {
            stage: STAGE,
            inputs: vec![Topic::Accepted, Topic::Rejected, Topic::DeadLetters, Topic::Runs],
            order: Order::Sequential,
            blameless: false,
        }
    }

    fn write_for(&mut self, level: FormatLevel) {
        self.level = level;
    }

    fn restore(&mut self, state: &[StateEntry]) -> Result<(), StageError> {
        *self = Self { level: self.level, ..Self::new(self.plan.clone(), self.fingerprint) };
        for entry in state {
            if entry.key.starts_with(b"member/") {
                let member: PoolMember = read_state(STAGE, entry)?;
                self.members.insert(member.clip, member);
            } else if entry.key == b"tally" {
                self.tally = read_state(STAGE, entry)?;
            }
        }
        // Written before one followed input stood for those before it.
        if self.tally.following && self.tally.followed.is_none() {
            self.tally.followed = self.tally.inputs.pop();
            let earlier = std::mem::replace(&mut self.tally.inputs, Vec::from_iter(self.tally.followed));
            self.tally.superseded.extend(earlier);
        }
        let is_unsealed = |member: &&PoolMember| member.generation > self.generation(member.split);
        self.unsealed = self.members.values().filter(is_unsealed).count() as u64;
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<Step<StoreListings>, StageError> {
        let before = self.tally.clone();
        let mut effects = Effects::default();
        match &record.message {
            // Pools that were sealed must not change, so a clip joins once.
            Message::ClipAccepted(accepted) if self.members.contains_key(&accepted.clip.id) => {}
            Message::ClipAccepted(accepted) => {
                effects.state.push(self.accept(accepted, record.received.headers.trace)?);
            }
            // What the fetcher did not get and what the source turned away never was a clip.
            Message::Rejected(rejected)
                if matches!(rejected.stage, StageName::Fetcher | StageName::Source) => {}
            Message::Rejected(rejected) => {
                self.tally.rejected += 1;
                self.ended(rejected.clip);
            }
            // Put back for this stage, which has learned it from its own letter.
            Message::DeadLetter(_) | Message::RecordRequeued(_)
                if record.received.headers.reader.is_some() => {}
            Message::DeadLetter(letter) => {
                if let Some(input) = self.learn(letter) {
                    self.finish(vec![input], &mut effects);
                }
            }
            Message::RecordRequeued(requeued) => self.requeued(requeued),
            Message::InputSealed(sealed) => self.input_sealed(sealed),
            Message::PoolComposed(PoolComposed { pool, .. }) => self.composed(*pool),
            Message::RunFinished(_) => {}
            other => return Err(StageError::unexpected(STAGE, other)),
        }
        match self.next() {
            Next::Wait if self.tally.superseded.len() >= NAMED => {
                let ended = self.tally.superseded.drain(..NAMED).collect();
                self.finish(ended, &mut effects);
            }
            Next::Wait => {}
            Next::Seal => return Ok(Step::Work(StoreListings(self.unsealed_pools()?))),
            Next::Finish => self.finish_ended(&mut effects),
        }
        if self.tally != before {
            effects.state.push(state_entry(STAGE, "tally", &self.tally)?);
        }
        Ok(Step::Done(effects))
    }

    fn conclude(
        &mut self,
        record: &Record,
        outcome: Vec<(PoolListing, ContentHash)>,
    ) -> Result<Effects, StageError> {
        let mut effects = Effects::default();
        for (listing, hash) in outcome {
            let sealed = listing.seal(&self.plan, hash, self.fingerprint);
            self.tally.generations.insert(sealed.split.as_str().to_owned(), sealed.generation);
            self.tally.composing.push(sealed.id);
            effects.outputs.push(Output::of_run(Topic::Pools, sealed.id, sealed).in_trace(Trace::Own));
        }
        self.unsealed = 0;
        (self.tally.due, self.tally.owed) = (false, true);
        if let Message::ClipAccepted(accepted) = &record.message
            && let Some(member) = self.members.get(&accepted.clip.id)
        {
            effects.state.push(state_entry(STAGE, format!("member/{}", member.clip), member)?);
        }
        effects.state.push(state_entry(STAGE, "tally", &self.tally)?);
        Ok(effects)
    }
}

#[cfg(test)]
mod tests;
