//! The command that repeats experiments of the paper.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use counterpoint_core::experiments::ExperimentName;
use counterpoint_models::{LocalModel, ModelName};

#[derive(Debug, Args)]
pub struct OnExperiment {
    #[command(subcommand)]
    pub experiment: Experiment,
}

#[derive(Debug, Subcommand)]
pub enum Experiment {
    /// Take sound or picture away and ask about both, with nothing but the classes on offer (Fig. 12)
    Ablations(Compared),
    /// The same with `None of the above` on offer, which no tuning ever showed (Table 5)
    NoneOfTheAbove(Compared),
    /// Tune on half of the classes, and ask about conflicts of classes seen and unseen in tuning (Table 3)
    CrossClass(CrossClass),
    /// Lay another sound over the clip's own and ask about picture and sound (Fig. 16)
    Mixup(Compared),
}

impl Experiment {
    /// Which one.
    pub fn name(&self) -> ExperimentName {
        match self {
            Self::Ablations(_) => ExperimentName::Ablations,
            Self::NoneOfTheAbove(_) => ExperimentName::NoneOfTheAbove,
            Self::CrossClass(_) => ExperimentName::CrossClass,
            Self::Mixup(_) => ExperimentName::Mixup,
        }
    }

    /// The models that are compared.
    pub fn compared(&self) -> &Compared {
        match self {
            Self::Ablations(compared) | Self::NoneOfTheAbove(compared) | Self::Mixup(compared) => compared,
            Self::CrossClass(cross) => &cross.compared,
        }
    }

    /// Whether it needs a model that runs in this process.
    pub fn needs_local_models(&self) -> bool {
        let trains = matches!(self, Self::CrossClass(CrossClass { half: None, .. }));
        let compared = self.compared();
        trains || [compared.base(), compared.tuned()].iter().any(|model| matches!(model, ModelName::Local(_)))
    }
}

#[derive(Debug, Args)]
pub struct Compared {
    /// Output folder of the run whose held-out samples are asked about; results go to OUT/experiments and into
    /// OUT/report.html
    #[arg(long, value_name = "OUT")]
    pub samples: PathBuf,
    /// Model before its tuning, named as for evaluate (default: OUT/models/base, which the demo leaves)
    #[arg(long, value_name = "M")]
    base: Option<ModelName>,
    /// The same model afterwards (default: OUT/models/base+OUT/models/tuned)
    #[arg(long, value_name = "M")]
    tuned: Option<ModelName>,
}

impl Compared {
    /// The model before its tuning.
    pub fn base(&self) -> ModelName {
        self.base.clone().unwrap_or_else(|| ModelName::Local(self.of_demo(None)))
    }

    /// The model afterwards.
    pub fn tuned(&self) -> ModelName {
        let of_demo = || ModelName::Local(self.of_demo(Some("models/tuned")));
        self.tuned.clone().unwrap_or_else(of_demo)
    }

    fn of_demo(&self, adapter: Option<&str>) -> LocalModel {
        let checkpoint = self.samples.join("models/base");
        LocalModel { checkpoint, adapter: adapter.map(|adapter| self.samples.join(adapter)) }
    }
}

#[derive(Debug, Args)]
pub struct CrossClass {
    #[command(flatten)]
    pub compared: Compared,
    /// Seed that draws the half of the classes to tune on (default: that of the run)
    #[arg(long, value_name = "N", conflicts_with = "classes")]
    pub seed: Option<u64>,
    /// File with the classes to tune on, one a line, instead of drawing them
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Settings of the tuning, as for train (default: those that the tuned model was made with)
    #[arg(long, value_name = "TOML")]
    pub recipe: Option<PathBuf>,
    /// The base model as it was tuned on --classes already, elsewhere: nothing is trained then
    #[arg(long, value_name = "M", requires = "classes", conflicts_with = "recipe")]
    pub half: Option<ModelName>,
}
