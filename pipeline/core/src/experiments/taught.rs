use std::collections::BTreeSet;

use counterpoint_messages::RecipeName;

use super::ExperimentName;
use crate::{lessons::LessonKind, questions::NONE_OF_THE_ABOVE};

/// What a model was taught by a training of this program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taught {
    /// Recipes of the samples that it learned from.
    pub recipes: BTreeSet<String>,
    /// Kinds of lessons on them.
    pub lessons: BTreeSet<String>,
}

/// Recipes that leave one stream alone.
const SINGLE: [RecipeName; 2] = [RecipeName::AudioRemoved, RecipeName::FramesZeroed];

impl Taught {
    /// Recipes of single streams among those that it learned from.
    fn single_streams(&self) -> Vec<&'static str> {
        SINGLE.map(RecipeName::as_str).into_iter().filter(|recipe| self.recipes.contains(*recipe)).collect()
    }
}

/// What has to be known of the models to read what an experiment came to; `None` where a model's folder does not tell
/// what it was taught.
pub fn notes(experiment: ExperimentName, base: Option<&Taught>, tuned: Option<&Taught>) -> Vec<String> {
    match experiment {
        ExperimentName::Ablations => vec![of_base(base), of_tuning(tuned)],
        ExperimentName::NoneOfTheAbove => {
            let option = (base.is_some() && tuned.is_some()).then(|| {
                format!("No kind of lesson offers `{NONE_OF_THE_ABOVE}`, so neither model ever saw it.")
            });
            [of_base(base), of_tuning(tuned)].into_iter().chain(option).collect()
        }
        ExperimentName::CrossClass => {
            let seen = "Seen and unseen are about the tuning alone. A sample counts as seen where the tuning learned \
                        from the classes of its picture and of its sound, as unseen where it learned from neither.";
            let of_base = "Which classes the base model learned from is not told: it may have known all of them before.";
            [seen, of_base].map(str::to_owned).into()
        }
        ExperimentName::Mixup => {
            vec!["The sound question is right where the class of the clip itself is named: only the picture says which \
                  of the sounds that is."
                .to_owned()]
        }
    }
}

fn of_base(base: Option<&Taught>) -> String {
    let Some(base) = base else { return "What the base model learned from is not told here.".to_owned() };
    let single = base.single_streams();
    if single.is_empty() {
        return "The base model never learned from a single stream.".to_owned();
    }
    let absent = match base.lessons.contains(LessonKind::Absent.as_str()) {
        true => ", and was taught to say of a stream that is not there that it is nothing",
        false => "",
    };
    format!("The base model learned from single streams, too ({}){absent}.", single.join(", "))
}

fn of_tuning(tuned: Option<&Taught>) -> String {
    let Some(tuned) = tuned else { return "What the tuning learned from is not told here.".to_owned() };
    let all: Vec<&str> = tuned.recipes.iter().map(String::as_str).collect();
    let single = match tuned.single_streams().is_empty() {
        true => "from no single stream",
        false => "single streams among them",
    };
    format!("The tuning learned from samples of the recipes {}, {single}.", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taught(recipes: &[&str], lessons: &[&str]) -> Taught {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Taught { recipes: owned(recipes), lessons: owned(lessons) }
    }

    #[test]
    fn what_the_models_saw_of_single_streams_is_told_as_far_as_it_is_known() {
        let base = taught(&["aligned", "audio_removed", "frames_zeroed"], &["class", "absent"]);
        let tuned = taught(&["aligned", "misaligned"], &["class"]);
        assert_eq!(
            notes(ExperimentName::NoneOfTheAbove, Some(&base), Some(&tuned)),
            [
                "The base model learned from single streams, too (audio_removed, frames_zeroed), and was taught to \
                 say of a stream that is not there that it is nothing.",
                "The tuning learned from samples of the recipes aligned, misaligned, from no single stream.",
                "No kind of lesson offers `None of the above`, so neither model ever saw it.",
            ]
        );
        let bare = taught(&["aligned"], &["class"]);
        assert_eq!(
            notes(ExperimentName::Ablations, Some(&bare), Some(&base)),
            [
                "The base model never learned from a single stream.",
                "The tuning learned from samples of the recipes aligned, audio_removed, frames_zeroed, single \
                 streams among them.",
            ]
        );
        let unknown = notes(ExperimentName::NoneOfTheAbove, None, Some(&tuned));
        assert_eq!(unknown[0], "What the base model learned from is not told here.");
        assert_eq!(unknown.len(), 2, "nothing is claimed of a model whose lessons are not known");
    }
}
