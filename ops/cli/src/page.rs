//! From a projection of the log to the report page.

mod experiments;
mod models;
pub mod rounds;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    sync::Arc,
};

use counterpoint_actors::{
    Tools, later,
    projection::{ClassCoverage, PROGRAM, Projection},
    publisher::Page,
    revision::Revision,
    settings::{GateSettings, Settings},
    stage::Fault,
};
use counterpoint_core::{
    curation::{self, Curator, Way},
    media_job::ShortClips,
    segments::SegmentReader,
};
use counterpoint_log::TopicLog;
use counterpoint_messages::{InputOffered, Message, RejectReason, Split, StageName, Topic};
use counterpoint_pages::{
    OpenPoint, Report,
    report::{
        ClassCount, Clips, CoverageRow, DeadRecord, Excerpt, Fate, Funnel, Head, LabelListFacts, Limit,
        LogPosition, Measured, Ontology, OntologyNode, Provenance, PublishedSplit, RejectCount, RejectedClip,
        Resolution, SampleCount, Samples, Signal, SkipCount,
    },
};
use futures::TryStreamExt;

use crate::gallery::gallery;

/// Of a run that shows nobody anything.
pub struct NoPage;

impl Page for NoPage {
    fn render(&self, _: &Projection, _: &Revision, _: &Tools) -> Result<Vec<u8>, Fault> {
        Ok(Vec::new())
    }
}

/// Fills and renders the page.
pub struct ReportPage {
    /// Rules on the ontology.
    pub rulebook: Arc<Curator>,
    /// Settings of the run.
    pub settings: Settings,
    /// Engine of the log and where it is.
    pub engine: String,
    /// The log.
    pub log: Arc<dyn TopicLog>,
}

impl Page for ReportPage {
    fn render(&self, projection: &Projection, revision: &Revision, tools: &Tools) -> Result<Vec<u8>, Fault> {
        let out = &tools.publisher.out;
        let read = async {
            let rounds = rounds::rounds(&*self.log, revision, out).await;
            (newest_input(&*self.log).await, rounds, models::traces(&*self.log).await)
        };
        let (input, rounds, traces) = tokio::runtime::Handle::current().block_on(read);
        let report = Report {
            head: self.head(input.as_ref(), revision),
            models: models::models(out, &traces),
            rounds,
            experiments: experiments::experiments(out),
            funnel: funnel(projection),
            lists: input.as_ref().map(|input| self.lists(input)).unwrap_or_default(),
            ontology: ontology(&self.rulebook),
            clips: self.clips(projection),
            coverage: coverage(projection),
            samples: samples(projection),
            rejected: rejected(projection),
            dead_letters: dead_letters(projection),
            gallery: gallery(&projection.samples, &projection.decoded, tools)?,
            settings: settings(revision),
            open_points: self.open_points(),
            provenance: provenance(projection, revision),
        };
        let page = counterpoint_pages::render(&report).map_err(|error| Fault::Record(error.to_string()))?;
        Ok(page.into_bytes())
    }
}

async fn newest_input(log: &dyn TopicLog) -> Option<InputOffered> {
    let mut newest = None;
    let mut records = log.scan(Topic::Inputs);
    // Without it the page only says less of where the clips came from.
    while let Ok(Some(record)) = records.try_next().await {
        match later::read(&record) {
            Ok(Some(Message::InputOffered(input))) => newest = Some(input),
            Ok(_) => {}
            // The newest input is not one that the page could tell of.
            Err(_) => newest = None,
        }
    }
    newest
}

impl ReportPage {
    fn head(&self, input: Option<&InputOffered>, revision: &Revision) -> Head {
        let created_from = input.map(|input| {
            let lists = input.labels.iter().map(|list| list.path.clone());
            std::iter::once(input.clips.clone()).chain(lists).collect()
        });
        Head {
            title: "Counterpoint".to_owned(),
            created_from: created_from.unwrap_or_default(),
            engine: self.engine.clone(),
            revision: revision.declared.number,
            created_at: jiff::Timestamp::now().strftime("%-d %B %Y, %H:%M UTC").to_string(),
            seed: self.settings.seed,
        }
    }

