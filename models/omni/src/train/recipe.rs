//! How a model is trained: a file of settings, checked before anything is computed.

use std::collections::BTreeMap;

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::lora::{LoraConfig, Target};

/// All settings of a training. The default is the published recipe: adapters of rank 8 on queries and values, rate
/// 1e-4 with warm-up and cosine, 8 questions a step one by one, 5 epochs, half precision on a GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// What is trained.
    pub kind: Kind,
    /// Recipes of the clips that are learned from.
    pub recipes: Vec<String>,
    /// Kinds of questions that are learned on them.
    pub questions: Vec<String>,
    /// Highest rate of the steps.
    pub rate: f64,
    /// Share of the steps in which the rate rises from 0 to its highest; it falls to 0 along a cosine afterwards.
    pub warmup: f64,
    /// Questions that go through the model together.
    pub batch: usize,
    /// How many such batches make a step.
    pub accumulation: usize,
    /// Whether all questions on a clip are learned in one step: the clip, which is most of each, is then computed once for
    /// all of them. Otherwise questions are drawn one by one.
    pub together: bool,
    /// When it ends.
    pub length: Length,
    /// What the frozen parameters and all between them is computed in.
    pub precision: Precision,
    /// Longest gradient; a longer one is shortened to it.
    pub clip: f64,
    /// Share of a weight that a step of rate 1 takes away.
    pub weight_decay: f64,
    /// What is drawn by chance depends on it alone.
    pub seed: u64,
    /// Steps from one kept state to the next.
    pub keep_every: u64,
    /// How often held-out clips are asked about, evenly over the steps and once before them; 0 for never. Decides
    /// nothing of the result.
    pub exams: u64,
    /// Whether layers are computed a second time for their gradients instead of remembered: slower, far less memory.
    pub recompute: bool,
    /// How much more often an example of a group is drawn than one of weight 1, which those of other groups have.
    pub weights: BTreeMap<String, f64>,
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Adapters beside the text model's layers; all else stays.
    Lora(LoraRecipe),
    /// Everything, towers included.
    Full,
}

/// The adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraRecipe {
    /// Rank of the matrices.
    pub rank: usize,
    /// Their product counts alpha / rank.
    pub alpha: f64,
    /// Layers that have one.
    pub targets: Targets,
}

/// Layers that have an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// Queries and values.
    Qv,
    /// All linear layers of the text model.
    AllLinear,
}

/// When a training ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// When so many times as many questions were drawn as there are.
    Epochs(u64),
    /// After so many steps.
    Steps(u64),
}

/// Kinds of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Half precision on a GPU, single on a CPU.
    Auto,
    /// Single precision.
    F32,
    /// Half precision; the loss is scaled so that small gradients are not lost.
    F16,
    /// Half precision with the range of single precision.
    Bf16,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            kind: Kind::Lora(LoraRecipe::default()),
            recipes: ["aligned", "misaligned"].map(str::to_owned).to_vec(),
            questions: vec!["class".to_owned()],
            rate: 1e-4,
            warmup: 0.1,
            batch: 1,
            accumulation: 8,
            together: true,
            length: Length::Epochs(5),
            precision: Precision::Auto,
            clip: 1.0,
            weight_decay: 0.0,
            seed: 0,
            keep_every: 200,
            exams: 10,
            recompute: false,
            weights: BTreeMap::new(),
        }
    }
}

impl Default for LoraRecipe {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, targets: Targets::Qv }
    }
}

impl LoraRecipe {
    /// The adapters that it asks for.
    pub fn config(&self) -> LoraConfig {
        let targets = match self.targets {
            Targets::Qv => Target::QUERY_AND_VALUE,
            Targets::AllLinear => Target::ALL,
        };
        LoraConfig { rank: self.rank, alpha: self.alpha, targets: targets.to_vec() }
    }
}

