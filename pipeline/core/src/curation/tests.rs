use super::*;

/// A small ontology in which each step of the graph program decides one node.
fn ontology() -> Ontology {
    let node = |name: &str, children: &[&str], restrictions: &[&str]| {
        serde_json::json!({ "id": format!("/m/{}", name.to_lowercase()), "name": name,
            "description": format!("The sound of a {}.", name.to_lowercase()),
            "child_ids": children.iter().map(|c| format!("/m/{}", c.to_lowercase())).collect::<Vec<_>>(),
            "restrictions": restrictions })
    };
    let nodes = [
        node("Animal", &["Pet", "Snake"], &[]),
        node("Pet", &["Cat", "Dog", "Wolf"], &["abstract"]),
        node("Cat", &["Meow", "Hiss", "Mew"], &[]),
        node("Meow", &[], &[]),
        node("Mew", &[], &["blacklist"]),
        node("Dog", &["Howl"], &[]),
        node("Wolf", &["Howl"], &[]),
        node("Howl", &[], &[]),
        node("Snake", &["Hiss"], &[]),
        node("Hiss", &["Sizz"], &[]),
        node("Sizz", &[], &[]),
        node("Car", &["Jet"], &[]),
        node("Engine", &["Jet", "Idling"], &[]),
        node("Jet", &[], &[]),
        node("Idling", &[], &[]),
        node("Speech", &[], &[]),
    ];
    Ontology::from_json(&serde_json::to_string(&nodes).unwrap(), "small.json").unwrap()
}

const RULES: &str = r#"
classes = ["Cat", "/m/car"]
[[merge]]
class = "Canine"
nodes = ["Dog", "Wolf"]
why = "they look alike"
[[drop]]
nodes = ["Snake", "Speech"]
reason = "seldom_alone"
why = "they are heard over others"
[[drop]]
nodes = ["Engine"]
reason = "no_visible_action"
why = "it is out of sight"
part_of_a_source = true
"#;

fn prune_by(rules: &str) -> Result<Curator, PruneError> {
    Curator::new(&ontology(), &Rules::from_toml(rules, "my.toml").unwrap())
}

fn curator() -> Curator {
    prune_by(RULES).unwrap()
}

fn fate(name: &str) -> String {
    let curator = curator();
    let id = curator.ontology().named(name).next().unwrap();
    match curator.fate(id) {
        Fate::Class { class, .. } => class.clone(),
        Fate::Excluded { reason } => reason.to_string(),
    }
}

#[test]
fn each_step_of_the_graph_program_decides_its_nodes() {
    assert_eq!(fate("Cat"), "Cat");
    assert_eq!(fate("Meow"), "Cat", "what lies below a class is absorbed");
    assert_eq!(fate("Wolf"), "Canine");
    assert_eq!(fate("Pet"), "abstract: AudioSet has it only to build the tree");
    assert_eq!(fate("Mew"), "blacklisted: AudioSet marks it as obscure");
    assert_eq!(fate("Snake"), "seldom alone: they are heard over others");
    assert_eq!(fate("Idling"), "no visible action, as all of `Engine`: it is out of sight");
    assert_eq!(fate("Hiss"), "ambiguous: it belongs to `Cat` and `Snake`");
    assert_eq!(fate("Sizz"), "ambiguous: it lies below `Hiss`, which is ambiguous");
    assert_eq!(fate("Howl"), "ambiguous: it belongs to `Dog` and `Wolf`", "judged before merging");
    assert_eq!(fate("Jet"), "Car", "an engine is a part of a car");
    assert_eq!(fate("Animal"), "too general: it stands above `Canine` and `Cat` and names none of them");
}

#[test]
fn a_label_is_dropped_beside_one_below_it() {
    let curator = curator();
    let curated = curator.curate(&["/m/animal", "/m/cat", "/m/meow", "/m/meow"]).unwrap();
    assert_eq!((curated.class, curated.mids), ("Cat", vec!["/m/meow"]));
    let curated = curator.curate(&["/m/wolf", "/m/dog"]).unwrap();
    assert_eq!((curated.class, curated.mids), ("Canine", vec!["/m/wolf", "/m/dog"]));
}

#[test]
fn labels_of_several_classes_are_rejected_with_their_names() {
    let curator = curator();
    let reject = curator.curate(&["/m/meow", "/m/car", "/m/speech"]).unwrap_err();
    assert_eq!(reject.reason(), RejectReason::SeveralClasses);
    assert_eq!(reject.to_string(), "the labels name 2 classes: Car, Cat");
}

#[test]
fn a_sound_outside_the_classes_beside_one_is_rejected_by_name() {
    let curator = curator();
    let reject = curator.curate(&["/m/meow", "/m/hiss"]).unwrap_err();
    assert_eq!(reject.reason(), RejectReason::OtherSound);
    assert_eq!(reject.to_string(), "another sound is heard beside Cat: Hiss");
}

#[test]
fn labels_outside_the_classes_are_rejected_with_their_reasons() {
    let curator = curator();
    let reject = curator.curate(&["/m/speech"]).unwrap_err();
    assert_eq!(reject.reason(), RejectReason::NoClass);
    assert!(reject.to_string().contains("Speech (seldom alone: they are heard over others)"), "{reject}");
    let none: [&str; 0] = [];
    assert_eq!(curator.curate(&none).unwrap_err().to_string(), "the segment carries no labels");
}

