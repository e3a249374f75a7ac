use counterpoint_messages::StageName;
use serde::Serialize;

use crate::{OpenPoint, Report, words};

/// What was set, and where the numbers come from.
#[derive(Debug, Serialize)]
pub(super) struct SettingsView {
    stages: Vec<StageSettings>,
    open_points: Vec<OpenPointRow>,
    program_version: String,
    positions: Vec<PositionRow>,
}

#[derive(Debug, Serialize)]
struct StageSettings {
    stage: &'static str,
    does: &'static str,
    fingerprint: Option<String>,
    settings: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct OpenPointRow {
    question: &'static str,
    sources: &'static str,
    used: Option<String>,
}

#[derive(Debug, Serialize)]
struct PositionRow {
    topic: String,
    partition: u32,
    position: u64,
}

impl SettingsView {
    pub(super) fn of(report: &Report) -> Self {
        let fingerprints = &report.provenance.fingerprints;
        let known =
            |stage: &StageName| report.settings.contains_key(stage) || fingerprints.contains_key(stage);
        let stages = StageName::ALL.into_iter().filter(known).map(|stage| StageSettings {
            stage: stage.as_str(),
            does: words::stage(stage),
            fingerprint: fingerprints.get(&stage).cloned(),
            settings: report.settings.get(&stage).into_iter().flatten().map(owned).collect(),
        });
        let open_points = OpenPoint::ALL.into_iter().map(|point| OpenPointRow {
            question: point.question(),
            sources: point.sources(),
            used: report.open_points.get(&point).cloned(),
        });
        let positions = report.provenance.positions.iter().map(|read| PositionRow {
            topic: read.topic.clone(),
            partition: read.partition,
            position: read.position,
        });
        Self {
            stages: stages.collect(),
            open_points: open_points.collect(),
            program_version: report.provenance.program_version.clone(),
            positions: positions.collect(),
        }
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}
