//! Messages of trainings.

use super::*;

pub fn training_round() -> TrainingPlanned {
    TrainingPlanned {
        id: id(12),
        round: Some(3),
        base: Some("models/base".into()),
        base_identity: Some("omni-0123".into()),
        recipe: "published".into(),
        settings: hash(0x60),
        recipes: None,
        seed: None,
        data_set: hash(0x61),
        samples: 70_000,
        folder: None,
    }
}

pub fn asked_training() -> TrainingPlanned {
    TrainingPlanned {
        round: None,
        base: None,
        base_identity: None,
        recipes: Some(RecipeName::ALL.into()),
        seed: Some(42),
        folder: Some("/data/models/base".into()),
        ..training_round()
    }
}

pub fn checkpoint_saved() -> CheckpointSaved {
    CheckpointSaved {
        id: id(13),
        training: training_round(),
        config: hash(0x62),
        losses: Losses { steps: 200, first: 2.5, last: 0.125, lowest: 0.062_5, lines: hash(0x63) },
        version: "0.1.0".into(),
        device: "cuda:0".into(),
        folder: "/data/checkpoints/3".into(),
        content: hash(0x64),
        model: "models/base+checkpoints/3".into(),
        identity: "omni-4567".into(),
        trace: Some(TraceParent { trace_id: [3; 16], span_id: [4; 8], sampled: true }),
    }
}

pub fn training_failed(reason: TrainingFault) -> TrainingFailed {
    TrainingFailed {
        id: id(14),
        training: asked_training(),
        reason,
        detail: "step 3 has the loss NaN".into(),
        trace: None,
    }
}
