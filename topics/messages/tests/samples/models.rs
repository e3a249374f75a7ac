//! Messages that models have a part in.

use super::*;

pub fn training_revision() -> RevisionDeclared {
    let mut revision = RevisionDeclared { number: 5, ..judged_revision() };
    revision.fingerprints.insert(StageName::Planner, Fingerprint([0x67; 8]));
    revision.fingerprints.insert(StageName::Trainer, Fingerprint([0x68; 8]));
    revision
}

pub fn clip_probed() -> ClipProbed {
    let answer = |yes_probability: f32| ProbeAnswer {
        text: Some(if yes_probability > 0.5 { "Yes" } else { "No, hardly" }.into()),
        is_yes: yes_probability > 0.5,
        yes_probability: Some(yes_probability),
        latency_ms: 731,
        tokens: tokens(),
    };
    ClipProbed {
        id: id(10),
        decoded: clip_decoded(),
        judge: "models/judge".into(),
        identity: "weights 0123".into(),
        answers: ProbeAnswers {
            visual_alone: answer(0.9375),
            audio_alone: answer(0.4375),
            visual_together: answer(0.75),
            audio_together: ProbeAnswer {
                text: None,
                is_yes: false,
                yes_probability: None,
                latency_ms: 0,
                tokens: Tokens::default(),
            },
        },
    }
}

pub fn tokens() -> Tokens {
    Tokens { prompt: Some(900), text: Some(330), video: Some(320), audio: Some(250), answer: Some(3) }
}

pub fn answer_given() -> AnswerGiven {
    let trace = |byte| TraceParent { trace_id: [byte; 16], span_id: [byte; 8], sampled: true };
    AnswerGiven {
        id: id(11),
        sample: id(6),
        video: "-0SdAVK79lg".into(),
        split: Split::Eval,
        recipe: RecipeName::Misaligned,
        class_seen: Some("Accordion".into()),
        classes_heard: vec!["Rain".into()],
        condition: "misaligned".into(),
        question: "audio".into(),
        expected: "Rain".into(),
        text: Some("rain".into()),
        problem: None,
        chosen: Chosen {
            strict: Some("Rain".into()),
            first_mentioned: Some("Rain".into()),
            lenient: Some("Rain".into()),
        },
        option_scores: Some(vec![-0.125, -2.25]),
        yes_probability: None,
        tokens: tokens(),
        latency_ms: 1_200,
        requests: 1,
        cost_usd: Some(0.001_5),
        model: "openai:http://localhost:8000/v1#omni".into(),
        identity: "omni at temperature 0".into(),
        evaluation: hash(0x50),
        sample_trace: Some(trace(1)),
        trace: Some(trace(2)),
    }
}

pub fn refused_answer() -> AnswerGiven {
    AnswerGiven {
        recipe: RecipeName::AudioRemoved,
        classes_heard: vec![],
        question: "match".into(),
        expected: "no".into(),
        text: None,
        problem: Some("too long".into()),
        chosen: Chosen::default(),
        option_scores: None,
        yes_probability: Some(0.25),
        tokens: Tokens::default(),
        requests: 0,
        cost_usd: None,
        sample_trace: None,
        trace: None,
        ..answer_given()
    }
}

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
