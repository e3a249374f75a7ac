//! `status`: how far the pipeline is, or the way of one clip.

mod live;
mod waiting;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
};

use counterpoint_actors::{
    format,
    later::LaterRecord,
    projection::{Projection, Summary},
};
use counterpoint_core::identity::ClipName;
use counterpoint_core::questions::Probe;
use counterpoint_log::{Group, TopicLog};
use counterpoint_messages::{ClipFound, Message, RecordId, Topic};
use futures::TryStreamExt;
use serde::Serialize;

use self::waiting::{Waiting, waiting};
use crate::{
    args::{self, Common},
    commands::topics::level_line,
    config::Config,
    context::{Classification, ExistingRun},
    output::{Failure, Outcome, print, print_json, thousands},
};

/// A step of a clip's way.
#[derive(Debug, Serialize)]
struct Step {
    topic: String,
    position: u64,
    written_ms: i64,
    trace: Option<String>,
    what: String,
}

#[derive(Serialize)]
struct Stage {
    stage: &'static str,
    /// Records to read; none where the stage has not begun.
    lag: Option<u64>,
    holder: Option<String>,
}

/// The ways of some clips in the current revision.
#[derive(Default, Serialize)]
struct Ways {
    clips: BTreeMap<String, Vec<Step>>,
    steps_of_older_revisions: u64,
    /// Where there is no clip: rows of the label lists that name it.
    waiting: Vec<Waiting>,
}

#[derive(Serialize)]
struct Status<'a> {
    revision: u64,
    stages: Vec<Stage>,
    format_level: u16,
    /// Records that only a later release can read, one a partition, at which the stage that reads it waits.
    paused: Vec<String>,
    summary: &'a Summary,
}

pub fn run(arguments: &args::Status, common: &Common) -> Outcome {
    if arguments.audit {
        return super::audit::run(&arguments.out, common);
    }
    if let Some(port) = arguments.serve {
        return live::run(port, arguments, common);
    }
    actix::System::new().block_on(async {
        let run = ExistingRun::open(common, &arguments.out).await?;
        match &arguments.clip {
            Some(clip) => one(&run, clip, &arguments.out, common).await,
            None => all(&run, &arguments.out, common).await,
        }
    })
}

