//! Commands that ask models about samples, and score what they answer.

use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use counterpoint_core::{scoring, suite::Condition};
use counterpoint_messages::Split;
use counterpoint_models::ModelName;

use super::models::MODEL_HELP;

#[derive(Debug, Args)]
pub struct Evaluate {
    #[arg(long, value_name = "M", help = MODEL_HELP)]
    pub model: ModelName,
    /// Output folder of the run whose samples are asked about
    #[arg(long, value_name = "OUT")]
    pub samples: PathBuf,
    /// Folder for answers.jsonl, scores.json and scores.html
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Only these conditions, joined by commas (default: those of the suite; without one aligned, misaligned,
    /// audio_removed and frames_zeroed)
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = conditions())]
    pub conditions: Vec<Condition>,
    /// Which questions are asked under which conditions (default: the picture and the sound question)
    #[arg(long, value_name = "TOML")]
    pub suite: Option<PathBuf>,
    /// Samples of these splits, joined by commas
    #[arg(long, value_name = "SPLITS", value_delimiter = ',', value_parser = splits(), default_value = "eval")]
    pub split: Vec<Split>,
}

#[derive(Debug, Args)]
pub struct Replay {
    #[arg(long, value_name = "M", help = MODEL_HELP)]
    pub checkpoint: ModelName,
    /// Output folder of the run whose past samples are asked about again; flips.csv is written there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct Score {
    /// Question file: lines of {"qid", "type": "audio" or "visual", "answer", "injected_target"}
    #[arg(long, value_name = "JSONL")]
    pub qa: PathBuf,
    /// Predictions: lines of {"qid", "prediction"}
    #[arg(long, value_name = "JSONL")]
    pub predictions: PathBuf,
    /// Whether a prediction has to be the class, or contain it as the published script has it
    #[arg(long = "match", value_enum, default_value_t = Match::Lenient)]
    pub matching: Match,
}

/// How a prediction is compared with a class.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Match {
    /// It is the class
    Strict,
    /// It contains the class
    Lenient,
}

impl From<Match> for scoring::Match {
    fn from(matching: Match) -> Self {
        match matching {
            Match::Strict => Self::Strict,
            Match::Lenient => Self::Lenient,
        }
    }
}

fn conditions() -> impl TypedValueParser<Value = Condition> {
    let names: Vec<_> = Condition::all().map(Condition::as_str).collect();
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Condition>())
}

fn splits() -> impl TypedValueParser<Value = Split> {
    PossibleValuesParser::new([Split::Train, Split::Eval].map(Split::as_str))
        .map(|name| if name == Split::Train.as_str() { Split::Train } else { Split::Eval })
}
