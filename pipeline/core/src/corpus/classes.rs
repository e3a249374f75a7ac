//! The eight classes of the synthetic corpus, named after sounds of AudioSet that their timbre resembles.

use serde::{Deserialize, Serialize};

use super::{shapes::Shape, sound::Timbre};

/// A class of the synthetic corpus. No two share a direct parent in AudioSet's ontology, so each may lend its
/// sound to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToyClass {
    /// A long tone.
    SingingBowl,
    /// A pulsed tone.
    Clock,
    /// Chirps.
    Bird,
    /// Bursts of noise.
    Applause,
    /// Clicks.
    Typing,
    /// A square wave.
    Vehicle,
    /// Two tones.
    Singing,
    /// Brown noise.
    Waterfall,
}

impl ToyClass {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::SingingBowl,
        Self::Clock,
        Self::Bird,
        Self::Applause,
        Self::Typing,
        Self::Vehicle,
        Self::Singing,
        Self::Waterfall,
    ];

    /// The class as curation names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingingBowl => "Singing_bowl",
            Self::Clock => "Clock",
            Self::Bird => "Bird",
            Self::Applause => "Applause",
            Self::Typing => "Typing",
            Self::Vehicle => "Vehicle",
            Self::Singing => "Singing",
            Self::Waterfall => "Waterfall",
        }
    }

    /// Labels of a clip of this class: the sound itself first, then the ancestors that AudioSet annotates.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::SingingBowl => &["/m/0l14t7", "/m/04szw", "/m/04rlf"],
            Self::Clock => &["/m/01x3z", "/t/dd00077"],
            Self::Bird => &["/m/015p6", "/m/01280g", "/m/0jbk"],
            Self::Applause => &["/m/028ght"],
            Self::Typing => &["/m/0316dw"],
            Self::Vehicle => &["/m/07yv9"],
            Self::Singing => &["/m/015lz1"],
            Self::Waterfall => &["/m/0j2kx", "/m/0838f"],
        }
    }

    /// The class after this one, and the first after the last.
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// Place of its hue on the colour wheel, 0 to 1.
    pub(super) fn hue(self) -> f32 {
        self as usize as f32 / Self::ALL.len() as f32
    }

    pub(super) fn shape(self) -> Shape {
        match self {
            Self::SingingBowl => Shape::Bowl,
            Self::Clock => Shape::Dial,
            Self::Bird => Shape::Wings,
            Self::Applause => Shape::Star,
            Self::Typing => Shape::Key,
            Self::Vehicle => Shape::Cog,
            Self::Singing => Shape::Crescent,
            Self::Waterfall => Shape::Drop,
        }
    }

    pub(super) fn timbre(self) -> Timbre {
        match self {
            Self::SingingBowl => Timbre::Tone,
            Self::Clock => Timbre::PulsedTone,
            Self::Bird => Timbre::Chirps,
            Self::Applause => Timbre::NoiseBursts,
            Self::Typing => Timbre::Clicks,
            Self::Vehicle => Timbre::SquareWave,
            Self::Singing => Timbre::TwoTones,
            Self::Waterfall => Timbre::BrownNoise,
        }
    }
}
