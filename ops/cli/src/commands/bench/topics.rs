//! `bench topics`: records through the source and the curator, as a run has them, and commits to the log by
//! themselves, on whatever log `--broker` names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use counterpoint_actors::{
    pipeline::{Offer, Pipeline},
    revision::Revision,
    settings::FetcherSettings,
    source::settling::Moment,
    stage::{Phase, Process},
};
use counterpoint_core::plan::Plan;
use counterpoint_log::{
    Commit, Epoch, Event, EventStream, Group, Headers, Member, Membership, Outgoing, TopicLog,
};
use counterpoint_messages::{Fingerprint, LabelList, Split, StageName, Topic};
use futures::StreamExt as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{
    Bench, lists,
    rounds::{Measured, Side, Spent, alternate},
    table::Findings,
};
use crate::{
    args::{Common, bench::TopicsBench},
    context::{Classification, RunModels, open_log, tools},
    output::Failure,
    page::NoPage,
};

const PIPELINE: &str = "source and curator";
const SINGLE: &str = "commits of 1 record";
const BATCH: &str = "commits of many records";
const PERF: &str = "kafka-producer-perf-test";
const PERF_TRANSACTIONS: &str = "kafka-producer-perf-test, transactions";

/// What Kafka's own measurement writes to.
const PERF_TOPIC: &str = "counterpoint-bench";

/// Commits of one record in a turn: enough to tell what one takes.
const SINGLES: u64 = 500;

/// Files of a folder.
const FILES_A_FOLDER: u64 = 10_000;

/// How often the stages are asked how far they are.
const LOOK: Duration = Duration::from_millis(20);

/// Random letters that values are cut from, and how far apart those of two records begin.
const LETTERS: usize = 1 << 20;
const STRIDE: u64 = 7919;

/// Bytes of a record's value where no pass has told.
const VALUE_BYTES: u64 = 256;

/// Writers of the raw commits, apart from every group of a run.
const WRITER: Fingerprint = Fingerprint(*b"measured");