async fn all(run: &ExistingRun, out: &Path, common: &Common) -> Outcome {
    let projection = Projection::of(&*run.log, &run.revision).await.map_err(anyhow::Error::from)?;
    let groups = run.log.groups().await.map_err(anyhow::Error::from)?;
    let stages = run.revision.stages().into_iter().map(|stage| {
        let wanted = Group { stage, fingerprint: run.revision.fingerprint(stage) };
        let group = groups.iter().find(|group| group.group == wanted);
        Stage {
            stage: stage.as_str(),
            lag: group.map(|group| group.lag),
            holder: group.and_then(|group| group.holder.clone()),
        }
    });
    let format = format::of(&*run.log).await.map_err(anyhow::Error::from)?;
    let stages: Vec<_> = stages.collect();
    let is_at_rest = stages.iter().all(|stage| stage.lag == Some(0));
    let status = Status {
        revision: run.revision.declared.number,
        format_level: format.declared,
        paused: if is_at_rest { vec![] } else { paused(&projection.later) },
        stages,
        summary: &projection.summary,
    };
    if common.json {
        print_json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("revision {}", status.revision));
    for Stage { stage, lag, holder } in &status.stages {
        let Some(lag) = lag else {
            print(&format!("{stage:>12}  not begun"));
            continue;
        };
        let holder =
            holder.as_deref().map_or_else(|| "at rest".to_owned(), |holder| format!("run by {holder}"));
        print(&format!("{stage:>12}  {:>10} to read  {holder}", thousands(*lag)));
    }
    for record in &status.paused {
        print(&format!("paused: {record}"));
    }
    print(&level_line(format, common, out));
    let summary = status.summary;
    print(&format!(
        "\n{} found, {} curated, {} decoded, {} accepted, {} samples, {} dead letters",
        thousands(summary.found),
        thousands(summary.curated),
        thousands(summary.decoded),
        thousands(summary.accepted),
        thousands(summary.composed.values().sum()),
        thousands(summary.dead_letters),
    ));
    coverage(summary);
    if summary.later_records > 0 {
        let records = thousands(summary.later_records);
        print(&format!(
            "records that only a later release can read, and none of these counts has: {records}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The first record of each partition that only a later release can read, on topics that stages read.
fn paused(later: &[LaterRecord]) -> Vec<String> {
    let mut first: BTreeMap<(Topic, u32), &LaterRecord> = BTreeMap::new();
    for record in later.iter().filter(|record| !matches!(record.topic, Topic::Samples | Topic::Skipped)) {
        let first = first.entry((record.topic, record.partition)).or_insert(record);
        if record.position < first.position {
            *first = record;
        }
    }
    first.into_values().map(LaterRecord::to_string).collect()
}

/// What the label lists want of each class, and what there is.
fn coverage(summary: &Summary) {
    if summary.coverage.values().all(|class| class.wanted == 0) {
        return;
    }
    print(&format!("\n{:>9} {:>9} {:>9}  class", "wanted", "on hand", "accepted"));
    for (name, class) in &summary.coverage {
        let missing = class.missing.iter().map(|(reason, rows)| format!("{} {reason}", thousands(*rows)));
        let missing = missing.collect::<Vec<_>>().join(", ");
        let missing = if missing.is_empty() { missing } else { format!(" (missing: {missing})") };
        let (wanted, on_hand) = (thousands(class.wanted), thousands(class.on_hand));
        print(&format!("{wanted:>9} {on_hand:>9} {:>9}  {name}{missing}", thousands(class.accepted)));
    }
}

async fn one(run: &ExistingRun, name: &str, out: &Path, common: &Common) -> Outcome {
    let clips = clips_named(&*run.log, name).await?;
    let mut ways = ways(run, &clips).await?;
    if ways.clips.is_empty() && ways.steps_of_older_revisions == 0 {
        let store = Config::load(common)?.open_store(out)?;
        let classification = Classification::of_run(&run.revision, &store)?;
        ways.waiting = waiting(run, &classification.rulebook, &videos_meant(name)).await?;
        if ways.waiting.is_empty() {
            return Err(Failure::usage(format!(
                "no clip is called `{name}`, and no label list has it: give a source video, a file or an id"
            )));
        }
    }
    if common.json {
        print_json(&ways)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Ways { clips, steps_of_older_revisions: older, waiting } = ways;
    for row in &waiting {
        let (start, end) = (row.segment.start_ms as f64 / 1000.0, row.segment.end_ms as f64 / 1000.0);
        print(&format!("{} from {start} to {end} s ({}): {}", row.video, row.listed, row.what));
    }
    for (clip, way) in &clips {
        print(&format!("clip {clip}"));
        if let Some(trace) = way.iter().find_map(|step| step.trace.as_ref()) {
            print(&format!("  trace {}", trace.split('-').nth(1).unwrap_or_default()));
        }
        for step in way {
            print(&format!("  {:>8}  {:13} {}", step.position, step.topic, step.what));
        }
    }
    if older > 0 {
        print(&format!("{} steps of older revisions are not shown", thousands(older)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the log holds of these clips.
async fn ways(run: &ExistingRun, clips: &BTreeSet<RecordId>) -> anyhow::Result<Ways> {
    let current = run.revision.fingerprints();
    let mut ways = Ways::default();
    for topic in Topic::MESSAGES {
        let mut records = run.log.scan(topic);
        while let Some(record) = records.try_next().await? {
            let Some(clip) = record.headers.clip.filter(|clip| clips.contains(clip)) else { continue };
            // Answers are of evaluations, which have no part in the run's revisions.
            let is_of_run = topic != Topic::Answers;
            if is_of_run && record.headers.revision.is_some_and(|revision| !current.contains(&revision)) {
                ways.steps_of_older_revisions += 1;
                continue;
            }
            let what = match Message::decode(&record.value) {
                Ok(message) => describe(&message),
                Err(error) => format!("the record {error}"),
            };
            ways.clips.entry(clip.to_string()).or_default().push(Step {
                topic: topic.to_string(),
                position: record.position.0,
                written_ms: record.written_ms,
                trace: record.headers.trace.map(|trace| trace.to_string()),
                what,
            });
        }
    }
    for way in ways.clips.values_mut() {
        in_order(way);
    }
    Ok(ways)
}

/// Puts the steps of a clip in the order in which they were written; of those of one moment the topics tell, in the
/// order in which a clip meets them. Positions compare in one partition only.
fn in_order(way: &mut [Step]) {
    way.sort_by_key(|step| step.written_ms);
}

/// Ids of the clips of the first source video that the name may mean, or the clip of this id.
async fn clips_named(log: &dyn TopicLog, name: &str) -> anyhow::Result<BTreeSet<RecordId>> {
    if let Ok(id) = name.parse() {
        return Ok([id].into());
    }
    let videos = videos_meant(name);
    let mut found: BTreeMap<usize, BTreeSet<RecordId>> = BTreeMap::new();
    // What the source turned away never was on the clips topic.
    for topic in [Topic::Clips, Topic::Rejected] {
        let mut records = log.scan(topic);
        while let Some(record) = records.try_next().await? {
            let (video, clip) = match Message::decode(&record.value) {
                Ok(Message::ClipFound(ClipFound { clip, .. })) => (clip.video, clip.id),
                Ok(Message::Rejected(rejected)) => (rejected.video, rejected.clip),
                _ => continue,
            };
            if let Some(place) = videos.iter().position(|meant| *meant == video) {
                found.entry(place).or_default().insert(clip);
            }
        }
    }
    Ok(found.into_values().next().unwrap_or_default())
}

/// The source videos that a name, a file name or a path may mean, likeliest first.
fn videos_meant(name: &str) -> Vec<String> {
    let path = Path::new(name);
    // A segment in a bare name has dots too, so the whole name is asked before its stem.
    [Some(name.as_ref()), path.file_name(), path.file_stem()]
        .into_iter()
        .flatten()
        .flat_map(|stem| ClipName::parse(&stem.to_string_lossy()))
        .map(|reading| reading.video)
        .collect()
}

fn describe(message: &Message) -> String {
    match message {
        Message::ClipFound(found) => {
            format!("found at {} with labels {}", found.media.path, found.clip.labels.join(" "))
        }
        Message::ClipCurated(curated) => format!("is {}", curated.class),
        Message::ClipDecoded(decoded) => {
            let facts = &decoded.container;
            format!(
                "decoded from {} {} {}x{} to {:?}, {:.1} LUFS, motion {:.4}",
                facts.container,
                facts.video_codec,
                facts.width,
                facts.height,
                decoded.media,
                decoded.statistics.loudness_lufs,
                decoded.statistics.motion,
            )
        }
        Message::ClipProbed(probed) => {
            let said = Probe::ALL.iter().zip(probed.answers.all());
            let said = said.map(|(probe, answer)| {
                format!("{} {}", probe.as_str(), if answer.is_yes { "yes" } else { "no" })
            });
            format!("judged by {}: {}", probed.judge, said.collect::<Vec<_>>().join(", "))
        }
        Message::AnswerGiven(given) => {
            let said = given.text.as_deref().or(given.problem.as_deref()).unwrap_or_default();
            format!(
                "{} asked about {} of {} sample {}: `{said}`, where `{}` is right",
                given.model, given.question, given.condition, given.sample, given.expected
            )
        }
        Message::ClipAccepted(_) => "accepted".to_owned(),
        Message::SampleComposed(sample) => format!("{} sample {}", sample.recipe.name(), sample.id),
        Message::RecipeSkipped(skipped) => format!("{} skipped: {}", skipped.recipe, skipped.reason.as_str()),
        Message::Rejected(rejected) => {
            format!("rejected by {} as {}: {}", rejected.stage, rejected.reason.as_str(), rejected.detail)
        }
        Message::DeadLetter(letter) => format!("{} gave up: {}", letter.stage, letter.reason),
        other => format!("{:?}", other.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_a_clip_is_in_order_of_time_whatever_its_positions_in_the_topics_are() {
        let step = |topic: &str, position, written_ms| Step {
            topic: topic.to_owned(),
            position,
            written_ms,
            trace: None,
            what: String::new(),
        };
        let mut way = [
            step("clips", 40, 1),
            step("curated", 7, 2),
            step("decoded", 3, 5),
            step("accepted", 1, 5),
            step("rejected", 0, 4),
        ];
        in_order(&mut way);
        let topics = way.map(|step| step.topic);
        assert_eq!(topics, ["clips", "curated", "rejected", "decoded", "accepted"]);
    }

    #[test]
    fn a_clip_is_meant_by_its_id_its_file_and_its_path() {
        let id = "7xkj4XqaynU".to_owned();
        let segment = "7xkj4XqaynU_30.000_40.000";
        for name in ["7xkj4XqaynU", "Y7xkj4XqaynU", "Y7xkj4XqaynU_cut.mp4", "a/b/7xkj4XqaynU.mp4", segment] {
            assert!(videos_meant(name).contains(&id), "{name}");
        }
        assert!(videos_meant("my/clips/canidae_aligned.mp4").contains(&"canidae_aligned".to_owned()));
        assert_eq!(videos_meant("YA_0xhMEZ1C")[0], "YA_0xhMEZ1C", "the name as it is comes first");
    }
}
