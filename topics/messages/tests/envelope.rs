//! The envelope against bytes that are not what they should be.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod samples;

use std::collections::BTreeMap;

use counterpoint_messages::{
    DeadLetter, DecodeError, EncodeError, Fingerprint, FormatLevel, IdSum, InputSealed, Message, MessageKind,
    RecordId, StageName,
    wire::{MAX_DEAD_LETTER_BYTES, MAX_MESSAGE_BYTES},
};
use proptest::prelude::*;

/// Bytes of the envelope before the payload.
const HEADER_BYTES: usize = 16;

fn dead_letter(raw: Vec<u8>) -> DeadLetter {
    DeadLetter {
        id: RecordId([1; 16]),
        clip: None,
        revision: None,
        stage: StageName::Gate,
        topic: String::new(),
        partition: 0,
        position: 0,
        attempts: 1,
        reason: String::new(),
        key: vec![],
        raw,
    }
}

fn sample() -> impl Strategy<Value = Message> {
    let all: Vec<_> = MessageKind::ALL.iter().copied().flat_map(samples::of).collect();
    prop::sample::select(all)
}

/// An envelope whose checksum is right, whatever it holds.
fn sealed(kind: u16, version: u16, payload: &[u8]) -> Vec<u8> {
    let fields =
        [kind.to_le_bytes().as_slice(), &version.to_le_bytes(), &(payload.len() as u32).to_le_bytes()]
            .concat();
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&fields), payload);
    [b"CNPT".as_slice(), &fields, &checksum.to_le_bytes(), payload].concat()
}

prop_compose! {
    fn any_dead_letter()(
        id in any::<[u8; 16]>(),
        clip in any::<Option<[u8; 16]>>(),
        revision in any::<Option<[u8; 8]>>(),
        stage in prop::sample::select(StageName::ALL.to_vec()),
        (topic, reason) in any::<(String, String)>(),
        (partition, position, attempts) in any::<(u32, u64, u32)>(),
        (key, raw) in any::<(Vec<u8>, Vec<u8>)>(),
    ) -> Message {
        let (id, clip, revision) = (RecordId(id), clip.map(RecordId), revision.map(Fingerprint));
        DeadLetter { id, clip, revision, stage, topic, partition, position, attempts, reason, key, raw }.into()
    }
}

