//! `status`: how far the pipeline is, or the way of one clip.

use std::{collections::BTreeMap, process::ExitCode};

use counterpoint_actors::projection::Projection;
use counterpoint_log::TopicLog;
use counterpoint_messages::{ClipFound, Message, RecordId, Topic};
use futures::TryStreamExt;
use serde::Serialize;

use crate::{
    args::{self, Common},
    context::ExistingRun,
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
    lag: u64,
    holder: Option<String>,
}

#[derive(Serialize)]
struct Status<'a> {
    revision: u64,
    stages: Vec<Stage>,
    summary: &'a counterpoint_actors::projection::Summary,
}

pub fn run(arguments: &args::Status, common: &Common) -> Outcome {
    actix::System::new().block_on(async {
        let run = ExistingRun::open(common, &arguments.out).await?;
        match &arguments.clip {
            Some(clip) => one(&*run.log, clip, common).await,
            None => all(&run, common).await,
        }
    })
}

async fn all(run: &ExistingRun, common: &Common) -> Outcome {
    let projection = Projection::of(&*run.log, &run.revision).await.map_err(anyhow::Error::from)?;
    let groups = run.log.groups().await.map_err(anyhow::Error::from)?;
    let fingerprints = run.revision.fingerprints();
    let mut stages: Vec<_> = groups
        .into_iter()
        .filter(|group| fingerprints.contains(&group.group.fingerprint))
        .map(|group| (group.group.stage, group.lag, group.holder))
        .collect();
    stages.sort();
    let stages = stages.into_iter().map(|(stage, lag, holder)| Stage { stage: stage.as_str(), lag, holder });
    let status = Status {
        revision: run.revision.declared.number,
        stages: stages.collect(),
        summary: &projection.summary,
    };
    if common.json {
        print_json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("revision {}", status.revision));
    for Stage { stage, lag, holder } in &status.stages {
        let holder =
            holder.as_deref().map_or_else(|| "at rest".to_owned(), |holder| format!("run by {holder}"));
        print(&format!("{stage:>12}  {:>10} to read  {holder}", thousands(*lag)));
    }
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
    Ok(ExitCode::SUCCESS)
}

async fn one(log: &dyn TopicLog, name: &str, common: &Common) -> Outcome {
    let clips = clips_named(log, name).await?;
    if clips.is_empty() {
        return Err(Failure::usage(format!("no clip is called `{name}`: give a source video or an id")));
    }
    let mut ways: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for topic in Topic::MESSAGES {
        let mut records = log.scan(topic);
        while let Some(record) = records.try_next().await.map_err(anyhow::Error::from)? {
            let Some(clip) = record.headers.clip.filter(|clip| clips.contains(clip)) else { continue };
            let what = match Message::decode(&record.value) {
                Ok(message) => describe(&message),
                Err(error) => format!("the record {error}"),
            };
            ways.entry(clip.to_string()).or_default().push(Step {
                topic: topic.to_string(),
                position: record.position.0,
                written_ms: record.written_ms,
                trace: record.headers.trace.map(|trace| trace.to_string()),
                what,
            });
        }
    }
    for way in ways.values_mut() {
        way.sort_by_key(|step| step.position);
    }
    if common.json {
        print_json(&BTreeMap::from([("clips", &ways)]))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (clip, way) in &ways {
        print(&format!("clip {clip}"));
        if let Some(trace) = way.iter().find_map(|step| step.trace.as_ref()) {
            print(&format!("  trace {}", trace.split('-').nth(1).unwrap_or_default()));
        }
        for step in way {
            print(&format!("  {:>8}  {:13} {}", step.position, step.topic, step.what));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Ids of the clips of a source video, or the clip of this id.
async fn clips_named(log: &dyn TopicLog, name: &str) -> anyhow::Result<Vec<RecordId>> {
    let mut clips: Vec<RecordId> = name.parse().into_iter().collect();
    // What the source turned away never was on the clips topic.
    for topic in [Topic::Clips, Topic::Rejected] {
        let mut records = log.scan(topic);
        while let Some(record) = records.try_next().await? {
            match Message::decode(&record.value) {
                Ok(Message::ClipFound(ClipFound { clip, .. })) if clip.video == name => clips.push(clip.id),
                Ok(Message::Rejected(rejected)) if rejected.video == name => clips.push(rejected.clip),
                _ => {}
            }
        }
    }
    Ok(clips)
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
