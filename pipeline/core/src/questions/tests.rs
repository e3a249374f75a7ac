use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn options() -> Vec<String> {
    ["Cat", "Singing", "Singing_bowl", "Cupboard_open_or_close", "Door", "Vacuum_cleaner"]
        .map(String::from)
        .to_vec()
}

fn text(query: Query) -> String {
    query.text(&options(), &Wording::default())
}

/// The list of prompts, copied; `{list}` is Cat and Door here.
#[test]
fn every_prompt_is_the_published_one_word_for_word() {
    use Stream::{Audio, Visual};
    let classes = ["Cat".to_owned(), "Door".to_owned()];
    let appendix = Wording::default();
    let page = Wording {
        long_context: ContextPlace::After,
        caption_ending: CaptionEnding::SingleWordOrPhrase,
        judge_suffix: true,
    };
    let wrong = || "Vehicle".to_owned();
    let cat = || "Cat".to_owned();
    for (query, wording, published) in [
        (
            Query::Class { stream: Visual },
            appendix,
            "Which class best describes the visual content of this video? Options: Cat, Door. Answer using a single class name.",
        ),
        (
            Query::Class { stream: Audio },
            appendix,
            "Which class best describes the audio content of this video? Options: Cat, Door. Answer using a single class name.",
        ),
        (
            Query::MisleadingCaption { stream: Visual, wrong: wrong() },
            appendix,
            "Video_caption: Vehicle. Which class best describes the visual content of this video? Options: Cat, Door.",
        ),
        (
            Query::MisleadingCaption { stream: Audio, wrong: wrong() },
            page,
            "Video_caption: Vehicle. Which class best describes the audio content of this video? Options: Cat, Door. Answer the question using a single word or phrase.",
        ),
        (
            Query::Abstention { stream: Audio },
            appendix,
            "Which class best describes the audio content of this video? Options: Cat, Door, None of the above. Answer using a single class name.",
        ),
        (
            Query::ChainOfThought { stream: Visual },
            appendix,
            "Think step by step about what the visual content shows. First provide your thinking process, then give the final answer in the format: Final Answer: <class>. Which class best describes the visual content of this video? Options: Cat, Door. Answer using a single class name.",
        ),
        (
            Query::ChainOfThought { stream: Audio },
            appendix,
            "Think step by step about what the audio content shows. First provide your thinking process, then give the final answer in the format: Final Answer: <class>. Which class best describes the audio content of this video? Options: Cat, Door. Answer using a single class name.",
        ),
        (
            Query::OpenForm { stream: Visual },
            appendix,
            "Which class best describes the visual content of this video? Answer using a single class name.",
        ),
        (Query::OpenEnded { stream: Audio }, appendix, "Describe what you hear in the video"),
        (Query::OpenEnded { stream: Visual }, appendix, "Describe what you see in the video."),
        (Query::Match, appendix, "Do the audio and video match?"),
        (
            Query::Exists { stream: Visual, class: cat() },
            appendix,
            "Is the Cat clearly visible in this video?",
        ),
        (
            Query::Exists { stream: Audio, class: cat() },
            page,
            "Is the sound of Cat clearly audible in this video? Answer with Yes or No",
        ),
        (Query::AvhVisible { object: cat() }, appendix, "Is the Cat visible in the video?"),
        (Query::AvhAudible { object: cat() }, appendix, "Is the Cat making sound in the audio?"),
        (Query::AvhMatch, appendix, "Are the contexts of audio and visual content matching?"),
        (Query::AvhCaption, appendix, "Describe what you see and hear in a single sentence."),
    ] {
        assert_eq!(query.text(&classes, &wording), published);
    }
}

#[test]
fn a_long_context_is_ten_thousand_single_letters_on_the_side_that_the_wording_says() {
    let query = Query::LongContext { stream: Stream::Audio, seed: 7 };
    let question = text(Query::Class { stream: Stream::Audio });
    let before = query.text(&options(), &Wording::default());
    let after = query.text(&options(), &Wording { long_context: ContextPlace::After, ..Wording::default() });
    let letters = before.strip_suffix(&question).unwrap().trim_end();
    assert_eq!(after, format!("{question} {letters}"));
    let letters: Vec<&str> = letters.split(' ').collect();
    assert_eq!(letters.len(), 10_000);
    assert!(letters.iter().all(|letter| letter.len() == 1 && letter.as_bytes()[0].is_ascii_alphabetic()));
    assert_eq!(letters.iter().collect::<BTreeSet<_>>().len(), 52);
    assert_eq!(text(query), before);
    assert_ne!(text(Query::LongContext { stream: Stream::Audio, seed: 8 }), before);
    // Fixed for ever: another generator would make other samples of old seeds.
    assert!(before.starts_with(LETTERS_OF_SEED_7), "{}", &before[..40]);
}

