//! The report of a finished run, written again.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;

use super::Job;
use crate::{
    args::Common,
    config::Config,
    context::{Classification, ExistingRun, RunModels, tools, workers},
    output::Failure,
    page::ReportPage,
};

/// Writes the report of a finished run anew, as what it tells of may have come later.
pub fn republish(job: &Job, config: &Config, common: &Common) -> Result<(), Failure> {
    let settings = config.settings();
    let rules = settings.curator.rules.as_deref().map(Path::new);
    let classification = Classification::read(&job.ontology, rules)?;
    actix::System::new().block_on(async {
        let ExistingRun { log, revision } = ExistingRun::open(common, &job.out).await?;
        let page = ReportPage {
            rulebook: Arc::clone(&classification.rulebook),
            settings,
            engine: common.broker.clone().unwrap_or_else(|| format!("embedded:{}/topics", job.out.display())),
            log: Arc::clone(&log),
        };
        let media = workers(&config.effort)?;
        let tools = tools(config, &job.out, log, revision, media, Arc::new(page), RunModels::default())?;
        let published = tokio::task::spawn_blocking(move || tools.publisher.publish(&tools)).await;
        let published = published.context("the report could not be written")?;
        published.map_err(|fault| anyhow::anyhow!("the report could not be written: {fault}"))?;
        Ok(())
    })
}
