//! `run`: the pipeline on real clips.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use counterpoint_actors::{
    Tools,
    follow::Follower,
    held_up::is_held_up,
    later::LaterRecord,
    materialise::materialise,
    pipeline::{self, Offer, Pipeline, RunningPipeline},
    projection::{Projection, Summary},
    revision::{Contents, Revision, stages},
    source::settling::Moment,
    stage::{Fault, Process},
    sweep,
};
use counterpoint_log::{Broker, Position, TopicLog};
use counterpoint_messages::{DeadLetter, RecordId, Split, StageName, Topic};
use counterpoint_models::ModelName;

use super::asking;
use crate::{
    args::{self, Common},
    config::Config,
    context::{Classification, RevisionChoice, RunModels, check_store, open_log, plan, tools, workers},
    local::LocalModels,
    output::{Failure, Outcome, say},
    page::ReportPage,
    progress::{INTERRUPTED, Interrupt, Screen},
};

mod assessing;
mod following;
mod offering;
pub mod republishing;
pub mod rounds;
mod told;

use self::told::remarks;
pub use self::told::tell;

const REDRAW: Duration = Duration::from_millis(100);

/// How soon to find out anew whether only records of a later release are left, which reads the log.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What is to be run.
#[derive(Debug)]
pub struct Job {
    /// Folder of media files, or the address of a bucket.
    pub clips: Option<PathBuf>,
    /// Segment lists.
    pub labels: Vec<(Split, PathBuf)>,
    /// Ontology.
    pub ontology: PathBuf,
    /// Output folder.
    pub out: PathBuf,
    /// Stages of this process.
    pub stages: BTreeSet<StageName>,
    /// Whether it goes on for ever.
    pub follow: bool,
    /// Whether the samples' files are made.
    pub materialise: bool,
    /// What becomes of changed settings.
    pub changes: Changes,
    /// Stage that starts again.
    pub from: Option<StageName>,
    /// The model that the settings name as judge.
    pub judge: Option<ModelName>,
}

/// What becomes of settings that are others than those that the log was worked on under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// They make a new revision.
    Revise,
    /// They are told of, and how they can make one.
    Ask,
    /// They are refused: the command has no revisions.
    Refuse,
}

/// How a run ended.
pub struct Finished {
    /// What it came to, over all runs of the revision.
    pub summary: Summary,
    /// What the source has to say of files and lists, for people.
    pub remarks: Vec<String>,
    /// Whether it was told to stop before its end.
    pub interrupted: bool,
    /// Whether it has no other end.
    pub followed: bool,
}

pub fn run(
    arguments: &args::Run,
    common: &Common,
    screen: &Screen,
    local: Option<&'static dyn LocalModels>,
) -> Outcome {
    let mut config = Config::load(common)?;
    config.seed = arguments.seed.unwrap_or(config.seed);
    if let Some(plan) = &arguments.plan {
        config.composer.plan.clone_from(plan);
    }
    let stages: BTreeSet<StageName> = match arguments.stages.as_slice() {
        // Models are trained, and asked, while clips keep coming: a run that ends waits for no training.
        [] => stages(config.prober.judge.is_some(), arguments.follow && config.trainer.base.is_some())
            .into_iter()
            .filter(|stage| config.evaluator.checkpoints || *stage != StageName::Evaluator)
            .collect(),
        stages => stages.iter().copied().collect(),
    };
    if stages.contains(&StageName::Source) && (arguments.clips.is_none() || arguments.labels.is_empty()) {
        return Err(Failure::usage(
            "the source needs --clips DIR and --labels CSV (or leave it out by --stages)",
        ));
    }
    let job = Job {
        clips: arguments.clips.clone(),
        labels: arguments.labels.clone(),
        ontology: arguments.ontology.clone(),
        out: arguments.out.clone(),
        stages,
        follow: arguments.follow,
        materialise: arguments.materialise,
        changes: if arguments.new_revision { Changes::Revise } else { Changes::Ask },
        from: arguments.from,
        judge: asking::judge(&config)?,
    };
    let finished = execute(&job, &config, common, screen, local)?;
    tell(&finished, &arguments.out, common)?;
    if finished.summary.found == 0 && !finished.interrupted {
        let endings = config.source.extensions.join(", ");
        let clips = arguments.clips.as_deref().unwrap_or(Path::new("the folder of clips"));
        say(&format!("no file ending in {endings} was found below {}", clips.display()));
    }
    Ok(match finished {
        Finished { interrupted: true, followed: false, .. } => ExitCode::from(INTERRUPTED),
        Finished { summary, .. } if arguments.strict && summary.dead_letters > 0 => ExitCode::from(1),
        Finished { .. } => ExitCode::SUCCESS,
    })
}

