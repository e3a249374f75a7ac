//! Messages of every kind, with every variant that the codec writes by its position.

#![allow(dead_code, reason = "each test uses its part")]

mod models;

use std::collections::BTreeMap;

use counterpoint_messages::*;

use self::models::{
    answer_given, asked_training, checkpoint_saved, clip_probed, refused_answer, training_failed,
    training_revision, training_round,
};

/// What a golden file of this version reads as today: for an older version the same messages with the
/// documented defaults in place of what it could not say.
pub fn published(kind: MessageKind, version: u16) -> Vec<Message> {
    match (kind, version) {
        (MessageKind::InputOffered, 1) => vec![input_offered().into()],
        (MessageKind::InputSealed, 1) => vec![input_sealed().into()],
        (MessageKind::Rejected, 1) => of(kind).into_iter().take(25).collect(),
        (MessageKind::DeadLetter, 1) => of(kind).into_iter().take(7).collect(),
        (MessageKind::RevisionDeclared, 1) => of(kind).into_iter().take(1).collect(),
        (MessageKind::RecordRequeued, 1) => of(kind).into_iter().take(2).collect(),
        (MessageKind::Rejected, 2) => of(kind).into_iter().take(33).collect(),
        (MessageKind::DeadLetter, 2) => of(kind).into_iter().take(8).collect(),
        (MessageKind::RevisionDeclared, 2) => of(kind).into_iter().take(2).collect(),
        (MessageKind::RecordRequeued, 2) => of(kind).into_iter().take(3).collect(),
        (MessageKind::DeadLetter, 3) => of(kind).into_iter().take(10).collect(),
        (MessageKind::RevisionDeclared, 3) => of(kind).into_iter().take(3).collect(),
        (MessageKind::RecordRequeued, 3) => of(kind).into_iter().take(4).collect(),
        _ => of(kind),
    }
}

/// Messages of a kind. What stands here is published: `tests/golden` holds its bytes, so messages are
/// added at the end and never changed; what an older version said moves to [`published`].
pub fn of(kind: MessageKind) -> Vec<Message> {
    match kind {
        MessageKind::InputOffered => vec![
            InputOffered { offered_at_ms: 1_764_000_000_000, ..input_offered() }.into(),
            followed_input().into(),
        ],
        MessageKind::ClipFound => vec![
            ClipFound { clip: clip(), media: file() }.into(),
            ClipFound { clip: bare_clip(), media: file() }.into(),
        ],
        MessageKind::ClipCurated => vec![clip_curated().into()],
        MessageKind::ClipDecoded => vec![clip_decoded().into()],
        MessageKind::ClipAccepted => vec![clip_accepted().into()],
        MessageKind::InputFetched => vec![input_fetched().into()],
        MessageKind::InputSealed => vec![input_sealed().into(), followed_input_sealed().into()],
        MessageKind::PoolSealed => vec![pool_sealed().into()],
        MessageKind::PoolComposed => {
            vec![PoolComposed { pool: id(1), samples: 21, skipped: 300 }.into()]
        }
        MessageKind::SampleComposed => RECIPES.iter().map(|recipe| sample_composed(*recipe).into()).collect(),
        MessageKind::RecipeSkipped => skipped(),
        MessageKind::RunFinished => vec![
            RunFinished { inputs: vec![id(1), id(2)], accepted: 5, rejected: 70_000, dead_letters: 1 }.into(),
        ],
        MessageKind::Rejected => REASONS.iter().map(|reason| rejected(*reason).into()).collect(),
        MessageKind::DeadLetter => STAGES.map(|stage| dead_letter(stage).into()).into(),
        MessageKind::RevisionDeclared => {
            let replays = BTreeMap::from([(StageName::Fetcher, 2)]);
            vec![
                revision_declared().into(),
                RevisionDeclared { number: 3, replays, ..revision_declared() }.into(),
                judged_revision().into(),
                training_revision().into(),
            ]
        }
        MessageKind::RecordRequeued => vec![
            RecordRequeued {
                dead_letter: id(9),
                stage: StageName::Gate,
                clip: Some(id(0xc1)),
                key: vec![7; 16],
            }
            .into(),
            RecordRequeued { dead_letter: id(9), stage: StageName::Source, clip: None, key: vec![] }.into(),
            RecordRequeued { dead_letter: id(9), stage: StageName::Fetcher, clip: None, key: vec![1] }.into(),
            RecordRequeued { dead_letter: id(9), stage: StageName::Evaluator, clip: None, key: vec![] }
                .into(),
            RecordRequeued { dead_letter: id(9), stage: StageName::Trainer, clip: None, key: vec![] }.into(),
        ],
        MessageKind::FormatDeclared => vec![FormatDeclared { level: 2 }.into()],
        MessageKind::ClipProbed => vec![clip_probed().into()],
        MessageKind::AnswerGiven => vec![answer_given().into(), refused_answer().into()],
        MessageKind::TrainingPlanned => vec![training_round().into(), asked_training().into()],
        MessageKind::CheckpointSaved => vec![checkpoint_saved().into()],
        MessageKind::TrainingFailed => TrainingFault::ALL.map(|reason| training_failed(reason).into()).into(),
    }
}

