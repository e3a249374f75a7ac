//! The command line. Names, flags and outputs are an interface: other programs call them.

pub mod bench;
pub mod evaluation;
pub mod experiment;
pub mod models;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use counterpoint_core::media_job::ShortClips;
use counterpoint_messages::{RecipeName, Split, StageName};

/// Finds out whether a multimodal model really listens and really looks.
///
/// Counterpoint takes clips with sound from AudioSet or any folder, keeps those whose picture and sound
/// show one and the same thing, and rewrites them so that the two disagree in a controlled way.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Settings file; environment variables COUNTERPOINT_SECTION__NAME and flags override it
    #[arg(long, global = true, value_name = "TOML")]
    pub config: Option<PathBuf>,

    /// Topic log: embedded:DIR (default: embedded:OUT/topics) or kafka://HOST:PORT[,HOST:PORT]
    #[arg(long, global = true, value_name = "B", value_parser = broker)]
    pub broker: Option<String>,

    /// Device that models run on: cpu or cuda:N (media work runs on the CPU in any case)
    #[arg(long, global = true, value_name = "D", value_parser = device, default_value = "cpu")]
    pub device: String,

    /// Send traces, metrics and logs to this OTLP/HTTP collector, e.g. http://localhost:4318
    #[arg(long, global = true, value_name = "URL")]
    pub otlp: Option<String>,

    /// Print one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Teach a judge, run the pipeline on a small corpus, teach and tune a model on it, and write a report
    Demo(Demo),
    /// Run the pipeline on real clips; given again, it continues where it was
    Run(Run),
    /// Show the classes the ontology is pruned to, and why each other node is out
    Classes(Classes),
    /// Map the rows of label lists to classes, without looking at any clip
    Curate(Curate),
    /// Bring media files into the one normal form: square mp4s of one length and loudness
    Prepare(Prepare),
    /// Read frames and sound as a model gets them, into safetensors files
    Sample(Sample),
    /// Make the files of a run's samples
    Compose(Compose),
    /// Look into the topic log
    Topics(Topics),
    /// Show how far the pipeline is, or what became of one clip, or serve a page that does
    Status(Status),
    /// Remove media objects that no record points to
    Sweep(Sweep),
    /// Measure this program side by side with what others use for the same work
    Bench(bench::Bench),
    /// Ask a model one question about a media file
    Ask(models::Ask),
    /// Teach a model on the samples of a run: an adapter, or a tiny model from nothing
    Train(models::Train),
    /// Run or tune a model on tensors, or merge an adapter into it
    Model(models::OnModel),
    /// Ask a model about the samples of a run, and score what it answers; given again, it continues
    Evaluate(evaluation::Evaluate),
    /// Ask another checkpoint what the one before was asked, and list the answers that changed
    Replay(evaluation::Replay),
    /// Repeat an experiment of the paper on a model before and after its tuning; given again, it continues
    Experiment(experiment::OnExperiment),
    /// Score predictions on a question file: accuracy and attack success rate
    Score(evaluation::Score),
    /// Check this machine, and name the command that mends what is missing
    Doctor(Doctor),
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// Check this checkpoint folder, too, and tell the memory that it takes
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Output folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Seed of the corpus and of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Good clips of each of the eight classes, from 1 to 2000 (default: 87; with --pipeline-only 32);
    /// the judge learns from up to 32 others of each
    #[arg(long, value_name = "N")]
    clips_per_class: Option<u32>,
    /// Leave the models out: no judge, no training, no questions; clips are larger and longer then
    #[arg(long)]
    pub pipeline_only: bool,
    /// Serve metrics to Prometheus at this address, under /metrics, e.g. 127.0.0.1:9464
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
}

impl Demo {
    /// Good clips of each class.
    pub fn clips_per_class(&self) -> u32 {
        self.clips_per_class.unwrap_or(if self.pipeline_only { 32 } else { 87 })
    }
}