const LETTERS_OF_SEED_7: &str = "d e H A B v g G j M l t O x j G v z r a ";

#[test]
fn four_probes_ask_about_each_stream_alone_and_together() {
    let asked: Vec<_> =
        Probe::ALL.map(|probe| (probe.recipe().as_str(), text(probe.query("Cat")))).into_iter().collect();
    let visible = "Is the Cat clearly visible in this video?".to_owned();
    let audible = "Is the sound of Cat clearly audible in this video?".to_owned();
    assert_eq!(
        asked,
        [
            ("audio_removed", visible.clone()),
            ("frames_zeroed", audible.clone()),
            ("aligned", visible),
            ("aligned", audible)
        ]
    );
}

#[test]
fn the_options_of_a_query_are_those_in_its_text() {
    let plain = Query::Class { stream: Stream::Visual };
    assert_eq!(plain.options(&options()), options());
    let abstention = Query::Abstention { stream: Stream::Visual }.options(&options());
    assert_eq!(abstention.last().unwrap(), NONE_OF_THE_ABOVE);
    assert_eq!(Query::Match.options(&options()), Vec::<String>::new());
    assert_eq!(Query::Match.expected(), Expected::YesNo);
    assert_eq!(Query::OpenForm { stream: Stream::Audio }.expected(), Expected::Text);
}

/// What is read strictly, by first mention and leniently.
fn read(answer: &str) -> [Reading<'static>; 3] {
    let reader: &'static OptionReader = Box::leak(Box::new(OptionReader::new(&options())));
    Matching::ALL.map(|matching| reader.read(answer, matching))
}

#[test]
fn answers_are_read_by_three_measures() {
    use Reading::{Missing, NoneOfTheAbove, Option, Other};
    let bowl = Option("Singing_bowl");
    for (answer, readings) in [
        ("Singing_bowl", [bowl; 3]),
        (" **singing bowl**.\n", [bowl; 3]),
        ("SingingBowl", [bowl; 3]),
        ("'Singing-Bowl'", [bowl; 3]),
        ("Singing", [Option("Singing"); 3]),
        ("A singing bowl is struck.", [Other, bowl, bowl]),
        ("Singing, with a singing bowl", [Other, Option("Singing"), bowl]),
        ("Singing bowl, or singing", [Other, bowl, bowl]),
        ("A cat by a door.", [Other, Option("Cat"), Option("Door")]),
        ("door, door, cat", [Other, Option("Door"), Option("Door")]),
        (
            "The cupboard: open or close",
            [Other, Option("Cupboard_open_or_close"), Option("Cupboard_open_or_close")],
        ),
        ("category", [Other; 3]),
        ("outdoors", [Other; 3]),
        ("a dog", [Other; 3]),
        ("", [Missing; 3]),
        (" \n_*", [Missing; 3]),
        ("None of the above.", [NoneOfTheAbove; 3]),
        ("none", [NoneOfTheAbove; 3]),
        ("It is none of these.", [Other, NoneOfTheAbove, NoneOfTheAbove]),
        ("none of the above: no cat", [Other, NoneOfTheAbove, NoneOfTheAbove]),
    ] {
        assert_eq!(read(answer), readings, "{answer:?}");
    }
}

#[test]
fn none_of_the_above_is_read_alike_whether_it_was_offered_or_not() {
    let offered = Query::Abstention { stream: Stream::Audio }.options(&options());
    let reader = OptionReader::new(&offered);
    assert_eq!(reader.read("None of the above", Matching::Strict), Reading::NoneOfTheAbove);
    assert_eq!(reader.read("cat", Matching::Strict), Reading::Option("Cat"));
}

