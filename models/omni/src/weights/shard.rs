//! One safetensors file by memory map. Its header is checked in full when it is opened: afterwards every tensor it
//! names lies within the file, overlaps no other, and has as many bytes as its shape and kind of number need.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
};

use half::{bf16, f16, slice::HalfFloatSliceExt};
use memmap2::Mmap;
use safetensors::Dtype;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};

use super::error::WeightsError;

/// Bytes before the header: its length.
const LENGTH: usize = 8;
/// Longest header that is read, as in the safetensors crate.
const MOST_HEADER: u64 = 100_000_000;
/// Numbers that are converted or looked at together.
const BLOCK: usize = 4096;
/// Free text about the file.
const METADATA: &str = "__metadata__";

/// One mapped file.
pub struct Shard {
    file: PathBuf,
    map: Mmap,
    tensors: BTreeMap<String, Place>,
}

/// Where one tensor lies in the file, and what it is.
struct Place {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

/// One tensor of a mapped file.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// The file.
    pub file: &'a Path,
    /// Its kind of number.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its numbers: little-endian, row-major, at any alignment.
    pub bytes: &'a [u8],
}

impl Shard {
    /// The file at `file`, which may be a link.
    pub fn open(file: &Path) -> Result<Self, WeightsError> {
        let map = map(&open(file)?).map_err(|source| WeightsError::Read { file: file.to_owned(), source })?;
        let tensors = header(file, &map)?;
        Ok(Self { file: file.to_owned(), map, tensors })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The names of its tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether it holds a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<View<'_>> {
        let (name, place) = self.tensors.get_key_value(name)?;
        let bytes = self.map.get(place.bytes.clone())?;
        Some(View { name, file: &self.file, dtype: place.dtype, shape: &place.shape, bytes })
    }
}

/// Opens a regular file, or a link to one.
fn open(file: &Path) -> Result<File, WeightsError> {
    let read = |source| WeightsError::Read { file: file.to_owned(), source };
    // A pipe would wait for a writer when opened.
    if !fs::metadata(file).map_err(read)?.is_file() {
        return Err(WeightsError::NoFile { file: file.to_owned() });
    }
    File::open(file).map_err(read)
}

/// A whole JSON file, no longer than the longest header.
pub(crate) fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T, WeightsError> {
    let mut text = Vec::new();
    let read = open(file)?.take(MOST_HEADER).read_to_end(&mut text);
    read.map_err(|source| WeightsError::Read { file: file.to_owned(), source })?;
    let damaged =
        |error: serde_json::Error| WeightsError::Damaged { file: file.to_owned(), reason: error.to_string() };
    serde_json::from_slice(&text).map_err(damaged)
}

/// Maps a file that was opened for reading.
#[expect(
    unsafe_code,
    reason = "mapping is unsafe because another program can change the file. The map is read-only and private to \
              this module, only plain bytes are read from it, for which any value is valid, and its length is \
              that of the file when mapped. A writer that changes bytes changes weights, no more; one that \
              truncates the file ends this process with SIGBUS. Checkpoints are written to another name and \
              renamed, so neither happens to a file that is in use"
)]
fn map(file: &File) -> std::io::Result<Mmap> {
    unsafe { Mmap::map(file) }
}

impl View<'_> {
    /// Numbers in it.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// F32, BF16 or F16 as single precision.
    pub fn to_f32(&self) -> Result<Vec<f32>, WeightsError> {
        self.convert(|_, _| Ok(()))
    }

    /// The same where none of them is NaN or infinite.
    pub fn to_finite_f32(&self) -> Result<Vec<f32>, WeightsError> {
        self.convert(|start, block| {
            // Without a way out in between, many are looked at together.
            if block.iter().fold(true, |all, value| all & value.is_finite()) {
                return Ok(());
            }
            let index = start + block.iter().position(|value| !value.is_finite()).unwrap_or(0);
            Err(WeightsError::NotFinite { tensor: self.name.to_owned(), file: self.file.to_owned(), index })
        })
    }

    /// Converts by blocks, and has each looked at, with its place, while it is in the processor's cache.
    fn convert(
        &self,
        look: impl Fn(usize, &[f32]) -> Result<(), WeightsError>,
    ) -> Result<Vec<f32>, WeightsError> {
        let size = match self.dtype {
            Dtype::F32 => size_of::<f32>(),
            Dtype::BF16 | Dtype::F16 => size_of::<u16>(),
            _ => return Err(self.other("F32, BF16 and F16")),
        };
        let mut values = vec![0.0; self.bytes.len() / size];
        let mut halves = [f16::ZERO; BLOCK];
        let blocks = values.chunks_mut(BLOCK).zip(self.bytes.chunks(BLOCK * size));
        for (number, (block, bytes)) in blocks.enumerate() {
            match self.dtype {
                Dtype::F32 => {
                    for (value, word) in block.iter_mut().zip(bytes.as_chunks().0) {
                        *value = f32::from_le_bytes(*word);
                    }
                }
                Dtype::BF16 => {
                    for (value, word) in block.iter_mut().zip(bytes.as_chunks().0) {
                        *value = bf16::from_le_bytes(*word).to_f32();
                    }
                }
                _ => {
                    for (half, word) in halves.iter_mut().zip(bytes.as_chunks().0) {
                        *half = f16::from_le_bytes(*word);
                    }
                    // The processor has an instruction for many at once.
                    halves[..block.len()].convert_to_f32_slice(block);
                }
            }
            look(number * BLOCK, block)?;
        }
        Ok(values)
    }

    /// I64 or I32 as 64 bit.
    pub fn to_i64(&self) -> Result<Vec<i64>, WeightsError> {
        match self.dtype {
            Dtype::I64 => Ok(self.words::<8>().map(i64::from_le_bytes).collect()),
            Dtype::I32 => Ok(self.words::<4>().map(|word| i64::from(i32::from_le_bytes(word))).collect()),
            _ => Err(self.other("I64 and I32")),
        }
    }

    fn words<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        self.bytes.as_chunks::<N>().0.iter().copied()
    }

    fn other(&self, wanted: &'static str) -> WeightsError {
        let (tensor, file) = (self.name.to_owned(), self.file.to_owned());
        WeightsError::Numbers { tensor, file, dtype: self.dtype, wanted }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?} of {}", self.name, self.dtype, self.shape, self.file.display())
    }
}