#[test]
fn unknown_labels_are_reported_and_decide_nothing() {
    let curator = curator();
    let curated = curator.curate(&["/m/cat", "/x/none"]).unwrap();
    assert_eq!((curated.class, curated.unknown), ("Cat", vec!["/x/none".to_owned()]));
    let reject = curator.curate(&["/x/none"]).unwrap_err();
    assert_eq!(reject.reason(), RejectReason::NoClass);
    assert!(reject.to_string().contains("/x/none (not in the ontology)"), "{reject}");
}

#[test]
fn rules_that_do_not_fit_the_ontology_are_rejected_by_kind() {
    let error = |from: &str, to: &str| prune_by(&RULES.replacen(from, to, 1)).unwrap_err();
    let file = || "my.toml".to_owned();
    assert_eq!(
        error("\"Snake\"", "\"Snaek\"").to_string(),
        "my.toml: the rules name `Snaek`, which the ontology does not have; did you mean `Snake`?"
    );
    assert_eq!(error("\"Snake\"", "\"Cat\""), PruneError::NodeTwice { file: file(), node: "Cat".into() });
    assert_eq!(error("\"Canine\"", "\"Cat\""), PruneError::ClassTwice { file: file(), class: "Cat".into() });
    assert_eq!(error("\"Canine\"", "\"a b\""), PruneError::ClassName { file: file(), class: "a b".into() });
    assert_eq!(
        error("\"Cat\"", "\"Cat\", \"Mew\""),
        PruneError::ClassEmpty { file: file(), class: "Mew".into() }
    );
    assert_eq!(
        error("\"Snake\", \"Speech\"", "\"Snake\""),
        PruneError::Uncovered { file: file(), node: "Speech".into(), more: 0 }
    );
}

#[test]
fn a_name_that_several_nodes_have_must_be_given_as_id() {
    let text = r#"[{"id": "/m/1", "name": "Cat"}, {"id": "/m/2", "name": "Cat"}]"#;
    let ontology = Ontology::from_json(text, "g").unwrap();
    let rules = |node: &str| Rules::from_toml(&format!("classes = [\"{node}\"]"), "my.toml").unwrap();
    let error = Curator::new(&ontology, &rules("Cat")).unwrap_err();
    assert_eq!(error, PruneError::UnclearNode { file: "my.toml".into(), node: "Cat".into() });
}

#[test]
fn an_explanation_tells_place_step_and_meaning() {
    let text = curator().explain("hiss").unwrap().to_string();
    for part in [
        "Hiss (/m/hiss) is left out. It is ambiguous: it belongs to `Cat` and `Snake`.",
        "The sound of a hiss.",
        "It has 2 parents: Animal > Pet > Cat; Animal > Snake. Below it: `Sizz`.",
        "counts as another sound",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn a_class_is_explained_by_its_labels() {
    let explanation = curator().explain("canine").unwrap();
    assert_eq!((explanation.name.as_str(), explanation.mid), ("Canine", None));
    assert!(explanation.paragraphs[0].contains("Labels that name it: `Dog` and `Wolf`."));
    let cat = curator().explain("/m/cat").unwrap().to_string();
    assert!(cat.contains("is the class Cat.") && cat.contains("`Cat` and `Meow`"), "{cat}");
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_ones() {
    let unknown = curator().explain("Mewo").unwrap_err();
    assert!(unknown.near.contains(&"Meow".to_owned()), "{unknown}");
    assert!(unknown.to_string().starts_with("no sound is called `Mewo`; did you mean"));
}

#[test]
fn the_tree_holds_every_node_once_below_its_first_parent() {
    let tree = curator().tree();
    assert_eq!(tree.len(), curator().ontology().len());
    let place = |name: &str| tree.iter().position(|node| node.name == name).unwrap();
    assert_eq!((place("Animal"), tree[place("Animal")].depth), (0, 0));
    assert_eq!(place("Hiss"), place("Meow") + 1);
    assert_eq!(tree[place("Hiss")].parents, ["/m/cat", "/m/snake"]);
    assert_eq!(tree[place("Hiss")].depth, 3);
}

#[test]
fn the_funnel_adds_up() {
    let curator = curator();
    let mut funnel = Funnel::default();
    for labels in [
        &["/m/cat"][..],
        &["/m/cat", "/x/none"],
        &["/m/cat", "/m/car"],
        &["/m/cat", "/m/speech"],
        &["/m/speech"],
    ] {
        funnel.count(labels.len(), &curator.curate(labels));
    }
    assert_eq!((funnel.rows, funnel.kept_total(), funnel.kept["Cat"]), (5, 2, 2));
    assert_eq!(funnel.rejected[&RejectReason::SeveralClasses], 1);
    assert_eq!(funnel.rejected[&RejectReason::OtherSound], 1);
    assert_eq!(funnel.rejected[&RejectReason::NoClass], 1);
    assert_eq!(funnel.other_sounds["Speech"], 1);
    assert_eq!(funnel.unknown_labels["/x/none"], 1);
    assert_eq!(funnel.mean_labels(), Some(1.6));
}
