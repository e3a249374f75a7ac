//! What an answer means.

use serde::{Deserialize, Serialize};

use super::NONE_OF_THE_ABOVE;

/// Other ways to say [`NONE_OF_THE_ABOVE`], as words.
const NONE_PHRASES: [&str; 5] = [
    "none of the options",
    "none of the given options",
    "none of the listed options",
    "none of these",
    "none of them",
];

/// How freely an answer may name an option. Scores by all of them stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// The answer is the option and nothing else, up to case, spaces, underscores and punctuation.
    Strict,
    /// The option that the answer mentions first.
    FirstMentioned,
    /// The longest option that the answer mentions; of equally long ones the first.
    Lenient,
}

impl Matching {
    /// All, the strictest first.
    pub const ALL: [Self; 3] = [Self::Strict, Self::FirstMentioned, Self::Lenient];

    /// Name in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::FirstMentioned => "first_mentioned",
            Self::Lenient => "lenient",
        }
    }
}

/// What an answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading<'a> {
    /// This option, as it was offered.
    Option(&'a str),
    /// None of them, in so many words; whether or not that was offered.
    NoneOfTheAbove,
    /// No words at all. Counts as wrong.
    Missing,
    /// Words that name no option. Counts as wrong.
    Other,
}

/// Reads answers to a question with options.
///
/// An option is mentioned where its words stand one after the other, as whole words, whatever stands between
/// them that is neither letter nor digit. Where several options begin at one word, the longest is the one
/// mentioned, and its words mention no other: `singing bowl` names `Singing_bowl` and not `Singing`.
#[derive(Debug, Clone)]
pub struct OptionReader {
    options: Vec<Phrase>,
}

#[derive(Debug, Clone)]
struct Phrase {
    words: Vec<String>,
    // `None` for a way to say none of the above.
    option: Option<String>,
}

impl Phrase {
    fn new(text: &str, option: Option<&str>) -> Self {
        Self { words: words(text), option: option.map(str::to_owned) }
    }

    fn reading(&self) -> Reading<'_> {
        self.option.as_deref().map_or(Reading::NoneOfTheAbove, Reading::Option)
    }

    fn letters(&self) -> usize {
        self.words.iter().map(|word| word.chars().count()).sum()
    }
}

impl OptionReader {
    /// For these options. [`NONE_OF_THE_ABOVE`] may be among them and is known without.
    pub fn new(options: &[String]) -> Self {
        let none = words(NONE_OF_THE_ABOVE);
        let offered = options.iter().map(|option| Phrase::new(option, Some(option)));
        let offered = offered.filter(|phrase| !phrase.words.is_empty() && phrase.words != none);
        let nones = [NONE_OF_THE_ABOVE].into_iter().chain(NONE_PHRASES);
        Self { options: offered.chain(nones.map(|text| Phrase::new(text, None))).collect() }
    }

    /// What the answer names.
    pub fn read(&self, answer: &str, matching: Matching) -> Reading<'_> {
        let words = words(answer);
        if words.is_empty() {
            return Reading::Missing;
        }
        // Whatever is strictly an option is one by every measure, also where its words run together.
        let whole = words.concat();
        let exact = self.options.iter().find(|phrase| phrase.words.concat() == whole);
        let found = exact.or_else(|| match matching {
            Matching::Strict => None,
            Matching::FirstMentioned => self.mentions(&words).next(),
            // Not `max_by_key`, which takes the last of equals.
            Matching::Lenient => self
                .mentions(&words)
                .reduce(|best, next| if next.letters() > best.letters() { next } else { best }),
        });
        match found {
            Some(phrase) => phrase.reading(),
            None if whole == "none" => Reading::NoneOfTheAbove,
            None => Reading::Other,
        }
    }

    /// The options that the words mention, in order.
    fn mentions<'a, 'w>(&'a self, words: &'w [String]) -> impl Iterator<Item = &'a Phrase> + use<'a, 'w> {
        let mut rest = words;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let here = self.options.iter().filter(|phrase| rest.starts_with(&phrase.words));
                if let Some(longest) = here.max_by_key(|phrase| phrase.words.len()) {
                    rest = rest.get(longest.words.len()..).unwrap_or_default();
                    return Some(longest);
                }
                rest = rest.get(1..).unwrap_or_default();
            }
            None
        })
    }
}

/// What stands after the last `Final Answer:` of a chain of thought (appendix Fig. 15), on its line or, if that
/// is empty, on the next that is not; without the marks that models put around it. `None` if there is none.
pub fn final_answer(text: &str) -> Option<&str> {
    const MARK: &str = "final answer";
    // Lowering ASCII only keeps every byte where it is.
    let at = text.to_ascii_lowercase().rfind(MARK)?;
    let after = text.get(at.saturating_add(MARK.len())..)?;
    let is_mark =
        |letter: char| letter.is_whitespace() || matches!(letter, ':' | '*' | '<' | '>' | '`' | '"' | '_');
    let answer = after.trim_start_matches(is_mark).lines().next().unwrap_or_default();
    let answer = answer.trim_end_matches(|letter: char| is_mark(letter) || letter == '.');
    (!answer.is_empty()).then_some(answer)
}

/// Whether an answer says yes or no: by its first word, or else by the only one of the two words in it. `None`
/// if it says neither or both.
pub fn yes_no(answer: &str) -> Option<bool> {
    let words = words(answer);
    let meaning = |word: &String| match word.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    if let Some(first) = words.first().and_then(meaning) {
        return Some(first);
    }
    let mut said = words.iter().filter_map(meaning);
    let first = said.next()?;
    said.all(|word| word == first).then_some(first)
}

/// Words in lower case: runs of letters and digits. Apostrophes do not part a word.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace(['\'', '’'], "");
    let parts = lower.split(|letter: char| !letter.is_alphanumeric());
    parts.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
