//! Pure functions on clips: no IO, no clock, no actors, no log.
//!
//! In the order in which a clip meets them: [`identity`] and [`segments`] (what is this file, and what do
//! the lists say of it), [`ontology`], [`rules`] and [`curation`] (which one class it shows), [`plan`],
//! [`pool`] and [`variants`] (which samples it becomes), [`questions`] and [`suite`] (what models are asked about
//! those, what is right, and what the answers mean), [`scoring`] (what answers come to), [`experiments`] (those of the
//! paper), and [`corpus`], the synthetic clips of the demo.

pub mod corpus;
pub mod curation;
pub mod experiments;
pub mod identity;
pub mod lessons;
pub mod media_job;
pub mod ontology;
pub mod plan;
pub mod pool;
pub mod questions;
pub mod rules;
pub mod scoring;
pub mod segments;
pub mod suite;
pub mod variants;
