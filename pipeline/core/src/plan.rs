//! What every accepted clip is to become: the recipes, their parameters and how often a donor may be used.
//!
//! A plan is a short TOML file. Three are built in and chosen by name: `default` makes every recipe once,
//! `published` is the paper's training set (appendix C), `streams` is each clip whole and each of its streams alone.

use std::collections::BTreeSet;

use counterpoint_messages::{ContentHash, Recipe, RecipeName};
use serde::{Deserialize, Serialize};

/// Length of a normalised clip; a longer shift would leave nothing to hear.
const CLIP_MS: i64 = 10_000;

/// Loudest and softest a donor may stand against the host's own sound, in dB.
const SNR_DB: std::ops::RangeInclusive<f64> = -40.0..=40.0;

/// Most donors one recipe may ask for.
const MAX_DONORS: u32 = 100;

/// The recipes every host is put through, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    entries: Vec<PlanEntry>,
    donor_use_cap: u32,
    aligned_weight: u32,
    made: BTreeSet<RecipeName>,
}

/// One recipe of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// The recipe and its parameters.
    pub recipe: Recipe,
    /// Clips whose sound it takes: misaligned and swapped make one sample of each, mixup one sample of all.
    /// Zero for the recipes that need no other clip.
    pub donors: u32,
}

impl PlanEntry {
    /// Samples one host becomes by this recipe, skipped ones included.
    pub fn samples_per_host(&self) -> u32 {
        match self.recipe {
            Recipe::Misaligned | Recipe::Swapped => self.donors,
            _ => 1,
        }
    }
}

impl Default for Plan {
    /// The built-in plan `default`.
    fn default() -> Self {
        Self::of(
            vec![
                PlanEntry { recipe: Recipe::Aligned, donors: 0 },
                PlanEntry { recipe: Recipe::Misaligned, donors: 1 },
                PlanEntry { recipe: Recipe::Swapped, donors: 1 },
                PlanEntry { recipe: Recipe::Mixup { snr_db: 0.0 }, donors: 1 },
                PlanEntry { recipe: Recipe::Shift { offset_ms: 2000 }, donors: 0 },
                PlanEntry { recipe: Recipe::AudioRemoved, donors: 0 },
                PlanEntry { recipe: Recipe::FramesZeroed, donors: 0 },
            ],
            10,
            1,
        )
    }
}

impl Plan {
    /// Names of the built-in plans and their text, which shows people what a plan file looks like.
    pub const BUILT_IN: [(&'static str, &'static str); 3] = [
        ("default", include_str!("../plans/default.toml")),
        ("published", include_str!("../plans/published.toml")),
        ("streams", include_str!("../plans/streams.toml")),
    ];

    /// The built-in plan `published`: each clip as it is and with ten further sounds of distinct classes.
    pub fn published() -> Self {
        let aligned = PlanEntry { recipe: Recipe::Aligned, donors: 0 };
        let misaligned = PlanEntry { recipe: Recipe::Misaligned, donors: 10 };
        Self::of(vec![aligned, misaligned], 40, 10)
    }

    /// The built-in plan `streams`: each clip as it is, without its sound and without its picture.
    fn streams() -> Self {
        let recipes = [Recipe::Aligned, Recipe::AudioRemoved, Recipe::FramesZeroed];
        Self::of(recipes.map(|recipe| PlanEntry { recipe, donors: 0 }).into(), 10, 1)
    }

    fn of(entries: Vec<PlanEntry>, donor_use_cap: u32, aligned_weight: u32) -> Self {
        let made = entries.iter().map(|entry| entry.recipe.name()).collect();
        Self { entries, donor_use_cap, aligned_weight, made }
    }

