//! What came through the gate of a demo's pipeline, held against how its clips were made.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use counterpoint_actors::projection::Projection;
use counterpoint_core::corpus::{Corpus, Fault};
use counterpoint_messages::StageName;
use counterpoint_pages::report::{Judged, Passed, Planted};

use crate::{
    args::Common,
    commands::demo::MadeOf,
    context::ExistingRun,
    output::{Failure, say, thousands},
};

/// What came through the gate of a run on such a corpus, by how the clips were made.
pub(super) fn judged(made_of: &MadeOf, out: &Path, common: &Common) -> Result<Judged, Failure> {
    let projection = actix::System::new().block_on(async {
        let ExistingRun { log, revision } = ExistingRun::open(common, out).await?;
        let projection = Projection::of(&*log, &revision).await.map_err(anyhow::Error::from)?;
        Ok::<_, Failure>(projection)
    })?;
    Ok(by_fault(&made_of.plan(), &verdicts(&projection)))
}

/// Source videos of the clips that came to the gate, and whether it let them through.
fn verdicts(projection: &Projection) -> BTreeMap<&str, bool> {
    let accepted: BTreeSet<_> = projection.accepted.iter().collect();
    let passed = projection.curated.iter().filter(|curated| accepted.contains(&curated.clip.id));
    let lost = projection.rejected.iter().filter(|rejected| rejected.stage == StageName::Gate);
    let passed = passed.map(|curated| (curated.clip.video.as_str(), true));
    passed.chain(lost.map(|rejected| (rejected.video.as_str(), false))).collect()
}

fn by_fault(corpus: &Corpus, verdicts: &BTreeMap<&str, bool>) -> Judged {
    let passed = |fault: Option<Fault>| {
        let clips = corpus.clips.iter().filter(|clip| clip.script.fault == fault);
        // Those that lists name wrongly have not come so far.
        let verdicts = clips.filter_map(|clip| verdicts.get(clip.file_stem.as_str()));
        verdicts.fold(Passed::default(), |sum, is_accepted| Passed {
            accepted: sum.accepted + u64::from(*is_accepted),
            of: sum.of + 1,
        })
    };
    let planted =
        Fault::ALL.map(|fault| Planted { fault: fault.as_str().to_owned(), passed: passed(Some(fault)) });
    Judged { good: passed(None), planted: planted.into() }
}

/// Says what gate and judge let through, and whether that can be built upon.
pub(super) fn say_what_passed(judged: &Judged) {
    let told = |Passed { accepted, of }: Passed, clips: &str| {
        let share = 100.0 * accepted as f64 / of.max(1) as f64;
        format!("{} of {} {clips} ({share:.1} %)", thousands(accepted), thousands(of))
    };
    let (good, bad) = (told(judged.good, "good clips"), told(judged.bad(), "with a planted fault"));
    let warning = if judged.loses_most() {
        ". Of the good ones these are fewer than half: the judge does not know its classes, and all that follows \
         rests on few clips"
    } else {
        ""
    };
    say(&format!("let through: {good}, {bad}{warning}"));
}

#[cfg(test)]
mod tests {
    use counterpoint_core::corpus::ClipFormat;

    use super::*;

    #[test]
    fn what_came_through_is_told_by_how_it_was_made() {
        let corpus = Corpus::plan(5, 2, ClipFormat::default());
        let of_fault = |fault| {
            let clips = corpus.clips.iter().filter(move |clip| clip.script.fault == fault);
            clips.map(|clip| clip.file_stem.as_str()).collect::<Vec<_>>()
        };
        let (good, wrong) = (of_fault(None), of_fault(Some(Fault::WrongSound)));
        // One that was given up on before the gate is in no count.
        let mut verdicts: BTreeMap<&str, bool> =
            good[..16].iter().map(|video| (*video, *video != good[3])).collect();
        verdicts.extend([(wrong[0], true), (wrong[1], false), (of_fault(Some(Fault::Black))[0], false)]);
        let judged = by_fault(&corpus, &verdicts);
        assert_eq!(judged.good, Passed { accepted: 15, of: 16 });
        let planted: Vec<_> = judged
            .planted
            .iter()
            .map(|planted| (planted.fault.as_str(), planted.passed.accepted, planted.passed.of))
            .collect();
        assert_eq!(planted, [("silent", 0, 0), ("black", 0, 1), ("static", 0, 0), ("wrong_sound", 1, 2)]);
        assert_eq!((judged.bad(), judged.loses_most()), (Passed { accepted: 1, of: 3 }, false));
    }
}
