//! What the coordinator makes of letters, its own included, in whatever order topics are read.

use counterpoint_log::{Headers, Position, Received};
use counterpoint_messages::{Clip, Follow, InputOffered, MediaObject, SignalStatistics};

use super::*;

const CLIP: RecordId = RecordId([1; 16]);
const INPUTS: [RecordId; 2] = [RecordId([2; 16]), RecordId([3; 16])];

fn coordinator() -> Coordinator {
    Coordinator::new(Plan::default(), Fingerprint([9; 8]))
}

fn accepted() -> Message {
    let object = MediaObject { hash: ContentHash::default(), bytes: 1 };
    let clip =
        Clip { id: CLIP, video: "video".to_owned(), segment: None, split: Split::Train, labels: vec![] };
    Message::from(ClipAccepted {
        id: RecordId([4; 16]),
        clip,
        class: "Cat".to_owned(),
        media: object,
        sound: object,
        statistics: SignalStatistics::default(),
        duration_ms: 10_000,
    })
}

/// The seal of an input that brought all there is: one clip.
fn sealed(input: RecordId) -> Message {
    Message::from(seal(input))
}

fn seal(input: RecordId) -> InputSealed {
    InputSealed {
        input,
        count: 1,
        total: 1,
        total_ids: IdSum::default().plus(CLIP),
        found: 1,
        already_known: 0,
        labels_without_clip: 0,
        broken_rows: 0,
        unknown_mids: BTreeMap::new(),
        repeated_rows: 0,
        explanations: vec![],
        follow: None,
        wanted: BTreeMap::new(),
        missing: BTreeMap::new(),
        retry_at_ms: None,
    }
}

/// The seal of a followed input: so many clips came by then, of which one at least goes on.
fn followed(number: u64, total: u64) -> Message {
    let input = RecordId(u128::from(number).to_be_bytes());
    let total_ids = IdSum::default().plus(CLIP);
    let follow = Some(Follow { settle_ms: 0, seal_clips: 0, seal: false });
    Message::from(InputSealed { total, total_ids, follow, ..seal(input) })
}

fn letter(
    stage: StageName,
    topic: Topic,
    clip: Option<RecordId>,
    key: RecordId,
    about: &Message,
) -> DeadLetter {
    let raw = about.encode(FormatLevel::NEWEST).unwrap();
    let cause = Cause { stage, transform: 1, settings: Fingerprint::default(), inputs: &[key], detail: "" };
    DeadLetter {
        id: cause.id(),
        clip,
        revision: None,
        stage,
        topic: topic.to_string(),
        partition: 0,
        position: 1,
        attempts: 3,
        reason: String::new(),
        key: key.0.to_vec(),
        raw,
    }
}

/// The coordinator's letter about another one.
fn about(other: &DeadLetter) -> DeadLetter {
    letter(STAGE, Topic::DeadLetters, other.clip, other.id, &other.clone().into())
}

/// The word that a letter's record was put back.
fn word(letter: &DeadLetter) -> Message {
    let clip = clip_of(letter);
    RecordRequeued { dead_letter: letter.id, stage: letter.stage, clip, key: letter.key.clone() }.into()
}

/// Has it read a record, put back for it or not; the ends of runs that it writes.
fn read(coordinator: &mut Coordinator, message: &Message, is_put_back: bool) -> Vec<RunFinished> {
    let reader = is_put_back.then_some(coordinator.fingerprint);
    let received = Received {
        topic: Topic::Runs,
        partition: 0,
        position: Position(1),
        key: vec![],
        value: vec![],
        headers: Headers { reader, ..Headers::default() },
        written_ms: 0,
    };
    let record = Record { message: message.clone(), received };
    let effects = match coordinator.plan(&record).unwrap() {
        Step::Done(effects) => effects,
        Step::Work(StoreListings(listings)) => {
            let stored = listings.into_iter().map(|(listing, bytes)| (listing, ContentHash::of(&bytes)));
            coordinator.conclude(&record, stored.collect()).unwrap()
        }
    };
    let ends = effects.outputs.into_iter().filter_map(|output| match output.message {
        Message::RunFinished(finished) => Some(finished),
        _ => None,
    });
    ends.collect()
}