    /// The built-in plan of this name, if there is one; any other text is the path of a plan file.
    pub fn built_in(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "published" => Some(Self::published()),
            "streams" => Some(Self::streams()),
            _ => None,
        }
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// [`PlanError`], which names `file`, if the text is no TOML, has unknown keys or asks for what cannot
    /// be made.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, PlanError> {
        let in_file = |problem| PlanError { file: file.to_owned(), problem };
        let plan: PlanFile = toml::from_str(text).map_err(|error| in_file(error.into()))?;
        plan.check().map_err(in_file)
    }

    /// The recipes in order, whether or not the plan is restricted.
    pub fn entries(&self) -> &[PlanEntry] {
        &self.entries
    }

    /// Most samples that may carry one clip's sound beside its own.
    pub fn donor_use_cap(&self) -> u32 {
        self.donor_use_cap
    }

    /// How often training draws an aligned sample for every draw of another one.
    pub fn aligned_weight(&self) -> u32 {
        self.aligned_weight
    }

    /// Whether samples of this recipe are made.
    pub fn makes(&self, recipe: RecipeName) -> bool {
        self.made.contains(&recipe)
    }

    /// Samples and skips one host comes to.
    pub fn compositions_per_host(&self) -> u64 {
        let made = self.entries.iter().filter(|entry| self.makes(entry.recipe.name()));
        made.map(|entry| u64::from(entry.samples_per_host())).sum()
    }

    /// The same plan of which only some recipes are made. The hash and the donors stay what they were, so
    /// each sample made is one the whole plan makes too.
    ///
    /// # Errors
    /// [`RecipeNotPlanned`] for a recipe the plan does not hold.
    pub fn restricted_to(&self, recipes: &[RecipeName]) -> Result<Self, RecipeNotPlanned> {
        match recipes.iter().find(|recipe| !self.makes(**recipe)) {
            Some(&recipe) => Err(RecipeNotPlanned { recipe }),
            None => Ok(Self { made: recipes.iter().copied().collect(), ..self.clone() }),
        }
    }

    /// What the plan asks for in its one canonical spelling, without comments or a restriction: a plan file
    /// that [`Self::from_toml`] reads back.
    pub fn to_toml(&self) -> String {
        let mut text =
            format!("donor_use_cap = {}\naligned_weight = {}\n", self.donor_use_cap, self.aligned_weight);
        for PlanEntry { recipe, donors } in &self.entries {
            text.push_str(&format!("\n[[recipe]]\nname = \"{}\"\n", recipe.name()));
            if *donors > 0 {
                text.push_str(&format!("donors = {donors}\n"));
            }
            match recipe {
                Recipe::Mixup { snr_db } => text.push_str(&format!("snr_db = {snr_db:?}\n")),
                Recipe::Shift { offset_ms } => {
                    text.push_str(&format!("offset_seconds = {:?}\n", *offset_ms as f64 / 1000.0));
                }
                _ => {}
            }
        }
        text
    }

    /// Hash of [`Self::to_toml`], under which the media store of a run keeps its plan.
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(self.to_toml().as_bytes())
    }
}

/// A recipe and its parameters as one unambiguous line, for hashes: `shift 2000`.
pub(crate) fn recipe_text(recipe: &Recipe) -> String {
    match recipe {
        Recipe::Mixup { snr_db } => format!("mixup {snr_db}"),
        Recipe::Shift { offset_ms } => format!("shift {offset_ms}"),
        other => other.name().to_string(),
    }
}

/// `--recipes` names a recipe that the plan does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan holds no recipe `{recipe}`: add it to the plan file or leave it out of --recipes")]
pub struct RecipeNotPlanned {
    recipe: RecipeName,
}

