//! What a run offers to its source.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::Context as _;
use counterpoint_actors::{pipeline::Offer, s3::S3Url};
use counterpoint_core::segments;
use counterpoint_messages::LabelList;

use super::Job;
use crate::{config::Config, output::Failure};

/// What the source is to read, as absolute paths: a later run from another folder means the same files.
/// Fails early, and by name, where the source would only fail later.
pub fn check(job: &Job, config: &Config) -> Result<Offer, Failure> {
    let fetch = config.fetcher.is_on();
    let clips = job.clips.as_deref().ok_or_else(|| Failure::usage("the source needs --clips DIR"))?;
    let clips = match clips.to_str().filter(|text| S3Url::is_one(text)) {
        Some(url) if fetch => {
            return Err(Failure::usage(format!(
                "the fetch command (setting fetcher.command) puts clips into a folder, and --clips {url} is a \
                 bucket: give a folder, or leave the command out"
            )));
        }
        Some(url) => {
            let url: S3Url = url.parse().map_err(Failure::usage)?;
            config.places().check(&url).map_err(anyhow::Error::from)?;
            url.to_string()
        }
        None => {
            fs::read_dir(clips).with_context(|| {
                let clips = clips.display();
                format!("cannot read the folder of clips {clips}; check the path and its permissions")
            })?;
            absolute(clips)?
        }
    };
    let labels = job.labels.iter().map(|(split, path)| {
        let name = path.display().to_string();
        let list = File::open(path).with_context(|| {
            format!("cannot read the label list {name}; check the path and its permissions")
        })?;
        segments::check(list, &name)?;
        Ok(LabelList { path: absolute(path)?, split: *split })
    });
    let labels = labels.collect::<anyhow::Result<_>>()?;
    Ok(Offer { clips, labels, ontology: absolute(&job.ontology)?, fetch })
}

fn absolute(path: &Path) -> anyhow::Result<String> {
    let absolute = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
    let text = absolute
        .to_str()
        .with_context(|| format!("the name of {} is not UTF-8; rename it", absolute.display()))?;
    Ok(text.to_owned())
}
