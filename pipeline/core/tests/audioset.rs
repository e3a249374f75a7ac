//! The built-in rules on AudioSet's own files and on half of MMA-Bench.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use counterpoint_core::{
    curation::{Curator, Exclusion, Fate, Funnel},
    ontology::Ontology,
    rules::Rules,
    segments::SegmentReader,
};
use counterpoint_messages::RejectReason;
use proptest::prelude::*;

/// The options of the benchmark, as its prompts list them.
const CLASSES: &str = "Accordion, Applause, Basketball_bounce, Bird, Blender, Bowed_string_instrument, \
    Brass_instrument, Breaking, Canidae, Caprine, Cash_register, Cat, Chopping_food, Clapping, Clock, \
    Coin_dropping, Cough, Cupboard_open_or_close, Didgeridoo, Door, Drawer_open_or_close, Explosions, Fire, \
    Flap, Fowl, Frog, Frying_food, Gears, Glass, Hair_dryer, Horse, Insect, Keyboard_musical, Keys_jangling, \
    Laughter, Mechanical_fan, Microwave_oven, Pig, Printer, Pulleys, Rain, Scissors, Sewing_machine, Shout, \
    Shuffling_cards, Singing, Singing_bowl, Sneeze, Spray, Stir, Theremin, Tools, Typing, \
    Utility_Liquid_Sounds, Vacuum_cleaner, Vehicle, Waterfall, Whale_vocalization, Whip, Writing, \
    Zipper_clothing";

fn data(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(name)
}

fn text(name: &str) -> String {
    let path = data(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn curator() -> Curator {
    let ontology = Ontology::from_json(&text("ontology.json"), "ontology.json").unwrap();
    Curator::new(&ontology, &Rules::built_in().unwrap()).unwrap()
}

fn funnel(curator: &Curator, list: &str) -> Funnel {
    let mut funnel = Funnel::default();
    for row in SegmentReader::new(fs::File::open(data(list)).unwrap(), list) {
        match row {
            Ok(row) => funnel.count(row.labels.len(), &curator.curate(&row.labels)),
            Err(error) => funnel.count_broken(&error),
        }
    }
    funnel
}

fn reason(curator: &Curator, name: &str) -> Exclusion {
    let id = curator.ontology().named(name).next().unwrap_or_else(|| panic!("no node {name}"));
    match curator.fate(id) {
        Fate::Excluded { reason } => reason.clone(),
        Fate::Class { class, .. } => panic!("{name} maps to {class}"),
    }
}

#[test]
fn the_ontology_is_the_published_one() {
    let ontology = Ontology::from_json(&text("ontology.json"), "ontology.json").unwrap();
    assert_eq!(ontology.len(), 632);
    assert_eq!(ontology.roots().count(), 7);
    assert_eq!(ontology.ids().filter(|&id| ontology.parents(id).len() > 1).count(), 38);
}

#[test]
fn the_classes_are_the_sixty_one_options() {
    let curator = curator();
    let names: Vec<&str> = curator.classes().iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, CLASSES.split(", ").collect::<Vec<_>>());
}

#[test]
fn every_node_has_exactly_one_fate() {
    let curator = curator();
    let mapped = curator.classes().iter().flat_map(|class| &class.mids);
    let excluded = curator.excluded().iter().map(|node| &node.mid);
    let all: Vec<&String> = mapped.chain(excluded).collect();
    assert_eq!(all.len(), 632);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 632);
    assert_eq!(curator.tree().len(), 632);
}

#[test]
fn the_excluded_nodes_are_shared_out_over_the_steps() {
    let curator = curator();
    let mut steps: BTreeMap<&str, usize> = BTreeMap::new();
    for node in curator.excluded() {
        *steps.entry(node.reason.step()).or_default() += 1;
    }
    let mapped: usize = curator.classes().iter().map(|class| class.mids.len()).sum();
    assert_eq!(mapped + steps.values().sum::<usize>(), 632);
    println!("{mapped} mapped; excluded: {steps:?}");
    for step in ["abstract", "blacklisted", "ambiguous", "no visible action", "seldom alone", "too general"] {
        assert!(steps[step] > 0, "{step} decides nothing");
    }
}

#[test]
fn hiss_is_ambiguous_between_its_four_families() {
    let curator = curator();
    let Exclusion::Ambiguous { between } = reason(&curator, "Hiss") else { panic!("not ambiguous") };
    assert_eq!(between, ["Cat", "Onomatopoeia", "Snake", "Steam"]);
    let text = curator.explain("Hiss").unwrap().to_string();
    assert!(text.contains("ambiguous") && text.contains("4 parents"), "{text}");
}