/// A plan file that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("plan {file}: {problem}")]
pub struct PlanError {
    /// The file as the user named it.
    pub file: String,
    /// What is wrong with it and what would mend it.
    pub problem: PlanProblem,
}

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanProblem {
    /// No TOML, an unknown key, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// No recipe at all, or none that keeps a clip as it is.
    #[error("does not keep clips as they are: add a [[recipe]] with name = \"aligned\"")]
    NoAligned,
    /// The use cap is below one.
    #[error("donor_use_cap = {0} lets no clip lend its sound: set it between 1 and {max}", max = u32::MAX)]
    UseCap(i64),
    /// The weight of aligned samples is below one.
    #[error("aligned_weight = {0} never draws an aligned sample: set it between 1 and {max}", max = u32::MAX)]
    AlignedWeight(i64),
    /// A number of donors that cannot be.
    #[error("recipe {recipe} with donors = {donors}: set donors between 1 and {MAX_DONORS}")]
    Donors {
        /// Recipe.
        recipe: RecipeName,
        /// What it asks for.
        donors: i64,
    },
    /// A level that is no number or drowns one of the sounds.
    #[error(
        "recipe mixup with snr_db = {0}: set snr_db between {lo} and {hi}",
        lo = SNR_DB.start(), hi = SNR_DB.end()
    )]
    Snr(f64),
    /// A shift by nothing, by no number or by the whole clip.
    #[error(
        "recipe shift with offset_seconds = {0}: set it to at least 0.001 and less than {s} seconds, either way",
        s = CLIP_MS / 1000
    )]
    Shift(f64),
    /// A parameter the recipe needs is not given.
    #[error("recipe {recipe} lacks {parameter}: add `{parameter} = ...` below its name")]
    Lacks {
        /// Recipe.
        recipe: RecipeName,
        /// Missing key.
        parameter: &'static str,
    },
    /// A parameter the recipe does not have.
    #[error("recipe {recipe} takes no {parameter}: remove the line")]
    Surplus {
        /// Recipe.
        recipe: RecipeName,
        /// Surplus key.
        parameter: &'static str,
    },
    /// Two entries ask for the same samples.
    #[error("recipe {0} stands there twice: keep one entry and raise its donors, or change a parameter")]
    Repeated(RecipeName),
}

/// A plan as written; numbers are read wide so that an impossible one is named, not called a type error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    #[serde(default = "PlanFile::donor_use_cap")]
    donor_use_cap: i64,
    #[serde(default = "PlanFile::aligned_weight")]
    aligned_weight: i64,
    #[serde(default)]
    recipe: Vec<RecipeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeEntry {
    name: RecipeName,
    donors: Option<i64>,
    snr_db: Option<f64>,
    offset_seconds: Option<f64>,
}

impl PlanFile {
    fn donor_use_cap() -> i64 {
        10
    }

    fn aligned_weight() -> i64 {
        1
    }

    fn check(self) -> Result<Plan, PlanProblem> {
        let at_least_one = |value: i64| u32::try_from(value).ok().filter(|value| *value > 0);
        let cap = at_least_one(self.donor_use_cap).ok_or(PlanProblem::UseCap(self.donor_use_cap))?;
        let weight =
            at_least_one(self.aligned_weight).ok_or(PlanProblem::AlignedWeight(self.aligned_weight))?;
        let mut entries: Vec<PlanEntry> = Vec::with_capacity(self.recipe.len());
        for entry in self.recipe {
            let entry = entry.check()?;
            if entries.iter().any(|earlier| earlier.recipe == entry.recipe) {
                return Err(PlanProblem::Repeated(entry.recipe.name()));
            }
            entries.push(entry);
        }
        if !entries.iter().any(|entry| entry.recipe == Recipe::Aligned) {
            return Err(PlanProblem::NoAligned);
        }
        Ok(Plan::of(entries, cap, weight))
    }
}