impl Precision {
    /// The kind of numbers on a CPU or a GPU.
    pub fn numbers(self, on_gpu: bool) -> DType {
        match self {
            Self::Auto if on_gpu => DType::F16,
            Self::Auto | Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl Recipe {
    /// Refuses what can never work.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] with the first such setting.
    pub fn check(&self) -> Result<(), TrainError> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let few = |value: usize| (1..=65_536).contains(&value);
        wants("recipes", "an empty list", !self.recipes.is_empty(), "name recipes of clips to learn from")?;
        wants("questions", "an empty list", !self.questions.is_empty(), "name kinds of questions to learn")?;
        wants("rate", self.rate, positive(self.rate), "it must be above 0")?;
        wants("warmup", self.warmup, share(self.warmup), "it must be from 0 to 1")?;
        wants("batch", self.batch, few(self.batch), "it must be from 1 to 65536")?;
        wants("accumulation", self.accumulation, few(self.accumulation), "it must be from 1 to 65536")?;
        let (Length::Epochs(length) | Length::Steps(length)) = self.length;
        wants("length", length, (1..=1 << 32).contains(&length), "it must be at least 1")?;
        wants("clip", self.clip, positive(self.clip), "it must be above 0")?;
        wants("weight_decay", self.weight_decay, share(self.weight_decay), "it must be from 0 to 1")?;
        wants("keep_every", self.keep_every, self.keep_every > 0, "it must be at least 1")?;
        if let Kind::Lora(lora) = &self.kind {
            wants("kind.lora.rank", lora.rank, (1..=4096).contains(&lora.rank), "it must be from 1 to 4096")?;
            wants("kind.lora.alpha", lora.alpha, positive(lora.alpha), "it must be above 0")?;
        }
        let half = matches!(self.precision, Precision::F16 | Precision::Bf16);
        let fits = !(half && self.kind == Kind::Full);
        let only = "weights that are trained themselves are f32: use f32, or adapters";
        wants("precision", format!("{:?}", self.precision), fits, only)?;
        for (group, &weight) in &self.weights {
            let fits = weight.is_finite() && weight >= 0.0;
            wants("weights", format!("{weight} for {group}"), fits, "a weight is a number from 0 up")?;
        }
        Ok(())
    }

    /// Whether held-out clips are asked about after so many of all steps.
    pub fn is_exam_due(&self, done: u64, steps: u64) -> bool {
        let every = steps.div_ceil(self.exams.max(1)).max(1);
        self.exams > 0 && (done == steps || done.is_multiple_of(every))
    }

    /// Questions of a step; more where those of the last clip are more.
    pub fn step_questions(&self) -> usize {
        self.batch * self.accumulation
    }

    /// Steps with so many questions.
    pub fn steps(&self, questions: usize) -> u64 {
        match self.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                epochs.saturating_mul(questions as u64).div_ceil(self.step_questions() as u64)
            }
        }
    }

    /// Rate of a step, the first is 0: linear warm-up, then half a cosine, as transformers'
    /// `get_cosine_schedule_with_warmup`.
    pub fn rate_at(&self, step: u64, steps: u64) -> f64 {
        let warmup = (steps as f64 * self.warmup).ceil();
        let step = step as f64;
        if step < warmup {
            return self.rate * step / warmup.max(1.0);
        }
        let progress = (step - warmup) / (steps as f64 - warmup).max(1.0);
        self.rate * (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0)
    }
}

fn wants(
    setting: &'static str,
    value: impl ToString,
    fits: bool,
    wanted: &'static str,
) -> Result<(), TrainError> {
    if fits { Ok(()) } else { Err(TrainError::Recipe { setting, value: value.to_string(), wanted }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_transformers() {
        // get_cosine_schedule_with_warmup(optimizer, 3, 10) in transformers 5, rate 1.
        let expected = [0.0, 0.333_333, 0.666_667, 1.0, 0.950_484, 0.811_745, 0.611_26, 0.388_74, 0.188_255];
        let recipe = Recipe { rate: 1.0, warmup: 0.3, ..Recipe::default() };
        for (step, expected) in (0..).zip(expected) {
            let found = recipe.rate_at(step, 10);
            assert!((found - expected).abs() < 1e-5, "step {step}: {found}");
        }
        assert_eq!(recipe.rate_at(10, 10), 0.0);
    }

    #[test]
    fn exams_are_spread_over_the_steps_and_held_before_and_after_them() {
        let due = |exams, steps| {
            let recipe = Recipe { exams, ..Recipe::default() };
            (0..=steps).filter(|&done| recipe.is_exam_due(done, steps)).collect::<Vec<_>>()
        };
        assert_eq!(due(4, 10), [0, 3, 6, 9, 10]);
        assert_eq!(due(10, 3), [0, 1, 2, 3]);
        assert_eq!(due(0, 10), [0; 0]);
    }

    #[test]
    fn what_can_never_work_is_refused_by_its_name() {
        let refused = |toml: &str| {
            let recipe: Result<Recipe, _> = toml::from_str(toml);
            recipe.map_or_else(|error| error.to_string(), |recipe| recipe.check().unwrap_err().to_string())
        };
        for (toml, name) in [
            ("rate = 0.0", "rate"),
            ("rate = nan", "rate"),
            ("warmup = 1.5", "warmup"),
            ("batch = 0", "batch"),
            ("length = { steps = 0 }", "length"),
            ("clip = -1.0", "clip"),
            ("kind = { lora = { rank = 0 } }", "kind.lora.rank"),
            ("kind = \"full\"\nprecision = \"f16\"", "precision"),
            ("weights = { aligned = -1.0 }", "weights"),
            ("keep_every = 0", "keep_every"),
            ("recipes = []", "recipes"),
            ("questions = []", "questions"),
            ("rank = 8", "unknown field `rank`"),
            ("kind = { lora = { dropout = 0.1 } }", "unknown field `dropout`"),
        ] {
            let error = refused(toml);
            assert!(error.contains(name), "{toml}: {error}");
        }
    }
}
