//! What models are asked, word for word, and what their answers mean (design section 9).
//!
//! [`Query`] is a question as an experiment knows it; [`Query::text`] writes it down in the words that the
//! paper's appendix and project page print, of which every one stands in `prompts.rs`. [`OptionReader`] and
//! [`yes_no`] read answers.

mod prompts;
mod reading;

use counterpoint_messages::RecipeName;
pub use prompts::NONE_OF_THE_ABOVE;
pub use reading::{Matching, OptionReader, Reading, final_answer, yes_no};
use serde::{Deserialize, Serialize};

/// The stream of a clip that a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// What is to be seen.
    Visual,
    /// What is to be heard.
    Audio,
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Visual, Self::Audio];

    /// The word that stands for it in questions and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Visual => "visual",
            Self::Audio => "audio",
        }
    }
}

/// What the sources leave open or contradict (design section 11). The defaults are the appendix's; the
/// others the project page's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wording {
    /// Where the letters of a long context stand.
    pub long_context: ContextPlace,
    /// How a question with a misleading caption ends.
    pub caption_ending: CaptionEnding,
    /// Whether existence queries end with ` Answer with Yes or No`.
    pub judge_suffix: bool,
}

/// Where the letters of a long context stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextPlace {
    /// Before the question (appendix I.4).
    #[default]
    Before,
    /// After the question (project page).
    After,
}

/// How a question with a misleading caption ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptionEnding {
    /// With the options (appendix Fig. 10).
    #[default]
    Options,
    /// `Answer the question using a single word or phrase.` (project page).
    SingleWordOrPhrase,
}

/// A question. Those about classes are asked of a list of options, given apart as it is the same for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Which of the options it is (appendix N).
    Class {
        /// Asked about.
        stream: Stream,
    },
    /// The same after a caption that names another class (appendix G, Fig. 10).
    MisleadingCaption {
        /// Asked about.
        stream: Stream,
        /// The class that the caption names.
        wrong: String,
    },
    /// The same beside 10,000 random letters (appendix I.4).
    LongContext {
        /// Asked about.
        stream: Stream,
        /// Seed of the letters.
        seed: u64,
    },
    /// The same with [`NONE_OF_THE_ABOVE`] among the options (appendix K).
    Abstention {
        /// Asked about.
        stream: Stream,
    },
    /// The same after a call to think first (appendix Fig. 15).
    ChainOfThought {
        /// Asked about.
        stream: Stream,
    },
    /// Which class it is, without options (appendix M.4).
    OpenForm {
        /// Asked about.
        stream: Stream,
    },
    /// A description (appendix M.4).
    OpenEnded {
        /// Asked about.
        stream: Stream,
    },
    /// Whether a class is clearly there (appendix B.1).
    Exists {
        /// Asked about.
        stream: Stream,
        /// The class.
        class: String,
    },
    /// Whether picture and sound match (appendix M.3).
    Match,
    /// AVHBench: whether a thing is visible.
    AvhVisible {
        /// The thing.
        object: String,
    },
    /// AVHBench: whether a thing makes sound.
    AvhAudible {
        /// The thing.
        object: String,
    },
    /// AVHBench: whether what is seen and what is heard belong together.
    AvhMatch,
    /// AVHBench: a caption of both.
    AvhCaption,
}

/// What answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expected {
    /// One of the options ([`Query::options`]): a model may be held to them.
    Option,
    /// One of the options, after thoughts: a model that is held to the options cannot think.
    OptionAfterThoughts,
    /// Yes or no.
    YesNo,
    /// Any text, read by another model.
    Text,
}

