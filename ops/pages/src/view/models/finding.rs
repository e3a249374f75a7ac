//! The finding in words, as far as the numbers carry it.
//!
//! Accuracies under two conditions differ here where their 95 % intervals do not overlap. Before and after tuning the
//! same questions are asked, so there the interval of the difference decides, which sees more; where it is not known,
//! the overlap does.

use crate::{
    format::{points, share},
    report::{Change, Evaluation, Models},
    scores::ScoreRow,
};

/// The condition under which picture and sound disagree.
pub(super) const CONFLICT: &str = "misaligned";
/// The condition under which they agree.
const AGREEMENT: &str = "aligned";

/// What a stream is called in questions and in sentences.
pub(super) const STREAMS: [(&str, &str); 2] = [("audio", "sound"), ("visual", "picture")];

/// Two sentences a stream: the accuracies, and what they amount to.
pub(super) fn findings(models: &Models) -> Vec<String> {
    STREAMS.iter().flat_map(|(question, stream)| finding(models, question, stream)).collect()
}

fn finding(models: &Models, question: &str, stream: &str) -> Vec<String> {
    let pair = |condition| {
        let row = |evaluation: &Option<Evaluation>| {
            evaluation.as_ref().and_then(|evaluation| find(evaluation, condition, question)).cloned()
        };
        (row(&models.before), row(&models.after))
    };
    let (conflict, agreement) = (pair(CONFLICT), pair(AGREEMENT));
    let Some(numbers) = numbers(stream, &conflict, &agreement) else { return Vec::new() };
    let change = |condition| {
        models.changes.iter().find(|change| change.condition == condition && change.question == question)
    };
    let verdicts = [
        collapse(&conflict.0, &agreement.0),
        repair(&conflict, change(CONFLICT), &agreement.0),
        cost(&agreement, change(AGREEMENT)),
    ];
    let verdict = verdicts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let sentences = [numbers, verdict];
    sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect()
}

/// The row of a condition and question.
pub(super) fn find<'a>(evaluation: &'a Evaluation, condition: &str, question: &str) -> Option<&'a ScoreRow> {
    evaluation.rows.iter().find(|row| row.condition == condition && row.question == question)
}

/// A row before and after.
type Pair = (Option<ScoreRow>, Option<ScoreRow>);

fn numbers(stream: &str, conflict: &Pair, agreement: &Pair) -> Option<String> {
    let strict = |row: &Option<ScoreRow>| row.as_ref().map(|row| share(row.strict));
    let asked = format!("Asked about the {stream} of clips whose sound was swapped,");
    let told = match (strict(&conflict.0), strict(&conflict.1)) {
        (Some(before), Some(after)) => {
            format!("{asked} the base model is right in {before}; after tuning in {after}")
        }
        (Some(before), None) => format!("{asked} the base model is right in {before}"),
        (None, Some(after)) => format!("{asked} the tuned model is right in {after}"),
        (None, None) => return None,
    };
    let untouched = match (strict(&agreement.0), strict(&agreement.1)) {
        (Some(before), Some(after)) => format!("; on untouched clips {before} and {after}"),
        (Some(before), None) => format!("; on untouched clips the base model in {before}"),
        (None, Some(after)) => format!("; on untouched clips the tuned model in {after}"),
        (None, None) => String::new(),
    };
    Some(format!("{told}{untouched}."))
}

/// Whether the first is above the second by more than chance.
fn is_above(first: &ScoreRow, second: &ScoreRow) -> bool {
    first.interval[0] > second.interval[1]
}

/// The size of a difference in words.
fn size(difference: f64) -> String {
    format!("{} points", points(difference.abs()).trim_start_matches('+'))
}

/// Whether the base model gives way where the streams disagree.
fn collapse(conflict: &Option<ScoreRow>, agreement: &Option<ScoreRow>) -> Option<String> {
    let (conflict, agreement) = (conflict.as_ref()?, agreement.as_ref()?);
    let lost = size(agreement.strict - conflict.strict);
    Some(if is_above(agreement, conflict) {
        format!("The conflict costs the base model {lost}.")
    } else if is_above(conflict, agreement) {
        format!("The base model is better under the conflict, by {lost}.")
    } else {
        "That the conflict costs the base model anything is not shown: the intervals overlap.".to_owned()
    })
}

/// What tuning does to an accuracy.
enum Effect {
    /// It is higher, by more than chance.
    Gain(String),
    /// It is lower, by more than chance.
    Loss(String),
    /// It may be the same.
    Unclear(String),
}

fn effect(before: &ScoreRow, after: &ScoreRow, change: Option<&Change>) -> Effect {
    let [low, high] = match change {
        Some(change) => change.interval,
        // The ends that two intervals turn to each other: both on one side of 0 where they do not overlap.
        None => [after.interval[0] - before.interval[1], after.interval[1] - before.interval[0]],
    };
    let difference = change.map_or(after.strict - before.strict, |change| change.difference);
    if low > 0.0 {
        Effect::Gain(size(difference))
    } else if high < 0.0 {
        Effect::Loss(size(difference))
    } else {
        Effect::Unclear(format!("{} points", points(difference)))
    }
}