    /// What the label lists hold as a whole, whether or not their clips are there.
    fn lists(&self, input: &InputOffered) -> Vec<LabelListFacts> {
        let facts = |path: &str| {
            let mut facts =
                LabelListFacts { path: path.to_owned(), published: None, segments: 0, labels: 0, curated: 0 };
            // A list that is gone by now is shown as empty.
            let Ok(file) = File::open(path) else { return facts };
            for row in SegmentReader::new(std::io::BufReader::with_capacity(1 << 16, file), path).flatten() {
                facts.segments += 1;
                facts.labels += row.labels.len() as u64;
                facts.curated += u64::from(self.rulebook.curate(&row.labels).is_ok());
            }
            facts.published = published(facts.segments);
            facts
        };
        input.labels.iter().map(|list| facts(&list.path)).collect()
    }

    fn clips(&self, projection: &Projection) -> Clips {
        let mut resolutions: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for clip in &projection.decoded {
            *resolutions.entry((clip.container.width, clip.container.height)).or_default() += 1;
        }
        let accepted: BTreeSet<_> = projection.accepted.iter().collect();
        let mut classes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for clip in &projection.curated {
            let (curated, passed) = classes.entry(&clip.class).or_default();
            *curated += 1;
            *passed += u64::from(accepted.contains(&clip.clip.id));
        }
        Clips {
            resolutions: resolutions
                .into_iter()
                .map(|((width, height), clips)| Resolution { width, height, clips })
                .collect(),
            durations_s: projection
                .decoded
                .iter()
                .map(|clip| clip.container.duration_ms as f64 / 1000.0)
                .collect(),
            crop_px: self.settings.decoder.size,
            clip_s: f64::from(self.settings.decoder.seconds),
            classes: classes
                .into_iter()
                .map(|(class, (curated, accepted))| ClassCount { class: class.to_owned(), curated, accepted })
                .collect(),
            signal: signal(projection, &self.settings.gate),
        }
    }

    /// What was used where the sources leave a choice, as far as this run came to it.
    fn open_points(&self) -> BTreeMap<OpenPoint, String> {
        let word = |short: ShortClips| match short {
            ShortClips::Reject => "rejected",
            ShortClips::Pad => "padded",
        };
        let decoder = &self.settings.decoder;
        let (train, eval) = (word(decoder.short_train), word(decoder.short_eval));
        [
            (OpenPoint::ShortClips, format!("train: {train}, eval: {eval}")),
            (OpenPoint::EvaluationSize, format!("{0} \u{d7} {0}", decoder.size)),
            (OpenPoint::SwappedStream, "the sound".to_owned()),
            (OpenPoint::Classes, format!("{} offered", self.rulebook.classes().len())),
        ]
        .into()
    }
}

/// The list of Table 1 that has this many segments; file names say less, as anybody's list may be so called.
fn published(segments: u64) -> Option<PublishedSplit> {
    match segments {
        20_371 => Some(PublishedSplit::Eval),
        22_160 => Some(PublishedSplit::TrainBalanced),
        2_041_789 => Some(PublishedSplit::TrainUnbalanced),
        _ => None,
    }
}

fn funnel(projection: &Projection) -> Funnel {
    let summary = &projection.summary;
    let mut rejected: BTreeMap<(StageName, RejectReason), u64> = BTreeMap::new();
    for clip in &projection.rejected {
        *rejected.entry((clip.stage, clip.reason)).or_default() += 1;
    }
    let mut dead_letters: BTreeMap<StageName, u64> = BTreeMap::new();
    for letter in projection.dead_letters.iter().filter(|letter| letter.clip.is_some()) {
        *dead_letters.entry(letter.stage).or_default() += 1;
    }
    let hosts: BTreeSet<_> =
        projection.samples.iter().filter_map(|sample| sample.host().map(|host| host.clip)).collect();
    Funnel {
        found: summary.found,
        labelled: projection.labels.len() as u64,
        curated: summary.curated,
        decoded: summary.decoded,
        accepted: summary.accepted,
        composed: hosts.len() as u64,
        rejected: rejected
            .into_iter()
            .map(|((stage, reason), clips)| RejectCount { stage, reason, clips })
            .collect(),
        dead_letters,
    }
}

fn ontology(rulebook: &Curator) -> Ontology {
    let nodes = rulebook.tree().into_iter().map(|node| {
        let (fate, reason) = match &node.fate {
            curation::Fate::Class { class, way: Way::Itself } => {
                (Fate::Class { class: class.clone() }, "a class of its own".to_owned())
            }
            curation::Fate::Class { class, way: Way::Merged { why } } => {
                (Fate::Absorbed { class: class.clone() }, why.clone())
            }
            curation::Fate::Class { class, way: Way::Absorbed { into } } => {
                (Fate::Absorbed { class: class.clone() }, format!("lies below {into}"))
            }
            curation::Fate::Excluded { reason } => {
                (Fate::Excluded { rule: reason.step().to_owned() }, reason.to_string())
            }
        };
        OntologyNode { mid: node.mid, name: node.name, children: node.children, fate, reason }
    });
    Ontology { nodes: nodes.collect() }
}