/// Runs the job to its end, or until interrupted.
pub fn execute(
    job: &Job,
    config: &Config,
    common: &Common,
    screen: &Screen,
    local: Option<&'static dyn LocalModels>,
) -> Result<Finished, Failure> {
    let offer = job.stages.contains(&StageName::Source).then(|| offering::check(job, config)).transpose()?;
    let settings = config.settings();
    let rules = settings.curator.rules.as_deref().map(Path::new);
    let classification = Classification::read(&job.ontology, rules)?;
    let plan = plan(&settings.composer.plan)?;
    fs::create_dir_all(&job.out).with_context(|| format!("cannot make folder {}", job.out.display()))?;
    let broker = Broker::of(common.broker.as_deref(), &job.out).map_err(anyhow::Error::from)?;
    let log = open_log(common, &job.out, &config.topics)?;
    let judge = job.judge.as_ref().map(|name| asking::model(name, config, common, local)).transpose()?;
    let identity = judge.as_ref().map(|judge| judge.facts().clone());
    let rounds = rounds::rounds(config, local)?;
    actix::System::new().block_on(async {
        let contents = classification.contents(&plan, identity.as_ref(), rounds.as_ref());
        let choice = RevisionChoice::of(&*log, &settings, contents).await?;
        let earlier = choice.newest.clone();
        let revision = decide(job, config, contents, choice)?;
        let page = ReportPage {
            rulebook: Arc::clone(&classification.rulebook),
            settings: settings.clone(),
            engine: common.broker.clone().unwrap_or_else(|| format!("embedded:{}/topics", job.out.display())),
            log: Arc::clone(&log),
        };
        let media = workers(&config.effort)?;
        let tuition = rounds.as_ref().zip(local);
        let tuition =
            tuition.map(|(rounds, local)| rounds::tuition(rounds, Arc::clone(&log), &job.out, common, local));
        let assessment = rounds.as_ref().zip(local).filter(|_| job.stages.contains(&StageName::Evaluator));
        let assessment = assessment.map(|(rounds, local)| {
            assessing::assessment(rounds, config, &revision, &log, &job.out, common, local)
        });
        let models = RunModels { judge, tuition, assessment };
        let tools =
            tools(config, &job.out, Arc::clone(&log), revision.clone(), media, Arc::new(page), models)?;
        if let Some(earlier) = &earlier {
            check_store(&tools.store, earlier, &job.out)?;
        }
        classification.keep(&plan, &tools.store)?;
        pipeline::declare(&*log, &revision).await.map_err(anyhow::Error::from)?;
        sweep::note_log(&*log, &tools.store).await.map_err(anyhow::Error::from)?;
        let pipeline = Pipeline {
            settings: settings.clone(),
            fetcher: config.fetcher.clone(),
            effort: config.effort.clone(),
            revision: revision.clone(),
            rulebook: Arc::clone(&classification.rulebook),
            relations: classification.rulebook.clone(),
            plan,
            rounds,
            stages: job.stages.clone(),
            instance: config.topics.instance(&broker),
            log: Arc::clone(&log),
            tools: Arc::clone(&tools),
        };
        let interrupt = Interrupt::default();
        let listener = interrupt.clone();
        actix::spawn(async move { listener.listen().await });
        let running = pipeline.start();
        let end = match job.follow {
            false => to_the_end(running, &*log, &revision, offer, &interrupt, screen).await?,
            true => {
                let follower = offer.map(|offer| Follower {
                    log: Arc::clone(&log),
                    revision: revision.clone(),
                    tools: Arc::clone(&tools),
                    offer,
                    source: settings.source.clone(),
                    settings: config.follow.clone(),
                });
                following::for_ever(running, follower, &interrupt, screen).await?;
                None
            }
        };
        let mut interrupted = end.is_none();
        let projection = Projection::of(&*log, &revision).await.map_err(anyhow::Error::from)?;
        if let Some(letter) = end.and_then(|position| unreported(&projection, position)) {
            return Err(Failure::Failed(anyhow::anyhow!(
                "the report could not be written: {}",
                letter.reason
            )));
        }
        if job.materialise && !interrupted {
            make_files(&tools, &projection, &job.out, &interrupt, screen).await?;
            interrupted = interrupt.is_set();
        }
        let mut remarks = projection.input.as_ref().map(remarks).unwrap_or_default();
        remarks.extend(projection.later.iter().map(|record| format!("{record}; the counts lack it")));
        Ok(Finished { summary: projection.summary, remarks, interrupted, followed: job.follow })
    })
}

/// The revision to work under: the log's newest, or one for what the user asked to change.
fn decide(
    job: &Job,
    config: &Config,
    contents: Contents,
    choice: RevisionChoice,
) -> Result<Revision, Failure> {
    let RevisionChoice { wanted, newest } = choice;
    let Some(newest) = newest else { return Ok(wanted) };
    let is_same = newest.is_same_as(&wanted);
    if !is_same && job.changes != Changes::Revise {
        let differences = wanted.differences(&newest);
        let listed = match differences.as_slice() {
            [] => "  the program's own transforms have changed".to_owned(),
            differences => differences.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"),
        };
        let remedy = match job.changes {
            Changes::Refuse => "set them as they were, or give another --out",
            _ => {
                "give --new-revision to work under the new ones from here on (what they do not touch is reused), \
                 or another --out"
            }
        };
        return Err(Failure::usage(format!(
            "{} was run under other settings (revision {}):\n{listed}\n{remedy}",
            job.out.display(),
            newest.declared.number,
        )));
    }
    let mut replays = newest.declared.replays.clone();
    match job.from {
        None if is_same => Ok(newest),
        None => Ok(wanted),
        Some(stage) => {
            *replays.entry(stage).or_default() += 1;
            let number = newest.declared.number + 1;
            Ok(Revision::new(number, &config.settings(), contents, replays))
        }
    }
}

