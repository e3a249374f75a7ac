//! What a model is taught on a sample: questions about its streams, and the answers that are true of it.
//!
//! Tuning asks what the evaluation asks (appendix C: the class questions on aligned and misaligned samples). The other
//! kinds are for models that are trained from nothing: a judge, and a model that has to learn its streams first.

use counterpoint_messages::{RecipeName, SampleComposed};
use serde::{Deserialize, Serialize};

use crate::questions::{Query, Stream, Wording};

/// A question on a sample and its true answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// The prompt.
    pub question: String,
    /// The answer, word for word.
    pub answer: String,
}

/// A kind of lessons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LessonKind {
    /// The class question about each stream that is there.
    Class,
    /// The class question about each stream that is not there. Without them a model never needs the words that say which
    /// stream is meant, and tuning has nothing to build on.
    Absent,
    /// One class for the whole of a sample: not of one whose streams are of different classes. The words do not say
    /// which stream is meant.
    Overall,
    /// Whether a class is there, about each stream that is there: once the class that is, once one that is not.
    Exists,
    /// Whether picture and sound belong together, of samples with both.
    Match,
}

/// The answer of [`LessonKind::Absent`]; no question offers it.
const NOTHING: &str = "Nothing";

/// The question of [`LessonKind::Overall`]; it is asked in no evaluation.
const OVERALL: &str = "Which class best describes this clip?";

impl LessonKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Class, Self::Absent, Self::Overall, Self::Exists, Self::Match];

    /// Name in recipes of trainings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Absent => "absent",
            Self::Overall => "overall",
            Self::Exists => "exists",
            Self::Match => "match",
        }
    }

    /// The kind of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The lessons of this kind on a sample. `classes` are the options, sorted.
    pub fn lessons(self, sample: &SampleComposed, classes: &[String], wording: &Wording) -> Vec<Lesson> {
        let streams = streams(sample);
        match self {
            Self::Class => streams
                .into_iter()
                .map(|(stream, class)| lesson(Query::Class { stream }.text(classes, wording), class))
                .collect(),
            Self::Absent => [Stream::Visual, Stream::Audio]
                .into_iter()
                .filter(|stream| !streams.iter().any(|(there, _)| there == stream))
                .map(|stream| lesson(Query::Class { stream }.text(classes, wording), NOTHING))
                .collect(),
            Self::Overall => match streams.as_slice() {
                [(_, class)] => vec![lesson(OVERALL, class)],
                [(_, seen), (_, heard)] if seen == heard => vec![lesson(OVERALL, seen)],
                _ => Vec::new(),
            },
            Self::Exists => streams
                .into_iter()
                .flat_map(|(stream, class)| {
                    let ask = |class: &str, answer| {
                        let query = Query::Exists { stream, class: class.to_owned() };
                        lesson(query.text(classes, wording), answer)
                    };
                    let absent = absent(sample, stream, classes);
                    [Some(ask(class, "Yes")), absent.map(|absent| ask(absent, "No"))].into_iter().flatten()
                })
                .collect(),
            Self::Match => match streams.len() {
                2 => {
                    let belongs = sample.recipe.name() == RecipeName::Aligned;
                    vec![lesson(Query::Match.text(classes, wording), if belongs { "Yes" } else { "No" })]
                }
                _ => Vec::new(),
            },
        }
    }

    /// Every text that lessons of any kind may have on samples of these classes.
    pub fn texts(classes: &[String], wording: &Wording) -> Vec<String> {
        let of_stream = |stream| {
            let exists = classes.iter().map(move |class| Query::Exists { stream, class: class.clone() });
            let others = [
                Query::Class { stream },
                Query::Abstention { stream },
                Query::ChainOfThought { stream },
                Query::OpenForm { stream },
            ];
            exists.chain(others)
        };
        let queries = [Stream::Visual, Stream::Audio].into_iter().flat_map(of_stream).chain([Query::Match]);
        let texts = queries.map(|query| query.text(classes, wording));
        texts
            .chain([OVERALL, NOTHING, "Yes", "No"].map(str::to_owned))
            .chain(classes.iter().cloned())
            .collect()
    }
}

fn lesson(question: impl Into<String>, answer: &str) -> Lesson {
    Lesson { question: question.into(), answer: answer.to_owned() }
}

/// The streams that are there, with the class that a question about each asks for.
fn streams(sample: &SampleComposed) -> Vec<(Stream, &str)> {
    let seen = sample.class_seen.as_deref().map(|class| (Stream::Visual, class));
    let heard = sample.classes_heard.first().map(|class| (Stream::Audio, class.as_str()));
    seen.into_iter().chain(heard).collect()
}

