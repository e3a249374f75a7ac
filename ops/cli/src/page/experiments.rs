//! What experiments came to, from the folders that `experiment` leaves below that of the run.

use std::path::Path;

use counterpoint_core::experiments::{Experiment, ExperimentName};
use counterpoint_pages::report::Experiments;

use super::models::Reader;
use crate::commands::experiment::{FOLDER, RESULT};

/// What the section on experiments is filled with: those that were made, in their order.
pub fn experiments(out: &Path) -> Experiments {
    let mut reader = Reader { out, problems: Vec::new() };
    let file = |name: ExperimentName| format!("{FOLDER}/{name}/{RESULT}");
    let made: Vec<Experiment> =
        ExperimentName::ALL.iter().filter_map(|name| reader.json(&file(*name))).collect();
    Experiments { made, problems: reader.problems }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use counterpoint_core::experiments::Answers;

    use super::*;

    #[test]
    fn what_was_made_is_read_in_its_order_and_what_is_damaged_is_told() {
        let out = tempfile::tempdir().unwrap();
        let write = |name: ExperimentName, text: &str| {
            let folder = out.path().join(FOLDER).join(name.as_str());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(RESULT), text).unwrap();
        };
        assert_eq!(experiments(out.path()), Experiments::default());
        let none = Answers { before: &[], after: &[], on_all: None, halves: None, classes: 4 };
        for name in [ExperimentName::Mixup, ExperimentName::Ablations] {
            let made = Experiment::of(name, Vec::new(), &none, Vec::new());
            write(name, &serde_json::to_string(&made).unwrap());
        }
        write(ExperimentName::CrossClass, "{\"experiment\": 3}");
        let found = experiments(out.path());
        let names: Vec<_> = found.made.iter().map(|made| made.experiment).collect();
        assert_eq!(names, [ExperimentName::Ablations, ExperimentName::Mixup]);
        assert_eq!(found.problems.len(), 1);
        assert!(
            found.problems[0].contains("experiments/cross-class/experiment.json"),
            "{:?}",
            found.problems
        );
    }
}
