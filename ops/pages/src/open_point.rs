use serde::{Deserialize, Serialize};

/// A choice that the paper and its appendix leave open or contradict, made by a named setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenPoint {
    /// Layers that get a LoRA.
    LoraTargets,
    /// Batch size and accumulation.
    Batch,
    /// What happens to clips shorter than the clip length.
    ShortClips,
    /// Frames a second that a model sees.
    FrameRate,
    /// Picture size in evaluation.
    EvaluationSize,
    /// Where the long context stands.
    LongContext,
    /// What follows the judge's question.
    JudgePrompt,
    /// Which stream a swap replaces.
    SwappedStream,
    /// Which classes are trained, offered and measured.
    Classes,
    /// What Table 5's columns mean.
    TableFive,
}

impl OpenPoint {
    /// Every open point, in the order in which the page lists them.
    pub const ALL: [Self; 10] = [
        Self::ShortClips,
        Self::EvaluationSize,
        Self::SwappedStream,
        Self::Classes,
        Self::JudgePrompt,
        Self::FrameRate,
        Self::LongContext,
        Self::LoraTargets,
        Self::Batch,
        Self::TableFive,
    ];

    /// What is open.
    pub fn question(self) -> &'static str {
        match self {
            Self::LoraTargets => "Layers that get a LoRA",
            Self::Batch => "Batch and accumulation",
            Self::ShortClips => "Clips shorter than the clip length",
            Self::FrameRate => "Frames a second the model sees",
            Self::EvaluationSize => "Picture size in evaluation",
            Self::LongContext => "Place of the long context",
            Self::JudgePrompt => "Suffix of the judge\u{2019}s prompt",
            Self::SwappedStream => "Stream that a swap replaces",
            Self::Classes => "Classes trained, offered, measured",
            Self::TableFive => "Table 5, \u{201c}standard\u{201d} columns",
        }
    }

    /// What the sources say.
    pub fn sources(self) -> &'static str {
        match self {
            Self::LoraTargets => "query and value projections, or all linear layers",
            Self::Batch => "1 \u{d7} 8 or 4 \u{d7} 4",
            Self::ShortClips => "rejected in training; evaluation may pad",
            Self::FrameRate => "2 or 8",
            Self::EvaluationSize => "504 \u{d7} 504, or the original size",
            Self::LongContext => "before or after the question",
            Self::JudgePrompt => "shown in one place, absent in another",
            Self::SwappedStream => "the text says both: sound and picture",
            Self::Classes => "58 trained, 61 offered, 49 with clips",
            Self::TableFive => "they repeat the misaligned values of Table 4",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_open_point_is_listed_once() {
        let listed: BTreeSet<_> = OpenPoint::ALL.into_iter().collect();
        let questions: BTreeSet<_> = OpenPoint::ALL.map(OpenPoint::question).into_iter().collect();
        assert_eq!(listed.len(), OpenPoint::ALL.len());
        assert_eq!(questions.len(), OpenPoint::ALL.len());
    }
}
