//! What composing promises whatever the pool: donor rules, use cap, order, generations, ids.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};

use counterpoint_core::{
    plan::Plan,
    pool::{PoolListing, PoolMember},
    variants::{ComposeError, ComposedHost, Composition, LineageCard, ManifestRow, Relations, compose},
};
use counterpoint_messages::{
    ContentHash, Fingerprint, MediaObject, PoolSealed, Recipe, RecipeName, RecordId, SampleComposed,
    SkipReason, Split,
};
use proptest::prelude::*;

const SETTINGS: Fingerprint = Fingerprint([7; 8]);

/// A small ontology: classes are called by their label.
///
/// ```text
/// animal: cat, dog · machine: car, train · sea · wind · bell (below metal and below music) · gong (below metal)
/// ```
struct Toy;

const CLASSES: [&str; 8] = ["cat", "dog", "car", "train", "sea", "wind", "bell", "gong"];

impl Relations for Toy {
    fn parents<'a>(&'a self, mid: &str) -> Vec<&'a str> {
        match mid {
            "cat" | "dog" => vec!["animal"],
            "car" | "train" => vec!["machine"],
            "bell" => vec!["metal", "music"],
            "gong" => vec!["metal"],
            "siren" => vec!["car"],
            _ => vec![],
        }
    }

    fn class_mids<'a>(&'a self, class: &str) -> Vec<&'a str> {
        CLASSES.iter().find(|name| **name == class).copied().into_iter().collect()
    }
}

fn siblings(one: &str, other: &str) -> bool {
    Toy.parents(one).iter().any(|parent| Toy.parents(other).contains(parent))
}

fn member(number: u32, class: &str, generation: u32) -> PoolMember {
    let hash = |what: &str| ContentHash::of(format!("{what} {number}").as_bytes());
    let mut clip = [0; 16];
    clip.copy_from_slice(&hash("clip").0[..16]);
    PoolMember {
        generation,
        clip: RecordId(clip),
        video: format!("video{number:06}"),
        class: class.into(),
        labels: vec![class.into()],
        split: Split::Train,
        media: MediaObject { hash: hash("media"), bytes: 10 },
        sound: MediaObject { hash: hash("sound"), bytes: 5 },
        duration_ms: 10_000,
        trace: None,
    }
}

fn seal(members: &[PoolMember], plan: &Plan) -> (PoolListing, PoolSealed) {
    let split = members.first().map_or(Split::Train, |member| member.split);
    let listing = PoolListing::new(split, members.to_vec()).unwrap();
    let sealed = listing.seal(plan, ContentHash::of(&listing.to_bytes().unwrap()), SETTINGS);
    (listing, sealed)
}

fn composed(members: &[PoolMember], plan: &Plan, seed: u64) -> Vec<ComposedHost> {
    let (listing, sealed) = seal(members, plan);
    compose(listing, &sealed, plan, seed, &Toy, SETTINGS).unwrap().collect()
}

fn samples(hosts: &[ComposedHost]) -> impl Iterator<Item = &SampleComposed> {
    hosts.iter().flat_map(|host| &host.compositions).filter_map(|composition| match composition {
        Composition::Sample(sample) => Some(sample),
        Composition::Skipped(_) => None,
    })
}

fn skips(hosts: &[ComposedHost]) -> Vec<(RecipeName, SkipReason)> {
    let compositions = hosts.iter().flat_map(|host| &host.compositions);
    compositions
        .filter_map(|composition| match composition {
            Composition::Sample(_) => None,
            Composition::Skipped(skip) => Some((skip.recipe, skip.reason)),
        })
        .collect()
}

fn plan(text: &str) -> Plan {
    Plan::from_toml(&format!("{text}\n[[recipe]]\nname = \"aligned\"\n"), "test.toml").unwrap()
}

fn misaligned(donors: u32, cap: u32) -> Plan {
    plan(&format!("donor_use_cap = {cap}\n[[recipe]]\nname = \"misaligned\"\ndonors = {donors}"))
}

/// Every class with `each` clips of generation 1.
fn even_pool(each: u32) -> Vec<PoolMember> {
    (0..8 * each).map(|number| member(number, CLASSES[number as usize % 8], 1)).collect()
}

#[test]
fn the_default_plan_makes_every_recipe_of_every_host() {
    let hosts = composed(&even_pool(3), &Plan::default(), 1);
    assert_eq!(hosts.len(), 24);
    assert_eq!(skips(&hosts), []);
    for host in &hosts {
        let made: Vec<RecipeName> =
            samples(std::slice::from_ref(host)).map(|sample| sample.recipe.name()).collect();
        assert_eq!(made, RecipeName::ALL);
    }
}

