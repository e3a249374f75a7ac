//! `model forward`: tensors in a file in, tensors in a file out. Names and shapes are those of transformers' own.

use std::{collections::BTreeMap, io, path::Path};

use burn::{
    Tensor,
    tensor::{Device, Int, TensorData},
};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};

use crate::{
    error::ModelError,
    generate::{Decoding, Generation},
    positions::{MediaShapes, Positions},
    thinker::{Embeddings, Model, Sequence},
    vision::Grid,
    weights::{WeightsError, shard::Shard},
};

/// Tokens that [`forward_file`] lets the model say.
const GREEDY_TOKENS: usize = 8;

/// What a file of inputs holds: sequences of which none, some or all have media.
pub struct Inputs {
    /// The sequences, without padding.
    pub sequences: Vec<Sequence>,
    /// The media's embeddings.
    pub embeddings: Embeddings,
    /// Where in `input_ids` each sequence's tokens stand, and how long the rows are.
    rows: Vec<Vec<usize>>,
    row: usize,
}

/// Reads tensors of inputs, as transformers' processor names them.
struct Reader {
    file: Shard,
}

impl Reader {
    /// A tensor of whole numbers and its rows' length; nothing if it is missing.
    fn integers(&self, name: &str) -> Result<Option<(Vec<i64>, usize)>, ModelError> {
        let Some(view) = self.file.get(name) else { return Ok(None) };
        Ok(Some((view.to_i64()?, view.shape.last().copied().unwrap_or(0))))
    }

    fn floats<const D: usize>(&self, name: &str, device: &Device) -> Result<Option<Tensor<D>>, ModelError> {
        let Some(view) = self.file.get(name) else { return Ok(None) };
        if view.shape.len() != D {
            let (file, found) = (self.file.file().display(), view.shape);
            let what = format!("tensor {name} in {file} has shape {found:?}, but {D} sides are needed");
            return Err(ModelError::input(what));
        }
        Ok(Some(Tensor::from_data(view.data()?.convert::<f32>(), device)))
    }

    fn grids(&self, name: &str, model: &Model) -> Result<Vec<Grid>, ModelError> {
        let Some((values, _)) = self.integers(name)? else { return Ok(Vec::new()) };
        let config = &model.config().vision_config;
        let size = |value: i64| usize::try_from(value).unwrap_or(0);
        let grids = values.chunks(3).map(|grid| match grid {
            [frames, rows, columns] => Grid::new(size(*frames), size(*rows), size(*columns), config),
            _ => Err(ModelError::input(format!("{name} does not hold three sizes for each grid"))),
        });
        grids.collect()
    }
}

impl Inputs {
    /// Reads the inputs and computes what the towers make of the media.
    ///
    /// # Errors
    /// The file cannot be read, or its tensors do not fit to each other or to the model.
    pub fn open(path: &Path, model: &Model) -> Result<Self, ModelError> {
        let reader = Reader { file: Shard::open(path)? };
        let device = model.device();
        let missing = || WeightsError::Missing { tensor: "input_ids".to_owned(), file: path.to_owned() };
        let (tokens, row) = reader.integers("input_ids")?.ok_or_else(missing)?;
        let mask = reader.integers("attention_mask")?.map_or_else(|| vec![1; tokens.len()], |(mask, _)| mask);
        if row == 0 || mask.len() != tokens.len() {
            let (tokens, mask) = (tokens.len(), mask.len());
            return Err(ModelError::input(format!(
                "input_ids has {tokens} tokens, attention_mask {mask} marks"
            )));
        }
        let mut shapes = MediaShapes {
            images: reader.grids("image_grid_thw", model)?,
            videos: reader.grids("video_grid_thw", model)?,
            ..MediaShapes::default()
        };
        let seconds = reader.floats::<1>("video_second_per_grid", device)?;
        shapes.seconds_per_grid = match seconds {
            Some(seconds) => values(&seconds)?,
            None => vec![1.0; shapes.videos.len()],
        };
        let mut embeddings = Embeddings::default();
        if let Some(patches) = reader.floats::<2>("pixel_values", device)? {
            embeddings.images = Some(model.see(patches, &shapes.images)?);
        }
        if let Some(patches) = reader.floats::<2>("pixel_values_videos", device)? {
            embeddings.videos = Some(model.see(patches, &shapes.videos)?);
        }
        if let Some(mel) = reader.floats::<3>("input_features", device)? {
            let (mel, frames) = sounds(&reader, mel)?;
            embeddings.sounds = Some(model.hear(mel, &frames)?);
            shapes.audio_frames = frames;
        }
        let rows: Vec<Vec<usize>> = mask
            .chunks(row)
            .map(|mask| (0..mask.len()).filter(|&place| mask[place] != 0).collect())
            .collect();
        let tokens: Vec<Vec<i64>> = tokens
            .chunks(row)
            .zip(&rows)
            .map(|(tokens, places)| places.iter().map(|&place| tokens[place]).collect())
            .collect();
        let config = model.config();
        let interleaved = [config.vision_start_token_id, config.audio_start_token_id];
        shapes.audio_in_video = tokens.iter().any(|tokens| tokens.windows(2).any(|pair| pair == interleaved));
        let positions = Positions::batch(&tokens, &shapes, config)?;
        let sequences = tokens.into_iter().zip(positions);
        let sequences = sequences.map(|(tokens, positions)| Sequence { tokens, positions }).collect();
        Ok(Self { sequences, embeddings, rows, row })
    }
}