/// What a header says of one tensor.
#[derive(Deserialize)]
struct Claim {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Pairs of a JSON object in their order, names that come twice included.
pub(super) struct Pairs<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        pairs.push((name, map.next_value()?));
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader(std::marker::PhantomData))
    }
}

/// The places that the header of a file names, all checked.
fn header(file: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Place>, WeightsError> {
    let has = bytes.len() as u64;
    let truncated = |needs| WeightsError::Truncated { file: file.to_owned(), has, needs };
    let length = bytes.first_chunk::<LENGTH>().map(|word| u64::from_le_bytes(*word));
    let length = length.ok_or_else(|| truncated(LENGTH as u64))?;
    if length > MOST_HEADER {
        return Err(WeightsError::HeaderTooLong { file: file.to_owned(), length, most: MOST_HEADER });
    }
    let start = LENGTH + length as usize;
    let json = bytes.get(LENGTH..start).ok_or_else(|| truncated(start as u64))?;
    let damaged = |reason: String| WeightsError::Damaged { file: file.to_owned(), reason };
    if json.first() != Some(&b'{') {
        return Err(damaged("its header is no JSON object".to_owned()));
    }
    let claims: Pairs<Claim> = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
    let mut places = BTreeMap::new();
    let mut ranges = Vec::with_capacity(claims.0.len());
    for (tensor, claim) in claims.0 {
        let place = place(file, &tensor, claim, start)?;
        ranges.push((place.bytes.start, place.bytes.end, tensor.clone()));
        if places.insert(tensor.clone(), place).is_some() {
            return Err(WeightsError::Twice { tensor, first: file.to_owned(), second: file.to_owned() });
        }
    }
    ranges.sort_unstable();
    let mut end = start;
    for (from, to, tensor) in ranges {
        if from != end {
            let kind = if from < end { "overlap those of another tensor" } else { "follow a gap" };
            let reason = format!("they begin at {}, where they {kind}", from - start);
            return Err(WeightsError::Impossible { tensor, file: file.to_owned(), reason });
        }
        end = to;
    }
    let needs = end as u64;
    match has.cmp(&needs) {
        std::cmp::Ordering::Less => Err(truncated(needs)),
        std::cmp::Ordering::Greater => Err(WeightsError::Trailing { file: file.to_owned(), has, needs }),
        std::cmp::Ordering::Equal => Ok(places),
    }
}

/// The place of one tensor, its arithmetic checked; `start` is where the data begin in the file.
fn place(file: &Path, tensor: &str, claim: Claim, start: usize) -> Result<Place, WeightsError> {
    let impossible = |reason: String| WeightsError::Impossible {
        tensor: tensor.to_owned(),
        file: file.to_owned(),
        reason,
    };
    let Claim { dtype, shape, data_offsets: [from, to] } = claim;
    let bits = shape.iter().try_fold(dtype.bitsize(), |bits, &side| bits.checked_mul(side));
    let Some(bits) = bits.filter(|bits| bits.is_multiple_of(8)) else {
        return Err(impossible(format!("{shape:?} of {dtype:?} has no number of bytes")));
    };
    let has = to.checked_sub(from);
    if has != Some(bits / 8) {
        return Err(impossible(format!("{shape:?} of {dtype:?} takes {} bytes, not {from}..{to}", bits / 8)));
    }
    let (from, to) = (start.checked_add(from), start.checked_add(to));
    let (Some(from), Some(to)) = (from, to) else {
        return Err(impossible("they end beyond any file".to_owned()));
    };
    Ok(Place { dtype, shape, bytes: from..to })
}
