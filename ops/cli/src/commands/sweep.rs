//! `sweep`: removes media objects that no record points to.

use std::{process::ExitCode, time::Duration};

use counterpoint_actors::sweep::{SweepOptions, Swept, sweep};

use crate::{
    args::{self, Common},
    config::Config,
    context::{ExistingRun, check_store},
    output::{Failure, Outcome, print, print_json, thousands},
};

pub fn run(arguments: &args::Sweep, common: &Common) -> Outcome {
    let config = Config::load(common)?;
    let options = SweepOptions {
        untouched: Duration::from_secs(arguments.older_than.saturating_mul(3600)),
        dry_run: arguments.dry_run,
    };
    let swept = actix::System::new().block_on(async {
        let run = ExistingRun::open(common, &arguments.out).await?;
        let store = config.open_store(&arguments.out)?;
        check_store(&store, &run.revision, &arguments.out)?;
        let swept = sweep(&*run.log, &store, &arguments.out, options).await;
        Ok::<_, Failure>(swept.map_err(anyhow::Error::from)?)
    })?;
    if common.json {
        print_json(&swept)?;
    } else {
        tell(&swept, arguments);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(swept: &Swept, arguments: &args::Sweep) {
    let hours = arguments.older_than;
    let (marks, removes) =
        if arguments.dry_run { ("would mark", "would remove") } else { ("marked", "removed") };
    let count = |number: u64, what: &str| print(&format!("{:>10}  {what}", thousands(number)));
    count(swept.objects, &format!("objects, {} bytes", thousands(swept.bytes)));
    count(swept.in_use, "in use");
    count(swept.recent, &format!("put in the last {hours} h: a record may be on its way"));
    count(swept.marked, &format!("{marks}: a sweep in {hours} h or more removes them"));
    count(swept.waiting, "marked by an earlier sweep, not long enough ago");
    count(swept.removed, &format!("{removes}, {} bytes", thousands(swept.removed_bytes)));
    count(swept.leftovers, "files of processes that died, removed");
}
