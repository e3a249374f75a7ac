use counterpoint_messages::{Chosen, ContentHash, Split, Tokens};

use super::*;

const CLASSES: [&str; 4] = ["Bird", "Cat", "Door", "Rain"];

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// An answer about a sample of this number, a video of its own.
fn answer(
    number: u8,
    recipe: RecipeName,
    question: QuestionName,
    seen: Option<&str>,
    heard: &[&str],
    expected: &str,
    named: &str,
) -> AnswerGiven {
    let named = (!named.is_empty()).then(|| named.to_owned());
    AnswerGiven {
        id: RecordId([number; 16]),
        sample: RecordId([number; 16]),
        video: format!("video{number}"),
        split: Split::Eval,
        recipe,
        class_seen: seen.map(str::to_owned),
        classes_heard: owned(heard),
        condition: recipe.as_str().to_owned(),
        question: question.as_str().to_owned(),
        expected: expected.to_owned(),
        text: named.clone(),
        problem: None,
        chosen: Chosen { strict: named.clone(), first_mentioned: named.clone(), lenient: named },
        option_scores: None,
        yes_probability: None,
        tokens: Tokens::default(),
        latency_ms: 0,
        requests: 0,
        cost_usd: None,
        model: String::new(),
        identity: String::new(),
        evaluation: ContentHash([0; 32]),
        sample_trace: None,
        trace: None,
    }
}

const AUDIO: QuestionName = QuestionName::Class(Stream::Audio);

/// Answers about so many samples under a second sound, of which the first are right and the others name that sound.
fn mixed(n: u8, right: u8) -> Vec<AnswerGiven> {
    let one = |number| {
        let named = if number < right { "Cat" } else { "Rain" };
        answer(number, RecipeName::Mixup, AUDIO, Some("Cat"), &["Cat", "Rain"], "Cat", named)
    };
    (0..n).map(one).collect()
}

fn experiment(name: ExperimentName, before: &[AnswerGiven], after: &[AnswerGiven]) -> Experiment {
    let answers = Answers { before, after, on_all: None, halves: None, classes: CLASSES.len() };
    Experiment::of(name, Vec::new(), &answers, Vec::new())
}

#[test]
fn every_experiment_asks_what_has_a_right_answer_and_is_known_by_its_name() {
    for name in ExperimentName::ALL {
        let suite = name.suite();
        assert_eq!(suite.check(), Ok(()), "{name}");
        assert!(
            suite.pairs().contains(&(Condition::Recipe(RecipeName::Aligned), name.question(Stream::Audio)))
        );
        assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
    }
    assert_eq!(ExperimentName::NoneOfTheAbove.suite().pairs().len(), 6);
    assert_eq!(ExperimentName::CrossClass.suite().pairs().len(), 4);
}

#[test]
fn a_line_counts_what_both_models_answered_and_what_else_of_the_sample_they_named() {
    let before = mixed(10, 8);
    let mut after = mixed(10, 2);
    after[9].text = None;
    after[9].chosen = Chosen::default();
    let found = experiment(ExperimentName::Mixup, &before, &after);
    let line = found.line(None, RecipeName::Mixup, AUDIO).unwrap();
    assert_eq!((line.before.n, line.before.missing, line.after.missing), (10, 0, 1));
    assert_eq!((line.before.accuracy, line.after.accuracy), (0.8, 0.2));
    assert_eq!((line.before.other, line.after.other), (Some(0.2), Some(0.7)));
    assert_eq!((line.change.n, line.change.gained, line.change.lost), (10, 0, 6));
    assert_eq!(line.chance, 0.25);
    assert_eq!(found.lines.len(), 1, "what was not asked has no line");
    assert_eq!(
        found.findings,
        [
            "With another sound laid over the clip's own, the sound question is answered right in 80.0 % before and \
          20.0 % after tuning (a loss of 60.0 points); the added sound is named in 20.0 % before and 70.0 % after."
        ]
    );
}

#[test]
fn a_change_is_called_one_only_where_its_interval_leaves_out_none() {
    let told = |before, after| {
        experiment(ExperimentName::Mixup, &mixed(20, before), &mixed(20, after)).findings[0].clone()
    };
    assert!(told(2, 18).contains("(a gain of 80.0 points)"), "{}", told(2, 18));
    assert!(told(10, 11).contains("(+5.0 points, which may be chance)"), "{}", told(10, 11));
    assert!(told(11, 10).contains("(\u{2212}5.0 points, which may be chance)"), "{}", told(11, 10));
    assert!(told(10, 10).contains("(no answer changes)"), "{}", told(10, 10));
}