pub fn run(arguments: &TopicsBench, common: &Common, bench: &Bench<'_>) -> Result<Findings, Failure> {
    let mut findings = Findings::new("topics", bench.rounds.rounds);
    let records = arguments.records;
    let embedded = common.broker.as_deref().is_none_or(|broker| broker.starts_with("embedded:"));
    let named = common.broker.clone().unwrap_or_else(|| "embedded, in the scratch folder".to_owned());
    findings.inputs.insert("records", records.to_string());
    findings.inputs.insert("log", named);
    let input = Input::make(records, bench)?;

    let passes = bench.rounds.rounds;
    let mut pass = Measured { name: PIPELINE, turns: Vec::new() };
    let mut value_bytes = VALUE_BYTES;
    let bar = bench.screen.bar("passes", passes as usize);
    for number in 0..passes {
        let out = bench.scratch.join(format!("pass-{number}"));
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        // A log elsewhere has each pass under names of its own, and keeps it.
        let mut topics = bench.config.topics.clone();
        if !embedded {
            topics.prefix = format!("{}.pass-{number}", topics.prefix);
        }
        let log = open_log(common, &out, &topics)?;
        let done = input.pass(records, &out, &log, bench)?;
        value_bytes = (done.clip_bytes / records.max(1)).max(1);
        if number == 0 {
            let found = format!("{} of {records}, then {} by the curator", done.clips, done.curated);
            findings.check("every record once", found, (done.clips, done.curated) == (records, records));
        }
        pass.turns.push(done.spent);
        fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    findings.sides(std::slice::from_ref(&pass), "records", records);

    let out = bench.scratch.join("raw");
    let log = open_log(common, &out, &bench.config.topics)?;
    let raw = Raw::join(&*log, value_bytes)?;
    let many = records.max(arguments.batch);
    let mut sides = vec![
        Side::new(SINGLE, || Spent::on(|| raw.write(SINGLES, 1))),
        Side::new(BATCH, || Spent::on(|| raw.write(many, arguments.batch))),
    ];
    if let Some(jars) = arguments.kafka_tools.as_deref().filter(|_| !bench.rounds.alone) {
        let Some(servers) = common.broker.as_deref().and_then(|broker| broker.strip_prefix("kafka://"))
        else {
            return Err(Failure::usage("--kafka-tools goes with --broker kafka://HOST:PORT"));
        };
        perf_topic(jars, servers, raw.partitions)?;
        for (name, transactions) in [(PERF, false), (PERF_TRANSACTIONS, true)] {
            sides.push(Side::new(name, move || {
                Spent::on(|| perf_test(jars, servers, many, value_bytes, transactions))
            }));
        }
    }
    let measured = alternate(sides, bench.rounds.rounds, bench.interrupt, bench.screen)?;
    raw.leave()?;
    let (single, others) = measured.split_at(1);
    findings.sides(single, "records", SINGLES);
    findings.sides(others, "records", many);
    findings.ratio(&measured, BATCH, PERF, None);
    findings.ratio(&measured, BATCH, PERF_TRANSACTIONS, None);
    findings.figure("value of a record", value_bytes as f64, "bytes");
    findings.notes.extend([
        format!(
            "{PIPELINE}: the real stages in this process, from listing and hashing {records} empty files to the \
             curator's last commit; their lists are drawn"
        ),
        format!(
            "{BATCH}: {} of them, {many} records in all, of the same length as those of the pass; one commit is \
             durable before the next begins",
            arguments.batch
        ),
        "every commit is a transaction: this log has none without; what a transaction costs is the difference \
         between the two kinds of commits"
            .to_owned(),
        format!(
            "{BATCH} and {PERF} write values of random capital letters, compressed with lz4; ours have a key and a \
             header each beside it; a JVM starts in each of the peer's turns"
        ),
        "processor time is that of this process or of the peer's; a broker's comes on top of it".to_owned(),
    ]);
    Ok(findings)
}

/// Files and lists for the source.
struct Input {
    clips: PathBuf,
    labels: PathBuf,
    ontology: PathBuf,
    classification: Classification,
}

/// What a pass came to.
struct Pass {
    spent: Spent,
    clips: u64,
    clip_bytes: u64,
    curated: u64,
}

impl Input {
    /// Makes empty files, one a record, and a row for each.
    fn make(records: u64, bench: &Bench<'_>) -> anyhow::Result<Self> {
        let classification =
            Classification::of(lists::ONTOLOGY.to_owned(), "the built-in ontology", None, "built in")?;
        let file = |name: &str| bench.scratch.join(name);
        let (clips, labels, ontology) = (file("clips"), file("train_segments.csv"), file("ontology.json"));
        fs::write(&ontology, lists::ONTOLOGY)
            .with_context(|| format!("cannot write {}", ontology.display()))?;
        lists::draw(records, &classification.rulebook, &labels)?;
        for row in 0..records {
            let folder = clips.join((row / FILES_A_FOLDER).to_string());
            if row % FILES_A_FOLDER == 0 {
                if bench.interrupt.is_set() {
                    bail!("interrupted");
                }
                fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            }
            let path = folder.join(format!("{}.mp4", lists::video(row)));
            fs::File::create(&path).with_context(|| {
                format!(
                    "cannot make {} ({records} files are needed); name another folder with --scratch",
                    path.display()
                )
            })?;
        }
        Ok(Self { clips, labels, ontology, classification })
    }

    /// Brings all of it through source and curator, on a log of its own.
    fn pass(
        &self,
        records: u64,
        out: &Path,
        log: &Arc<dyn TopicLog>,
        bench: &Bench<'_>,
    ) -> Result<Pass, Failure> {
        actix::System::new().block_on(async {
            if counted(&**log, Topic::Clips).await?.0 > 0 {
                return Err(Failure::usage(
                    "the log holds clips already; give the topics a prefix of their own",
                ));
            }
            let spent = self.run_stages(records, out, log, bench).await?;
            let (clips, clip_bytes) = counted(&**log, Topic::Clips).await?;
            let curated =
                counted(&**log, Topic::Curated).await?.0 + counted(&**log, Topic::Rejected).await?.0;
            Ok(Pass { spent, clips, clip_bytes, curated })
        })
    }

    async fn run_stages(
        &self,
        records: u64,
        out: &Path,
        log: &Arc<dyn TopicLog>,
        bench: &Bench<'_>,
    ) -> anyhow::Result<Spent> {
        let settings = bench.config.settings();
        let plan = Plan::built_in("default").context("the default plan is built in")?;
        let revision =
            Revision::new(1, &settings, self.classification.contents(&plan, None, None), BTreeMap::new());
        let (log_of_tools, page) = (Arc::clone(log), Arc::new(NoPage));
        let (media, models) = (bench.workers()?, RunModels::default());
        let tools = tools(bench.config, out, log_of_tools, revision.clone(), media, page, models)?;
        let text = |path: &Path| path.display().to_string();
        let list = LabelList { path: text(&self.labels), split: Split::Train };
        let (clips, ontology) = (text(&self.clips), text(&self.ontology));
        let offer = Offer { clips, labels: vec![list], ontology, fetch: false };
        offer.once(&**log, &revision, &Process::this(), Moment::now().wall_ms).await?;
        let rulebook = &self.classification.rulebook;
        let pipeline = Pipeline {
            settings,
            fetcher: FetcherSettings::default(),
            effort: bench.config.effort.clone(),
            revision,
            rulebook: Arc::clone(rulebook),
            relations: rulebook.clone(),
            plan,
            rounds: None,
            stages: [StageName::Source, StageName::Curator].into(),
            instance: "measured".to_owned(),
            log: Arc::clone(log),
            tools,
        };
        let (cpu, start) = (super::rounds::processor_time(&[]), std::time::Instant::now());
        let mut running = pipeline.start();
        loop {
            tokio::select! {
                ended = running.ended() => {
                    ended.context("the stages cannot go on")?;
                    bail!("the stages ended early");
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            let health = running.health();
            let curated = health
                .iter()
                .find(|(stage, _)| *stage == StageName::Curator)
                .map(|(_, health)| health.records);
            if curated.is_some_and(|curated| curated >= records) {
                break;
            }
            let paused = health.iter().find_map(|(_, health)| match &health.phase {
                Phase::Paused { cause } => Some(cause.clone()),
                _ => None,
            });
            if let Some(cause) = paused {
                bail!("a stage had to pause, so the time says nothing: {cause}");
            }
            if bench.interrupt.is_set() {
                break;
            }
        }
        let wall = start.elapsed();
        let cpu = super::rounds::processor_time(&[]).saturating_sub(cpu);
        running.stop();
        running.ended().await.context("the stages cannot end")?;
        if bench.interrupt.is_set() {
            bail!("interrupted");
        }
        Ok(Spent { wall, cpu })
    }
}

/// Records of a topic and the bytes of their values, read one by one: brokers count their own marks as well.
async fn counted(log: &dyn TopicLog, topic: Topic) -> anyhow::Result<(u64, u64)> {
    let mut records = log.scan(topic);
    let (mut count, mut bytes) = (0, 0);
    while let Some(record) = records.next().await {
        count += 1;
        bytes += record?.value.len() as u64;
    }
    Ok((count, bytes))
}

/// Commits without any stage, by one member that stays.
struct Raw {
    member: Box<dyn Member>,
    /// Kept, as a member without a reader leaves its group.
    _events: EventStream,
    epoch: Epoch,
    partitions: u32,
    value_bytes: u64,
    /// What values are cut from.
    letters: Vec<u8>,
    system: tokio::runtime::Runtime,
}

impl Raw {
    fn join(log: &dyn TopicLog, value_bytes: u64) -> anyhow::Result<Self> {
        let system = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
        let membership = Membership {
            group: Group { stage: StageName::Source, fingerprint: WRITER },
            instance: "measured".to_owned(),
            inputs: vec![Topic::Inputs],
            exclusive: true,
            max_records: 1,
            max_bytes: 1 << 20,
        };
        let (events, member, epoch) = system.block_on(async {
            let (mut events, member) = log.join(membership).await?;
            loop {
                match events.next().await.context("the log ended its stream of events")?? {
                    Event::Assigned { epoch, .. } => return Ok::<_, anyhow::Error>((events, member, epoch)),
                    _ => continue,
                }
            }
        })?;
        let partitions = log.partitions(Topic::Decoded);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let letters = (0..LETTERS).map(|_| rng.random_range(b'A'..=b'Z')).collect();
        Ok(Self { member, _events: events, epoch, partitions, value_bytes, letters, system })
    }

    /// Writes so many records, `batch` in a commit, one commit after another.
    fn write(&self, records: u64, batch: u64) -> anyhow::Result<()> {
        self.system.block_on(async {
            let mut written = 0;
            while written < records {
                let end = (written + batch).min(records);
                let outputs = (written..end).map(|number| self.record(number, self.partitions)).collect();
                self.member.commit(self.epoch, Commit { outputs, ..Commit::default() }).await?;
                written = end;
            }
            Ok(())
        })
    }

    /// Capital letters, as Kafka's own measurement writes them.
    fn value(&self, number: u64) -> Vec<u8> {
        let length = usize::try_from(self.value_bytes).unwrap_or(1);
        let starts = self.letters.len().saturating_sub(length).max(1);
        let start = usize::try_from(number.wrapping_mul(STRIDE)).unwrap_or(0) % starts;
        self.letters.iter().cycle().skip(start).take(length).copied().collect()
    }

    fn leave(self) -> anyhow::Result<()> {
        Ok(self.system.block_on(self.member.leave())?)
    }

    fn record(&self, number: u64, partitions: u32) -> Outgoing {
        Outgoing {
            topic: Topic::Decoded,
            partition: u32::try_from(number % u64::from(partitions.max(1))).unwrap_or(0),
            key: number.to_le_bytes().to_vec(),
            value: self.value(number),
            headers: Headers { revision: Some(WRITER), ..Headers::default() },
        }
    }
}

/// The topic that Kafka's own measurement writes to: clusters that make none by themselves would let it wait for ever.
fn perf_topic(jars: &Path, servers: &str, partitions: u32) -> anyhow::Result<()> {
    let mut command = tool(jars, "TopicCommand");
    command.args(["--bootstrap-server", servers, "--create", "--if-not-exists", "--topic", PERF_TOPIC]);
    command.args(["--partitions", &partitions.to_string()]);
    done(command)
}

/// Kafka's own measurement of its producer, at as many bytes.
fn perf_test(jars: &Path, servers: &str, records: u64, bytes: u64, transactions: bool) -> anyhow::Result<()> {
    let mut command = tool(jars, "ProducerPerformance");
    command.args(["--topic", PERF_TOPIC, "--throughput", "-1"]);
    command.args(["--num-records", &records.to_string(), "--record-size", &bytes.to_string()]);
    command.args(["--bootstrap-server", servers, "--command-property", "acks=all"]);
    // As this program's own producer has it.
    command.args(["compression.type=lz4", "linger.ms=1"]);
    if transactions {
        command.args(["--transaction-duration-ms", "250"]);
    }
    done(command)
}

/// A tool of Kafka's.
fn tool(jars: &Path, class: &str) -> Command {
    let mut command = Command::new("java");
    command.arg("-cp").arg(jars.join("*")).arg(format!("org.apache.kafka.tools.{class}"));
    command
}

fn done(mut command: Command) -> anyhow::Result<()> {
    let done =
        command.stdin(Stdio::null()).output().context("cannot start java; install default-jre-headless")?;
    if !done.status.success() {
        // Some tools tell on the one, some on the other.
        let told = [done.stderr, done.stdout].concat();
        bail!("{PERF} failed: {}", String::from_utf8_lossy(&told).trim());
    }
    Ok(())
}
