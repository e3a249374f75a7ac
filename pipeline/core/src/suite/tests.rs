use counterpoint_messages::{ContentHash, MediaObject, Parent, ParentRole, Recipe, RecordId, Split};

use super::*;

fn classes() -> Vec<String> {
    ["Accordion", "Cat", "Door", "Rain"].map(str::to_owned).to_vec()
}

/// A host of Cat; the donor, where there is one, gives Rain.
fn sample(recipe: Recipe) -> SampleComposed {
    let object = MediaObject { hash: ContentHash([1; 32]), bytes: 1 };
    let parent = |role, class: &str| Parent {
        role,
        clip: RecordId([2; 16]),
        video: "v".to_owned(),
        class: class.to_owned(),
        media: object,
        sound: object,
    };
    let heard = match recipe.name() {
        RecipeName::AudioRemoved => vec![],
        RecipeName::Misaligned => vec!["Rain".to_owned()],
        RecipeName::Mixup => vec!["Cat".to_owned(), "Rain".to_owned()],
        _ => vec!["Cat".to_owned()],
    };
    SampleComposed {
        id: RecordId([3; 16]),
        recipe,
        class_seen: (recipe != Recipe::FramesZeroed).then(|| "Cat".to_owned()),
        classes_heard: heard,
        split: Split::Eval,
        parents: vec![parent(ParentRole::Host, "Cat"), parent(ParentRole::Donor, "Rain")],
        seed: 0,
        plan: ContentHash([0; 32]),
        pool: RecordId([4; 16]),
        generation: 1,
        duration_ms: 10_000,
    }
}

fn expected(recipe: Recipe, question: &str) -> String {
    let text = format!("[[ask]]\nconditions = [\"{}\"]\nquestions = [\"{question}\"]\n", recipe.name());
    let put = Suite::from_toml(&text, "suite").unwrap().put(&sample(recipe), &classes());
    assert_eq!(put.len(), 1);
    put[0].expected.clone()
}

#[test]
fn each_question_has_its_right_answer_under_each_condition() {
    for (recipe, question, right) in [
        (Recipe::Aligned, "visual", "Cat"),
        (Recipe::Misaligned, "visual", "Cat"),
        (Recipe::Misaligned, "audio", "Rain"),
        (Recipe::Misaligned, "audio_chain_of_thought", "Rain"),
        (Recipe::Misaligned, "visual_open_form", "Cat"),
        (Recipe::Mixup { snr_db: 0.0 }, "audio", "Cat"),
        // A forced choice about what was taken away (appendix I.2), and the free one (appendix K).
        (Recipe::FramesZeroed, "visual", "Cat"),
        (Recipe::FramesZeroed, "visual_abstention", "None of the above"),
        (Recipe::FramesZeroed, "audio_abstention", "Cat"),
        (Recipe::AudioRemoved, "audio", "Cat"),
        (Recipe::AudioRemoved, "audio_abstention", "None of the above"),
        (Recipe::Aligned, "match", "yes"),
        (Recipe::Misaligned, "match", "no"),
        (Recipe::Swapped, "match", "no"),
        (Recipe::Shift { offset_ms: 5000 }, "match", "no"),
        (Recipe::Misaligned, "audio_exists", "yes"),
        (Recipe::Misaligned, "audio_exists_other", "no"),
    ] {
        assert_eq!(expected(recipe, question), right, "{question} on {}", recipe.name());
    }
}

#[test]
fn existence_is_asked_about_the_class_of_the_stream_or_of_the_other() {
    let suite =
        "[[ask]]\nconditions = [\"misaligned\"]\nquestions = [\"visual_exists\", \"visual_exists_other\"]\n";
    let put = Suite::from_toml(suite, "suite").unwrap().put(&sample(Recipe::Misaligned), &classes());
    let asked: Vec<_> = put.iter().map(|put| put.query.text(&classes(), &Wording::default())).collect();
    assert_eq!(
        asked,
        ["Is the Cat clearly visible in this video?", "Is the Rain clearly visible in this video?"]
    );
}