#[test]
fn the_final_answer_is_what_stands_after_the_last_mark() {
    for (answer, expected) in [
        ("I see fur. Final Answer: Cat", Some("Cat")),
        ("Final Answer: <Singing_bowl>.", Some("Singing_bowl")),
        ("thinking\n**Final Answer:** Door\nThank you", Some("Door")),
        ("final answer:\n\n  Cat\n", Some("Cat")),
        ("Final Answer: Cat. No, wait. FINAL ANSWER: Door", Some("Door")),
        ("Die Größe … Final Answer: Tür.", Some("Tür")),
        ("It is a cat.", None),
        ("Final Answer:", None),
        ("", None),
    ] {
        assert_eq!(final_answer(answer), expected, "{answer:?}");
    }
}

#[test]
fn thoughts_are_no_answer_and_what_follows_them_is() {
    let (reader, query) = (OptionReader::new(&options()), Query::ChainOfThought { stream: Stream::Audio });
    let read = |answer| Matching::ALL.map(|matching| query.read(&reader, answer, matching));
    let (cat, door) = (Reading::Option("Cat"), Reading::Option("Door"));
    assert_eq!(read("A cat sits by a door.\nFinal Answer: <Cat>"), [cat; 3]);
    assert_eq!(read("A cat. Final Answer: the door"), [Reading::Other, door, door]);
    assert_eq!(read("A cat sits by a door."), [Reading::Other, cat, door]);
    assert_eq!(read("Cat"), [Reading::Other, cat, cat]);
    assert_eq!(read(" "), [Reading::Missing; 3]);
    let plain = Query::Class { stream: Stream::Audio };
    assert_eq!(plain.read(&reader, "Final Answer: Cat", Matching::Strict), Reading::Other);
    assert_eq!(query.expected(), Expected::OptionAfterThoughts);
    assert_eq!(query.options(&options()), options());
}

#[test]
fn yes_and_no_are_whole_words_and_the_first_word_decides() {
    for (answer, expected) in [
        ("Yes", Some(true)),
        ("no.", Some(false)),
        ("**Yes**, the cat is visible.", Some(true)),
        ("No, although one might say yes", Some(false)),
        ("The answer is yes.", Some(true)),
        ("I would say no: no cat", Some(false)),
        ("It is hard to say yes or no", None),
        ("Not clearly", None),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(yes_no(answer), expected, "{answer:?}");
    }
}

proptest! {
    #[test]
    fn every_option_is_read_in_any_dress(
        index in 0_usize..6,
        upper in any::<bool>(),
        joint in prop::sample::select(vec!["_", " ", "-", "", " / ", "\n"]),
        around in prop::sample::select(vec![("", ""), ("\"", "\""), ("**", "**."), (" <", ">\n"), ("(", ")!")]),
    ) {
        let option = options()[index].clone();
        let dressed = option.replace('_', joint);
        let dressed = if upper { dressed.to_uppercase() } else { dressed.to_lowercase() };
        let answer = format!("{}{dressed}{}", around.0, around.1);
        let reader = OptionReader::new(&options());
        for matching in Matching::ALL {
            prop_assert_eq!(reader.read(&answer, matching), Reading::Option(&option), "{:?}", answer);
        }
    }

    #[test]
    fn an_option_among_other_words_is_found_and_is_not_the_strict_answer(
        index in 0_usize..6,
        before in prop::collection::vec("[bx-z]{2,6}", 1..5),
        after in prop::collection::vec("[bx-z]{2,6}", 0..5),
    ) {
        let option = options()[index].clone();
        let answer = format!("{} {} {}", before.join(" "), option.replace('_', " "), after.join(", "));
        let reader = OptionReader::new(&options());
        prop_assert_eq!(reader.read(&answer, Matching::Strict), Reading::Other);
        prop_assert_eq!(reader.read(&answer, Matching::FirstMentioned), Reading::Option(&option));
        prop_assert_eq!(reader.read(&answer, Matching::Lenient), Reading::Option(&option));
    }

    #[test]
    fn any_text_is_read_and_a_strict_answer_is_one_by_every_measure(answer in "\\PC{0,80}|[ a-zA-Z_.:*]{0,60}") {
        let reader = OptionReader::new(&options());
        let strict = reader.read(&answer, Matching::Strict);
        if matches!(strict, Reading::Option(_)) {
            prop_assert_eq!(reader.read(&answer, Matching::FirstMentioned), strict);
            prop_assert_eq!(reader.read(&answer, Matching::Lenient), strict);
        }
        if let Some(part) = final_answer(&answer) {
            prop_assert!(answer.contains(part));
        }
        yes_no(&answer);
    }
}