impl RecipeEntry {
    fn check(self) -> Result<PlanEntry, PlanProblem> {
        let recipe = match self.name {
            RecipeName::Aligned => Recipe::Aligned,
            RecipeName::Misaligned => Recipe::Misaligned,
            RecipeName::Swapped => Recipe::Swapped,
            RecipeName::Mixup => Recipe::Mixup { snr_db: self.snr()? },
            RecipeName::Shift => Recipe::Shift { offset_ms: self.offset_ms()? },
            RecipeName::AudioRemoved => Recipe::AudioRemoved,
            RecipeName::FramesZeroed => Recipe::FramesZeroed,
        };
        let surplus = [
            ("snr_db", self.snr_db.is_some() && self.name != RecipeName::Mixup),
            ("offset_seconds", self.offset_seconds.is_some() && self.name != RecipeName::Shift),
            ("donors", self.donors.is_some() && !self.takes_donors()),
        ];
        if let Some((parameter, _)) = surplus.into_iter().find(|(_, given)| *given) {
            return Err(PlanProblem::Surplus { recipe: self.name, parameter });
        }
        Ok(PlanEntry { recipe, donors: self.donor_count()? })
    }

    fn takes_donors(&self) -> bool {
        matches!(self.name, RecipeName::Misaligned | RecipeName::Swapped | RecipeName::Mixup)
    }

    fn donor_count(&self) -> Result<u32, PlanProblem> {
        if !self.takes_donors() {
            return Ok(0);
        }
        let donors = self.donors.unwrap_or(1);
        u32::try_from(donors)
            .ok()
            .filter(|count| (1..=MAX_DONORS).contains(count))
            .ok_or(PlanProblem::Donors { recipe: self.name, donors })
    }

    fn snr(&self) -> Result<f64, PlanProblem> {
        let lacking = PlanProblem::Lacks { recipe: self.name, parameter: "snr_db" };
        let snr_db = self.snr_db.ok_or(lacking)?;
        // Adding zero turns -0.0 into 0.0, which is the same level and must have the same hash.
        if SNR_DB.contains(&snr_db) { Ok(snr_db + 0.0) } else { Err(PlanProblem::Snr(snr_db)) }
    }

