use counterpoint_messages::StageName;
use serde::Serialize;

use crate::{
    PageError, Report,
    format::{count, decimal, percent},
    plot::{Caption, FunnelStep, funnel},
    report::{Funnel, LabelListFacts, PublishedSplit},
    words,
};

/// Labels a segment has on average, as published in appendix A.
const PUBLISHED_LABELS: &str = "2.7";

/// How far the clips came.
#[derive(Debug, Serialize)]
pub(super) struct FunnelView {
    empty: bool,
    plot: String,
    stages: Vec<StageLoss>,
    lists: Vec<ListRow>,
    published_labels: &'static str,
}

/// What one stage took away.
#[derive(Debug, Serialize)]
struct StageLoss {
    stage: &'static str,
    does: &'static str,
    before: u64,
    after: u64,
    reasons: Vec<ReasonRow>,
    dead: u64,
    /// Neither rejected nor dead nor through: still on the way when the report was made.
    waiting: u64,
}

#[derive(Debug, Serialize)]
struct ReasonRow {
    name: &'static str,
    sentence: &'static str,
    clips: u64,
    share: String,
}

/// A label list, or the published figures beside it.
#[derive(Debug, Serialize)]
struct ListRow {
    name: String,
    segments: u64,
    labels_per_segment: String,
    curated: u64,
    kept: String,
    published: Option<PublishedRow>,
}

#[derive(Debug, Serialize)]
struct PublishedRow {
    name: &'static str,
    segments: u64,
    kept_segments: u64,
    kept: String,
}

impl FunnelView {
    pub(super) fn of(report: &Report) -> Result<Self, PageError> {
        let funnel = &report.funnel;
        Ok(Self {
            empty: funnel.found == 0,
            plot: plot(funnel)?,
            stages: stages(funnel),
            lists: report.lists.iter().map(list).collect(),
            published_labels: PUBLISHED_LABELS,
        })
    }
}

fn plot(clips: &Funnel) -> Result<String, PageError> {
    let steps = [
        ("Found", clips.found),
        ("Labelled", clips.labelled),
        ("One class", clips.curated),
        ("Decoded", clips.decoded),
        ("Accepted", clips.accepted),
        ("Composed", clips.composed),
    ];
    let description = steps.map(|(label, reached)| format!("{label}: {}", count(reached))).join("; ");
    let steps = steps.map(|(label, reached)| FunnelStep { label: label.to_owned(), reached });
    let caption =
        Caption { id: "plot-funnel", title: "Clips that reached each step", description: &description };
    Ok(funnel(caption, &steps)?)
}

fn stages(funnel: &Funnel) -> Vec<StageLoss> {
    let steps = [
        (StageName::Source, funnel.found, funnel.labelled),
        (StageName::Curator, funnel.labelled, funnel.curated),
        (StageName::Decoder, funnel.curated, funnel.decoded),
        (StageName::Gate, funnel.decoded, funnel.accepted),
        (StageName::Composer, funnel.accepted, funnel.composed),
    ];
    steps.into_iter().map(|(stage, before, after)| stage_loss(funnel, stage, before, after)).collect()
}

fn stage_loss(funnel: &Funnel, stage: StageName, before: u64, after: u64) -> StageLoss {
    let mut rejected: Vec<_> =
        funnel.rejected.iter().filter(|row| row.stage == stage && row.clips > 0).collect();
    rejected.sort_by_key(|row| (std::cmp::Reverse(row.clips), row.reason));
    let dead = funnel.dead_letters.get(&stage).copied().unwrap_or(0);
    let gone = rejected.iter().fold(dead, |sum, row| sum.saturating_add(row.clips));
    StageLoss {
        stage: stage.as_str(),
        does: words::stage(stage),
        before,
        after,
        reasons: rejected
            .into_iter()
            .map(|row| ReasonRow {
                name: row.reason.as_str(),
                sentence: words::reject_reason(row.reason),
                clips: row.clips,
                share: percent(row.clips, before),
            })
            .collect(),
        dead,
        waiting: before.saturating_sub(after).saturating_sub(gone),
    }
}

fn list(facts: &LabelListFacts) -> ListRow {
    let labels = facts.labels as f64 / facts.segments.max(1) as f64;
    ListRow {
        name: facts.path.clone(),
        segments: facts.segments,
        labels_per_segment: decimal(labels),
        curated: facts.curated,
        kept: percent(facts.curated, facts.segments),
        published: facts.published.map(published),
    }
}

/// Table 1 of appendix B: before and after the automatic filtering.
fn published(split: PublishedSplit) -> PublishedRow {
    let (name, segments, kept_segments) = match split {
        PublishedSplit::TrainUnbalanced => ("train_unbalanced", 2_041_789, 182_970),
        PublishedSplit::TrainBalanced => ("train_balanced", 22_160, 3_892),
        PublishedSplit::Eval => ("evalsplit", 20_371, 3_518),
    };
    PublishedRow { name, segments, kept_segments, kept: percent(kept_segments, segments) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use counterpoint_messages::RejectReason;

    use super::*;
    use crate::report::RejectCount;

    fn reject(reason: RejectReason, clips: u64) -> RejectCount {
        RejectCount { stage: StageName::Decoder, reason, clips }
    }

    #[test]
    fn what_is_neither_through_nor_rejected_nor_dead_is_on_the_way() {
        let funnel = Funnel {
            rejected: vec![reject(RejectReason::TooShort, 3), reject(RejectReason::NoSound, 4)],
            dead_letters: BTreeMap::from([(StageName::Decoder, 2)]),
            ..Funnel::default()
        };
        let loss = stage_loss(&funnel, StageName::Decoder, 20, 10);
        assert_eq!(loss.waiting, 1);
        assert_eq!(loss.reasons[0].name, "no_sound");
        assert_eq!(stage_loss(&funnel, StageName::Gate, 10, 10).waiting, 0);
    }

    #[test]
    fn counts_that_do_not_add_up_do_not_underflow() {
        let funnel = Funnel { rejected: vec![reject(RejectReason::TooShort, 30)], ..Funnel::default() };
        assert_eq!(stage_loss(&funnel, StageName::Decoder, 20, 25).waiting, 0);
    }
}