/// Sounds without their padding, one after another: mel `[bands, frames of all]`, and the frames of each.
fn sounds(reader: &Reader, mel: Tensor<3>) -> Result<(Tensor<2>, Vec<usize>), ModelError> {
    let [count, bands, longest] = mel.dims();
    if count == 0 || longest == 0 {
        return Err(ModelError::input(format!("input_features holds {count} sounds of {longest} frames")));
    }
    let mask = match reader.integers("feature_attention_mask")? {
        None => vec![1; count * longest],
        Some((mask, _)) if mask.len() == count * longest => mask,
        Some((mask, _)) => {
            let marks = mask.len();
            let what =
                format!("feature_attention_mask has {marks} marks for {count} sounds of {longest} frames");
            return Err(ModelError::input(what));
        }
    };
    let mut kept = Vec::with_capacity(count);
    let mut frames = Vec::with_capacity(count);
    for (sound, mask) in mask.chunks(longest).enumerate() {
        let length = mask.iter().take_while(|&&mark| mark != 0).count();
        if mask[length..].iter().any(|&mark| mark != 0) {
            return Err(ModelError::input(format!("feature_attention_mask has holes in sound {sound}")));
        }
        kept.push(mel.clone().narrow(0, sound, 1).reshape([bands, longest]).narrow(1, 0, length));
        frames.push(length);
    }
    Ok((Tensor::cat(kept, 1), frames))
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f32>, ModelError> {
    let data = tensor.to_data().convert::<f32>();
    data.try_into_vec().map_err(|error| ModelError::input(format!("a tensor cannot be read back: {error:?}")))
}

/// What is written: bytes, kind and shape of each tensor.
#[derive(Default)]
struct Outputs {
    tensors: BTreeMap<String, (Vec<u8>, Dtype, Vec<usize>)>,
}

impl Outputs {
    fn floats<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>) -> Result<(), ModelError> {
        let bytes = values(tensor)?.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (bytes, Dtype::F32, tensor.dims().to_vec()));
        Ok(())
    }

    fn integers(&mut self, name: &str, values: &[i64], shape: Vec<usize>) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (bytes, Dtype::I64, shape));
    }

    fn write(&self, path: &Path) -> Result<(), ModelError> {
        let failed = |error: safetensors::SafeTensorError| ModelError::Write {
            path: path.to_owned(),
            source: io::Error::other(error),
        };
        let views = self.tensors.iter().map(|(name, (bytes, kind, shape))| {
            Ok((name.as_str(), TensorView::new(*kind, shape.clone(), bytes).map_err(failed)?))
        });
        let views: Vec<(&str, TensorView<'_>)> = views.collect::<Result<_, ModelError>>()?;
        serialize_to_file(views, None, path).map_err(failed)
    }
}

