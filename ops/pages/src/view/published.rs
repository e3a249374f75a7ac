//! What the paper's appendix reports: numbers to be set beside measured ones, in percent as printed there.

/// A pair of figures of the paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Published {
    /// Where it stands.
    pub place: &'static str,
    /// Accuracy before, from 0 to 1.
    pub before: f64,
    /// Accuracy afterwards, from 0 to 1.
    pub after: f64,
}

/// The figures of the appendix for a condition and question, where it has them: its Qwen2.5-Omni-7B before and after
/// tuning.
///
/// Left out is what does not belong to one condition alone: the open-form questions, the swapped and the shifted
/// sound of Fig. 16, whose question is not told, and the "standard" columns of Table 5, which repeat the misaligned
/// values of Table 4.
pub(super) fn published(condition: &str, question: &str) -> Option<Published> {
    let (place, before, after) = match (condition, question) {
        ("aligned", "visual") => ("Table 4", 76.68, 94.68),
        ("aligned", "audio") => ("Table 4", 46.60, 88.14),
        ("misaligned", "visual") => ("Table 4", 58.72, 94.37),
        ("misaligned", "audio") => ("Table 4", 25.16, 79.79),
        ("frames_zeroed", "visual_abstention") => ("Table 5", QWEN_TABLE_5[2], TUNED_TABLE_5[2]),
        ("audio_removed", "audio_abstention") => ("Table 5", QWEN_TABLE_5[5], TUNED_TABLE_5[5]),
        ("aligned", "visual_chain_of_thought") => ("Table 6", 66.18, 94.71),
        ("aligned", "audio_chain_of_thought") => ("Table 6", 45.14, 58.46),
        ("misaligned", "visual_chain_of_thought") => ("Table 6", 53.25, 94.66),
        ("misaligned", "audio_chain_of_thought") => ("Table 6", 31.16, 55.14),
        ("mixup", "visual") => ("Fig. 16", 80.7, 95.8),
        ("mixup", "audio") => ("Fig. 16", 3.2, 20.1),
        _ => return None,
    };
    Some(Published { place, before: before / 100.0, after: after / 100.0 })
}

/// Figures of the text on Fig. 12 (appendix I.2), whose bars have no numbers: model; picture question on untouched
/// clips, without sound, on black frames; sound question on untouched clips, on black frames, without sound.
pub(super) const FIGURE_12: [(&str, [Option<f64>; 6]); 3] = [
    ("Gemini-2.5-Pro", [Some(97.90), Some(97.23), None, Some(60.37), None, Some(95.55)]),
    ("Gemini-2.0-Flash", [None, None, None, Some(57.21), None, Some(91.79)]),
    ("Qwen3-Omni-30B", [None, None, None, Some(57.39), Some(44.68), None]),
];

const QWEN_TABLE_5: [f64; 6] = [76.68, 58.72, 10.94, 46.60, 25.16, 9.86];
const TUNED_TABLE_5: [f64; 6] = [94.68, 94.37, 90.27, 88.14, 79.79, 0.00];

/// Table 5, its columns in the order of [`FIGURE_12`].
pub(super) const TABLE_5: [(&str, [f64; 6]); 7] = [
    ("Gemini-2.5-Pro", [97.90, 95.28, 47.42, 60.37, 24.95, 3.79]),
    ("Gemini-2.0-Flash", [96.71, 91.91, 3.04, 57.21, 9.42, 1.06]),
    ("Qwen3-Omni-30B", [92.88, 83.73, 15.05, 57.39, 14.58, 11.71]),
    ("Qwen2.5-Omni-7B", QWEN_TABLE_5),
    ("ChatBridge", [51.64, 54.71, 55.77, 41.61, 7.07, 37.69]),
    ("PandaGPT", [28.75, 29.79, 11.25, 13.12, 1.18, 0.61]),
    ("Qwen2.5-Omni-7B, tuned", TUNED_TABLE_5),
];

/// Table 3, Qwen2.5-Omni-7B: seen aligned, seen misaligned, unseen aligned, unseen misaligned; each the picture
/// question before and after tuning, and the sound question before and after.
pub(super) const TABLE_3: [[f64; 4]; 4] =
    [[76.3, 96.3, 41.4, 43.2], [58.1, 95.4, 27.4, 53.1], [72.3, 95.3, 61.8, 76.4], [60.9, 92.0, 24.6, 55.1]];