/// A coordinator that waits for the only pool of the only clip.
fn composing() -> (Coordinator, RecordId) {
    let mut coordinator = coordinator();
    read(&mut coordinator, &accepted(), false);
    assert_eq!(read(&mut coordinator, &sealed(INPUTS[0]), false), []);
    let [pool] = coordinator.tally.composing[..] else { panic!("{:?}", coordinator.tally) };
    (coordinator, pool)
}

/// Every way to read two topics, each in its order.
fn interleaved<T: Clone>(first: &[T], second: &[T]) -> Vec<Vec<T>> {
    let ([head, rest @ ..], [other, others @ ..]) = (first, second) else {
        return vec![[first, second].concat()];
    };
    let begin = |head: &T, tails: Vec<Vec<T>>| {
        tails.into_iter().map(|tail| [std::slice::from_ref(head), &tail].concat()).collect::<Vec<_>>()
    };
    [begin(head, interleaved(rest, second)), begin(other, interleaved(first, others))].concat()
}

/// A letter, and those that the coordinator wrote when it could not read the one before, the newest last.
fn chain(lost: &DeadLetter, length: usize) -> Vec<DeadLetter> {
    let chain = std::iter::successors(Some(lost.clone()), |before| Some(about(before)));
    chain.take(1 + length).collect()
}

/// Records, and whether each was put back.
type Records = Vec<(Message, bool)>;

/// What is on the letters' topic once a chain was put back: the last letter, which is the only one that the
/// coordinator could read, and the others again. And the words that tell of it.
fn put_back(chain: &[DeadLetter]) -> (Records, Records) {
    let [others @ .., last] = chain else { panic!("an empty chain") };
    let copies = others.iter().map(|letter| (Message::from(letter.clone()), true));
    let letters = [(Message::from(last.clone()), false)].into_iter().chain(copies).collect();
    (letters, chain.iter().map(|letter| (word(letter), false)).collect())
}

#[test]
fn a_letter_that_could_not_be_read_ends_what_it_is_about_all_the_same() {
    let (mut coordinator, pool) = composing();
    let lost = letter(StageName::Composer, Topic::Pools, None, pool, &accepted());
    let newest = chain(&lost, 2).remove(2);
    let ends = read(&mut coordinator, &newest.into(), false);
    assert_eq!(ends.len(), 1);
    assert_eq!((ends[0].inputs.as_slice(), ends[0].dead_letters), (&INPUTS[..1], 3));

    let mut coordinator = self::coordinator();
    let offer = InputOffered {
        id: INPUTS[0],
        clips: String::new(),
        labels: vec![],
        ontology: String::new(),
        nonce: 0,
        offered_at_ms: 0,
        follow: None,
        fetch: false,
    };
    let unread = letter(StageName::Source, Topic::Inputs, None, INPUTS[0], &offer.clone().into());
    let ends = read(&mut coordinator, &about(&unread).into(), false);
    assert_eq!(ends.len(), 1);
    assert_eq!((ends[0].inputs.as_slice(), ends[0].dead_letters), (&INPUTS[..1], 2));

    // The source reads this offer, so the fetcher's letter about it ends nothing.
    let passed_over = letter(StageName::Fetcher, Topic::Inputs, None, INPUTS[0], &offer.into());
    assert_eq!(read(&mut coordinator, &passed_over.into(), false), []);
}

#[test]
fn a_pool_that_is_put_back_through_two_letters_is_waited_for_in_any_order() {
    let (_, pool) = composing();
    let lost = letter(StageName::Composer, Topic::Pools, None, pool, &accepted());
    let composed = Message::from(PoolComposed { pool, samples: 1, skipped: 0 });
    for length in [1, 2] {
        let (letters, words) = put_back(&chain(&lost, length));
        let runs = [words, vec![(sealed(INPUTS[1]), false), (composed.clone(), false)]].concat();
        for order in interleaved(&letters, &runs) {
            let (mut coordinator, _) = composing();
            let mut ended = Vec::new();
            for (message, is_put_back) in &order {
                let ends = read(&mut coordinator, message, *is_put_back);
                ended.extend(ends.into_iter().flat_map(|end| end.inputs));
            }
            assert_eq!(ended, INPUTS, "{order:?}");
            let Tally { ended, dead, composing, .. } = coordinator.tally;
            assert_eq!((ended, dead, composing), (1, 0, vec![]), "{order:?}");
        }
    }
}