fn signal(projection: &Projection, gate: &GateSettings) -> Signal {
    let measured = |limit, value: fn(&counterpoint_messages::SignalStatistics) -> f64| Measured {
        values: projection.decoded.iter().map(|clip| value(&clip.statistics)).collect(),
        limit: Some(limit),
    };
    Signal {
        loudness_lufs: measured(Limit::AtLeast(gate.loudness_min_lufs), |found| found.loudness_lufs),
        silent_share: measured(Limit::AtMost(gate.silent_share_max), |found| found.silent_share),
        black_share: measured(Limit::AtMost(gate.black_share_max), |found| found.black_share),
        motion: measured(Limit::AtLeast(gate.motion_min), |found| found.motion),
        cuts: measured(Limit::AtMost(f64::from(gate.cuts_max)), |found| f64::from(found.cuts)),
    }
}

fn coverage(projection: &Projection) -> Vec<CoverageRow> {
    let row = |(class, coverage): (&String, &ClassCoverage)| CoverageRow {
        class: class.clone(),
        wanted: coverage.wanted,
        on_hand: coverage.on_hand,
        accepted: coverage.accepted,
        missing: coverage.missing.iter().map(|(reason, rows)| ((*reason).to_owned(), *rows)).collect(),
    };
    projection.summary.coverage.iter().map(row).collect()
}

fn samples(projection: &Projection) -> Samples {
    let mut composed: BTreeMap<_, u64> = BTreeMap::new();
    for sample in &projection.samples {
        let is_eval = sample.split == Split::Eval;
        *composed.entry((sample.recipe.name(), is_eval)).or_default() += 1;
    }
    let mut skipped: BTreeMap<_, u64> = BTreeMap::new();
    for skip in &projection.skipped {
        *skipped.entry((skip.recipe, skip.reason)).or_default() += 1;
    }
    let split = |is_eval| if is_eval { Split::Eval } else { Split::Train };
    Samples {
        composed: composed
            .into_iter()
            .map(|((recipe, is_eval), samples)| SampleCount { recipe, split: split(is_eval), samples })
            .collect(),
        skipped: skipped
            .into_iter()
            .map(|((recipe, reason), hosts)| SkipCount { recipe, reason, hosts })
            .collect(),
    }
}

fn rejected(projection: &Projection) -> Excerpt<RejectedClip> {
    let rows = projection.rejected.iter().take(counterpoint_pages::MAX_ROWS).map(|clip| RejectedClip {
        path: clip.path.clone(),
        stage: clip.stage,
        reason: clip.reason,
        detail: clip.detail.clone(),
    });
    Excerpt { rows: rows.collect(), total: projection.rejected.len() as u64 }
}

fn dead_letters(projection: &Projection) -> Excerpt<DeadRecord> {
    let rows = projection.dead_letters.iter().take(counterpoint_pages::MAX_ROWS).map(|letter| DeadRecord {
        stage: letter.stage,
        topic: letter.topic.clone(),
        partition: letter.partition,
        position: letter.position,
        attempts: letter.attempts,
        reason: letter.reason.clone(),
    });
    Excerpt { rows: rows.collect(), total: projection.dead_letters.len() as u64 }
}

fn settings(revision: &Revision) -> BTreeMap<StageName, BTreeMap<String, String>> {
    let of_stage = |(stage, settings): (&String, &BTreeMap<String, String>)| {
        Some((stage.parse().ok()?, settings.clone()))
    };
    revision.declared.settings.iter().filter_map(of_stage).collect()
}

fn provenance(projection: &Projection, revision: &Revision) -> Provenance {
    let fingerprints = &revision.declared.fingerprints;
    Provenance {
        program_version: PROGRAM.to_owned(),
        fingerprints: fingerprints.iter().map(|(stage, print)| (*stage, print.to_string())).collect(),
        positions: projection
            .positions
            .iter()
            .map(|((topic, partition), position)| LogPosition {
                topic: topic.to_string(),
                partition: *partition,
                position: position.0,
            })
            .collect(),
    }
}