#[test]
fn each_recipe_says_what_is_seen_and_heard() {
    for sample in samples(&composed(&even_pool(3), &Plan::default(), 1)) {
        let host = sample.host().unwrap().class.clone();
        let donors: Vec<String> = sample.donors().map(|donor| donor.class.clone()).collect();
        let heard = match sample.recipe.name() {
            RecipeName::Aligned | RecipeName::Shift | RecipeName::FramesZeroed => vec![host.clone()],
            RecipeName::Misaligned => vec![donors[0].clone()],
            RecipeName::Swapped => vec![host.clone()],
            RecipeName::Mixup => vec![host.clone(), donors[0].clone()],
            RecipeName::AudioRemoved => vec![],
        };
        let seen = (sample.recipe.name() != RecipeName::FramesZeroed).then_some(host);
        assert_eq!((&sample.class_seen, &sample.classes_heard), (&seen, &heard), "{:?}", sample.recipe);
    }
}

#[test]
fn the_published_plan_takes_ten_sounds_of_distinct_classes() {
    let members: Vec<PoolMember> = (0..240).map(|n| member(n, &format!("class {}", n % 12), 1)).collect();
    let hosts = composed(&members, &Plan::published(), 3);
    assert_eq!(samples(&hosts).count(), 240 * 11);
    for host in &hosts {
        let heard: BTreeSet<&String> =
            samples(std::slice::from_ref(host)).flat_map(|s| &s.classes_heard).collect();
        assert_eq!(heard.len(), 11);
    }
}

#[test]
fn a_donor_is_no_sibling_no_descendant_and_no_co_label_of_the_host() {
    let clip = |number, class: &str, labels: &[&str]| PoolMember {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..member(number, class, 1)
    };
    let cat = || clip(1, "cat", &["animal", "cat", "speech"]);
    for (donor, allowed) in [
        (clip(2, "sea", &["sea"]), true),
        (clip(2, "dog", &["dog"]), false),
        (clip(2, "sea", &["sea", "speech"]), false),
        (clip(2, "sea", &["sea", "cat"]), false),
        (clip(2, "sea", &["sea", "animal"]), false),
        (clip(2, "wind", &["siren"]), true),
        (PoolMember { video: "video000001".into(), ..member(2, "sea", 1) }, false),
    ] {
        let hosts = composed(&[cat(), donor.clone()], &misaligned(1, 10), 1);
        let made = samples(&hosts).any(|sample| sample.recipe == Recipe::Misaligned);
        assert_eq!(made, allowed, "a cat with the sound of {:?} of {}", donor.labels, donor.video);
    }
    let siren = clip(3, "wind", &["siren"]);
    let hosts = composed(&[siren, clip(4, "car", &["car"])], &misaligned(1, 10), 1);
    assert_eq!(samples(&hosts).filter(|sample| sample.recipe == Recipe::Misaligned).count(), 0);
}

#[test]
fn what_cannot_be_made_is_skipped_with_its_reason_and_the_rest_is_made() {
    let alone = composed(&[member(1, "cat", 1)], &Plan::default(), 1);
    let made: Vec<RecipeName> = samples(&alone).map(|sample| sample.recipe.name()).collect();
    use RecipeName::*;
    assert_eq!(made, [Aligned, Shift, AudioRemoved, FramesZeroed]);
    let no_other = SkipReason::NoDonorOfOtherClass;
    assert_eq!(
        skips(&alone),
        [(Misaligned, no_other), (Swapped, SkipReason::NoDonorOfSameClass), (Mixup, no_other)]
    );

    let short = PoolMember { duration_ms: 2000, ..member(1, "cat", 1) };
    assert!(skips(&composed(&[short], &Plan::default(), 1)).contains(&(Shift, SkipReason::ClipTooShort)));

    let three = [member(1, "cat", 1), member(2, "sea", 1), member(3, "wind", 1)];
    let hosts = composed(&three, &misaligned(3, 10), 1);
    assert_eq!(skips(&hosts), [(Misaligned, SkipReason::TooFewClasses); 3]);
    assert_eq!(samples(&hosts).filter(|sample| sample.recipe == Recipe::Misaligned).count(), 6);
    let mixup = plan("[[recipe]]\nname = \"mixup\"\nsnr_db = 0.0\ndonors = 3");
    assert_eq!(skips(&composed(&three, &mixup, 1)), [(Mixup, SkipReason::TooFewClasses); 3]);

    let hosts =
        composed(&[member(1, "cat", 1), member(2, "sea", 1), member(3, "sea", 1)], &misaligned(1, 1), 1);
    assert_eq!(skips(&hosts), [(Misaligned, SkipReason::DonorsUsedUp)]);
}