#[derive(Debug, Args)]
pub struct Run {
    /// Folder of media files, or s3://BUCKET/PREFIX, searched with its subfolders (needed by the source only)
    #[arg(long, value_name = "DIR|S3")]
    pub clips: Option<PathBuf>,
    /// Segment list in AudioSet's format; SPLIT (train or eval) defaults by file name: eval* is eval, any
    /// other train (needed by the source only)
    #[arg(long, value_name = "[SPLIT=]CSV", num_args = 1.., value_parser = label_list)]
    pub labels: Vec<(Split, PathBuf)>,
    /// AudioSet's ontology.json
    #[arg(long, value_name = "JSON")]
    pub ontology: PathBuf,
    /// Output folder: topics, media objects, manifest.jsonl, summary.json, report.html
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Plan of the samples: default, published, streams, or a file
    #[arg(long, value_name = "TOML")]
    pub plan: Option<String>,
    /// Seed of every random choice
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Stages that this process runs, joined by commas (default: all)
    #[arg(long, value_name = "STAGES", value_delimiter = ',', value_parser = stages())]
    pub stages: Vec<StageName>,
    /// Never end: take up what is added to the folder and the lists, and seal a pool every so many clips or
    /// minutes (settings follow.*); Ctrl-C ends it, with exit code 0
    #[arg(long, conflicts_with = "materialise")]
    pub follow: bool,
    /// Make the samples' files too, in OUT/samples
    #[arg(long)]
    pub materialise: bool,
    /// Work under changed settings from here on; what they do not touch is reused
    #[arg(long)]
    pub new_revision: bool,
    /// Start this stage and those below it again from the beginning
    #[arg(long, value_name = "STAGE", value_parser = stages())]
    pub from: Option<StageName>,
    /// Fail (exit 1) if any record ended in dead letters
    #[arg(long)]
    pub strict: bool,
    /// Serve metrics to Prometheus at this address, under /metrics, e.g. 127.0.0.1:9464
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
}

#[derive(Debug, Args)]
pub struct Classes {
    /// AudioSet's ontology.json
    #[arg(long, value_name = "JSON")]
    pub ontology: PathBuf,
    /// Rules of curation (default: built in, the 61 classes of MMA-Bench)
    #[arg(long, value_name = "TOML")]
    pub rules: Option<PathBuf>,
    /// Explain one node, by its name or MID
    #[arg(long, value_name = "NAME")]
    pub explain: Option<String>,
}

#[derive(Debug, Args)]
pub struct Curate {
    /// Segment list in AudioSet's format; a SPLIT is allowed as in run, and makes no difference
    #[arg(long, value_name = "[SPLIT=]CSV", num_args = 1.., required = true, value_parser = label_list)]
    pub labels: Vec<(Split, PathBuf)>,
    /// AudioSet's ontology.json
    #[arg(long, value_name = "JSON")]
    pub ontology: PathBuf,
    /// File to write: youtube_id,class,start_seconds
    #[arg(long, value_name = "CSV")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct Prepare {
    /// Media files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Output folder: the mp4s and manifest.jsonl
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Width and height in pixels, an even number from 28 to 2048 (default: 504, or setting decoder.size)
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<u32>,
    /// Length in seconds, from 1 to 60 (default: 10, or setting decoder.seconds)
    #[arg(long, value_name = "N")]
    pub seconds: Option<u32>,
    /// What becomes of shorter clips
    #[arg(long, value_enum, default_value_t = Short::Reject)]
    pub short: Short,
}

/// What becomes of shorter clips.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Short {
    /// They are rejected
    Reject,
    /// They are padded
    Pad,
}

impl From<Short> for ShortClips {
    fn from(short: Short) -> Self {
        match short {
            Short::Reject => Self::Reject,
            Short::Pad => Self::Pad,
        }
    }
}