prop_compose! {
    fn any_input_sealed()(
        input in any::<[u8; 16]>(),
        (count, total, found, already_known) in any::<(u64, u64, u64, u64)>(),
        (labels_without_clip, broken_rows, repeated_rows) in any::<(u64, u64, u64)>(),
        unknown_mids in any::<BTreeMap<String, u64>>(),
        explanations in any::<Vec<String>>(),
        wanted in any::<BTreeMap<String, u64>>(),
        retry_at_ms in any::<Option<i64>>(),
    ) -> Message {
        let (input, total_ids) = (RecordId(input), IdSum::default().plus(RecordId(input)));
        InputSealed {
            input, count, total, total_ids, found, already_known, labels_without_clip, broken_rows, unknown_mids,
            repeated_rows, explanations, follow: None, wanted, missing: BTreeMap::new(), retry_at_ms,
        }
        .into()
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in any::<Vec<u8>>()) {
        prop_assert!(Message::decode(&bytes).is_err());
    }

    #[test]
    fn a_random_payload_under_a_right_checksum_never_panics(
        kind in 0_u16..24, version in 0_u16..5, payload in any::<Vec<u8>>(),
    ) {
        if let Ok(message) = Message::decode(&sealed(kind, version, &payload)) {
            prop_assert_eq!(message.kind() as u16, kind);
        }
    }

    #[test]
    fn a_changed_payload_under_a_right_checksum_never_panics(
        message in sample(), places in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..8),
    ) {
        let mut payload = message.encode(FormatLevel::NEWEST).unwrap().split_off(HEADER_BYTES);
        for (place, byte) in places {
            let place = place.index(payload.len());
            payload[place] = byte;
        }
        if let Ok(changed) = Message::decode(&sealed(message.kind() as u16, message.kind().version(), &payload)) {
            prop_assert_eq!(changed.kind(), message.kind());
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(message in sample(), place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = message.encode(FormatLevel::NEWEST).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        prop_assert!(Message::decode(&bytes).is_err());
    }

    #[test]
    fn a_message_that_ends_early_is_noticed(message in sample(), end in any::<prop::sample::Index>()) {
        let bytes = message.encode(FormatLevel::NEWEST).unwrap();
        let error = Message::decode(&bytes[..end.index(bytes.len())]).unwrap_err();
        prop_assert!(matches!(error, DecodeError::Truncated { .. }), "{}", error);
    }

    #[test]
    fn bytes_behind_the_envelope_are_refused(
        message in sample(), more in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let mut bytes = message.encode(FormatLevel::NEWEST).unwrap();
        bytes.extend_from_slice(&more);
        prop_assert_eq!(Message::decode(&bytes), Err(DecodeError::TrailingBytes(more.len())));
    }

    #[test]
    fn bytes_behind_the_message_inside_the_envelope_are_refused(
        message in sample(), more in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let mut payload = message.encode(FormatLevel::NEWEST).unwrap().split_off(HEADER_BYTES);
        payload.extend_from_slice(&more);
        let bytes = sealed(message.kind() as u16, message.kind().version(), &payload);
        prop_assert_eq!(Message::decode(&bytes), Err(DecodeError::TrailingBytes(more.len())));
    }

    #[test]
    fn a_message_comes_back_as_it_was(message in prop_oneof![any_dead_letter(), any_input_sealed()]) {
        let bytes = message.encode(FormatLevel::NEWEST).unwrap();
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn a_newer_version_asks_for_an_upgrade(message in sample(), newer in 1_u16..100) {
        let (kind, known) = (message.kind(), message.kind().version());
        let payload = message.encode(FormatLevel::NEWEST).unwrap().split_off(HEADER_BYTES);
        let error = Message::decode(&sealed(kind as u16, known + newer, &payload)).unwrap_err();
        prop_assert_eq!(&error, &DecodeError::Newer { kind, version: known + newer, known });
        prop_assert!(error.to_string().contains("upgrade counterpoint"));
    }
}

#[test]
fn no_size_makes_a_record_of_a_later_release_anything_else() {
    let payload = vec![0; MAX_MESSAGE_BYTES + 1];
    let (kind, known) = (MessageKind::ClipFound, MessageKind::ClipFound.version());
    let newer = Message::decode(&sealed(kind as u16, known + 1, &payload)).unwrap_err();
    assert_eq!(newer, DecodeError::Newer { kind, version: known + 1, known });
    assert_eq!(Message::decode(&sealed(999, 1, &payload)), Err(DecodeError::UnknownKind(999)));
    assert!(newer.is_of_later_release() && DecodeError::UnknownKind(999).is_of_later_release());
    let known = Message::decode(&sealed(kind as u16, known, &payload)).unwrap_err();
    assert!(matches!(known, DecodeError::TooLarge { .. }) && !known.is_of_later_release(), "{known}");
}

#[test]
fn there_is_no_version_0() {
    let error = Message::decode(&sealed(MessageKind::PoolComposed as u16, 0, &[0; 18])).unwrap_err();
    assert!(error.to_string().contains("no version 0"), "{error}");
    assert!(Message::decode(&sealed(MessageKind::PoolComposed as u16, 1, &[0; 18])).is_ok());
}

#[test]
fn an_unknown_kind_asks_for_an_upgrade() {
    let error = Message::decode(&sealed(999, 1, b"")).unwrap_err();
    assert_eq!(error, DecodeError::UnknownKind(999));
    assert!(error.to_string().contains("upgrade counterpoint"));
}

#[test]
fn a_message_is_written_up_to_the_limit_and_not_beyond() {
    let payload_bytes = |raw| {
        let envelope = Message::from(dead_letter(vec![7; raw])).encode(FormatLevel::NEWEST);
        envelope.map(|bytes| bytes.len() - HEADER_BYTES)
    };
    let raw = MAX_DEAD_LETTER_BYTES
        - (payload_bytes(MAX_DEAD_LETTER_BYTES / 2).unwrap() - MAX_DEAD_LETTER_BYTES / 2);
    assert_eq!(payload_bytes(raw), Ok(MAX_DEAD_LETTER_BYTES));
    assert_eq!(
        payload_bytes(raw + 1),
        Err(EncodeError::TooLarge { found: MAX_DEAD_LETTER_BYTES + 1, limit: MAX_DEAD_LETTER_BYTES })
    );
    let largest = Message::from(dead_letter(vec![7; raw]));
    assert_eq!(Message::decode(&largest.encode(FormatLevel::NEWEST).unwrap()), Ok(largest));
}

#[test]
fn a_message_of_many_small_numbers_is_read_up_to_the_limit() {
    let unknown_mids = (0..155_000).map(|number| (format!("{number:04x}"), 1)).collect();
    let message = Message::from(InputSealed {
        input: RecordId([1; 16]),
        count: 0,
        total: 0,
        total_ids: IdSum::default(),
        found: 0,
        already_known: 0,
        labels_without_clip: 0,
        broken_rows: 0,
        unknown_mids,
        repeated_rows: 0,
        explanations: vec![String::new(); 20],
        follow: None,
        wanted: BTreeMap::new(),
        missing: BTreeMap::new(),
        retry_at_ms: None,
    });
    let bytes = message.encode(FormatLevel::NEWEST).unwrap();
    assert!(bytes.len() > MAX_MESSAGE_BYTES * 9 / 10);
    assert_eq!(Message::decode(&bytes), Ok(message));
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
    let mut bytes = sealed(1, 1, b"");
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        Message::decode(&bytes),
        Err(DecodeError::TooLarge { found: u32::MAX as usize, limit: MAX_MESSAGE_BYTES })
    );
}

#[test]
fn a_list_that_claims_more_elements_than_it_has_takes_no_memory_for_them() {
    // Kind 11 begins with the number of its inputs; 253 announces eight bytes of length.
    let payload = [&[253_u8][..], &u64::MAX.to_le_bytes()].concat();
    let error = Message::decode(&sealed(MessageKind::RunFinished as u16, 1, &payload)).unwrap_err();
    assert!(matches!(error, DecodeError::Payload { kind: MessageKind::RunFinished, .. }), "{error}");
}