#[test]
fn a_rare_class_keeps_sounds_for_its_own_swaps() {
    let mut members = even_pool(40);
    members.retain(|member| member.class != "sea");
    members.extend([member(900, "sea", 1), member(901, "sea", 1)]);
    let plan = plan(
        "donor_use_cap = 5
         [[recipe]]\nname = \"misaligned\"\ndonors = 4
         [[recipe]]\nname = \"swapped\"",
    );
    let hosts = composed(&members, &plan, 1);
    assert!(skips(&hosts).iter().all(|(recipe, _)| *recipe == RecipeName::Misaligned));
    let seas = samples(&hosts).filter(|sample| sample.donors().any(|donor| donor.class == "sea"));
    assert_eq!(seas.count(), 2 * 5, "every use the cap allows is used");
}

#[test]
fn a_restricted_plan_makes_the_same_samples_and_fewer_of_them() {
    let members = even_pool(3);
    let all = composed(&members, &Plan::default(), 5);
    let some = composed(&members, &Plan::default().restricted_to(&[RecipeName::Mixup]).unwrap(), 5);
    let mixups: Vec<&SampleComposed> =
        samples(&all).filter(|sample| sample.recipe.name() == RecipeName::Mixup).collect();
    assert_eq!(samples(&some).collect::<Vec<_>>(), mixups);
}

#[test]
fn another_seed_gives_other_donors_under_other_ids() {
    let members = even_pool(5);
    let ids = |seed| {
        let hosts = composed(&members, &Plan::default(), seed);
        samples(&hosts).map(|sample| sample.id).collect::<BTreeSet<_>>()
    };
    assert!(ids(1).is_disjoint(&ids(2)));
    let donors = |seed| -> Vec<(RecordId, Vec<RecordId>)> {
        let hosts = composed(&members, &Plan::default(), seed);
        let mut donors: Vec<_> = samples(&hosts)
            .filter(|sample| sample.recipe == Recipe::Misaligned)
            .map(|sample| (sample.host().unwrap().clip, sample.donors().map(|donor| donor.clip).collect()))
            .collect();
        donors.sort();
        donors
    };
    assert_ne!(donors(1), donors(2));
}

#[test]
fn train_and_eval_never_meet() {
    let mut members = even_pool(2);
    members.extend(
        (100..116).map(|n| PoolMember { split: Split::Eval, ..member(n, CLASSES[n as usize % 8], 1) }),
    );
    for split in [Split::Train, Split::Eval] {
        let pool: Vec<PoolMember> = members.iter().filter(|member| member.split == split).cloned().collect();
        let videos: BTreeSet<&String> = pool.iter().map(|member| &member.video).collect();
        for sample in samples(&composed(&pool, &Plan::default(), 1)) {
            assert_eq!(sample.split, split);
            assert!(sample.parents.iter().all(|parent| videos.contains(&parent.video)));
        }
    }
    assert!(PoolListing::new(Split::Train, members).is_err());
}

#[test]
fn a_listing_or_plan_that_was_not_sealed_is_refused() {
    let plan = Plan::default();
    let (_, sealed) = seal(&even_pool(1), &plan);
    let (other, _) = seal(&even_pool(2), &plan);
    let refused = |listing: PoolListing, plan: &Plan| {
        compose(listing, &sealed, plan, 1, &Toy, SETTINGS).err().map(|error| (error.to_string(), error))
    };
    let (text, error) = refused(other, &plan).unwrap();
    assert!(
        matches!(error, ComposeError::OtherListing { .. }) && text.contains("read the listing"),
        "{text}"
    );
    let (text, error) = refused(seal(&even_pool(1), &plan).0, &Plan::published()).unwrap();
    assert!(matches!(error, ComposeError::OtherPlan { .. }) && text.contains("use the plan"), "{text}");
}