/// The reporter's dead letter for the end of a run, if that is what became of it.
fn unreported(projection: &Projection, end: Position) -> Option<&DeadLetter> {
    projection
        .dead_letters
        .iter()
        .find(|letter| letter.stage == StageName::Reporter && letter.position == end.0)
}

/// Waits for the end of the run, drawing progress; its position, or `None` if it was interrupted before.
async fn to_the_end(
    mut running: RunningPipeline,
    log: &dyn TopicLog,
    revision: &Revision,
    offer: Option<Offer>,
    interrupt: &Interrupt,
    screen: &Screen,
) -> Result<Option<Position>, Failure> {
    let waits_for = wait_target(log, revision, offer).await?;
    let mut watch = screen.watch(&running);
    let end = pipeline::wait_for_end(log, revision, waits_for);
    tokio::pin!(end);
    let mut reached = None;
    let (mut stopping, mut failed) = (false, None);
    let (mut held, mut looked) = (Vec::new(), None::<Instant>);
    loop {
        tokio::select! {
            ended = running.ended() => {
                drop(watch);
                ended.context("the run cannot go on")?;
                if !held.is_empty() {
                    return Err(Failure::Failed(anyhow::anyhow!(
                        "paused: {}. Everything else is done and nothing is lost: run again with a later release",
                        held.join("; ")
                    )));
                }
                return match failed {
                    Some(error) => Err(Failure::Failed(anyhow::Error::from(error))),
                    None => Ok(reached),
                };
            }
            finished = &mut end, if reached.is_none() && !stopping => match finished {
                Ok((position, _)) => reached = Some(position),
                Err(error) => {
                    failed = Some(error);
                    stopping = true;
                    running.stop();
                }
            },
            () = tokio::time::sleep(REDRAW) => {}
        }
        watch.draw(&running);
        let is_reported = match reached {
            Some(position) => running.has_reached(StageName::Reporter, Topic::Runs, position),
            None => false,
        };
        let is_worth_a_look = looked.is_none_or(|looked| looked.elapsed() > LOOK_AGAIN);
        if !stopping && !is_reported && is_worth_a_look && running.is_quiet() {
            looked = Some(Instant::now());
            match is_held_up(&running, log, revision).await {
                Ok(true) => {
                    held = running.held().values().map(LaterRecord::to_string).collect();
                    stopping = true;
                    running.stop();
                }
                Ok(false) => {}
                // The stages wait for the log to answer again, as patiently as they were told to.
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(Failure::Failed(error.into())),
            }
        }
        if !stopping && (interrupt.is_set() || is_reported) {
            stopping = true;
            if !is_reported {
                reached = None;
            }
            running.stop();
        }
    }
}

/// The input whose end this process waits for; without a source of its own, the newest that is under way.
async fn wait_target(
    log: &dyn TopicLog,
    revision: &Revision,
    offer: Option<Offer>,
) -> anyhow::Result<Option<RecordId>> {
    match offer {
        Some(offer) => Ok(Some(offer.once(log, revision, &Process::this(), Moment::now().wall_ms).await?)),
        None => {
            let newest = pipeline::inputs(log).await?.pop();
            match &newest {
                Some(input) => tracing::info!("waiting for the end of the input {}", input.clips),
                None => tracing::info!("waiting for an input that another process offers"),
            }
            Ok(newest.map(|input| input.id))
        }
    }
}

async fn make_files(
    tools: &Arc<Tools>,
    projection: &Projection,
    out: &Path,
    interrupt: &Interrupt,
    screen: &Screen,
) -> anyhow::Result<()> {
    let bar = screen.bar("samples", projection.samples.len());
    let (tools, samples) = (Arc::clone(tools), projection.samples.clone());
    let (folder, interrupt, made) = (out.join("samples"), interrupt.clone(), bar.clone());
    let work = move || -> Result<Vec<String>, Fault> {
        let unmade = materialise(&tools, &samples, &folder, interrupt.flag(), &|| made.inc(1))?;
        tools.publisher.publish(&tools)?;
        Ok(unmade)
    };
    let done = tokio::task::spawn_blocking(work).await?;
    bar.finish_and_clear();
    let unmade = done.map_err(|fault| anyhow::anyhow!("{fault}"))?;
    anyhow::ensure!(unmade.is_empty(), "{} samples could not be made: {}", unmade.len(), unmade.join("; "));
    Ok(())
}
