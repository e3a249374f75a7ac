//! The command line of `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    pub name: Benchmark,
    #[command(flatten)]
    pub rounds: Rounds,
}

/// How often and where.
#[derive(Debug, Args)]
pub struct Rounds {
    /// Measured rounds; in each, every side has its turn. One more before them warms up
    #[arg(long, global = true, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Measure this program alone, without what it is compared to
    #[arg(long, global = true)]
    pub alone: bool,
    /// Folder for what is made on the way; removed at the end (default: the system's folder for temporary files)
    #[arg(long, global = true, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Python for the comparisons that need it, with torchcodec, or with transformers and PEFT for those on models
    /// (default: what `ops/setup.sh bench` or `ops/setup.sh parity` made beside the build)
    #[arg(long, global = true, value_name = "PROGRAM")]
    pub python: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Benchmark {
    /// Files to their normal form, against the same ffmpeg command for each of them
    Prepare(Films),
    /// Files to frames and sound in memory, against ffmpeg and torchcodec, and against torchcodec alone
    Sample(Films),
    /// Eight sound swaps by copied packets, against ffmpeg with and without encoding
    Variants(Films),
    /// Records through source and curator, and commits by themselves, on the log that --broker names
    Topics(TopicsBench),
    /// Segment lists to classes, against a plain Python script
    Curate(CurateBench),
    /// Memory of whole runs on more and more clips
    Memory(MemoryBench),
    /// Runs with telemetry fully on, to the collector that --otlp names, and off
    Telemetry(Films),
    /// Sixteen questions on one clip, against transformers question by question, and with a copied cache
    Questions(ModelBench),
    /// An adapter tuned on the variants of one clip, against PEFT, with gradient checkpointing and without
    Lora(ModelBench),
    /// A checkpoint to a model, against safetensors and transformers in Python
    Load(ModelBench),
    /// One pass and one training step, towers included, against transformers and PEFT
    Forward(ModelBench),
}

/// The random model and the drawn clip that benchmarks on models work on.
#[derive(Debug, Args)]
pub struct ModelBench {
    /// Layers of the text model and of each tower
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub layers: u16,
    /// Width of the text model, a multiple of 128; all else is in the proportions of Qwen2.5-Omni-3B, whose is 2048
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(128..=8192))]
    pub width: u16,
    /// Pixels on a side of the clip, a multiple of 28
    #[arg(long, value_name = "PIXELS", default_value_t = 504, value_parser = clap::value_parser!(u16).range(28..=2044))]
    pub pixels: u16,
    /// Seconds of the clip, at two frames a second
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub seconds: u16,
    /// Threads of each side
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
}

/// What media benchmarks work on.
#[derive(Debug, Args)]
pub struct Films {
    /// Folder of media files to use (default: films drawn by this program)
    #[arg(long, value_name = "DIR")]
    pub clips: Option<PathBuf>,
    /// Films at most
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub films: u32,
    /// Width and height of drawn films in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 360, value_parser = clap::value_parser!(u16).range(16..=2048))]
    pub film_size: u16,
}

#[derive(Debug, Args)]
pub struct TopicsBench {
    /// Records
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub records: u64,
    /// Records in a commit, for the commits that stand beside those of one record each
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    pub batch: u64,
    /// Folder of Kafka's jars, to measure kafka-producer-perf-test beside a --broker kafka://HOST:PORT
    #[arg(long, value_name = "DIR")]
    pub kafka_tools: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CurateBench {
    /// Segment lists in AudioSet's format (default: one drawn by this program)
    #[arg(long, value_name = "CSV", num_args = 1..)]
    pub labels: Vec<PathBuf>,
    /// Rows of the drawn list
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rows: u64,
}

#[derive(Debug, Args)]
pub struct MemoryBench {
    /// Numbers of clips, joined by commas: a run for each
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [10, 100, 1000], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clips: Vec<u32>,
}