#[test]
fn a_new_generation_composes_only_its_own_hosts_with_what_older_ones_left() {
    let old = [member(1, "cat", 1), member(2, "sea", 1)];
    let plan = misaligned(1, 1);
    assert_eq!(skips(&composed(&old, &plan, 1)), []);
    let newcomer = member(3, "car", 2);
    let hosts = composed(&[&old[..], std::slice::from_ref(&newcomer)].concat(), &plan, 1);
    assert_eq!(hosts.iter().map(|host| host.host).collect::<Vec<_>>(), [newcomer.clip]);
    assert_eq!(skips(&hosts), [(RecipeName::Misaligned, SkipReason::DonorsUsedUp)]);
    let friend = member(4, "wind", 2);
    let hosts = composed(&[&old[..], &[newcomer, friend]].concat(), &plan, 1);
    assert_eq!(skips(&hosts), [], "the two newcomers can still lend each other their sound");
}

#[test]
fn an_empty_pool_is_composed_to_nothing() {
    assert_eq!(composed(&[], &Plan::default(), 1), []);
}

#[test]
fn a_manifest_row_has_the_fields_other_programs_read() {
    let hosts = composed(&even_pool(2), &Plan::default(), 9);
    for sample in samples(&hosts) {
        let row = ManifestRow::of(sample, "counterpoint 0.1.0");
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["sample"], sample.id.to_string());
        assert_eq!(json["recipe"], sample.recipe.name().as_str());
        assert_eq!(json["split"], "train");
        assert_eq!(json["host"], sample.host().unwrap().video);
        assert_eq!(json["donors"].as_array().unwrap().len(), sample.donors().count());
        assert_eq!(json["class_heard"].as_str(), sample.classes_heard.first().map(String::as_str));
        assert_eq!((&json["seed"], &json["duration"]), (&9.into(), &10.0.into()));
        assert!(json["path"].is_null() && json["blake3"].is_null());
        let card = LineageCard::of(sample, "counterpoint 0.1.0");
        assert_eq!(serde_json::from_value::<LineageCard>(json["lineage"].clone()).unwrap(), card);
        assert_eq!(card.offset_ms.is_some(), sample.recipe.name() == RecipeName::Shift);
        assert_eq!(card.snr_db.is_some(), sample.recipe.name() == RecipeName::Mixup);
        let made = row.made("samples/a.mp4".into(), ContentHash([1; 32]));
        assert_eq!(made.path.as_deref(), Some("samples/a.mp4"));
    }
}

#[test]
fn the_ids_of_a_tiny_pool_never_change() {
    let (_, sealed) = seal(&even_pool(1), &Plan::default());
    let hosts = composed(&even_pool(1), &Plan::default(), 1);
    let first: Vec<String> = hosts[0]
        .compositions
        .iter()
        .map(|composition| match composition {
            Composition::Sample(sample) => format!("{} {}", sample.recipe.name(), sample.id),
            Composition::Skipped(skip) => format!("{} skipped {}", skip.recipe, skip.id),
        })
        .collect();
    assert_eq!(sealed.id.to_string(), "d45775fd0ed5b1aef5768be83c6d6eec");
    assert_eq!(
        first,
        [
            "aligned 5680cf0bba2d1c668a6301a500a0404b",
            "misaligned c61da0282659f44ec5df71c8fa85a0ac",
            "swapped skipped 58ec3000269df5e6132149606c20a5bd",
            "mixup e44f67763f356c876856b790a161169b",
            "shift 7db2cf3e231bb4191707fc2cc4f55874",
            "audio_removed 453cd0b4bcb93c8ecf0f3980c8362409",
            "frames_zeroed 3f2502d1bed36c699e342a664604060d",
        ]
    );
}

#[test]
fn the_whole_of_audioset_is_composed_in_one_go() {
    let members: Vec<PoolMember> =
        (0..183_000).map(|n| member(n, &format!("class {}", n * 7919 % 61), 1)).collect();
    let (listing, sealed) = seal(&members, &Plan::published());
    let start = std::time::Instant::now();
    let composer = compose(listing, &sealed, &Plan::published(), 1, &Toy, SETTINGS).unwrap();
    let made: usize = composer.map(|host| host.compositions.len()).sum();
    println!("{made} samples of {} hosts in {:.1?}", members.len(), start.elapsed());
    assert_eq!(made, 183_000 * 11);
}

prop_compose! {
    /// Up to 40 clips of up to three generations; every third shares its video with another.
    fn any_pool()(
        clips in prop::collection::vec((0..CLASSES.len(), 1..4_u32, 0..3_u32), 1..40),
    ) -> Vec<PoolMember> {
        let clips = clips.into_iter().zip(0..);
        clips
            .map(|((class, generation, video), number)| PoolMember {
                video: format!("video{}", if video == 0 { number / 2 } else { number + 100 }),
                ..member(number, CLASSES[class], generation)
            })
            .collect()
    }
}

