//! Output folders that hold something already, and lists that are none: what is kept, and what is refused.

use std::{collections::BTreeSet, fs, path::Path};

use counterpoint_tests::{
    out::{json_lines, number, text},
    program::Program,
    shared,
    workplace::Workplace,
};

fn recipes(manifest: &Path) -> BTreeSet<String> {
    json_lines(manifest).iter().map(|row| text(&row["recipe"])).collect()
}

#[test]
fn samples_of_a_run_come_together_in_one_folder_and_those_of_another_seed_are_refused() {
    let workplace = Workplace::with_clips(2);
    workplace.run().run().done();
    let (from, to) = (workplace.path("out"), workplace.path("samples"));
    let manifest = to.join("manifest.jsonl");
    let compose = |flags: [&str; 2]| {
        let command = Program::counterpoint(["compose", "--json", "--from"]).with([&from]);
        command.with(["--out".as_ref(), to.as_path()]).with(flags).run()
    };
    let told = compose(["--recipes", "aligned,misaligned"]).done().json();
    assert_eq!((number(&told["samples"]), number(&told["kept"])), (2, 0), "{told:#}");
    // Two clips, one a split: nobody is there who could lend a sound.
    assert_eq!(number(&told["skipped"]["misaligned"]["no_donor_of_other_class"]), 2, "{told:#}");
    let told = compose(["--recipes", "shift"]).done().json();
    assert_eq!((number(&told["samples"]), number(&told["kept"])), (2, 2), "{told:#}");
    let both = BTreeSet::from(["aligned", "shift"].map(str::to_owned));
    assert_eq!(recipes(&manifest), both);
    assert!(json_lines(&manifest).iter().all(|row| to.join(text(&row["path"])).is_file()));

    let before = fs::read(&manifest).unwrap();
    compose(["--seed", "8"]).ended_with(2, &["manifest.jsonl", "choose another --out"]);
    let prepare = Program::counterpoint(["prepare", "--out"]).with([&to, &workplace.path("clips")]);
    prepare.run().ended_with(2, &["manifest.jsonl", "choose another --out"]);
    assert_eq!(fs::read(&manifest).unwrap(), before);
}

#[test]
fn a_demo_into_the_folder_of_another_run_is_refused_before_it_draws() {
    let workplace = Workplace::with_clips(2);
    workplace.run().run().done();
    let demo = Program::counterpoint(["demo", "--pipeline-only", "--clips-per-class", "1", "--out"])
        .with([workplace.path("out")]);
    demo.run().ended_with(2, &["holds a run that is no demo's", "choose another --out"]);
    assert!(!workplace.path("out/corpus").exists());
}

#[test]
fn a_file_that_is_no_segment_list_is_refused_by_run_and_by_curate_alike() {
    let workplace = Workplace::with_clips(1);
    let wrong = shared("ontology.json");
    let words = ["ontology.json is no segment list: first broken row in line 1"];
    workplace.run().with(["--labels".as_ref(), wrong.as_path()]).run().ended_with(1, &words);
    assert!(!workplace.path("out").exists(), "nothing was begun");
    let table = workplace.path("classes.csv");
    let curate =
        Program::counterpoint(["curate", "--ontology"]).with([&wrong]).with(["--labels"]).with([&wrong]);
    curate.with(["--out".as_ref(), table.as_path()]).run().ended_with(1, &words);

    workplace.row("train", "only one field");
    let told = workplace.run().run().done().stdout;
    assert!(told.contains("1  rows of the label lists could not be read"), "{told}");
}
