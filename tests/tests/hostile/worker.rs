//! The corpus through the workers: outcomes, memory, replacement, what is left behind.

use std::{fs, time::Duration};

use counterpoint_tests::hostile;

use crate::{
    alone,
    outcomes::{Outcome, Table, pool},
};

const WALL: Duration = Duration::from_secs(40);

#[test]
fn every_hostile_file_has_one_outcome() {
    let _turn = alone();
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let pool = pool(WALL);
    let files = hostile::corpus(&pool, folder.path(), hostile::usual_seed());
    let table = Table::of(&pool, &files, scratch.path(), |_| {});
    println!("{table}");
    let mut text = String::new();
    for (family, name, prepared, sampled, time) in &table.rows {
        text.push_str(&format!("{family}\t{name}\t{:.2}\t{prepared:?}\t{sampled:?}\n", time.as_secs_f64()));
    }
    fs::write("/tmp/hostile-rows.txt", text).unwrap();
    assert!(table.outcomes().all(|(_, outcome)| !matches!(outcome, Outcome::Dead(_))));
}