#[test]
fn a_caption_misleads_to_a_class_that_is_neither_seen_nor_heard_and_always_to_the_same() {
    let suite = Suite::of_classes(&[Condition::MisleadingCaption, Condition::LongContext]);
    let put = suite.put(&sample(Recipe::Aligned), &classes());
    assert_eq!(put.len(), 4);
    let wrong = |put: &Put| match &put.query {
        Query::MisleadingCaption { wrong, .. } => Some(wrong.clone()),
        _ => None,
    };
    let captions: Vec<_> = put.iter().filter_map(wrong).collect();
    assert_eq!(captions.len(), 2);
    assert!(captions.iter().all(|wrong| wrong != "Cat" && classes().contains(wrong)), "{captions:?}");
    assert_eq!(put, suite.put(&sample(Recipe::Aligned), &classes()));
    let alone = suite.put(&sample(Recipe::Aligned), &["Cat".to_owned()]);
    assert!(alone.iter().all(|put| wrong(put).is_none()), "no class is left to mislead to");
    assert!(
        suite.put(&sample(Recipe::Misaligned), &classes()).is_empty(),
        "both are asked of aligned samples"
    );
}

#[test]
fn what_has_no_right_answer_is_refused_by_name() {
    for (condition, question) in [
        ("mixup", "match"),
        ("aligned", "audio_exists_other"),
        ("frames_zeroed", "visual_exists"),
        ("long_context", "match"),
    ] {
        let text = format!("[[ask]]\nconditions = [\"{condition}\"]\nquestions = [\"{question}\"]\n");
        let error = Suite::from_toml(&text, "suite").unwrap_err();
        assert!(matches!(error, SuiteError::Pair { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(condition) && text.contains(question), "{text}");
    }
    let error = Suite::from_toml("ask = []", "suite").unwrap_err();
    assert_eq!(error, SuiteError::Empty { under: String::new() });
    let error =
        Suite::from_toml("[[ask]]\nconditions = [\"aligne\"]\nquestions = []\n", "suite").unwrap_err();
    assert!(error.to_string().contains("`aligne` is no condition: choose from aligned"), "{error}");
    assert!(Suite::from_toml("options = \"some\"\nask = []", "suite").is_err());
}

#[test]
fn options_are_those_found_or_all_or_listed() {
    let of = |options: &str| {
        let text = format!("{options}\n[[ask]]\nconditions = [\"aligned\"]\nquestions = [\"visual\"]\n");
        Suite::from_toml(&text, "suite").unwrap().options
    };
    assert_eq!(of(""), Options::Found);
    assert_eq!(of("options = \"all\""), Options::All);
    assert_eq!(of("options = [\"Cat\", \"Dog\"]"), Options::Listed(vec!["Cat".to_owned(), "Dog".to_owned()]));
}

#[test]
fn pairs_that_are_named_twice_are_asked_once() {
    let mut suite = Suite::of_classes(&[Condition::Recipe(RecipeName::Aligned)]);
    suite.ask.push(suite.ask[0].clone());
    assert_eq!(suite.pairs().len(), 2);
    assert!(suite.asks_of(RecipeName::Aligned) && !suite.asks_of(RecipeName::Mixup));
    let error = suite.under(&[Condition::LongContext]).unwrap_err().to_string();
    assert!(error.starts_with("the suite asks nothing under long_context:"), "{error}");
}

#[test]
fn answers_are_read_as_their_question_wants_them() {
    let reader = OptionReader::new(&classes());
    let class = Query::Class { stream: Stream::Audio };
    let named = |chosen: Chosen| [chosen.strict, chosen.first_mentioned, chosen.lenient];
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(named(read(&class, &reader, "rain.")), [some("Rain"), some("Rain"), some("Rain")]);
    assert_eq!(named(read(&class, &reader, "a cat by a door")), [None, some("Cat"), some("Door")]);
    assert_eq!(read(&class, &reader, "none of the above").strict, some("None of the above"));
    assert_eq!(named(read(&class, &reader, "gibberish")), [None, None, None]);
    assert_eq!(named(read(&Query::Match, &reader, "Yes.")), [some("yes"), some("yes"), some("yes")]);
    assert_eq!(named(read(&Query::Match, &reader, "No, they do not")), [None, some("no"), some("no")]);
    assert_eq!(named(read(&Query::Match, &reader, "Cat")), [None, None, None]);
    let thoughts = Query::ChainOfThought { stream: Stream::Visual };
    assert_eq!(
        named(read(&thoughts, &reader, "Rain? Final Answer: Cat")),
        [some("Cat"), some("Cat"), some("Cat")]
    );
}
