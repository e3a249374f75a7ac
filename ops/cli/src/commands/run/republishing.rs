//! The report of a finished run, written again.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;

use crate::{
    args::Common,
    config::Config,
    context::{Classification, ExistingRun, RunModels, tools, workers},
    output::Failure,
    page::ReportPage,
};

/// Writes the report of a finished run anew, as what it tells of may have come later. Everything but the way to the
/// log and the store is that of the run, whatever the settings say now.
pub fn republish(out: &Path, config: &Config, common: &Common) -> Result<(), Failure> {
    actix::System::new().block_on(async {
        let ExistingRun { log, revision } = ExistingRun::open(common, out).await?;
        let settings = revision.settings().context("the settings of the run cannot be read")?;
        let classification = Classification::of_run(&revision, &config.open_store(out)?)?;
        let config = Config { decoder: settings.decoder.clone(), ..config.clone() };
        let page = ReportPage {
            rulebook: Arc::clone(&classification.rulebook),
            settings,
            engine: common.broker.clone().unwrap_or_else(|| format!("embedded:{}/topics", out.display())),
            log: Arc::clone(&log),
        };
        let media = workers(&config.effort)?;
        let tools = tools(&config, out, log, revision, media, Arc::new(page), RunModels::default())?;
        let published = tokio::task::spawn_blocking(move || tools.publisher.publish(&tools)).await;
        let published = published.context("the report could not be written")?;
        published.map_err(|fault| anyhow::anyhow!("the report could not be written: {fault}"))?;
        Ok(())
    })
}
