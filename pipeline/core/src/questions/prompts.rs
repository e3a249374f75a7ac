//! Every prompt, word for word. The appendix is that of arXiv 2511.22826.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{CaptionEnding, ContextPlace, Stream};

/// The option to name none of the classes (appendix K).
pub const NONE_OF_THE_ABOVE: &str = "None of the above";

/// Whether picture and sound belong together (appendix M.3).
pub(super) const MATCH: &str = "Do the audio and video match?";

/// AVHBench, audio-visual matching.
pub(super) const AVH_MATCH: &str = "Are the contexts of audio and visual content matching?";

/// AVHBench, captioning.
pub(super) const AVH_CAPTION: &str = "Describe what you see and hear in a single sentence.";

/// Letters of a long context (appendix I.4).
const CONTEXT_LETTERS: usize = 10_000;

/// The class question (appendix Fig. 10 and N; project page; the ending is that of the sibling benchmark
/// MLLM-Typography).
pub(super) fn class(stream: Stream, options: &[String]) -> String {
    format!("{} Answer using a single class name.", class_without_ending(stream, options))
}

fn class_without_ending(stream: Stream, options: &[String]) -> String {
    format!("{} Options: {}.", which_class(stream), options.join(", "))
}

fn which_class(stream: Stream) -> String {
    format!("Which class best describes the {} content of this video?", stream.as_str())
}

/// The class question after a caption that names another class (appendix G, Fig. 10; project page).
pub(super) fn misleading_caption(
    stream: Stream,
    wrong: &str,
    options: &[String],
    ending: CaptionEnding,
) -> String {
    let ending = match ending {
        CaptionEnding::Options => "",
        CaptionEnding::SingleWordOrPhrase => " Answer the question using a single word or phrase.",
    };
    format!("Video_caption: {wrong}. {}{ending}", class_without_ending(stream, options))
}

/// The class question beside random single letters, separated by spaces (appendix I.4; project page). The
/// sources do not say which letters: these are the 26 of the alphabet in both cases.
pub(super) fn long_context(stream: Stream, options: &[String], seed: u64, place: ContextPlace) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut letters = String::with_capacity(CONTEXT_LETTERS * 2);
    for at in 0..CONTEXT_LETTERS {
        let letter = char::from(b'a' + random.random_range(0..26));
        let letter = if random.random() { letter.to_ascii_uppercase() } else { letter };
        letters.extend((at > 0).then_some(' '));
        letters.push(letter);
    }
    let question = class(stream, options);
    match place {
        ContextPlace::Before => format!("{letters} {question}"),
        ContextPlace::After => format!("{question} {letters}"),
    }
}

/// The class question after a call to think first (appendix Fig. 15).
pub(super) fn chain_of_thought(stream: Stream, options: &[String]) -> String {
    format!(
        "Think step by step about what the {} content shows. First provide your thinking process, then give the \
         final answer in the format: Final Answer: <class>. {}",
        stream.as_str(),
        class(stream, options)
    )
}

/// The class question without options (appendix M.4, which does not print it).
pub(super) fn open_form(stream: Stream) -> String {
    format!("{} Answer using a single class name.", which_class(stream))
}

/// A description (appendix M.4; only the second one ends with a full stop there).
pub(super) fn open_ended(stream: Stream) -> &'static str {
    match stream {
        Stream::Audio => "Describe what you hear in the video",
        Stream::Visual => "Describe what you see in the video.",
    }
}

/// An existence query (appendix B.1; the suffix is in a figure of the project page).
pub(super) fn exists(stream: Stream, class: &str, with_suffix: bool) -> String {
    let suffix = if with_suffix { " Answer with Yes or No" } else { "" };
    match stream {
        Stream::Visual => format!("Is the {class} clearly visible in this video?{suffix}"),
        Stream::Audio => format!("Is the sound of {class} clearly audible in this video?{suffix}"),
    }
}

/// AVHBench, audio-driven video hallucination.
pub(super) fn avh_visible(object: &str) -> String {
    format!("Is the {object} visible in the video?")
}

/// AVHBench, video-driven audio hallucination.
pub(super) fn avh_audible(object: &str) -> String {
    format!("Is the {object} making sound in the audio?")
}