#[test]
fn a_clip_that_is_put_back_through_two_letters_ends_once_in_any_order() {
    let key = RecordId([5; 16]);
    let lost = letter(StageName::Gate, Topic::Decoded, Some(CLIP), key, &accepted());
    let requeued = word(&lost);
    // The word as well may be one that the coordinator learns from its own letter only.
    let missed = letter(STAGE, Topic::Runs, Some(CLIP), key, &requeued);
    for (letters, runs) in [
        put_back(&chain(&lost, 1)),
        put_back(&chain(&lost, 2)),
        (
            vec![(lost.clone().into(), false), (missed.clone().into(), false)],
            vec![(word(&missed), false), (requeued, true)],
        ),
    ] {
        let ends = [vec![(sealed(INPUTS[0]), false)], runs].concat();
        let topics = interleaved(&letters, &[(accepted(), false)]);
        for order in topics.iter().flat_map(|topics| interleaved(topics, &ends)) {
            let mut coordinator = coordinator();
            for (message, is_put_back) in &order {
                read(&mut coordinator, message, *is_put_back);
            }
            let Tally { ended, ended_ids, dead, accepted, .. } = coordinator.tally;
            let whole = (1, IdSum::default().plus(CLIP), 0, 1);
            assert_eq!((ended, ended_ids, dead, accepted), whole, "{order:?}");
        }
    }
}

#[test]
fn of_an_input_that_is_followed_for_ever_the_newest_waits_and_each_is_named_once() {
    let mut coordinator = coordinator();
    let mut named = Vec::new();
    let mut take = |ends: Vec<RunFinished>| {
        assert!(ends.iter().all(|end| end.inputs.len() <= NAMED), "{ends:?}");
        named.extend(ends.into_iter().flat_map(|end| end.inputs));
    };
    for number in 0..5_000 {
        take(read(&mut coordinator, &followed(number, 2), false));
        let Tally { inputs, superseded, .. } = &coordinator.tally;
        assert_eq!(inputs.len(), 1);
        assert!(superseded.len() < NAMED);
    }
    take(read(&mut coordinator, &accepted(), false));

    // A run that ends makes all come to rest; an earlier seal that is put back knows of less.
    let rest = RecordId([7; 16]);
    let total_ids = IdSum::default().plus(CLIP).plus(rest);
    let plain = InputSealed { total: 2, total_ids, ..seal(INPUTS[0]) };
    take(read(&mut coordinator, &plain.into(), false));
    take(read(&mut coordinator, &followed(5_000, 1), false));
    assert_eq!(coordinator.tally.composing, [], "a clip is still on its way");
    let lost = letter(StageName::Gate, Topic::Decoded, Some(rest), rest, &accepted());
    take(read(&mut coordinator, &lost.into(), false));
    let [pool] = coordinator.tally.composing[..] else { panic!("{:?}", coordinator.tally) };
    take(read(&mut coordinator, &PoolComposed { pool, samples: 1, skipped: 0 }.into(), false));

    let mut all: Vec<_> = (0..=5_000_u128).map(|number| RecordId(number.to_be_bytes())).collect();
    all.push(INPUTS[0]);
    named.sort_unstable();
    all.sort_unstable();
    assert!(named == all, "{} inputs of {} were named", named.len(), all.len());
}

#[test]
fn a_tally_of_an_earlier_release_is_read_and_what_it_names_ends() {
    let inputs: Vec<_> = (0..600_u128).map(|number| RecordId(number.to_be_bytes())).collect();
    let earlier = Tally { inputs: inputs.clone(), following: true, ..Tally::default() };
    let mut earlier = serde_json::to_value(earlier).unwrap();
    let fields = earlier.as_object_mut().unwrap();
    assert!(fields.remove("followed").is_some() && fields.remove("superseded").is_some());
    let value = Some(serde_json::to_vec(&earlier).unwrap());
    let mut coordinator = coordinator();
    coordinator.restore(&[StateEntry { partition: 0, key: b"tally".to_vec(), value }]).unwrap();
    let mut named = Vec::new();
    for number in 600..1_200 {
        let ends = read(&mut coordinator, &followed(number, 2), false);
        assert!(ends.iter().all(|end| end.inputs.len() <= NAMED), "{ends:?}");
        named.extend(ends.into_iter().flat_map(|end| end.inputs));
    }
    assert_eq!(named[..600], inputs);
}