fn any_plan() -> impl Strategy<Value = Plan> {
    (1..6_u32, 1..4_u32, 1..4_u32, 1..3_u32).prop_map(|(cap, misaligned, swapped, mixed)| {
        plan(&format!(
            "donor_use_cap = {cap}
             [[recipe]]\nname = \"misaligned\"\ndonors = {misaligned}
             [[recipe]]\nname = \"swapped\"\ndonors = {swapped}
             [[recipe]]\nname = \"mixup\"\nsnr_db = 3.0\ndonors = {mixed}"
        ))
    })
}

/// The members that had joined when `generation` was sealed.
fn up_to(members: &[PoolMember], generation: u32) -> Vec<PoolMember> {
    members.iter().filter(|member| member.generation <= generation).cloned().collect()
}

/// Every generation composed when it was the newest.
fn history(members: &[PoolMember], plan: &Plan, seed: u64) -> Vec<ComposedHost> {
    let generations: BTreeSet<u32> = members.iter().map(|member| member.generation).collect();
    generations.into_iter().flat_map(|generation| composed(&up_to(members, generation), plan, seed)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_arrival_gives_the_same_samples(
        (members, shuffled) in any_pool().prop_flat_map(|pool| (Just(pool.clone()), Just(pool).prop_shuffle())),
        plan in any_plan(),
        seed: u64,
    ) {
        prop_assert_eq!(composed(&members, &plan, seed), composed(&shuffled, &plan, seed));
    }

    #[test]
    fn composing_may_stop_and_go_on_at_any_host(
        members in any_pool(), plan in any_plan(), seed: u64, cut in 0..50_usize,
    ) {
        let (listing, sealed) = seal(&members, &plan);
        let whole = composed(&members, &plan, seed);
        let resumed = compose(listing, &sealed, &plan, seed, &Toy, SETTINGS).unwrap().from_host(cut);
        prop_assert_eq!(resumed.hosts(), whole.len());
        prop_assert_eq!(resumed.collect::<Vec<_>>(), &whole[cut.min(whole.len())..]);
    }

    #[test]
    fn every_clip_ends_aligned_and_every_planned_sample_is_made_or_skipped(
        members in any_pool(), plan in any_plan(), seed: u64,
    ) {
        let hosts = history(&members, &plan, seed);
        let clips: BTreeSet<RecordId> = members.iter().map(|member| member.clip).collect();
        prop_assert_eq!(hosts.iter().map(|host| host.host).collect::<BTreeSet<_>>(), clips);
        for host in &hosts {
            prop_assert_eq!(host.compositions.len() as u64, plan.compositions_per_host());
            let made: Vec<RecipeName> = samples(std::slice::from_ref(host)).map(|s| s.recipe.name()).collect();
            prop_assert!(made.contains(&RecipeName::Aligned));
        }
        let mut ids = BTreeSet::new();
        for composition in hosts.iter().flat_map(|host| &host.compositions) {
            let id = match composition {
                Composition::Sample(sample) => sample.id,
                Composition::Skipped(skip) => skip.id,
            };
            prop_assert!(ids.insert(id), "{id} is given twice");
        }
    }

    #[test]
    fn donors_keep_the_rules_and_the_use_cap_over_all_generations(
        members in any_pool(), plan in any_plan(), seed: u64,
    ) {
        let generation_of: BTreeMap<RecordId, u32> =
            members.iter().map(|member| (member.clip, member.generation)).collect();
        let mut uses: BTreeMap<RecordId, u32> = BTreeMap::new();
        for sample in samples(&history(&members, &plan, seed)) {
            let host = sample.host().unwrap();
            let mut classes = BTreeSet::from([&host.class]);
            for donor in sample.donors() {
                *uses.entry(donor.clip).or_default() += 1;
                prop_assert_ne!(&donor.video, &host.video);
                prop_assert!(generation_of[&donor.clip] <= sample.generation);
                if sample.recipe == Recipe::Swapped {
                    prop_assert_eq!(&donor.class, &host.class);
                } else {
                    prop_assert!(classes.insert(&donor.class), "classes are distinct");
                    prop_assert!(!siblings(&donor.class, &host.class));
                }
            }
        }
        prop_assert!(uses.values().all(|uses| *uses <= plan.donor_use_cap()), "{uses:?}");
    }
}
