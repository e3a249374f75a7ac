//! IO of the source.

use std::sync::Arc;

use counterpoint_core::curation::Curator;
use counterpoint_messages::InputOffered;

use super::{
    listing::{self, Candidate, Listing},
    places::Hashed,
};
use crate::{
    Tools,
    stage::{Fault, Work},
};

/// What the source asks for.
#[derive(Debug)]
pub enum SourceWork {
    /// List a place and join the label lists.
    List {
        /// What to read.
        input: InputOffered,
        /// File name endings of media.
        extensions: Vec<String>,
        /// Tells which rows are wanted.
        rulebook: Arc<Curator>,
    },
    /// Hash files.
    Hash(Vec<Candidate>),
}

/// What came of it.
#[derive(Debug)]
pub enum SourceOutcome {
    /// Files and their labels.
    Listed(Listing),
    /// Files and their hashes.
    Hashed(Vec<(Candidate, Hashed)>),
}

impl Work for SourceWork {
    type Outcome = SourceOutcome;

    fn perform(self, tools: &Tools) -> Result<SourceOutcome, Fault> {
        match self {
            Self::List { input, extensions, rulebook } => {
                listing::list(tools, &input, &extensions, &rulebook).map(SourceOutcome::Listed)
            }
            Self::Hash(files) => {
                let hashed = files.into_iter().map(|file| {
                    let hashed = tools.places.hash(&file.path)?;
                    Ok((file, hashed))
                });
                hashed.collect::<Result<_, Fault>>().map(SourceOutcome::Hashed)
            }
        }
    }
}