#[test]
fn a_stream_that_is_not_there_is_answered_for_by_the_other_or_owned_to_be_missing() {
    let none = crate::questions::NONE_OF_THE_ABOVE;
    let about = |question, expected: &'static str, right: u8| -> Vec<AnswerGiven> {
        let named = move |number| if number < right { expected } else { "Door" };
        let one = |number| {
            answer(number, RecipeName::FramesZeroed, question, None, &["Rain"], expected, named(number))
        };
        (0..20).map(one).collect()
    };
    let forced = |before, after| {
        let question = QuestionName::Class(Stream::Visual);
        experiment(
            ExperimentName::Ablations,
            &about(question, "Rain", before),
            &about(question, "Rain", after),
        )
    };
    let told = forced(20, 5).findings;
    assert!(told[0].starts_with("Asked about a picture that is not there and held to the classes, the model names that of the sound in 100.0 %"), "{told:?}");
    assert!(
        told[0].ends_with("chance is 25.0 %: the sound stands in for it before tuning only."),
        "{told:?}"
    );
    assert!(forced(20, 18).findings[0].ends_with("before and after."));
    assert!(forced(5, 5).findings[0].ends_with("that the sound stands in for it is not shown."));

    let question = QuestionName::Abstention(Stream::Visual);
    let free =
        experiment(ExperimentName::NoneOfTheAbove, &about(question, none, 0), &about(question, none, 16));
    assert_eq!(free.lines[0].chance, 0.2, "the option is one more");
    assert_eq!(
        free.findings,
        [
            "Asked about a picture that is not there, the model chooses `None of the above` in 0.0 % before and 80.0 % \
          after tuning (a gain of 80.0 points)."
        ]
    );
    // To name what is heard, asked about what is seen, is to be drawn away.
    let heard = vec![answer(1, RecipeName::FramesZeroed, question, None, &["Rain"], none, "Rain")];
    assert_eq!(experiment(ExperimentName::NoneOfTheAbove, &heard, &heard).lines[0].before.other, Some(1.0));
}

#[test]
fn halves_are_drawn_by_the_seed_alone_and_differ_by_it() {
    let classes: Vec<String> = (0..9).map(|number| format!("class{number}")).collect();
    let drawn = Halves::draw(&classes, 1).unwrap();
    let mut turned = classes.clone();
    turned.reverse();
    assert_eq!(Halves::draw(&turned, 1).unwrap(), drawn);
    assert_eq!((drawn.seen.len(), drawn.unseen.len()), (4, 5));
    assert!(drawn.seen.is_disjoint(&drawn.unseen));
    let others: BTreeSet<_> = (2..20).map(|seed| Halves::draw(&classes, seed).unwrap().seen).collect();
    assert!(others.len() > 5, "{others:?}");
    assert_eq!(Halves::draw(&classes[..3], 1), Err(HalvesError::TooFew { count: 3 }));
}

#[test]
fn halves_that_are_named_have_to_be_classes_and_to_leave_some() {
    let classes = owned(&CLASSES);
    let seen = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let found = Halves::of(&classes, &seen(&["Rain", "Cat"])).unwrap();
    assert_eq!(found.unseen, seen(&["Bird", "Door"]));
    assert_eq!(Halves::of(&classes, &seen(&["Cat"])), Err(HalvesError::Uneven { seen: 1, count: 4 }));
    assert_eq!(
        Halves::of(&classes, &seen(&["Cat", "Rain", "Door"])),
        Err(HalvesError::Uneven { seen: 3, count: 4 })
    );
    let error = Halves::of(&classes, &seen(&["Cat", "Dog"])).unwrap_err().to_string();
    assert_eq!(error, "the run has no samples of class Dog: it has Bird, Cat, Door, Rain");
}

#[test]
fn samples_are_parted_by_whether_tuning_learned_from_both_their_classes_one_or_none() {
    let seen = ["Bird", "Cat"].map(str::to_owned).into_iter().collect();
    let halves = Halves::of(&owned(&CLASSES), &seen).unwrap();
    let pairs = [("Bird", "Cat"), ("Door", "Rain"), ("Bird", "Rain"), ("Rain", "Bird")];
    let groups = [Group::Seen, Group::Unseen, Group::Mixed, Group::Mixed];
    let conflict = |number: u8, named: fn(&str, &str) -> String| {
        let (picture, sound) = pairs[usize::from(number) % 4];
        let named = named(picture, sound);
        answer(number, RecipeName::Misaligned, AUDIO, Some(picture), &[sound], sound, &named)
    };
    for (number, group) in (0..4).zip(groups) {
        assert_eq!(halves.group(&conflict(number, |_, _| String::new())), group, "{number}");
    }
    let looks: Vec<_> = (0..80).map(|number| conflict(number, |picture, _| picture.to_owned())).collect();
    let listens: Vec<_> = (0..80).map(|number| conflict(number, |_, sound| sound.to_owned())).collect();
    let answers = Answers {
        before: &looks,
        after: &listens,
        on_all: Some(&listens),
        halves: Some(&halves),
        classes: 4,
    };
    let found = Experiment::of(ExperimentName::CrossClass, Vec::new(), &answers, Vec::new());
    let counted: Vec<_> =
        found.lines.iter().map(|line| (line.group, line.before.n, line.change.difference)).collect();
    assert_eq!(
        counted,
        [(Some(Group::Seen), 20, 1.0), (Some(Group::Unseen), 20, 1.0), (Some(Group::Mixed), 40, 1.0)]
    );
    assert!(found.lines.iter().all(|line| line.on_all.is_some_and(|on_all| on_all.accuracy == 1.0)));
    assert_eq!(
        found.findings[0],
        "Where picture and sound disagree and the tuning learned from neither class, the sound question is answered \
         right in 0.0 % before and 100.0 % after tuning (a gain of 100.0 points); on those that it did, in 0.0 % \
         before and 100.0 % after tuning (a gain of 100.0 points)."
    );

    // A repair of what was learned alone is no transfer.
    let partly: Vec<_> = looks
        .iter()
        .zip(&listens)
        .map(
            |(looks, listens)| {
                if halves.group(looks) == Group::Seen { listens.clone() } else { looks.clone() }
            },
        )
        .collect();
    let answers = Answers { after: &partly, on_all: None, ..answers };
    let found = Experiment::of(ExperimentName::CrossClass, Vec::new(), &answers, Vec::new());
    assert_eq!(
        found.findings[1],
        "That the repair carries over to classes it did not learn from is not shown."
    );
    let read: Experiment = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(read, found);
}