    fn offset_ms(&self) -> Result<i64, PlanProblem> {
        let lacking = PlanProblem::Lacks { recipe: self.name, parameter: "offset_seconds" };
        let seconds = self.offset_seconds.ok_or(lacking)?;
        // A float cast saturates, and turns what is no number into the zero that is refused below.
        let offset_ms = (seconds * 1000.0).round() as i64;
        let possible = offset_ms != 0 && (1 - CLIP_MS..CLIP_MS).contains(&offset_ms);
        if possible { Ok(offset_ms) } else { Err(PlanProblem::Shift(seconds)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIGNED: &str = "[[recipe]]\nname = \"aligned\"\n";

    fn problem_of(text: &str) -> String {
        Plan::from_toml(text, "my.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_plans_are_what_their_files_say() {
        for (name, text) in Plan::BUILT_IN {
            assert_eq!(Plan::built_in(name), Plan::from_toml(text, name).ok(), "{name}");
        }
        assert_eq!(Plan::built_in("my.toml"), None);
    }

    #[test]
    fn the_canonical_spelling_is_read_back() {
        for plan in [Plan::default(), Plan::published(), Plan::streams()] {
            assert_eq!(Plan::from_toml(&plan.to_toml(), "canonical").ok(), Some(plan));
        }
    }

    #[test]
    fn the_default_plan_makes_every_recipe() {
        let plan = Plan::default();
        assert!(RecipeName::ALL.into_iter().all(|recipe| plan.makes(recipe)));
        assert_eq!(plan.compositions_per_host(), 7);
    }

    #[test]
    fn the_published_plan_makes_13277_videos_of_1207_clips() {
        assert_eq!(Plan::published().compositions_per_host() * 1207, 13_277);
        assert_eq!(Plan::published().aligned_weight(), 10);
    }

    #[test]
    fn the_hash_depends_on_what_is_asked_for_and_on_nothing_else() {
        let hash = |text: &str| Plan::from_toml(text, "a").unwrap().hash();
        let plain = hash(ALIGNED);
        assert_eq!(plain, hash(&format!("# comment\ndonor_use_cap = 10\n\n{ALIGNED}")));
        assert_ne!(plain, hash(&format!("donor_use_cap = 9\n{ALIGNED}")));
        assert_ne!(plain, hash(&format!("aligned_weight = 9\n{ALIGNED}")));
        let shifted = |s| hash(&format!("{ALIGNED}[[recipe]]\nname = \"shift\"\noffset_seconds = {s}\n"));
        assert_ne!(shifted("1.0"), shifted("2.0"));
        let mixed = |s| hash(&format!("{ALIGNED}[[recipe]]\nname = \"mixup\"\nsnr_db = {s}\n"));
        assert_eq!(mixed("-0.0"), mixed("0.0"));
        assert_eq!(
            Plan::default().hash().to_string(),
            "a6b57bd6f9e7dc7d4fa467899e227d06d7a9b73c5ea0726e29c5950c367ca242",
            "the hash of a plan is part of every sample's id and must not change"
        );
    }

    #[test]
    fn a_restricted_plan_keeps_its_hash_and_makes_less() {
        let plan = Plan::default();
        let some = plan.restricted_to(&[RecipeName::Mixup]).unwrap();
        assert_eq!(some.hash(), plan.hash());
        assert_eq!(some.compositions_per_host(), 1);
        assert!(!some.makes(RecipeName::Aligned));
        let error = Plan::published().restricted_to(&[RecipeName::Shift]).unwrap_err().to_string();
        assert!(error.contains("`shift`") && error.contains("--recipes"), "{error}");
    }

    #[test]
    fn an_impossible_plan_is_refused_with_file_value_and_remedy() {
        let with = |line: &str| problem_of(&format!("{ALIGNED}[[recipe]]\n{line}"));
        for (message, parts) in [
            (problem_of(&format!("donor_use_cap = -3\n{ALIGNED}")), ["donor_use_cap = -3", "between 1"]),
            (problem_of(&format!("donor_use_cap = 0\n{ALIGNED}")), ["donor_use_cap = 0", "between 1"]),
            (problem_of(&format!("aligned_weight = 0\n{ALIGNED}")), ["aligned_weight = 0", "between 1"]),
            (problem_of(""), ["as they are", "\"aligned\""]),
            (problem_of("[[recipe]]\nname = \"misaligned\"\n"), ["as they are", "\"aligned\""]),
            (with("name = \"misaligned\"\ndonors = 0"), ["donors = 0", "between 1"]),
            (with("name = \"misaligned\"\ndonors = 5000000000"), ["donors = 5000000000", "and 100"]),
            (with("name = \"mixup\"\nsnr_db = 1e9"), ["snr_db = 1000000000", "between -40 and 40"]),
            (with("name = \"mixup\"\nsnr_db = nan"), ["snr_db = NaN", "between -40 and 40"]),
            (with("name = \"mixup\""), ["lacks snr_db", "add `snr_db = ...`"]),
            (with("name = \"shift\"\noffset_seconds = 0"), ["offset_seconds = 0", "less than 10"]),
            (with("name = \"shift\"\noffset_seconds = -10.0"), ["offset_seconds = -10", "less than 10"]),
            (with("name = \"shift\"\noffset_seconds = inf"), ["offset_seconds = inf", "less than 10"]),
            (with("name = \"shift\""), ["lacks offset_seconds", "add"]),
            (with("name = \"aligned\"\ndonors = 2"), ["takes no donors", "remove"]),
            (with("name = \"misaligned\"\nsnr_db = 2.0"), ["takes no snr_db", "remove"]),
            (with("name = \"aligned\""), ["aligned stands there twice", "keep one"]),
            (with("name = \"aligend\""), ["aligend", "expected one of"]),
            (with("name = \"mixup\"\nsnr_db = 0.0\nvolume = 3"), ["volume", "expected one of"]),
            (problem_of("donor_cap = 3"), ["donor_cap", "expected one of"]),
            (problem_of("recipe = ["), ["line 1", "recipe = ["]),
        ] {
            assert!(message.starts_with("plan my.toml: "), "{message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{message} should contain {parts:?}");
        }
    }
}
