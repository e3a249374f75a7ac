//! What cannot be is refused with an error that names it, never with a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{fs, path::Path};

use burn::Tensor;
use counterpoint_omni::{
    Embeddings, Grid, MediaShapes, Model, ModelError, Positions, Sequence, ThinkerConfig, device,
    weights::Sizes,
};
use serde_json::{Value, json};

fn fixture() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/fixtures/model"))
}

fn model() -> Model {
    Model::open(fixture(), &device("cpu").unwrap()).unwrap()
}

/// What opening the fixture says when its configuration was changed.
fn opened_with(change: impl FnOnce(&mut Value)) -> Result<Model, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut config: Value =
        serde_json::from_slice(&fs::read(fixture().join("config.json")).unwrap()).unwrap();
    change(&mut config);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    fs::copy(fixture().join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    Model::open(folder.path(), &device("cpu").unwrap()).map_err(|error| error.to_string())
}

#[test]
fn a_configuration_that_cannot_be_is_refused_by_its_field() {
    let changes: [(&str, Value); 7] = [
        ("/text_config/num_attention_heads", json!(5)),
        ("/text_config/num_key_value_heads", json!(0)),
        ("/text_config/hidden_size", json!(1_u64 << 40)),
        ("/text_config/rope_parameters/mrope_section", json!([1, 1, 1])),
        ("/vision_config/window_size", json!(1)),
        ("/vision_config/patch_size", json!(0)),
        ("/audio_config/n_window", json!(0)),
    ];
    for (place, value) in changes {
        let error = opened_with(|config| *config.pointer_mut(place).unwrap() = value).unwrap_err();
        let field = place.trim_start_matches('/').replace('/', ".");
        assert!(error.contains(&field), "{field}: {error}");
    }
}

#[test]
fn a_tensor_of_another_shape_is_refused_by_its_name() {
    let error = opened_with(|config| config["text_config"]["intermediate_size"] = json!(64)).unwrap_err();
    assert!(error.contains("model.language_model.layers.0.mlp.gate_proj.weight"), "{error}");
    assert!(error.contains("[96, 32]") && error.contains("[64, 32]"), "{error}");
}

#[test]
fn a_tensor_that_is_missing_is_named() {
    let error = opened_with(|config| config["text_config"]["num_hidden_layers"] = json!(3)).unwrap_err();
    assert!(error.contains("layers.2.") && error.contains("lacks"), "{error}");
}

#[test]
fn the_configuration_of_the_whole_model_is_read_as_well() {
    let whole =
        opened_with(|config| *config = json!({"thinker_config": config.clone(), "talker_config": {}}));
    assert_eq!(whole.unwrap().config(), model().config());
}

#[test]
fn tokens_that_do_not_fit_to_the_media_are_refused() {
    let model = model();
    let config = model.config();
    let grid = Grid::new(1, 2, 4, &config.vision_config).unwrap();
    let video = MediaShapes { videos: vec![grid], seconds_per_grid: vec![1.0], ..MediaShapes::default() };
    let (start, token, end) =
        (config.vision_start_token_id, config.video_token_index, config.vision_end_token_id);
    assert!(Positions::of(&[5, start, token, token, end, 6], &video, config).is_ok());
    // Too few, too many, none, no beginning, a second video.
    let refused: [&[i64]; 5] = [
        &[5, start, token, end],
        &[5, start, token, token, token, end, start, token],
        &[start, token],
        &[token, token, start, token],
        &[start, token, token, end, start, token, token, end],
    ];
    for tokens in refused {
        assert!(matches!(Positions::of(tokens, &video, config), Err(ModelError::Input { .. })), "{tokens:?}");
    }
}

#[test]
fn embeddings_and_their_tokens_are_counted() {
    let model = model();
    let token = model.config().audio_token_index;
    let width = model.config().text_config.hidden_size;
    let sounds =
        Embeddings { sounds: Some(Tensor::zeros([2, width], model.device())), ..Embeddings::default() };
    assert!(model.embed(&[&[1, token, token, 2]], &sounds).is_ok());
    assert!(model.embed(&[&[1, token, 2]], &sounds).is_err());
    assert!(model.embed(&[&[1, token, token, token]], &sounds).is_err());
    assert!(model.embed(&[&[1, 100_000]], &Embeddings::default()).is_err());
    assert!(model.embed(&[&[-1]], &Embeddings::default()).is_err());
}

#[test]
fn the_shortest_sounds_become_no_tokens_or_one() {
    let model = model();
    let bands = model.config().audio_config.num_mel_bins;
    for (frames, tokens) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (7, 2)] {
        let heard = model.hear(Tensor::ones([bands, frames], model.device()), &[frames]).unwrap();
        assert_eq!(heard.dims(), [tokens, model.config().audio_config.output_dim], "{frames} frames");
    }
    assert!(model.hear(Tensor::ones([bands, 4], model.device()), &[5]).is_err());
    assert!(model.hear(Tensor::ones([bands, 4], model.device()), &[4, 0]).is_err());
}

#[test]
fn a_question_without_tokens_and_a_grid_of_odd_sides_are_refused() {
    let model = model();
    assert!(model.next_scores(None, &[Sequence::text(Vec::new(), 0)], &Embeddings::default()).is_err());
    assert!(Grid::new(1, 3, 4, &model.config().vision_config).is_err());
    assert!(Grid::new(usize::MAX, 2, 2, &model.config().vision_config).is_err());
    assert!(device("tpu").is_err());
}

/// As published with Qwen/Qwen2.5-Omni-7B, the parts that count.
fn public_configuration() -> Value {
    json!({"thinker_config": {
        "audio_token_index": 151_646, "image_token_index": 151_655, "video_token_index": 151_656,
        "audio_start_token_id": 151_647, "audio_end_token_id": 151_648,
        "vision_start_token_id": 151_652, "vision_end_token_id": 151_653,
        "position_id_per_seconds": 25, "seconds_per_chunk": 2, "pad_token_id": 151_643,
        "audio_config": {
            "d_model": 1280, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "encoder_layers": 32,
            "num_mel_bins": 128, "n_window": 100, "max_source_positions": 1500, "output_dim": 3584
        },
        "text_config": {
            "hidden_act": "silu", "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064, "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000.0, "use_sliding_window": false,
            "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"}
        },
        "vision_config": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
            "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 112, "out_hidden_size": 3584,
            "fullatt_block_indexes": [7, 15, 23, 31], "in_channels": 3, "in_chans": 3
        }
    }, "talker_config": {}, "token2wav_config": {}})
}

#[test]
fn the_public_model_is_counted_without_being_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), public_configuration().to_string()).unwrap();
    let config = ThinkerConfig::open(folder.path()).unwrap();
    let counts = Sizes::from(&config).parameters().unwrap();
    // Its text model is as large as Qwen2.5-7B, which has 7,615,616,512 parameters.
    assert_eq!(counts.text, 7_615_616_512);
    assert!((600_000_000..700_000_000).contains(&counts.vision), "{counts:?}");
    assert!((600_000_000..700_000_000).contains(&counts.audio), "{counts:?}");
}