/// In the order in which they were published.
const STAGES: [StageName; 12] = [
    StageName::Source,
    StageName::Curator,
    StageName::Decoder,
    StageName::Gate,
    StageName::Coordinator,
    StageName::Composer,
    StageName::Reporter,
    StageName::Fetcher,
    StageName::Prober,
    StageName::Evaluator,
    StageName::Planner,
    StageName::Trainer,
];

const RECIPES: [Recipe; 7] = [
    Recipe::Aligned,
    Recipe::Misaligned,
    Recipe::Swapped,
    Recipe::Mixup { snr_db: -3.5 },
    Recipe::Shift { offset_ms: -1500 },
    Recipe::AudioRemoved,
    Recipe::FramesZeroed,
];

const SKIPS: [SkipReason; 5] = [
    SkipReason::NoDonorOfOtherClass,
    SkipReason::NoDonorOfSameClass,
    SkipReason::DonorsUsedUp,
    SkipReason::TooFewClasses,
    SkipReason::ClipTooShort,
];

const REASONS: [RejectReason; 37] = [
    RejectReason::Unlabelled,
    RejectReason::RepeatedClip,
    RejectReason::ConflictingMedia,
    RejectReason::UnreadableFile,
    RejectReason::NoClass,
    RejectReason::SeveralClasses,
    RejectReason::MediaMissing,
    RejectReason::MediaChanged,
    RejectReason::EmptyFile,
    RejectReason::NotMedia,
    RejectReason::CorruptMedia,
    RejectReason::UnsupportedCodec,
    RejectReason::NoPicture,
    RejectReason::NoSound,
    RejectReason::TooShort,
    RejectReason::SegmentUnclear,
    RejectReason::TooLarge,
    RejectReason::CpuLimit,
    RejectReason::MemoryLimit,
    RejectReason::Silent,
    RejectReason::TooQuiet,
    RejectReason::Black,
    RejectReason::Static,
    RejectReason::TooManyCuts,
    RejectReason::OtherSound,
    RejectReason::Gone,
    RejectReason::Private,
    RejectReason::Region,
    RejectReason::Age,
    RejectReason::TooManyRequests,
    RejectReason::Network,
    RejectReason::TimedOut,
    RejectReason::FetchFailed,
    RejectReason::NotVisibleAlone,
    RejectReason::NotAudibleAlone,
    RejectReason::NotVisibleTogether,
    RejectReason::NotAudibleTogether,
];

fn id(byte: u8) -> RecordId {
    RecordId([byte; 16])
}

fn hash(byte: u8) -> ContentHash {
    ContentHash([byte; 32])
}

fn object(byte: u8) -> MediaObject {
    MediaObject { hash: hash(byte), bytes: 1_234_567 }
}

fn file() -> MediaFile {
    MediaFile { path: "clips/-0SdAVK79lg_30000.mp4".into(), hash: hash(0xab), bytes: 400_000 }
}

fn clip() -> Clip {
    Clip {
        id: id(0xc1),
        video: "-0SdAVK79lg".into(),
        segment: Some(Segment { start_ms: 30_000, end_ms: 40_000 }),
        split: Split::Eval,
        labels: vec!["/m/05r5c".into(), "/m/04rlf".into()],
    }
}

fn bare_clip() -> Clip {
    Clip { id: id(0xc2), video: "Gerät 7".into(), segment: None, split: Split::Train, labels: vec![] }
}

fn input_offered() -> InputOffered {
    InputOffered {
        id: id(1),
        clips: "clips".into(),
        labels: vec![
            LabelList { path: "eval.csv".into(), split: Split::Eval },
            LabelList { path: "train.csv".into(), split: Split::Train },
        ],
        ontology: "ontology.json".into(),
        nonce: 3,
        offered_at_ms: 0,
        follow: None,
        fetch: false,
    }
}

fn followed_input() -> InputOffered {
    let follow = Some(Follow { settle_ms: 5_000, seal_clips: 1_000, seal: true });
    InputOffered { offered_at_ms: -1, follow, fetch: true, ..input_offered() }
}

fn missing() -> BTreeMap<String, BTreeMap<RejectReason, u64>> {
    [("Cat".into(), [(RejectReason::Gone, 3), (RejectReason::TooManyRequests, 1)].into())].into()
}

fn followed_input_sealed() -> InputSealed {
    InputSealed {
        follow: followed_input().follow,
        wanted: [("Cat".into(), 300), ("Accordion".into(), 4)].into(),
        missing: missing(),
        retry_at_ms: Some(1_700_000_060_000),
        ..input_sealed()
    }
}

fn input_fetched() -> InputFetched {
    InputFetched {
        input: followed_input(),
        complete: true,
        missing: missing(),
        retry_at_ms: Some(1_700_000_060_000),
        explanations: vec!["video00000a is private".into()],
    }
}

fn clip_curated() -> ClipCurated {
    ClipCurated {
        id: id(2),
        clip: clip(),
        media: file(),
        class: "Accordion".into(),
        mids: vec!["/m/0mkg".into()],
    }
}

