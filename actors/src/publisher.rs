//! Projections of the log as files of the output folder.

use std::{path::PathBuf, sync::Arc};

use counterpoint_log::TopicLog;

use crate::{
    Tools, materialise::MadeSamples, projection::Projection, revision::Revision, stage::Fault,
    store::write_atomically,
};

/// Turns a projection into the report page.
pub trait Page: Send + Sync {
    /// The page, and what it shows of samples as players.
    ///
    /// # Errors
    /// If a sample for the gallery cannot be made or the page cannot be rendered.
    fn render(&self, projection: &Projection, revision: &Revision, tools: &Tools) -> Result<Vec<u8>, Fault>;
}

/// Writes `manifest.jsonl`, `summary.json` and `report.html`.
pub struct Publisher {
    /// The log.
    pub log: Arc<dyn TopicLog>,
    /// Revision to be shown.
    pub revision: Revision,
    /// Output folder.
    pub out: PathBuf,
    /// The page.
    pub page: Arc<dyn Page>,
}

impl Publisher {
    /// Writes all of them, each renamed into place when it is whole. Blocks; call it from a thread that may.
    ///
    /// # Errors
    /// If the log cannot be read or a file cannot be written.
    pub fn publish(&self, tools: &Tools) -> Result<(), Fault> {
        let _alone = tools.publishing.lock();
        let folded = futures::executor::block_on(Projection::of(&*self.log, &self.revision));
        let projection = folded.map_err(|error| Fault::Ours(error.to_string()))?;
        let made = MadeSamples::read(&self.out.join("samples"), &self.out);
        let json = |error: serde_json::Error| Fault::Record(error.to_string());
        let manifest = projection.manifest(&made).map_err(json)?;
        write_atomically(&self.out.join("manifest.jsonl"), &manifest)?;
        let mut summary = serde_json::to_vec_pretty(&projection.summary).map_err(json)?;
        summary.push(b'\n');
        write_atomically(&self.out.join("summary.json"), &summary)?;
        let page = self.page.render(&projection, &self.revision, tools)?;
        Ok(write_atomically(&self.out.join("report.html"), &page)?)
    }
}
