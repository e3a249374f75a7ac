//! What can be wrong with weights on disk.

use std::{io, path::PathBuf};

use safetensors::Dtype;
use thiserror::Error;

/// Weights that cannot be read or written.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// A folder without weights.
    #[error(
        "{} holds no weights: it needs model.safetensors, or model.safetensors.index.json and its shards",
        folder.display()
    )]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be opened or read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or a folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is to be written is there already.
    #[error("{} exists already: name a new folder, or remove it", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A path that is no file, such as a folder or a pipe.
    #[error("{} is no regular file", file.display())]
    NoFile {
        /// The path.
        file: PathBuf,
    },
    /// A file ends before what its header promises.
    #[error("{} is truncated: it has {has} bytes of {needs}; fetch it again", file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// Bytes there are.
        has: u64,
        /// Bytes there should be.
        needs: u64,
    },
    /// A file has more bytes than its header accounts for.
    #[error(
        "{} has {has} bytes where its header accounts for {needs}; fetch it again", file.display()
    )]
    Trailing {
        /// The file.
        file: PathBuf,
        /// Bytes there are.
        has: u64,
        /// Bytes there should be.
        needs: u64,
    },
    /// A header longer than any real one.
    #[error("{} claims a header of {length} bytes, at most {most} are read: it is no safetensors file", file.display())]
    HeaderTooLong {
        /// The file.
        file: PathBuf,
        /// Bytes claimed.
        length: u64,
        /// Bytes that are read.
        most: u64,
    },
    /// A header, index or configuration that is not what it should be.
    #[error("{} is damaged, fetch it again: {reason}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One name twice, in a header or in two shards.
    #[error("{tensor} is in {} and again in {}: remove the shard that is left over", first.display(), second.display())]
    Twice {
        /// The tensor.
        tensor: String,
        /// A file that holds it.
        first: PathBuf,
        /// The other, or the same.
        second: PathBuf,
    },
    /// A tensor whose bytes are not where they can be.
    #[error("{tensor} in {} claims impossible bytes, fetch the file again: {reason}", file.display())]
    Impossible {
        /// The tensor.
        tensor: String,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The index names a file that is no plain name of a file beside it.
    #[error("{} says that {tensor} is in {shard:?}: shards lie beside the index", index.display())]
    Outside {
        /// The index.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// The name of the file.
        shard: String,
    },
    /// The index promises a tensor that its shard does not hold.
    #[error("{tensor} should be in {} but is not: fetch that shard and the index again", file.display())]
    NotInShard {
        /// The tensor.
        tensor: String,
        /// The shard.
        file: PathBuf,
    },
    /// A tensor that the model needs is nowhere.
    #[error("{} lacks {tensor}: these weights are not of the model that config.json describes", file.display())]
    Missing {
        /// The tensor.
        tensor: String,
        /// The folder or file.
        file: PathBuf,
    },
    /// A tensor of another shape.
    #[error("{tensor} in {} has the shape {found:?} where config.json implies {wanted:?}", file.display())]
    Shape {
        /// The tensor.
        tensor: String,
        /// The file.
        file: PathBuf,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        wanted: Vec<usize>,
    },
    /// A tensor of numbers that are not read.
    #[error("{tensor} in {} holds {dtype:?}: {wanted} are read, convert it", file.display())]
    Numbers {
        /// The tensor.
        tensor: String,
        /// The file.
        file: PathBuf,
        /// Its numbers.
        dtype: Dtype,
        /// The kinds that are read here.
        wanted: &'static str,
    },
    /// A NaN or an infinity.
    #[error("{tensor} in {} is not finite at element {index}: the file is damaged or training diverged", file.display())]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// The file.
        file: PathBuf,
        /// The first such element.
        index: usize,
    },
    /// A configuration whose numbers make no model.
    #[error("{what} = {value} makes no model: correct config.json")]
    Config {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: usize,
    },
    /// An adapter of a kind that is not read.
    #[error("{} has {setting} = {value}: {wanted} is read here", file.display())]
    Adapter {
        /// `adapter_config.json`.
        file: PathBuf,
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is possible.
        wanted: &'static str,
    },
}