fn statistics() -> SignalStatistics {
    SignalStatistics {
        loudness_lufs: -23.25,
        silent_share: 0.125,
        black_share: 0.0,
        motion: 0.031_25,
        cuts: 2,
    }
}

fn clip_decoded() -> ClipDecoded {
    ClipDecoded {
        id: id(3),
        clip: clip(),
        class: "Accordion".into(),
        origin: file(),
        media: object(0x10),
        sound: object(0x11),
        container: ContainerFacts {
            container: "matroska".into(),
            video_codec: "vp9".into(),
            audio_codec: "opus".into(),
            width: 1280,
            height: 720,
            frame_rate: 29.97,
            duration_ms: 10_005,
            sample_rate: 48_000,
            channels: 2,
        },
        statistics: statistics(),
        duration_ms: 10_000,
        padded_ms: 240,
    }
}

fn clip_accepted() -> ClipAccepted {
    ClipAccepted {
        id: id(4),
        clip: clip(),
        class: "Accordion".into(),
        media: object(0x10),
        sound: object(0x11),
        statistics: statistics(),
        duration_ms: 10_000,
    }
}

fn input_sealed() -> InputSealed {
    InputSealed {
        input: id(1),
        count: 8,
        total: 20,
        total_ids: IdSum::default().plus(id(0xc1)).plus(id(0xc2)),
        found: 11,
        already_known: 1,
        labels_without_clip: 20_000,
        broken_rows: 2,
        unknown_mids: BTreeMap::from([("/m/none".into(), 3), ("/t/none".into(), 1)]),
        repeated_rows: 4,
        explanations: vec!["eval.csv line 7: 3 fields of 4; mend the line".into()],
        follow: None,
        wanted: BTreeMap::new(),
        missing: BTreeMap::new(),
        retry_at_ms: None,
    }
}

fn pool_sealed() -> PoolSealed {
    PoolSealed {
        id: id(5),
        generation: 2,
        split: Split::Train,
        members: 640,
        member_ids: hash(0x20),
        listing: hash(0x21),
        plan: hash(0x22),
    }
}

fn sample_composed(recipe: Recipe) -> SampleComposed {
    let parent = |role, byte, class: &str| Parent {
        role,
        clip: id(byte),
        video: "-0SdAVK79lg".into(),
        class: class.into(),
        media: object(byte),
        sound: object(byte + 1),
    };
    SampleComposed {
        id: id(6),
        recipe,
        class_seen: (recipe != Recipe::FramesZeroed).then(|| "Accordion".into()),
        classes_heard: if recipe == Recipe::AudioRemoved { vec![] } else { vec!["Rain".into()] },
        split: Split::Eval,
        parents: vec![parent(ParentRole::Host, 0x30, "Accordion"), parent(ParentRole::Donor, 0x40, "Rain")],
        seed: 42,
        plan: hash(0x22),
        pool: id(5),
        generation: 1,
        duration_ms: 10_000,
    }
}

fn skipped() -> Vec<Message> {
    let skipped = |(number, recipe): (usize, &RecipeName)| {
        RecipeSkipped {
            id: id(7),
            host: id(0xc1),
            video: "-0SdAVK79lg".into(),
            class: "Accordion".into(),
            split: Split::Train,
            recipe: *recipe,
            reason: SKIPS[number % SKIPS.len()],
        }
        .into()
    };
    RecipeName::ALL.iter().enumerate().map(skipped).collect()
}

fn rejected(reason: RejectReason) -> Rejected {
    Rejected {
        id: id(8),
        clip: id(0xc1),
        video: "-0SdAVK79lg".into(),
        path: "clips/-0SdAVK79lg_30000.mp4".into(),
        split: (reason != RejectReason::Unlabelled).then_some(Split::Eval),
        stage: StageName::Decoder,
        reason,
        detail: "7.2 s of 10 s; set short = \"pad\" to keep it".into(),
    }
}

fn dead_letter(stage: StageName) -> DeadLetter {
    DeadLetter {
        id: id(9),
        clip: (stage != StageName::Source).then_some(id(0xc1)),
        revision: (stage != StageName::Source).then_some(Fingerprint([0x77; 8])),
        stage,
        topic: "decoded".into(),
        partition: 3,
        position: 1 << 40,
        attempts: 3,
        reason: "index out of bounds".into(),
        key: vec![0, 1, 0xff],
        raw: b"CNPT and what follows".to_vec(),
    }
}

fn revision_declared() -> RevisionDeclared {
    let settings = BTreeMap::from([("short".into(), "reject".into()), ("seconds".into(), "10".into())]);
    RevisionDeclared {
        number: 2,
        settings: BTreeMap::from([("decoder".into(), settings)]),
        replays: BTreeMap::from([(StageName::Gate, 1)]),
        fingerprints: STAGES.into_iter().take(7).zip((1..).map(|byte| Fingerprint([byte; 8]))).collect(),
    }
}

fn judged_revision() -> RevisionDeclared {
    let mut revision = RevisionDeclared { number: 4, ..revision_declared() };
    revision.fingerprints.insert(StageName::Prober, Fingerprint([0x66; 8]));
    revision
}
