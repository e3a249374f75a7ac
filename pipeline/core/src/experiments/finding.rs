//! The findings in words, as far as the numbers carry them: a change counts where the 95 % interval of the difference
//! leaves out 0.

use counterpoint_messages::RecipeName;

use super::{ExperimentName, Group, Line, find};
use crate::questions::{NONE_OF_THE_ABOVE, Stream};

/// What the lines of an experiment say; nothing of what was not asked.
pub(super) fn findings(experiment: ExperimentName, lines: &[Line]) -> Vec<String> {
    let of_stream = |sentence: fn(&[Line], Stream) -> Option<String>| {
        [Stream::Audio, Stream::Visual].into_iter().filter_map(move |stream| sentence(lines, stream))
    };
    match experiment {
        ExperimentName::Ablations => of_stream(missing_stream).chain(of_stream(lone_stream)).collect(),
        ExperimentName::NoneOfTheAbove => {
            of_stream(abstention).chain(of_stream(price_of_the_option)).collect()
        }
        ExperimentName::CrossClass => of_stream(unseen_classes).chain(transfer(lines)).collect(),
        ExperimentName::Mixup => of_stream(added_sound).collect(),
    }
}

/// What a stream is called in sentences.
fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Visual => "picture",
        Stream::Audio => "sound",
    }
}

fn other(stream: Stream) -> Stream {
    match stream {
        Stream::Visual => Stream::Audio,
        Stream::Audio => Stream::Visual,
    }
}