/// A class that is not in the stream. Where the other stream is of another class it is that one, as nothing else
/// tells the two streams apart; otherwise the sample's id picks one.
fn absent<'a>(sample: &'a SampleComposed, stream: Stream, classes: &'a [String]) -> Option<&'a str> {
    let is_there = |class: &str| match stream {
        Stream::Visual => sample.class_seen.as_deref() == Some(class),
        Stream::Audio => sample.classes_heard.iter().any(|heard| heard == class),
    };
    let other = streams(sample).into_iter().map(|(_, class)| class).find(|class| !is_there(class));
    let absent: Vec<&str> = classes.iter().map(String::as_str).filter(|class| !is_there(class)).collect();
    let number =
        sample.id.0.iter().fold(stream as usize, |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
    other.or_else(|| absent.get(number % absent.len().max(1)).copied())
}

#[cfg(test)]
mod tests {
    use counterpoint_messages::{ContentHash, Recipe, RecordId, Split};

    use super::*;
    use crate::questions::Probe;

    fn sample(recipe: Recipe, seen: Option<&str>, heard: &[&str]) -> SampleComposed {
        SampleComposed {
            id: RecordId([7; 16]),
            recipe,
            class_seen: seen.map(str::to_owned),
            classes_heard: heard.iter().map(|class| (*class).to_owned()).collect(),
            split: Split::Train,
            parents: Vec::new(),
            seed: 0,
            plan: ContentHash::of(b""),
            pool: RecordId([1; 16]),
            generation: 1,
            duration_ms: 10_000,
        }
    }

    fn answers(kind: LessonKind, sample: &SampleComposed) -> Vec<String> {
        let classes = ["Bird", "Cat", "Rain"].map(str::to_owned);
        let lessons = kind.lessons(sample, &classes, &Wording::default());
        let texts = LessonKind::texts(&classes, &Wording::default());
        for lesson in &lessons {
            assert!(texts.contains(&lesson.question) && texts.contains(&lesson.answer), "{lesson:?}");
        }
        lessons.into_iter().map(|lesson| lesson.answer).collect()
    }

    #[test]
    fn each_stream_is_asked_about_with_what_is_in_it() {
        let misaligned = sample(Recipe::Misaligned, Some("Cat"), &["Rain"]);
        let mixup = sample(Recipe::Mixup { snr_db: 0.0 }, Some("Cat"), &["Cat", "Rain"]);
        let black = sample(Recipe::FramesZeroed, None, &["Bird"]);
        assert_eq!(answers(LessonKind::Class, &misaligned), ["Cat", "Rain"]);
        assert_eq!(answers(LessonKind::Class, &mixup), ["Cat", "Cat"]);
        assert_eq!(answers(LessonKind::Class, &black), ["Bird"]);
        assert_eq!(answers(LessonKind::Absent, &misaligned), [""; 0]);
        assert_eq!(answers(LessonKind::Absent, &black), ["Nothing"]);
        assert_eq!(answers(LessonKind::Overall, &misaligned), [""; 0]);
        assert_eq!(answers(LessonKind::Overall, &mixup), ["Cat"]);
        assert_eq!(answers(LessonKind::Overall, &black), ["Bird"]);
        assert_eq!(answers(LessonKind::Match, &misaligned), ["No"]);
        assert_eq!(answers(LessonKind::Match, &sample(Recipe::Aligned, Some("Cat"), &["Cat"])), ["Yes"]);
        assert_eq!(answers(LessonKind::Match, &black), [""; 0]);
    }

    #[test]
    fn what_is_absent_from_a_stream_is_what_is_in_the_other() {
        let classes = ["Bird", "Cat", "Rain"].map(str::to_owned);
        let misaligned = sample(Recipe::Misaligned, Some("Cat"), &["Rain"]);
        assert_eq!(absent(&misaligned, Stream::Visual, &classes), Some("Rain"));
        assert_eq!(absent(&misaligned, Stream::Audio, &classes), Some("Cat"));
        let mixup = sample(Recipe::Mixup { snr_db: 0.0 }, Some("Cat"), &["Cat", "Rain"]);
        assert_eq!(absent(&mixup, Stream::Audio, &classes), Some("Bird"));
        assert_eq!(absent(&mixup, Stream::Audio, &classes[1..]), None);
        assert_eq!(answers(LessonKind::Exists, &misaligned), ["Yes", "No", "Yes", "No"]);
    }

    #[test]
    fn a_judge_is_asked_in_the_words_in_which_it_learned_to_say_yes() {
        let classes = ["Bird", "Cat", "Rain"].map(str::to_owned);
        for judge_suffix in [false, true] {
            let wording = Wording { judge_suffix, ..Wording::default() };
            for probe in Probe::ALL {
                let sample = match probe.recipe() {
                    RecipeName::AudioRemoved => sample(Recipe::AudioRemoved, Some("Cat"), &[]),
                    RecipeName::FramesZeroed => sample(Recipe::FramesZeroed, None, &["Cat"]),
                    _ => sample(Recipe::Aligned, Some("Cat"), &["Cat"]),
                };
                let lessons = LessonKind::Exists.lessons(&sample, &classes, &wording);
                let of = |answer: &'static str| lessons.iter().filter(move |lesson| lesson.answer == answer);
                assert_eq!(of("Yes").count(), of("No").count(), "{probe:?}");
                let asked = probe.query("Cat").text(&classes, &wording);
                assert!(of("Yes").any(|lesson| lesson.question == asked), "{asked}: {lessons:?}");
                assert!(!of("No").any(|lesson| lesson.question == asked), "{asked}: {lessons:?}");
            }
        }
    }

    #[test]
    fn kinds_have_names() {
        for kind in LessonKind::ALL {
            assert_eq!(LessonKind::of_name(kind.as_str()), Some(kind));
        }
        assert_eq!(LessonKind::of_name("shape"), None);
    }
}
