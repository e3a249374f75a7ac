//! Revisions: the settings under which records were made, stage by stage.

use std::collections::{BTreeMap, BTreeSet};

use counterpoint_core::{media_job::PREPARE_TRANSFORM, variants};
use counterpoint_messages::{ContentHash, Fingerprint, RevisionDeclared, StageName};
use serde_json::Value;

use crate::settings::Settings;

/// What the judge's answers depend on, among the settings of its stage.
const JUDGE_IDENTITY: &str = "identity";
/// What rounds of training begin with and go by, among the settings of the planner.
const ROUNDS_CONTENTS: &str = "contents";
/// Seed of every random choice, among the settings of the stages that choose.
const SEED: &str = "seed";
/// Settings that hold names, which may be anything.
const NAMES: [&str; 3] = ["judge", "base", "recipe"];

/// Version of each stage's transform: raised when the same input and settings give other results.
fn transform(stage: StageName) -> u32 {
    match stage {
        StageName::Decoder => PREPARE_TRANSFORM,
        StageName::Composer => variants::TRANSFORM,
        _ => 1,
    }
}

/// Content that decides what comes out and lies in files beside the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Ontology.
    pub ontology: ContentHash,
    /// Rules of curation.
    pub rules: ContentHash,
    /// Plan of the samples.
    pub plan: ContentHash,
    /// What the judge's answers depend on, where there is a judge.
    pub judge: Option<ContentHash>,
    /// What rounds of training begin with and go by, where there are any.
    pub rounds: Option<ContentHash>,
}

/// What each stage is called under one set of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// As written to the log.
    pub declared: RevisionDeclared,
}

impl Revision {
    /// The revision of these settings. `replays` counts how often a stage was told to start again.
    pub fn new(
        number: u64,
        settings: &Settings,
        contents: Contents,
        replays: BTreeMap<StageName, u32>,
    ) -> Self {
        let stages = stages(settings.prober.judge.is_some(), settings.trainer.base.is_some());
        let settings = by_stage(settings, contents);
        let fingerprints = fingerprints(stages, &settings, &replays);
        Self { declared: RevisionDeclared { number, settings, replays, fingerprints } }
    }

    /// Whether the stages of this program make of the revision's inputs what it has made of them, byte for byte;
    /// those of another release may have other transforms.
    pub fn is_of_this_release(&self) -> bool {
        fingerprints(self.stages(), &self.declared.settings, &self.declared.replays)
            == self.declared.fingerprints
    }

    /// A revision as it was declared.
    pub fn of(declared: RevisionDeclared) -> Self {
        Self { declared }
    }

    /// The settings that it was declared with. Which files rules and plan came from is not among them: their contents
    /// are, as objects.
    ///
    /// # Errors
    /// They are not settings of this release.
    pub fn settings(&self) -> Result<Settings, serde_json::Error> {
        let mut groups = serde_json::Map::new();
        for stage in [StageName::Source, StageName::Decoder, StageName::Prober, StageName::Gate] {
            let Some(declared) = self.declared.settings.get(stage.as_str()) else { continue };
            let fields = declared.iter().filter(|(name, _)| *name != JUDGE_IDENTITY);
            let fields = fields.map(|(name, text)| (name.clone(), unflat(name, text)));
            groups.insert(stage.as_str().to_owned(), Value::Object(fields.collect()));
        }
        let composer = self.declared.settings.get(StageName::Composer.as_str());
        if let Some(seed) = composer.and_then(|settings| settings.get(SEED)) {
            groups.insert(SEED.to_owned(), unflat(SEED, seed));
        }
        if let Some(declared) = self.declared.settings.get(StageName::Planner.as_str()) {
            let fields =
                declared.iter().filter(|(name, _)| ![SEED, ROUNDS_CONTENTS].contains(&name.as_str()));
            let fields = fields.map(|(name, text)| (name.clone(), unflat(name, text)));
            groups.insert(StageName::Trainer.as_str().to_owned(), Value::Object(fields.collect()));
        }
        serde_json::from_value(Value::Object(groups))
    }

