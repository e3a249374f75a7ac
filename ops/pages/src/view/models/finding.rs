//! The finding in words, as far as the numbers carry it.
//!
//! Two accuracies differ here where their 95 % intervals do not overlap. That asks for more than a test of the
//! difference would, so that what the page claims stands.

use crate::{
    format::{points, share},
    report::{Evaluation, Models},
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
    let verdicts = [collapse(&conflict.0, &agreement.0), repair(&conflict, &agreement.0), cost(&agreement)];
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
fn by(first: &ScoreRow, second: &ScoreRow) -> String {
    let size = points((first.strict - second.strict).abs());
    format!("{} points", size.trim_start_matches('+'))
}

/// Whether the base model gives way where the streams disagree.
fn collapse(conflict: &Option<ScoreRow>, agreement: &Option<ScoreRow>) -> Option<String> {
    let (conflict, agreement) = (conflict.as_ref()?, agreement.as_ref()?);
    Some(if is_above(agreement, conflict) {
        format!("The conflict costs the base model {}.", by(agreement, conflict))
    } else if is_above(conflict, agreement) {
        format!("The base model is better under the conflict, by {}.", by(conflict, agreement))
    } else {
        "The base model does not give way to the conflict: the intervals overlap.".to_owned()
    })
}

/// Whether tuning changes that.
fn repair((before, after): &Pair, agreement: &Option<ScoreRow>) -> Option<String> {
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    let is_back = agreement.as_ref().is_some_and(|agreement| is_above(agreement, before));
    Some(if is_above(after, before) {
        let verb = if is_back { "wins back" } else { "adds" };
        format!("Tuning {verb} {}, and the intervals are disjoint.", by(after, before))
    } else if is_above(before, after) {
        format!("Tuning makes it worse, by {}.", by(before, after))
    } else {
        let repaired = if is_back { "repairs nothing" } else { "changes nothing" };
        format!("Tuning {repaired} that is more than chance: the intervals overlap.")
    })
}

/// What tuning costs where the streams agree.
fn cost((before, after): &Pair) -> Option<String> {
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    Some(if is_above(before, after) {
        format!("On untouched clips it costs {}.", by(before, after))
    } else if is_above(after, before) {
        format!("On untouched clips it adds {}.", by(after, before))
    } else {
        format!(
            "On untouched clips it costs nothing that is more than chance ({} points).",
            points(after.strict - before.strict)
        )
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
             Tuning wins back 82.4 points, and the intervals are disjoint. On untouched clips it costs nothing that \
             is more than chance (\u{2212}0.5 points)."
        );
    }

    #[test]
    fn a_finding_that_does_not_hold_is_told_as_one() {
        let nothing = said(evaluation(0.9, 0.89), evaluation(0.91, 0.9));
        assert!(nothing.contains("does not give way to the conflict"), "{nothing}");
        assert!(nothing.contains("Tuning changes nothing that is more than chance"), "{nothing}");
        let unrepaired = said(evaluation(0.9, 0.4), evaluation(0.9, 0.41));
        assert!(unrepaired.contains("Tuning repairs nothing"), "{unrepaired}");
        let worse = said(evaluation(0.9, 0.4), evaluation(0.6, 0.2));
        assert!(worse.contains("Tuning makes it worse, by 20.0 points."), "{worse}");
        assert!(worse.contains("On untouched clips it costs 30.0 points."), "{worse}");
        let odd = said(evaluation(0.4, 0.6), evaluation(0.7, 0.8));
        assert!(odd.contains("better under the conflict, by 20.0 points"), "{odd}");
        assert!(odd.contains("Tuning adds 20.0 points") && odd.contains("it adds 30.0 points"), "{odd}");
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