/// Runs the model of a folder on a file of inputs and writes what it computes.
///
/// Read are `input_ids`, `attention_mask`, `pixel_values`, `image_grid_thw`, `pixel_values_videos`,
/// `video_grid_thw`, `video_second_per_grid`, `input_features` and `feature_attention_mask`; all but the first may be
/// missing. Sound stands between a video's frames where its start follows the video's. Written are `position_ids`,
/// `image_embeddings`, `video_embeddings`, `audio_embeddings`, `logits`, `greedy` (8 tokens) and, if asked for,
/// `attention.N` of every layer. What belongs to padding is 0, its positions 1. Returned is the number of tokens.
///
/// # Errors
/// A file cannot be read or written, or its tensors do not fit to each other or to the model.
pub fn forward_file(
    folder: &Path,
    inputs: &Path,
    out: &Path,
    attention: bool,
    device: &Device,
) -> Result<usize, ModelError> {
    let model = Model::open(folder, device)?;
    let inputs = Inputs::open(inputs, &model)?;
    let mut outputs = Outputs::default();
    let named = [
        ("image_embeddings", &inputs.embeddings.images),
        ("video_embeddings", &inputs.embeddings.videos),
        ("audio_embeddings", &inputs.embeddings.sounds),
    ];
    for (name, embeddings) in named {
        if let Some(embeddings) = embeddings {
            outputs.floats(name, embeddings)?;
        }
    }
    let (count, row) = (inputs.rows.len(), inputs.row);
    let mut positions = vec![1_i64; 3 * count * row];
    for (index, (sequence, places)) in inputs.sequences.iter().zip(&inputs.rows).enumerate() {
        for axis in 0..3 {
            for (token, place) in places.iter().enumerate() {
                positions[(axis * count + index) * row + place] = sequence.positions.at(axis, token);
            }
        }
    }
    outputs.integers("position_ids", &positions, vec![3, count, row]);

    let tokens: Vec<&[i64]> = inputs.sequences.iter().map(|sequence| sequence.tokens.as_slice()).collect();
    let positions: Vec<&Positions> = inputs.sequences.iter().map(|sequence| &sequence.positions).collect();
    let embeddings = model.embed(&tokens, &inputs.embeddings)?;
    let mut maps = Vec::new();
    let mut keep = |layer: usize, map: Tensor<4>| maps.push((layer, map));
    let states = model.states(embeddings, &positions, None, if attention { Some(&mut keep) } else { None });
    outputs.floats("logits", &inputs.spread(model.logits(states)))?;
    for (layer, map) in maps {
        let [_, heads, _, _] = map.dims();
        let by_query = inputs.spread(map.swap_dims(1, 2).flatten::<3>(2, 3));
        let [_, _, flat] = by_query.dims();
        let by_key = by_query.reshape([count, row, heads, flat / heads]).permute([0, 3, 2, 1]);
        let by_key = inputs.spread(by_key.flatten::<3>(2, 3));
        let map = by_key.reshape([count, row, heads, row]).permute([0, 2, 3, 1]);
        outputs.floats(&format!("attention.{layer}"), &map)?;
    }
    let how = Generation { max_tokens: GREEDY_TOKENS, stop: Vec::new(), decoding: Decoding::Greedy };
    let greedy = model.generate(None, &inputs.sequences, &inputs.embeddings, &how)?;
    outputs.integers("greedy", &greedy.concat(), vec![count, GREEDY_TOKENS]);
    outputs.write(out)?;
    Ok(row)
}

impl Inputs {
    /// Puts the rows of sequences without padding where their tokens stand in the file.
    ///
    /// # Shapes
    /// - x: `[sequences, longest, values]`
    /// - output: `[sequences, tokens of a row of the file, values]`
    fn spread(&self, x: Tensor<3>) -> Tensor<3> {
        let [count, longest, width] = x.dims();
        if longest == self.row && self.rows.iter().all(|places| places.len() == longest) {
            return x;
        }
        let device = x.device();
        // One row of zeros after all others, for padding.
        let mut order = vec![(count * longest) as i64; count * self.row];
        for (index, places) in self.rows.iter().enumerate() {
            for (token, place) in places.iter().enumerate() {
                order[index * self.row + place] = (index * longest + token) as i64;
            }
        }
        let table =
            Tensor::cat(vec![x.reshape([count * longest, width]), Tensor::zeros([1, width], &device)], 0);
        let order = Tensor::<1, Int>::from_data(TensorData::from(order.as_slice()), &device);
        table.select(0, order).reshape([count, self.row, width])
    }
}