    /// Fingerprint of a stage. That of the fetcher stands apart: no setting changes what it brings, which
    /// is what then lies in the folder, and nothing below depends on whether it or a person put it there. So does that
    /// of the evaluator, which is named by the trainer whose checkpoints it asks: each answer says what was asked.
    pub fn fingerprint(&self, stage: StageName) -> Fingerprint {
        let apart = |context: &str, above: &[u8]| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(&self.declared.replays.get(&stage).copied().unwrap_or(0).to_le_bytes());
            hasher.update(above);
            let mut fingerprint = Fingerprint::default();
            hasher.finalize_xof().fill(&mut fingerprint.0);
            fingerprint
        };
        match stage {
            StageName::Fetcher => apart("counterpoint fetcher fingerprint v1", &[]),
            StageName::Evaluator => {
                let trainer = self.fingerprint(StageName::Trainer);
                apart("counterpoint assessor fingerprint v1", &trainer.0)
            }
            stage => self.declared.fingerprints.get(&stage).copied().unwrap_or_default(),
        }
    }

    /// Whether clips are judged by a model.
    pub fn has_judge(&self) -> bool {
        self.declared.fingerprints.contains_key(&StageName::Prober)
    }

    /// Whether models are trained while clips keep coming.
    pub fn has_rounds(&self) -> bool {
        self.declared.fingerprints.contains_key(&StageName::Planner)
    }

    /// Its stages, in the order in which a clip meets them.
    pub fn stages(&self) -> Vec<StageName> {
        stages(self.has_judge(), self.has_rounds())
    }

    /// Fingerprints of all stages.
    pub fn fingerprints(&self) -> BTreeSet<Fingerprint> {
        self.stages().into_iter().map(|stage| self.fingerprint(stage)).collect()
    }

    /// Whether records of the two revisions are the same from end to end.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.fingerprints() == other.fingerprints()
    }

    /// The settings in which two revisions differ, as sentences `gate.motion_min was 0.1, is 0.2`.
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let empty = BTreeMap::new();
        for stage in StageName::ALL.map(StageName::as_str) {
            let now = self.declared.settings.get(stage).unwrap_or(&empty);
            let before = earlier.declared.settings.get(stage).unwrap_or(&empty);
            let names: BTreeSet<_> = now.keys().chain(before.keys()).collect();
            for name in names {
                let (was, is) = (before.get(name), now.get(name));
                if was != is {
                    let text = |value: Option<&String>| value.map_or("not set", String::as_str).to_owned();
                    differences.push(format!("{stage}.{name} was {}, is {}", text(was), text(is)));
                }
            }
        }
        differences
    }
}