/// Whether tuning wins back what the conflict costs.
fn repair((before, after): &Pair, change: Option<&Change>, agreement: &Option<ScoreRow>) -> Option<String> {
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    let was_lost = agreement.as_ref().is_some_and(|agreement| is_above(agreement, before));
    Some(match effect(before, after, change) {
        Effect::Gain(size) => {
            let verb = if was_lost { "wins back" } else { "adds" };
            let apart = if is_above(after, before) { "are disjoint" } else { "still overlap" };
            format!("Tuning {verb} {size}; the intervals before and after {apart}.")
        }
        Effect::Loss(size) => format!("Tuning makes it worse, by {size}."),
        Effect::Unclear(points) => {
            let verb = if was_lost { "repairs" } else { "changes" };
            format!("That tuning {verb} anything is not shown: {points} may be chance.")
        }
    })
}

/// What tuning costs where the streams agree.
fn cost((before, after): &Pair, change: Option<&Change>) -> Option<String> {
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    Some(match effect(before, after, change) {
        Effect::Gain(size) => format!("On untouched clips it adds {size}."),
        Effect::Loss(size) => format!("On untouched clips it costs {size}."),
        Effect::Unclear(points) => format!("On untouched clips no cost is shown: {points} may be chance."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(condition: &str, strict: f64) -> ScoreRow {
        let interval = [(strict - 0.02).max(0.0), (strict + 0.02).min(1.0)];
        let (condition, question) = (condition.to_owned(), "audio".to_owned());
        ScoreRow { condition, question, n: 500, strict, interval, ..ScoreRow::default() }
    }

    fn evaluation(aligned: f64, misaligned: f64) -> Option<Evaluation> {
        let rows = vec![row("aligned", aligned), row("misaligned", misaligned)];
        Some(Evaluation { rows, ..Evaluation::default() })
    }

    fn said(before: Option<Evaluation>, after: Option<Evaluation>) -> String {
        findings(&Models { before, after, ..Models::default() }).join(" ").replace('\u{a0}', " ")
    }

    #[test]
    fn a_collapse_and_its_repair_are_told_in_numbers_and_words() {
        assert_eq!(
            said(evaluation(0.99, 0.146), evaluation(0.985, 0.97)),
            "Asked about the sound of clips whose sound was swapped, the base model is right in 14.6 %; after \
             tuning in 97.0 %; on untouched clips 99.0 % and 98.5 %. The conflict costs the base model 84.4 points. \
             Tuning wins back 82.4 points; the intervals before and after are disjoint. On untouched clips no cost is \
             shown: \u{2212}0.5 points may be chance."
        );
    }

    #[test]
    fn a_finding_that_does_not_hold_is_told_as_one() {
        let nothing = said(evaluation(0.9, 0.89), evaluation(0.91, 0.9));
        assert!(nothing.contains("costs the base model anything is not shown"), "{nothing}");
        assert!(
            nothing.contains("That tuning changes anything is not shown: +1.0 points may be chance"),
            "{nothing}"
        );
        let unrepaired = said(evaluation(0.9, 0.4), evaluation(0.9, 0.41));
        assert!(unrepaired.contains("That tuning repairs anything is not shown"), "{unrepaired}");
        let worse = said(evaluation(0.9, 0.4), evaluation(0.6, 0.2));
        assert!(worse.contains("Tuning makes it worse, by 20.0 points."), "{worse}");
        assert!(worse.contains("On untouched clips it costs 30.0 points."), "{worse}");
        let odd = said(evaluation(0.4, 0.6), evaluation(0.7, 0.8));
        assert!(odd.contains("better under the conflict, by 20.0 points"), "{odd}");
        assert!(odd.contains("Tuning adds 20.0 points") && odd.contains("it adds 30.0 points"), "{odd}");
    }

    #[test]
    fn the_interval_of_the_difference_decides_where_it_is_known() {
        let change = |interval| Change {
            condition: "misaligned".to_owned(),
            question: "audio".to_owned(),
            difference: 0.02,
            interval,
        };
        let models = |interval| Models {
            before: evaluation(0.9, 0.4),
            after: evaluation(0.9, 0.42),
            changes: vec![change(interval)],
            ..Models::default()
        };
        let told = |interval| findings(&models(interval)).join(" ");
        let clear = told([0.005, 0.035]);
        assert!(
            clear.contains("Tuning wins back 2.0 points; the intervals before and after still overlap."),
            "{clear}"
        );
        let open = told([-0.005, 0.045]);
        assert!(
            open.contains("That tuning repairs anything is not shown: +2.0 points may be chance."),
            "{open}"
        );
    }

    #[test]
    fn half_of_the_numbers_make_half_of_the_sentence() {
        assert_eq!(
            said(evaluation(0.9, 0.4), None),
            "Asked about the sound of clips whose sound was swapped, the base model is right in 40.0 %; on untouched \
             clips the base model in 90.0 %. The conflict costs the base model 50.0 points."
        );
        assert!(said(None, evaluation(0.9, 0.4)).starts_with("Asked about the sound"));
        let only_aligned = Evaluation { rows: vec![row("aligned", 0.9)], ..Evaluation::default() };
        assert_eq!(said(Some(only_aligned), None), "");
        assert_eq!(said(None, None), "");
    }
}
