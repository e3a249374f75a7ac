//! What the checkpoints of a run's rounds are asked, and where their scores are told.

use std::{path::Path, sync::Arc};

use counterpoint_actors::{
    assessment::{Assessment, Results},
    evaluator::Inquiry,
    planner::Rounds,
    revision::Revision,
    stage::Fault,
    store::StoreError,
};
use counterpoint_log::TopicLog;
use counterpoint_messages::{CheckpointSaved, Split};
use counterpoint_models::{LocalModel, ModelName};

use crate::{
    args::Common,
    commands::{
        asking::Asked,
        evaluate::{default_suite, write},
    },
    config::Config,
    local::{LocalModels, open},
    page::rounds::EVALUATIONS,
};

/// What the checkpoints of these rounds are asked: what `evaluate` asks unless told otherwise. Each one's scores lie in a
/// folder that has the training's id for a name.
pub fn assessment(
    rounds: &Rounds,
    config: &Config,
    revision: &Revision,
    log: &Arc<dyn TopicLog>,
    out: &Path,
    common: &Common,
    local: &'static dyn LocalModels,
) -> Assessment {
    let inquiry = Inquiry {
        suite: default_suite(),
        options: Vec::new(),
        splits: vec![Split::Eval],
        decoding: config.evaluator.decoding.clone(),
        request: rounds.request.clone(),
    };
    let (settings, device) = (config.clone(), common.device.clone());
    let folder = out.join(EVALUATIONS);
    Assessment {
        inquiry,
        open: Arc::new(move |saved: &CheckpointSaved| open(&name(saved), &settings, &device, Some(local))),
        tell: Box::new(move |results: &Results| {
            tell(results, &folder.join(results.saved.training.id.to_string()))
        }),
        revision: revision.clone(),
        log: Arc::clone(log),
    }
}

/// A checkpoint as the model that it is. Its own name may be a path from where it was trained.
fn name(saved: &CheckpointSaved) -> ModelName {
    let folder = saved.folder.clone().into();
    ModelName::Local(match &saved.training.base {
        None => LocalModel { checkpoint: folder, adapter: None },
        Some(base) => LocalModel { checkpoint: base.into(), adapter: Some(folder) },
    })
}

fn tell(results: &Results, folder: &Path) -> Result<(), Fault> {
    let Results { saved, inquiry, object, model, collected } = results;
    let asked = Asked {
        model: model.clone(),
        collected: collected.clone(),
        object: *object,
        given_up: Vec::new(),
        interrupted: false,
    };
    write(&asked, inquiry, folder).map_err(|error| match error.downcast::<StoreError>() {
        Ok(error) => error.into(),
        Err(error) => Fault::Record(format!("{error:#}")),
    })?;
    let round = saved.training.round.unwrap_or_default();
    tracing::info!("round {round} was asked: its scores are in {}", folder.display());
    Ok(())
}