impl Query {
    /// Name in files and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Class { .. } => "class",
            Self::MisleadingCaption { .. } => "misleading_caption",
            Self::LongContext { .. } => "long_context",
            Self::Abstention { .. } => "abstention",
            Self::ChainOfThought { .. } => "chain_of_thought",
            Self::OpenForm { .. } => "open_form",
            Self::OpenEnded { .. } => "open_ended",
            Self::Exists { .. } => "exists",
            Self::Match => "match",
            Self::AvhVisible { .. } => "avh_visible",
            Self::AvhAudible { .. } => "avh_audible",
            Self::AvhMatch => "avh_match",
            Self::AvhCaption => "avh_caption",
        }
    }

    /// The stream it is about; `None` if about both together.
    pub fn stream(&self) -> Option<Stream> {
        match self {
            Self::Class { stream }
            | Self::MisleadingCaption { stream, .. }
            | Self::LongContext { stream, .. }
            | Self::Abstention { stream }
            | Self::ChainOfThought { stream }
            | Self::OpenForm { stream }
            | Self::OpenEnded { stream }
            | Self::Exists { stream, .. } => Some(*stream),
            Self::AvhVisible { .. } => Some(Stream::Visual),
            Self::AvhAudible { .. } => Some(Stream::Audio),
            Self::Match | Self::AvhMatch | Self::AvhCaption => None,
        }
    }

    /// What answers it.
    pub fn expected(&self) -> Expected {
        match self {
            Self::Class { .. }
            | Self::MisleadingCaption { .. }
            | Self::LongContext { .. }
            | Self::Abstention { .. } => Expected::Option,
            Self::ChainOfThought { .. } => Expected::OptionAfterThoughts,
            Self::Exists { .. }
            | Self::Match
            | Self::AvhVisible { .. }
            | Self::AvhAudible { .. }
            | Self::AvhMatch => Expected::YesNo,
            Self::OpenForm { .. } | Self::OpenEnded { .. } | Self::AvhCaption => Expected::Text,
        }
    }

    /// The options that it offers of these classes; empty if it offers none.
    pub fn options(&self, classes: &[String]) -> Vec<String> {
        match self {
            Self::Abstention { .. } => {
                classes.iter().cloned().chain([NONE_OF_THE_ABOVE.to_owned()]).collect()
            }
            _ => match self.expected() {
                Expected::Option | Expected::OptionAfterThoughts => classes.to_vec(),
                Expected::YesNo | Expected::Text => Vec::new(),
            },
        }
    }

    /// What an answer to it names. After thoughts that is what stands behind their last `Final Answer:`; without
    /// that mark nothing is strictly an answer, and by the freer measures the thoughts themselves are read.
    pub fn read<'a>(&self, reader: &'a OptionReader, answer: &str, matching: Matching) -> Reading<'a> {
        if self.expected() != Expected::OptionAfterThoughts {
            return reader.read(answer, matching);
        }
        match (final_answer(answer), reader.read(answer, matching), matching) {
            (Some(last), ..) => reader.read(last, matching),
            (None, Reading::Missing, _) => Reading::Missing,
            (None, _, Matching::Strict) => Reading::Other,
            (None, reading, _) => reading,
        }
    }

    /// The prompt. `classes` are the options of questions that offer some.
    pub fn text(&self, classes: &[String], wording: &Wording) -> String {
        let options = self.options(classes);
        match self {
            Self::Class { stream } | Self::Abstention { stream } => prompts::class(*stream, &options),
            Self::MisleadingCaption { stream, wrong } => {
                prompts::misleading_caption(*stream, wrong, &options, wording.caption_ending)
            }
            Self::LongContext { stream, seed } => {
                prompts::long_context(*stream, &options, *seed, wording.long_context)
            }
            Self::ChainOfThought { stream } => prompts::chain_of_thought(*stream, &options),
            Self::OpenForm { stream } => prompts::open_form(*stream),
            Self::OpenEnded { stream } => prompts::open_ended(*stream).to_owned(),
            Self::Exists { stream, class } => prompts::exists(*stream, class, wording.judge_suffix),
            Self::Match => prompts::MATCH.to_owned(),
            Self::AvhVisible { object } => prompts::avh_visible(object),
            Self::AvhAudible { object } => prompts::avh_audible(object),
            Self::AvhMatch => prompts::AVH_MATCH.to_owned(),
            Self::AvhCaption => prompts::AVH_CAPTION.to_owned(),
        }
    }
}

/// One of the four queries that a clip has to pass (appendix B.1). All four have to be answered by yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Visible, with the sound removed.
    VisualAlone,
    /// Audible, with black frames.
    AudioAlone,
    /// Visible, with both streams.
    VisualTogether,
    /// Audible, with both streams.
    AudioTogether,
}

impl Probe {
    /// All four, in the order of the appendix.
    pub const ALL: [Self; 4] =
        [Self::VisualAlone, Self::AudioAlone, Self::VisualTogether, Self::AudioTogether];

    /// Name in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VisualAlone => "visual_alone",
            Self::AudioAlone => "audio_alone",
            Self::VisualTogether => "visual_together",
            Self::AudioTogether => "audio_together",
        }
    }

    /// What it is about.
    pub fn stream(self) -> Stream {
        match self {
            Self::VisualAlone | Self::VisualTogether => Stream::Visual,
            Self::AudioAlone | Self::AudioTogether => Stream::Audio,
        }
    }

    /// What is done to the clip before it is shown.
    pub fn recipe(self) -> RecipeName {
        match self {
            Self::VisualAlone => RecipeName::AudioRemoved,
            Self::AudioAlone => RecipeName::FramesZeroed,
            Self::VisualTogether | Self::AudioTogether => RecipeName::Aligned,
        }
    }

    /// The question about a class.
    pub fn query(self, class: impl Into<String>) -> Query {
        Query::Exists { stream: self.stream(), class: class.into() }
    }
}

#[cfg(test)]
mod tests;