#[test]
fn every_node_and_class_can_be_explained() {
    let curator = curator();
    let classes = curator.classes().iter().map(|class| class.name.clone());
    for name in curator.tree().into_iter().map(|node| node.mid).chain(classes) {
        assert!(!curator.explain(&name).unwrap().paragraphs.is_empty());
    }
}

#[test]
fn merged_classes_hold_the_nodes_that_the_paper_names() {
    let curator = curator();
    let nodes = |class: &str| -> Vec<&str> {
        let class = curator.classes().iter().find(|known| known.name == class).unwrap();
        let ids = class.mids.iter().map(|mid| curator.ontology().find(mid).unwrap());
        ids.map(|id| curator.ontology().node(id).name.as_str()).collect()
    };
    assert_eq!(nodes("Caprine"), ["Goat", "Sheep"]);
    assert_eq!(nodes("Utility_Liquid_Sounds"), ["Liquid", "Drip", "Pour", "Gush", "Fill (with liquid)"]);
    assert!(nodes("Canidae").contains(&"Bark") && nodes("Canidae").contains(&"Canidae, dogs, wolves"));
    assert!(
        nodes("Vehicle").contains(&"Jet engine") && nodes("Tools").contains(&"Dental drill, dentist's drill")
    );
}

/// The published half of the 658 clips, each with its labels in the segment list of eval.
fn benchmark() -> Vec<(String, String, Vec<String>)> {
    let eval: BTreeMap<String, Vec<String>> =
        SegmentReader::new(fs::File::open(data("eval_segments.csv")).unwrap(), "eval_segments.csv")
            .map(|row| row.unwrap())
            .map(|row| (row.youtube_id, row.labels))
            .collect();
    text("mma_bench_clips_dev.csv")
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',');
            let (id, class) = (fields.next().unwrap(), fields.next().unwrap());
            (id.to_owned(), class.to_owned(), eval[id].clone())
        })
        .collect()
}

#[test]
fn every_clip_of_the_benchmark_comes_out_under_its_class() {
    let curator = curator();
    let clips = benchmark();
    assert_eq!(clips.len(), 329);
    let missed: Vec<String> = clips
        .iter()
        .filter_map(|(id, class, labels)| match curator.curate(labels) {
            Ok(curated) if curated.class == class => None,
            Ok(curated) => Some(format!("{id}: {} instead of {class}", curated.class)),
            Err(reject) => Some(format!("{id}: {reject}; its class is {class}")),
        })
        .collect();
    assert!(missed.is_empty(), "{} of {} missed:\n{}", missed.len(), clips.len(), missed.join("\n"));
}

/// Published (appendix Table 1): 3,518 of 20,371 kept.
#[test]
fn the_funnel_of_eval_keeps_three_segments_more_than_published() {
    let funnel = funnel(&curator(), "eval_segments.csv");
    assert_eq!((funnel.rows, funnel.broken_rows), (20_371, 0));
    assert_eq!(funnel.kept_total(), 3_521);
}

/// Published (appendix Table 1): 3,892 of 22,160 kept.
#[test]
fn the_funnel_of_balanced_train_keeps_seven_segments_more_than_published() {
    let funnel = funnel(&curator(), "balanced_train_segments.csv");
    assert_eq!((funnel.rows, funnel.broken_rows), (22_160, 0));
    assert_eq!(funnel.kept_total(), 3_899);
}

#[test]
fn the_funnel_adds_up_and_carries_the_published_mean_of_labels() {
    let funnel = funnel(&curator(), "eval_segments.csv");
    assert_eq!(funnel.rows, funnel.kept_total() + funnel.rejected.values().sum::<u64>());
    assert!(
        funnel.rejected[&RejectReason::NoClass] > 0 && funnel.rejected[&RejectReason::SeveralClasses] > 0
    );
    assert!(funnel.unknown_labels.is_empty(), "AudioSet's lists use AudioSet's ids only");
    let mean = funnel.mean_labels().unwrap();
    assert!((2.5..2.8).contains(&mean), "appendix A gives 2.7, here {mean}");
}

proptest! {
    #[test]
    fn the_class_does_not_depend_on_the_order_of_the_labels(
        picked in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        thread_local!(static CURATOR: Curator = curator());
        CURATOR.with(|curator| {
            let tree = curator.tree();
            let mut labels: Vec<&str> = picked.iter().map(|index| index.get(&tree).mid.as_str()).collect();
            let forwards = curator.curate(&labels).map(|curated| curated.class).map_err(|no| no.reason());
            labels.reverse();
            let backwards = curator.curate(&labels).map(|curated| curated.class).map_err(|no| no.reason());
            prop_assert_eq!(forwards, backwards);
            Ok(())
        })?;
    }
}
