//! What the page calls things: one sentence for each stage, reason and recipe.
//!
//! Every `match` here is exhaustive, so a new reason does not compile until it has its sentence.

use counterpoint_messages::{Recipe, RecipeName, RejectReason, SkipReason, StageName};

use crate::format::decimal;

/// What a stage does to a clip, for the heading of its losses.
pub fn stage(stage: StageName) -> &'static str {
    match stage {
        StageName::Fetcher => "fetches clips that the lists want and the folder lacks",
        StageName::Source => "reads label lists and folders",
        StageName::Curator => "keeps clips whose labels name exactly one class",
        StageName::Decoder => "brings every clip into one normal form",
        StageName::Prober => "has a model judge whether the class is to be seen and heard",
        StageName::Gate => "accepts or rejects by what was measured",
        StageName::Coordinator => "seals pools and ends runs",
        StageName::Composer => "plans the samples",
        StageName::Planner => "plans a training whenever enough new samples have come",
        StageName::Trainer => "trains models on the samples",
        StageName::Evaluator => "asks a model about the samples",
        StageName::Reporter => "writes the manifest, the summary and the report",
    }
}

/// Why a clip was rejected.
pub fn reject_reason(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::Unlabelled => "No label list names the clip.",
        RejectReason::RepeatedClip => "Another file brought the same clip with the same bytes.",
        RejectReason::ConflictingMedia => {
            "Another file brought the same clip with other bytes; the first one was kept."
        }
        RejectReason::UnreadableFile => "The file cannot be opened or read.",
        RejectReason::NoClass => "No label of the clip belongs to a class that survived the pruning.",
        RejectReason::SeveralClasses => {
            "The labels name more than one class, so picture and sound may show different things."
        }
        RejectReason::MediaMissing => "The file was there when it was found and is gone now.",
        RejectReason::MediaChanged => "The file\u{2019}s bytes changed after it was found.",
        RejectReason::EmptyFile => "The file has no bytes.",
        RejectReason::NotMedia => "The file is no media file, whatever its name says.",
        RejectReason::CorruptMedia => "The file ends early or cannot be decoded.",
        RejectReason::UnsupportedCodec => "There is no decoder for its codec.",
        RejectReason::NoPicture => "The file has no video stream.",
        RejectReason::NoSound => "The file has no audio stream.",
        RejectReason::TooShort => "It is shorter than the clip length.",
        RejectReason::SegmentUnclear => {
            "Its length fits neither the whole video nor the labelled segment, so the segment cannot be placed."
        }
        RejectReason::TooLarge => "It has more pixels, streams, frames or bytes than the limits allow.",
        RejectReason::CpuLimit => "Decoding took more processor time than the limit.",
        RejectReason::MemoryLimit => "Decoding took more memory than the limit.",
        RejectReason::Silent => "Too much of the sound is silence.",
        RejectReason::TooQuiet => "The sound is quieter than the limit.",
        RejectReason::Black => "Too much of the picture is black.",
        RejectReason::Static => "The picture hardly moves: a still with a sound track.",
        RejectReason::OtherSound => "The labels name one class and another sound beside it.",
        RejectReason::Gone => "The video is no longer there.",
        RejectReason::Private => "The video is for chosen people only.",
        RejectReason::Region => "The video is not shown in this country.",
        RejectReason::Age => "The video asks for an account of some age.",
        RejectReason::TooManyRequests => "The other side asks for fewer requests.",
        RejectReason::Network => "The other side could not be reached.",
        RejectReason::TimedOut => "Fetching it took longer than the limit.",
        RejectReason::FetchFailed => "It could not be fetched, for a reason that no rule names.",
        RejectReason::NotVisibleAlone => "The judge does not see the class where the sound is removed.",
        RejectReason::NotAudibleAlone => "The judge does not hear the class where the picture is black.",
        RejectReason::NotVisibleTogether => "The judge does not see the class where it also hears the sound.",
        RejectReason::NotAudibleTogether => {
            "The judge does not hear the class where it also sees the picture."
        }
        RejectReason::TooManyCuts => "It has more cuts than the limit: a slideshow or a montage.",
    }
}

/// Why a recipe was skipped for a host.
pub fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NoDonorOfOtherClass => {
            "The pool has no clip of another class that the donor rules allow."
        }
        SkipReason::NoDonorOfSameClass => "The pool has no other clip of the same class.",
        SkipReason::DonorsUsedUp => "Every possible donor has been used as often as the plan allows.",
        SkipReason::TooFewClasses => "The pool has fewer classes than the plan asks donors from.",
        SkipReason::ClipTooShort => "The clip is shorter than the shift needs.",
    }
}

/// The title of a recipe.
pub fn recipe_title(recipe: RecipeName) -> &'static str {
    match recipe {
        RecipeName::Aligned => "Aligned",
        RecipeName::Misaligned => "Misaligned",
        RecipeName::Swapped => "Swapped within the class",
        RecipeName::Mixup => "Mixup",
        RecipeName::Shift => "Shift",
        RecipeName::AudioRemoved => "Audio removed",
        RecipeName::FramesZeroed => "Frames zeroed",
    }
}

/// What a recipe does to picture and sound.
pub fn recipe(recipe: RecipeName) -> &'static str {
    match recipe {
        RecipeName::Aligned => "The clip as it is: picture and sound agree.",
        RecipeName::Misaligned => "The picture keeps playing; the sound is a clip of another class.",
        RecipeName::Swapped => "The sound of another clip of the same class: right in kind, wrong in time.",
        RecipeName::Mixup => "Further sounds are laid over the clip\u{2019}s own.",
        RecipeName::Shift => "The sound is moved against the picture.",
        RecipeName::AudioRemoved => "The picture alone, without a sound track.",
        RecipeName::FramesZeroed => "The sound alone, under black frames of the same size.",
    }
}

/// The parameters of a recipe, where it has any.
pub fn recipe_parameters(recipe: Recipe) -> Option<String> {
    match recipe {
        Recipe::Mixup { snr_db } => Some(format!("Own sound {} dB over the added sounds", decimal(snr_db))),
        Recipe::Shift { offset_ms } => {
            let seconds = decimal(offset_ms.unsigned_abs() as f64 / 1000.0);
            let direction = if offset_ms < 0 { "earlier" } else { "later" };
            Some(format!("Sound {seconds} s {direction}"))
        }
        Recipe::Aligned
        | Recipe::Misaligned
        | Recipe::Swapped
        | Recipe::AudioRemoved
        | Recipe::FramesZeroed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_say_which_way_the_sound_moves() {
        let later = recipe_parameters(Recipe::Shift { offset_ms: 1_500 });
        let earlier = recipe_parameters(Recipe::Shift { offset_ms: -2_000 });
        assert_eq!(later.as_deref(), Some("Sound 1.5 s later"));
        assert_eq!(earlier.as_deref(), Some("Sound 2 s earlier"));
        assert!(recipe_parameters(Recipe::Shift { offset_ms: i64::MIN }).is_some());
    }

    #[test]
    fn a_mixup_states_its_ratio_with_a_true_minus_sign() {
        let mixup = recipe_parameters(Recipe::Mixup { snr_db: -3.0 });
        assert_eq!(mixup.as_deref(), Some("Own sound \u{2212}3 dB over the added sounds"));
        assert_eq!(recipe_parameters(Recipe::Aligned), None);
    }
}