#[derive(Debug, Args)]
pub struct Sample {
    /// Media files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Output folder: NAME.safetensors with rgb u8 [T,H,W,3], pcm f32 [N], time f64 [T]
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Frames a second, from 0.01 to 1000; frame i is the one displayed at i/fps
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    pub fps: f64,
    /// Width and height in pixels, from 2 to 4096
    #[arg(long, value_name = "PIXELS", default_value_t = 504)]
    pub size: u32,
    /// Samples of sound a second, from 1000 to 192000
    #[arg(long, value_name = "HZ", default_value_t = 16_000)]
    pub rate: u32,
}

#[derive(Debug, Args)]
pub struct Compose {
    /// Output folder of a run
    #[arg(long, value_name = "OUT")]
    pub from: PathBuf,
    /// Folder for the files, one subfolder a recipe, and manifest.jsonl
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Another plan than the run's: default, published, streams, or a file
    #[arg(long, value_name = "TOML")]
    pub plan: Option<String>,
    /// Another seed than the run's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Only these recipes, joined by commas
    #[arg(long, value_name = "RECIPES", value_delimiter = ',', value_parser = recipes())]
    pub recipes: Vec<RecipeName>,
}

#[derive(Debug, Args)]
pub struct Topics {
    #[command(subcommand)]
    pub action: TopicsAction,
    /// Output folder of the run whose log is meant, unless --broker names one
    #[arg(long, global = true, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum TopicsAction {
    /// List the topics and how far each stage has read
    List,
    /// Print the newest records of a topic
    Tail {
        /// Topic, e.g. clips or state.gate
        topic: String,
        /// Records
        #[arg(short = 'n', long, default_value_t = 10)]
        records: usize,
    },
    /// Print the records that a stage gave up on
    DeadLetters {
        /// Put them back on their topics; the next run takes them up
        #[arg(long)]
        requeue: bool,
    },
    /// Let the log be written in the newest versions of its messages, which earlier releases cannot read
    ///
    /// Until then a log that an earlier release began is written as that release wrote it, so that both can
    /// work on it. Records that are there stay as they are and are read for ever. There is no way back: a
    /// program of an earlier release stops at the first record of a version it does not know.
    Upgrade {
        /// Do it although processes are at work on the log: all of them are of this release
        #[arg(long)]
        while_running: bool,
    },
}

#[derive(Debug, Args)]
pub struct Status {
    /// A clip, by its source video, its file or its id
    // Ids of videos may begin with a hyphen.
    #[arg(allow_hyphen_values = true)]
    pub clip: Option<String>,
    /// Output folder of the run that is meant, unless --broker names a log
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Check that nothing is lost, nothing is there twice and no media is missing; reads every object of
    /// the run, and ends with 1 if something is wrong
    #[arg(long, conflicts_with = "clip")]
    pub audit: bool,
    /// Serve a page at this port that shows the run while it goes on, also one that has ended or not begun;
    /// 0 takes a free port. Ctrl-C ends it
    #[arg(long, value_name = "PORT", conflicts_with_all = ["clip", "audit"])]
    pub serve: Option<u16>,
    /// Address to serve the page at (default: 127.0.0.1, which is this machine alone)
    #[arg(long, value_name = "IP", requires = "serve")]
    pub bind: Option<IpAddr>,
}

/// Removes in two steps: an object that no record of any revision points to, and that nobody has put for so
/// long, is marked first; a later sweep removes it if that is still so. Runs may go on meanwhile.
#[derive(Debug, Args)]
pub struct Sweep {
    /// Output folder of a run
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Hours that an object has to be left alone before each of the two steps, at least 1
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    pub older_than: u64,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn device(text: &str) -> Result<String, String> {
    let is_device =
        text == "cpu" || text.strip_prefix("cuda:").is_some_and(|number| number.parse::<u32>().is_ok());
    if is_device { Ok(text.to_owned()) } else { Err("expected cpu or cuda:N".to_owned()) }
}

fn broker(text: &str) -> Result<String, String> {
    match counterpoint_log::Broker::of(Some(text), Path::new("")) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("expected embedded:DIR, where DIR is a folder on this host, or kafka://HOST:PORT[,HOST:PORT]"
                .to_owned())
        }
    }
}

