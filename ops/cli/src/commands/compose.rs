//! `compose`: the samples of a run as files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use counterpoint_actors::{
    Tools, later,
    materialise::{materialise, write_manifest},
    projection::{samples_of, skipped_of, skips},
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
use counterpoint_messages::{
    Message, PoolSealed, RecipeSkipped, RecordId, SampleComposed, Split, StageName, Topic,
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    args::{self, Common},
    config::Config,
    context::{Classification, ExistingRun, check_store, plan, plan_of_run, seed_of_run, setting, workers},
    output::{Failure, Outcome, print, print_json, say, thousands},
    page::NoPage,
    progress::{INTERRUPTED, Interrupt, Screen},
};

const MANIFEST: &str = "manifest.jsonl";

#[derive(Serialize)]
struct Told {
    samples: usize,
    /// Of those in the manifest, samples of earlier calls.
    kept: usize,
    /// Recipes not made, by recipe and reason.
    skipped: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
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
    let (run, store, (all, mut skipped)) = actix::System::new().block_on(async {
        let run = ExistingRun::open(common, &arguments.from).await?;
        let store = config.open_store(&arguments.from)?;
        check_store(&store, &run.revision, &arguments.from)?;
        let compositions = match (plan, arguments.seed) {
            (None, None) => (
                samples_of(&*run.log, &run.revision).await.map_err(anyhow::Error::from)?,
                skipped_of(&*run.log, &run.revision).await.map_err(anyhow::Error::from)?,
            ),
            (plan, seed) => composed_anew(&run, &store, plan, seed).await?,
        };
        Ok::<_, Failure>((run, store, compositions))
    })?;
    let earlier = earlier(&arguments.out, &all)?;
    let is_asked = |recipe| arguments.recipes.is_empty() || arguments.recipes.contains(&recipe);
    let samples: Vec<_> = all.iter().filter(|sample| is_asked(sample.recipe.name())).cloned().collect();
    skipped.retain(|skipped| is_asked(skipped.recipe));
    // What earlier calls made there stays, and stays in the manifest.
    let in_manifest =
        |sample: &&SampleComposed| is_asked(sample.recipe.name()) || earlier.contains(&sample.id);
    let listed: Vec<_> = all.iter().filter(in_manifest).cloned().collect();
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
    write_manifest(&listed, out).map_err(fail)?;
    if !unmade.is_empty() {
        let (count, reasons) = (unmade.len(), unmade.join("; "));
        return Err(Failure::Failed(anyhow::anyhow!("{count} samples could not be made: {reasons}")));
    }
    let told = Told {
        samples: samples.len(),
        kept: listed.len() - samples.len(),
        skipped: skips(&skipped),
        manifest: out.join(MANIFEST),
    };
    if common.json {
        print_json(&told)?;
    } else {
        let earlier = match told.kept {
            0 => String::new(),
            kept => format!(", {kept} of earlier calls kept"),
        };
        print(&format!("{} samples{earlier}; {}", told.samples, told.manifest.display()));
        for (recipe, reasons) in &told.skipped {
            for (reason, times) in reasons {
                print(&format!("{:>10}  {recipe} skipped: {reason}", thousands(*times)));
            }
        }
    }
    if interrupt.is_set() {
        say("interrupted: run the same command again to continue");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

/// The samples that the manifest in a folder has. Refuses one of which some are not among `all`.
fn earlier(out: &Path, all: &[SampleComposed]) -> Result<BTreeSet<RecordId>, Failure> {
    #[derive(Deserialize)]
    struct Row {
        sample: RecordId,
    }

    let manifest = out.join(MANIFEST);
    let bytes = match fs::read(&manifest) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(anyhow::anyhow!("cannot read {}: {error}", manifest.display()).into()),
    };
    let known: BTreeSet<_> = all.iter().map(|sample| sample.id).collect();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let samples = lines.map(|line| {
        let row = serde_json::from_slice::<Row>(line).ok().filter(|row| known.contains(&row.sample));
        row.map(|row| row.sample)
    });
    samples.collect::<Option<_>>().ok_or_else(|| {
        Failure::usage(format!(
            "{} has what this run, plan and seed do not come to, and it would be overwritten: choose another --out",
            manifest.display()
        ))
    })
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

/// What the run's pools come to under another plan or seed.
async fn composed_anew(
    run: &ExistingRun,
    store: &Store,
    plan: Option<Plan>,
    seed: Option<u64>,
) -> anyhow::Result<(Vec<SampleComposed>, Vec<RecipeSkipped>)> {
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
    let (mut samples, mut skipped) = (Vec::new(), Vec::new());
    for split in [Split::Train, Split::Eval] {
        let Some(newest) = newest_pool(&*run.log, revision, split).await? else { continue };
        let listing = PoolListing::from_bytes(split, &store.get(newest.listing)?, newest.listing)?;
        for generation in 1..=listing.generation() {
            let members = listing.members().iter().filter(|member| member.generation <= generation);
            let members = PoolListing::new(split, members.cloned().collect())?;
            let sealed = members.seal(&plan, newest.listing, settings);
            let hosts =
                variants::compose(members, &sealed, &plan, seed, &*classification.rulebook, settings)?;
            for composition in hosts.flat_map(|host| host.compositions) {
                match composition {
                    Composition::Sample(sample) => samples.push(sample),
                    Composition::Skipped(skip) => skipped.push(skip),
                }
            }
        }
    }
    samples.sort_by_key(|sample| sample.id);
    Ok((samples, skipped))
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