/// Names of the stages: each is a hash of its settings and transform and of those above it.
fn fingerprints(
    stages: Vec<StageName>,
    settings: &BTreeMap<String, BTreeMap<String, String>>,
    replays: &BTreeMap<StageName, u32>,
) -> BTreeMap<StageName, Fingerprint> {
    let mut fingerprints = BTreeMap::new();
    let mut above = Fingerprint::default();
    let is_of_the_row = |stage: &StageName| !matches!(stage, StageName::Fetcher | StageName::Evaluator);
    for stage in stages.into_iter().filter(is_of_the_row) {
        let mut hasher = blake3::Hasher::new_derive_key("counterpoint stage fingerprint v1");
        hasher.update(&above.0);
        hasher.update(stage.as_str().as_bytes());
        // A composer that starts again needs its pools sealed again: the coordinator ends the run only
        // when the pools that it sealed are composed.
        let decisive: &[StageName] = match stage {
            StageName::Coordinator => &[StageName::Coordinator, StageName::Composer],
            _ => &[stage],
        };
        for stage in decisive {
            hasher.update(&transform(*stage).to_le_bytes());
            hasher.update(&replays.get(stage).copied().unwrap_or(0).to_le_bytes());
        }
        for (name, value) in settings.get(stage.as_str()).into_iter().flatten() {
            for part in [name, value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        let mut fingerprint = Fingerprint::default();
        hasher.finalize_xof().fill(&mut fingerprint.0);
        fingerprints.insert(stage, fingerprint);
        above = fingerprint;
    }
    fingerprints
}

/// The stages of a run. Models change nothing for runs without them, whose records and fingerprints stay theirs.
pub fn stages(has_judge: bool, has_rounds: bool) -> Vec<StageName> {
    let is_of_run = |stage: &StageName| match stage {
        StageName::Prober => has_judge,
        StageName::Planner | StageName::Trainer | StageName::Evaluator => has_rounds,
        stage => StageName::RUN.contains(stage),
    };
    StageName::ALL.into_iter().filter(is_of_run).collect()
}

/// The settings that each stage's results depend on, as text.
fn by_stage(settings: &Settings, contents: Contents) -> BTreeMap<String, BTreeMap<String, String>> {
    let Settings { seed, source, curator: _, decoder, prober, gate, composer: _, trainer } = settings;
    let plan = [("plan".to_owned(), contents.plan.to_string()), (SEED.to_owned(), seed.to_string())];
    let mut by_stage: BTreeMap<_, _> = [
        (StageName::Source, flat(source)),
        (
            StageName::Curator,
            [
                ("ontology".to_owned(), contents.ontology.to_string()),
                ("rules".to_owned(), contents.rules.to_string()),
            ]
            .into(),
        ),
        (StageName::Decoder, flat(decoder)),
        (StageName::Gate, flat(gate)),
        // The coordinator names the plan in each seal.
        (StageName::Coordinator, plan.clone().into()),
        (StageName::Composer, plan.into()),
        (StageName::Reporter, BTreeMap::new()),
    ]
    .into_iter()
    .map(|(stage, settings)| (stage.as_str().to_owned(), settings))
    .collect();
    if prober.judge.is_some() {
        let mut settings = flat(prober);
        settings.extend(contents.judge.map(|judge| (JUDGE_IDENTITY.to_owned(), judge.to_string())));
        by_stage.insert(StageName::Prober.as_str().to_owned(), settings);
    }
    if trainer.base.is_some() {
        let mut settings = flat(trainer);
        settings.insert(SEED.to_owned(), seed.to_string());
        settings.extend(contents.rounds.map(|rounds| (ROUNDS_CONTENTS.to_owned(), rounds.to_string())));
        by_stage.insert(StageName::Planner.as_str().to_owned(), settings);
        by_stage.insert(StageName::Trainer.as_str().to_owned(), BTreeMap::new());
    }
    by_stage
}

/// The fields of a settings group as text; they hold numbers, names and lists only.
fn flat(settings: &impl serde::Serialize) -> BTreeMap<String, String> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => (name, text),
                value => (name, value.to_string()),
            })
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// A field as [`flat`] wrote it. Texts that look like numbers are numbers, apart from those that name something.
fn unflat(name: &str, text: &str) -> Value {
    let read = serde_json::from_str(text).ok();
    // What is not set is null.
    let read = read.filter(|value: &Value| value.is_null() || !NAMES.contains(&name));
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: Contents = Contents {
        ontology: ContentHash([1; 32]),
        rules: ContentHash([2; 32]),
        plan: ContentHash([3; 32]),
        judge: None,
        rounds: None,
    };

    #[test]
    fn a_changed_setting_renames_its_stage_and_those_below_and_no_other() {
        let settings = Settings::default();
        let before = Revision::new(1, &settings, CONTENTS, BTreeMap::new());
        let mut changed = settings.clone();
        changed.gate.motion_min = 0.25;
        let after = Revision::new(2, &changed, CONTENTS, BTreeMap::new());
        for stage in StageName::RUN.into_iter().filter(|stage| *stage != StageName::Fetcher) {
            let same = before.fingerprint(stage) == after.fingerprint(stage);
            assert_eq!(same, stage < StageName::Gate, "{stage}");
        }
        assert_eq!(after.differences(&before), ["gate.motion_min was 0.0005, is 0.25"]);
        assert!(!after.is_same_as(&before));
    }

    #[test]
    fn the_settings_of_a_revision_are_those_that_it_was_declared_with() {
        let mut settings = Settings { seed: 7, ..Settings::default() };
        settings.decoder.size = 56;
        settings.decoder.short_eval = counterpoint_core::media_job::ShortClips::Reject;
        settings.gate.motion_min = 0.25;
        settings.source.extensions = vec!["mp4".to_owned()];
        let declared = |settings: &Settings| Revision::new(1, settings, CONTENTS, BTreeMap::new()).settings();
        assert_eq!(declared(&settings).unwrap(), settings);
        settings.prober.judge = Some("17".to_owned());
        settings.prober.suffix = true;
        assert_eq!(declared(&settings).unwrap(), settings);
        settings.trainer.base = Some("tiny".to_owned());
        settings.trainer.every = 7;
        assert_eq!(declared(&settings).unwrap(), settings);
        settings.trainer.recipe = Some("1e-4".to_owned());
        let contents = Contents { rounds: Some(ContentHash([9; 32])), ..CONTENTS };
        assert_eq!(Revision::new(1, &settings, contents, BTreeMap::new()).settings().unwrap(), settings);
    }

    #[test]
    fn a_revision_of_other_transforms_is_told_from_ours_whatever_its_settings() {
        let mut settings = Settings::default();
        settings.gate.motion_min = 0.25;
        let ours = Revision::new(3, &settings, CONTENTS, [(StageName::Gate, 2)].into());
        assert!(ours.is_of_this_release());
        let mut earlier = ours;
        earlier.declared.fingerprints.insert(StageName::Composer, Fingerprint([1; 8]));
        assert!(!earlier.is_of_this_release());
    }

    #[test]
    fn a_replay_renames_its_stage_and_those_below() {
        let settings = Settings::default();
        let before = Revision::new(1, &settings, CONTENTS, BTreeMap::new());
        let after = Revision::new(2, &settings, CONTENTS, [(StageName::Decoder, 1)].into());
        assert_eq!(before.fingerprint(StageName::Curator), after.fingerprint(StageName::Curator));
        assert_ne!(before.fingerprint(StageName::Decoder), after.fingerprint(StageName::Decoder));
        assert!(after.differences(&before).is_empty());
    }

    #[test]
    fn a_judge_renames_the_gate_and_those_below_and_another_one_itself_as_well() {
        let mut settings = Settings::default();
        let before = Revision::new(1, &settings, CONTENTS, BTreeMap::new());
        assert_eq!(before.stages(), StageName::RUN);
        settings.prober.suffix = true;
        let unused = Revision::new(2, &settings, CONTENTS, BTreeMap::new());
        assert!(unused.is_same_as(&before), "without a judge its settings count for nothing");
        settings.prober.judge = Some("file:judge.jsonl".to_owned());
        let judged = |byte| {
            let contents = Contents { judge: Some(ContentHash([byte; 32])), ..CONTENTS };
            Revision::new(2, &settings, contents, BTreeMap::new())
        };
        let (one, other) = (judged(1), judged(2));
        assert_eq!(one.stages()[4..6], [StageName::Prober, StageName::Gate]);
        assert_eq!(one.fingerprint(StageName::Decoder), before.fingerprint(StageName::Decoder));
        assert_ne!(one.fingerprint(StageName::Gate), before.fingerprint(StageName::Gate));
        assert_ne!(one.fingerprint(StageName::Prober), other.fingerprint(StageName::Prober));
    }

    #[test]
    fn rounds_of_training_rename_the_reporter_alone_and_others_themselves_as_well() {
        let mut settings = Settings::default();
        let before = Revision::new(1, &settings, CONTENTS, BTreeMap::new());
        settings.trainer.every = 7;
        let unused = Revision::new(2, &settings, CONTENTS, BTreeMap::new());
        assert!(unused.is_same_as(&before), "without a model its settings count for nothing");
        settings.trainer.base = Some("tiny".to_owned());
        let trained = |byte| {
            let contents = Contents { rounds: Some(ContentHash([byte; 32])), ..CONTENTS };
            Revision::new(2, &settings, contents, BTreeMap::new())
        };
        let (one, other) = (trained(1), trained(2));
        assert_eq!(
            one.stages()[7..],
            [StageName::Planner, StageName::Trainer, StageName::Evaluator, StageName::Reporter]
        );
        for stage in StageName::RUN {
            let same = one.fingerprint(stage) == before.fingerprint(stage);
            assert_eq!(same, stage != StageName::Reporter, "{stage}");
        }
        assert_ne!(one.fingerprint(StageName::Planner), other.fingerprint(StageName::Planner));
        for stage in [StageName::Trainer, StageName::Evaluator] {
            assert_ne!(one.fingerprint(stage), other.fingerprint(stage));
        }
    }

    #[test]
    fn a_fetcher_that_starts_again_reruns_nothing_below() {
        let settings = Settings::default();
        let before = Revision::new(1, &settings, CONTENTS, BTreeMap::new());
        let after = Revision::new(2, &settings, CONTENTS, [(StageName::Fetcher, 1)].into());
        for stage in StageName::RUN {
            let same = before.fingerprint(stage) == after.fingerprint(stage);
            assert_eq!(same, stage != StageName::Fetcher, "{stage}");
        }
        assert!(!after.is_same_as(&before));
    }

    #[test]
    fn a_replayed_composer_has_its_pools_sealed_again() {
        let settings = Settings::default();
        let before = Revision::new(1, &settings, CONTENTS, BTreeMap::new());
        let after = Revision::new(2, &settings, CONTENTS, [(StageName::Composer, 1)].into());
        assert_eq!(before.fingerprint(StageName::Gate), after.fingerprint(StageName::Gate));
        assert_ne!(before.fingerprint(StageName::Coordinator), after.fingerprint(StageName::Coordinator));
    }
}
