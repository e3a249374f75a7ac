//! `status --audit`: whether a run kept the guarantee.

use std::{path::Path, process::ExitCode};

use counterpoint_actors::audit::{Audit, Evidence, Grounds, audit};
use serde::Serialize;

use crate::{
    args::Common,
    config::Config,
    context::{Classification, ExistingRun, check_store, plan_of_run, seed_of_run},
    output::{Failure, Outcome, print, print_json},
};

#[derive(Serialize)]
struct Told<'a> {
    ok: bool,
    #[serde(flatten)]
    audit: &'a Audit,
}

pub fn run(out: &Path, common: &Common) -> Outcome {
    let config = Config::load(common)?;
    let (run, evidence) = actix::System::new().block_on(async {
        let run = ExistingRun::open(common, out).await?;
        if !run.revision.is_of_this_release() {
            return Err(Failure::Failed(anyhow::anyhow!(
                "revision {} of {} is of a release whose stages come to other results: audit it with that \
                 release, or run it again with --new-revision",
                run.revision.declared.number,
                out.display()
            )));
        }
        let evidence = Evidence::read(&*run.log, &run.revision).await.map_err(anyhow::Error::from)?;
        Ok::<_, Failure>((run, evidence))
    })?;
    let store = config.open_store(out)?;
    check_store(&store, &run.revision, out)?;
    let classification = Classification::of_run(&run.revision, &store)?;
    let grounds = Grounds {
        store: &store,
        plan: &plan_of_run(&run.revision, &store)?,
        seed: seed_of_run(&run.revision)?,
        relations: &*classification.rulebook,
        made: Some(&out.join("samples")),
    };
    let audit = audit(&evidence, &grounds).map_err(anyhow::Error::from)?;
    let ok = audit.is_ok();
    if common.json {
        print_json(&Told { ok, audit: &audit })?;
    } else {
        print(&audit.to_string());
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
