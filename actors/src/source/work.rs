//! IO of the source.

use std::{io, sync::Arc};

use counterpoint_core::curation::Curator;
use counterpoint_messages::{ContentHash, InputOffered};

use super::listing::{self, Candidate, Listing};
use crate::{
    Tools,
    stage::{Fault, Work},
    store::hash_file,
};

/// What the source asks for.
#[derive(Debug)]
pub enum SourceWork {
    /// List a folder and join the label lists.
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
    Hashed(Vec<(Candidate, io::Result<(ContentHash, u64)>)>),
}

impl Work for SourceWork {
    type Outcome = SourceOutcome;

    fn perform(self, tools: &Tools) -> Result<SourceOutcome, Fault> {
        match self {
            Self::List { input, extensions, rulebook } => {
                listing::list(&input, &extensions, &rulebook, &tools.settling)
                    .map(SourceOutcome::Listed)
                    .map_err(Fault::Record)
            }
            Self::Hash(files) => Ok(SourceOutcome::Hashed(
                files
                    .into_iter()
                    .map(|file| {
                        let hashed = hash_file(file.path.as_ref());
                        (file, hashed)
                    })
                    .collect(),
            )),
        }
    }
}
