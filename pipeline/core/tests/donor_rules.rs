//! The donor rules on the real ontology, where the shared data is present.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use counterpoint_core::{
    corpus::{ClipFormat, Corpus, ToyClass},
    curation::Curator,
    ontology::Ontology,
    plan::Plan,
    pool::{PoolListing, PoolMember},
    rules::Rules,
    variants::{Composition, Relations, compose},
};
use counterpoint_messages::{ContentHash, Fingerprint, MediaObject, RecipeName, RecordId, Split};

fn curator() -> Curator {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/ontology.json");
    let ontology = Ontology::from_json(&std::fs::read_to_string(&file).unwrap(), "ontology.json").unwrap();
    Curator::new(&ontology, &Rules::built_in().unwrap()).unwrap()
}

fn member(number: usize, class: &str, labels: &[&str]) -> PoolMember {
    let object = MediaObject { hash: ContentHash::of(&number.to_le_bytes()), bytes: 1 };
    let mut clip = [0; 16];
    clip.copy_from_slice(&object.hash.0[..16]);
    PoolMember {
        generation: 1,
        clip: RecordId(clip),
        video: format!("video {number}"),
        class: class.to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        split: Split::Train,
        media: object,
        sound: object,
        duration_ms: 10_000,
        trace: None,
    }
}

/// Samples by recipe, with the classes of host and donors.
fn samples(members: Vec<PoolMember>, plan: &Plan) -> Vec<(RecipeName, Vec<String>)> {
    let listing = PoolListing::new(Split::Train, members).unwrap();
    let sealed = listing.seal(plan, ContentHash([1; 32]), Fingerprint([1; 8]));
    let composer = compose(listing, &sealed, plan, 1, &curator(), Fingerprint([1; 8])).unwrap();
    let compositions = composer.flat_map(|host| host.compositions);
    compositions
        .filter_map(|composition| match composition {
            Composition::Sample(sample) => {
                let classes = sample.parents.iter().map(|parent| parent.class.clone()).collect();
                Some((sample.recipe.name(), classes))
            }
            Composition::Skipped(_) => None,
        })
        .collect()
}

#[test]
fn every_class_of_audioset_finds_ten_donors_of_distinct_classes() {
    let curator = curator();
    let members: Vec<PoolMember> = curator
        .classes()
        .iter()
        .flat_map(|class| [&class.mids[0]; 4].map(|mid| (class.name.as_str(), mid.as_str())))
        .enumerate()
        .map(|(number, (class, mid))| member(number, class, &[mid]))
        .collect();
    let hosts = members.len();
    assert_eq!(samples(members, &Plan::published()).len(), hosts * 11);
}

#[test]
fn siblings_and_ancestors_of_the_real_ontology_never_sound_for_each_other() {
    let pairs = [
        ("Accordion", "Brass_instrument", false),
        ("Bird", "Canidae", false),
        ("Applause", "Clapping", false),
        ("Spray", "Utility_Liquid_Sounds", false),
        ("Bird", "Fowl", true),
        ("Bird", "Accordion", true),
        ("Cat", "Vehicle", true),
    ];
    let curator = curator();
    for (host, donor, allowed) in pairs {
        let members = [(1, host), (2, donor)].map(|(number, class)| {
            let mids = curator.class_mids(class);
            assert!(!mids.is_empty(), "{class}");
            member(number, class, &mids[..1])
        });
        let made = samples(members.to_vec(), &Plan::default());
        let misaligned = made.iter().filter(|(recipe, _)| *recipe == RecipeName::Misaligned).count();
        assert_eq!(misaligned, if allowed { 2 } else { 0 }, "{host} and {donor}");
    }
}

#[test]
fn the_classes_of_the_synthetic_corpus_are_curated_as_named_and_all_lend_each_other_their_sound() {
    let curator = curator();
    let corpus = Corpus::plan(1, 4, ClipFormat::default());
    let mut expected = 0;
    for clip in &corpus.clips {
        let classes = clip.labels.len();
        let class = curator.curate(&clip.labels).ok().map(|curated| curated.class.to_owned());
        let one_class = classes > 0 && clip.labels == clip.script.picture.labels();
        assert_eq!(class.as_deref(), one_class.then(|| clip.script.picture.name()), "{:?}", clip.labels);
        expected += usize::from(one_class);
    }
    assert!(expected >= 32);
    let members =
        ToyClass::ALL.into_iter().zip(0..).map(|(class, n)| member(n, class.name(), class.labels()));
    let seven = "[[recipe]]\nname = \"aligned\"\n[[recipe]]\nname = \"misaligned\"\ndonors = 7";
    let made = samples(members.collect(), &Plan::from_toml(seven, "seven.toml").unwrap());
    assert_eq!(made.len(), 8 * 8);
}

#[test]
fn a_video_that_was_uploaded_again_lends_the_host_no_sound() {
    let host = || member(1, "Bird", &["/m/015p6"]);
    let lent = |donor: PoolMember| {
        let made = samples(vec![host(), donor], &Plan::default());
        made.iter().filter(|(_, classes)| classes.len() > 1).count()
    };
    for (class, mid) in [("Bird", "/m/015p6"), ("Typing", "/m/0316dw")] {
        let other = member(2, class, &[mid]);
        assert!(lent(other.clone()) > 0, "{class}");
        assert_eq!(lent(PoolMember { sound: host().sound, ..other }), 0, "{class}");
    }
}