/// The recipe that takes a stream away.
fn without(stream: Stream) -> RecipeName {
    match stream {
        Stream::Visual => RecipeName::FramesZeroed,
        Stream::Audio => RecipeName::AudioRemoved,
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A difference in percentage points, with its sign unless it is none.
fn points(difference: f64) -> String {
    let size = format!("{:.1}", 100.0 * difference.abs());
    match () {
        () if size == "0.0" => size,
        () if difference < 0.0 => format!("\u{2212}{size}"),
        () => format!("+{size}"),
    }
}

/// What tuning does to a line.
fn verdict(line: &Line) -> String {
    let size = points(line.change.difference);
    let [low, high] = line.change.interval;
    if line.change.gained == 0 && line.change.lost == 0 {
        "no answer changes".to_owned()
    } else if low > 0.0 {
        format!("a gain of {} points", size.trim_start_matches('+'))
    } else if high < 0.0 {
        format!("a loss of {} points", size.trim_start_matches('\u{2212}'))
    } else {
        format!("{size} points, which may be chance")
    }
}

/// A line before and after, and what that is worth.
fn told(line: &Line) -> String {
    format!(
        "{} before and {} after tuning ({})",
        percent(line.before.accuracy),
        percent(line.after.accuracy),
        verdict(line)
    )
}

/// Whether an accuracy is above chance by more than chance.
fn is_above_chance(interval: [f64; 2], chance: f64) -> bool {
    interval[0] > chance
}

/// What is answered about a stream that is not there, where a class has to be named.
fn missing_stream(lines: &[Line], stream: Stream) -> Option<String> {
    let question = ExperimentName::Ablations.question(stream);
    let line = find(lines, None, without(stream), question)?;
    let (this, that) = (name(stream), name(other(stream)));
    let stands_in = match (
        is_above_chance(line.before.interval, line.chance),
        is_above_chance(line.after.interval, line.chance),
    ) {
        (true, true) => format!("the {that} stands in for it, before and after"),
        (true, false) => format!("the {that} stands in for it before tuning only"),
        (false, true) => format!("the {that} stands in for it after tuning only"),
        (false, false) => format!("that the {that} stands in for it is not shown"),
    };
    Some(format!(
        "Asked about a {this} that is not there and held to the classes, the model names that of the {that} in {}; \
         chance is {}: {stands_in}.",
        told(line),
        percent(line.chance),
    ))
}

/// What a stream is worth by itself.
fn lone_stream(lines: &[Line], stream: Stream) -> Option<String> {
    let question = ExperimentName::Ablations.question(stream);
    let alone = find(lines, None, without(other(stream)), question)?;
    let whole = find(lines, None, RecipeName::Aligned, question)?;
    let (this, that) = (name(stream), name(other(stream)));
    let cost = |alone: f64, whole: f64| points(alone - whole);
    Some(format!(
        "Without the {that} the {this} question is answered right in {} before and {} after tuning: {} and {} points \
         against untouched clips.",
        percent(alone.before.accuracy),
        percent(alone.after.accuracy),
        cost(alone.before.accuracy, whole.before.accuracy),
        cost(alone.after.accuracy, whole.after.accuracy),
    ))
}

/// Whether the model owns that a stream is not there.
fn abstention(lines: &[Line], stream: Stream) -> Option<String> {
    let line = find(lines, None, without(stream), ExperimentName::NoneOfTheAbove.question(stream))?;
    let this = name(stream);
    Some(format!(
        "Asked about a {this} that is not there, the model chooses `{NONE_OF_THE_ABOVE}` in {}.",
        told(line)
    ))
}

/// What the option costs where there is something to name.
fn price_of_the_option(lines: &[Line], stream: Stream) -> Option<String> {
    let question = ExperimentName::NoneOfTheAbove.question(stream);
    let line = find(lines, None, RecipeName::Aligned, question)?;
    Some(format!(
        "With the option on offer, the {} of untouched clips is named right in {}.",
        name(stream),
        told(line)
    ))
}

/// Conflicts of classes that tuning showed and of those that it did not.
fn unseen_classes(lines: &[Line], stream: Stream) -> Option<String> {
    let question = ExperimentName::CrossClass.question(stream);
    let of = |group| find(lines, Some(group), RecipeName::Misaligned, question);
    let unseen = of(Group::Unseen)?;
    let seen = of(Group::Seen).map(|line| format!("; on those that it did, in {}", told(line)));
    Some(format!(
        "Where picture and sound disagree and the tuning learned from neither class, the {} question is answered \
         right in {}{}.",
        name(stream),
        told(unseen),
        seen.unwrap_or_default()
    ))
}

/// Whether the repair carries over to classes that tuning did not show.
fn transfer(lines: &[Line]) -> Option<String> {
    let gains = |group, stream| {
        let line =
            find(lines, Some(group), RecipeName::Misaligned, ExperimentName::CrossClass.question(stream))?;
        Some(line.change.interval[0] > 0.0)
    };
    let carried: Vec<(Stream, bool)> = [Stream::Audio, Stream::Visual]
        .into_iter()
        .filter_map(|stream| Some((stream, gains(Group::Unseen, stream)?)))
        .collect();
    let names: Vec<&str> =
        carried.iter().filter(|(_, gained)| *gained).map(|(stream, _)| name(*stream)).collect();
    match (carried.len(), names.as_slice()) {
        (0, _) => None,
        (_, []) => {
            Some("That the repair carries over to classes it did not learn from is not shown.".to_owned())
        }
        (_, [only]) => Some(format!(
            "The repair carries over to classes that it did not learn from for the {only} question; for the other it \
             is not shown."
        )),
        (..) => Some(
            "The repair carries over to classes that it did not learn from, for both questions.".to_owned(),
        ),
    }
}

/// What another sound over the clip's own does.
fn added_sound(lines: &[Line], stream: Stream) -> Option<String> {
    let line = find(lines, None, RecipeName::Mixup, ExperimentName::Mixup.question(stream))?;
    let named = match (line.before.other, line.after.other) {
        (Some(before), Some(after)) => {
            format!("; the added sound is named in {} before and {} after", percent(before), percent(after))
        }
        _ => String::new(),
    };
    Some(format!(
        "With another sound laid over the clip's own, the {} question is answered right in {}{named}.",
        name(stream),
        told(line)
    ))
}