fn label_list(text: &str) -> Result<(Split, PathBuf), String> {
    for split in [Split::Train, Split::Eval] {
        if let Some(path) = text.strip_prefix(split.as_str()).and_then(|rest| rest.strip_prefix('=')) {
            return Ok((split, path.into()));
        }
    }
    let path = PathBuf::from(text);
    if let Some((split, file)) = text.split_once('=')
        && !path.exists()
        && Path::new(file).exists()
    {
        return Err(format!("`{split}` is no split: train or eval"));
    }
    let is_eval = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("eval"));
    Ok((if is_eval { Split::Eval } else { Split::Train }, path))
}

fn stages() -> impl TypedValueParser<Value = StageName> {
    let stages = counterpoint_actors::revision::stages(true, true);
    PossibleValuesParser::new(stages.into_iter().map(StageName::as_str)).try_map(|name| name.parse())
}

fn recipes() -> impl TypedValueParser<Value = RecipeName> {
    PossibleValuesParser::new(RecipeName::ALL.map(RecipeName::as_str)).try_map(|name| {
        RecipeName::ALL
            .into_iter()
            .find(|recipe| recipe.as_str() == name)
            .ok_or_else(|| format!("`{name}` is no recipe"))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_label_list_has_the_split_it_is_given_or_that_of_its_name() {
        let of = |text| label_list(text).unwrap();
        assert_eq!(of("data/eval_segments.csv"), (Split::Eval, "data/eval_segments.csv".into()));
        assert_eq!(of("clips_extra.csv"), (Split::Train, "clips_extra.csv".into()));
        assert_eq!(of("train=eval.csv"), (Split::Train, "eval.csv".into()));
        assert_eq!(of("eval=x/y.csv"), (Split::Eval, "x/y.csv".into()));
    }

    #[test]
    fn a_prefix_that_is_no_split_is_refused_unless_a_file_is_called_so() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.csv");
        std::fs::write(&list, "").unwrap();
        let error = label_list(&format!("foo={}", list.display())).unwrap_err();
        assert_eq!(error, "`foo` is no split: train or eval");
        let odd = folder.path().join("a=list.csv");
        std::fs::write(&odd, "").unwrap();
        assert_eq!(label_list(odd.to_str().unwrap()).unwrap(), (Split::Train, odd));
    }

    #[test]
    fn stages_and_recipes_are_read_by_name_and_joined_by_commas() {
        let run = ["counterpoint", "run", "--ontology", "o", "--out", "x", "--stages", "gate,decoder"];
        let Command::Run(run) = Arguments::try_parse_from(run).unwrap().command else { panic!("not a run") };
        assert_eq!(run.stages, [StageName::Gate, StageName::Decoder]);
        let compose =
            ["counterpoint", "compose", "--from", "x", "--out", "y", "--recipes", "aligned,karaoke"];
        let error = Arguments::try_parse_from(compose).unwrap_err().to_string();
        assert!(error.contains("karaoke") && error.contains("misaligned"), "{error}");
    }

    #[test]
    fn a_broker_is_a_folder_on_this_host_or_a_cluster() {
        assert!(broker("embedded:/x").is_ok() && broker("kafka://a:1,b:2").is_ok());
        for text in ["", "embedded", "embedded:", "redis://host", "kafka:host"] {
            assert!(broker(text).unwrap_err().contains("embedded:DIR"), "{text}");
        }
    }

    #[test]
    fn a_device_is_cpu_or_a_numbered_gpu() {
        assert!(device("cpu").is_ok() && device("cuda:1").is_ok());
        assert!(device("cuda").is_err() && device("gpu").is_err());
    }
}
