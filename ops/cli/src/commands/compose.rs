//! `compose`: the samples of a run as files.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use counterpoint_actors::{
    Tools, later,
    materialise::{materialise, write_manifest},
    projection::samples_of,
    publisher::Publisher,
    revision::Revision,
    stage::Fault,
    store::Store,
};
use counterpoint_core::{
    plan::Plan,
    pool::PoolListing,
    variants::{self, Composition},
};
use counterpoint_log::TopicLog;
use counterpoint_messages::{Message, PoolSealed, SampleComposed, Split, StageName, Topic};
use futures::TryStreamExt;
use serde::Serialize;

use crate::{
    args::{self, Common},
    config::Config,
    context::{Classification, ExistingRun, check_store, plan, plan_of_run, seed_of_run, setting, workers},
    output::{Failure, Outcome, print, print_json, say},
    page::NoPage,
    progress::{INTERRUPTED, Interrupt, Screen},
};

#[derive(Serialize)]
struct Told {
    samples: usize,
    manifest: PathBuf,
}

pub fn run(arguments: &args::Compose, common: &Common, screen: &Screen) -> Outcome {
    let config = Config::load(common)?;
    if is_inside(&arguments.out, &arguments.from) {
        let (out, from) = (arguments.out.display(), arguments.from.display());
        return Err(Failure::usage(format!(
            "--out {out} lies in the run's own folder {from}, whose files it would overwrite: \
             choose a folder outside"
        )));
    }
    let plan = arguments.plan.as_deref().map(plan).transpose()?;
    let (run, store, mut samples) = actix::System::new().block_on(async {
        let run = ExistingRun::open(common, &arguments.from).await?;
        let store = config.open_store(&arguments.from)?;
        check_store(&store, &run.revision, &arguments.from)?;
        let samples = match (plan, arguments.seed) {
            (None, None) => samples_of(&*run.log, &run.revision).await.map_err(anyhow::Error::from)?,
            (plan, seed) => composed_anew(&run, &store, plan, seed).await?,
        };
        Ok::<_, Failure>((run, store, samples))
    })?;
    if !arguments.recipes.is_empty() {
        samples.retain(|sample| arguments.recipes.contains(&sample.recipe.name()));
    }
    let loudness_lufs =
        setting(&run.revision, "decoder", "loudness_lufs")?.parse().context("loudness of the run")?;
    let publisher = Publisher {
        log: run.log,
        revision: run.revision,
        out: arguments.from.clone(),
        page: Arc::new(NoPage),
    };
    let tools = Tools::new(store, config.places(), workers(&config.effort)?, loudness_lufs, publisher);
    let interrupt = Interrupt::default();
    let _listening = interrupt.listen_in_background();
    let bar = screen.bar("compose", samples.len());
    let out = &arguments.out;
    let fail = |fault: Fault| anyhow::anyhow!("{fault}");
    let unmade = materialise(&tools, &samples, out, interrupt.flag(), &|| bar.inc(1)).map_err(fail)?;
    bar.finish_and_clear();
    write_manifest(&samples, out).map_err(fail)?;
    if !unmade.is_empty() {
        let (count, reasons) = (unmade.len(), unmade.join("; "));
        return Err(Failure::Failed(anyhow::anyhow!("{count} samples could not be made: {reasons}")));
    }
    let told = Told { samples: samples.len(), manifest: out.join("manifest.jsonl") };
    if common.json {
        print_json(&told)?;
    } else {
        print(&format!("{} samples; {}", told.samples, told.manifest.display()));
    }
    if interrupt.is_set() {
        say("interrupted: run the same command again to continue");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a folder, which need not be there yet, is another one or lies in it.
fn is_inside(folder: &Path, other: &Path) -> bool {
    real(folder).starts_with(real(other))
}

/// The path without links and detours, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    let Some((above, mut real)) = existing else { return absolute };
    for part in absolute.strip_prefix(above).into_iter().flat_map(Path::components) {
        match part {
            Component::ParentDir => {
                real.pop();
            }
            part => real.push(part),
        }
    }
    real
}

/// The samples that the run's pools come to under another plan or seed.
async fn composed_anew(
    run: &ExistingRun,
    store: &Store,
    plan: Option<Plan>,
    seed: Option<u64>,
) -> anyhow::Result<Vec<SampleComposed>> {
    let revision = &run.revision;
    let classification = Classification::of_run(revision, store)?;
    let plan = match plan {
        Some(plan) => plan,
        None => plan_of_run(revision, store)?,
    };
    let seed = match seed {
        Some(seed) => seed,
        None => seed_of_run(revision)?,
    };
    let settings = revision.fingerprint(StageName::Composer);
    let mut samples = Vec::new();
    for split in [Split::Train, Split::Eval] {
        let Some(newest) = newest_pool(&*run.log, revision, split).await? else { continue };
        let listing = PoolListing::from_bytes(split, &store.get(newest.listing)?, newest.listing)?;
        for generation in 1..=listing.generation() {
            let members = listing.members().iter().filter(|member| member.generation <= generation);
            let members = PoolListing::new(split, members.cloned().collect())?;
            let sealed = members.seal(&plan, newest.listing, settings);
            let hosts =
                variants::compose(members, &sealed, &plan, seed, &*classification.rulebook, settings)?;
            samples.extend(hosts.flat_map(|host| host.compositions).filter_map(
                |composition| match composition {
                    Composition::Sample(sample) => Some(sample),
                    Composition::Skipped(_) => None,
                },
            ));
        }
    }
    samples.sort_by_key(|sample| sample.id);
    Ok(samples)
}

async fn newest_pool(
    log: &dyn TopicLog,
    revision: &Revision,
    split: Split,
) -> anyhow::Result<Option<PoolSealed>> {
    let mut records = log.scan(Topic::Pools);
    let mut newest: Option<PoolSealed> = None;
    while let Some(record) = records.try_next().await? {
        if record.headers.revision != Some(revision.fingerprint(StageName::Coordinator)) {
            continue;
        }
        match later::read(&record) {
            Ok(Some(Message::PoolSealed(sealed)))
                if sealed.split == split
                    && newest.as_ref().is_none_or(|newest| newest.generation < sealed.generation) =>
            {
                newest = Some(sealed);
            }
            Ok(_) => {}
            // It may be the newest one, whose samples are asked for.
            Err(record) => anyhow::bail!("{record}"),
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_s_folder_and_those_in_it_are_inside_whatever_way_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir_all(out.join("samples")).unwrap();
        std::os::unix::fs::symlink(&out, folder.path().join("link")).unwrap();
        for inside in
            ["out", "out/", "out/samples", "out/new/deep", "link/samples", "new/../out/x", "out/../out"]
        {
            assert!(is_inside(&folder.path().join(inside), &out), "{inside}");
        }
        for outside in ["other", "output", "out/../other", "new/other"] {
            assert!(!is_inside(&folder.path().join(outside), &out), "{outside}");
        }
    }
}
