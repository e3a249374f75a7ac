//! Tokenizers of checkpoint folders, whole and in parts, sound and damaged.

use std::{fs, path::Path};

use counterpoint_omni::inputs::{
    layout::{Timing, prompt},
    template::SYSTEM,
    tiny,
    tokenizer::{Special, Tokenizer, TokenizerError},
};
use serde::Deserialize;
use tempfile::TempDir;

use super::fixture;

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Texts {
    texts: Vec<Text>,
    chat: Text,
}

fn texts() -> Texts {
    serde_json::from_slice(&fs::read(fixture("texts.json")).unwrap()).unwrap()
}

/// A folder with a copy of the fixture's files.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        fs::copy(fixture("tokenizer").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn refusal(folder: &Path) -> TokenizerError {
    Tokenizer::open(folder).err().expect("a refusal")
}

#[test]
fn ids_of_text_are_those_of_the_reference() {
    let tokenizer = Tokenizer::open(&fixture("tokenizer")).unwrap();
    for Text { text, ids } in texts().texts {
        assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn a_prompt_in_pieces_has_the_ids_of_the_reference_s_whole_text() {
    let tokenizer = Tokenizer::open(&fixture("tokenizer")).unwrap();
    let Text { text, ids } = texts().chat;
    let question = "Is the sound loud?";
    assert!(text.contains(question));
    // One token of picture, as in the text; the reference's text has no system turn.
    let media = [counterpoint_omni::inputs::layout::Media::Video { grid: [1, 2, 2], seconds_per_grid: 1.0 }];
    let ours = prompt(&tokenizer, &Timing::default(), SYSTEM, &media, question).unwrap().ids();
    let user = ours.iter().rposition(|id| *id == tokenizer.special().get(Special::VisionStart)).unwrap();
    let theirs = ids.iter().rposition(|id| *id == tokenizer.special().get(Special::VisionStart)).unwrap();
    assert_eq!(ours[user..], ids[theirs..]);
}

#[test]
fn a_written_tokenizer_is_opened_by_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), tiny::learn(&["Is the Cat visible?"], 400).unwrap())
        .unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    let ids = tokenizer.encode("Is the Cat visible?").unwrap();
    assert_eq!((ids.len(), tokenizer.decode(&ids).unwrap().as_str()), (5, "Is the Cat visible?"));
}

#[test]
fn a_folder_without_a_tokenizer_is_told_what_to_hold() {
    let folder = folder();
    fs::remove_file(folder.path().join("merges.txt")).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, TokenizerError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("vocab.json and merges.txt"), "{error}");
}

#[test]
fn damaged_files_are_named() {
    for file in ["vocab.json", "tokenizer_config.json"] {
        let folder = folder();
        fs::write(folder.path().join(file), "{\"a\": ").unwrap();
        let error = refusal(folder.path());
        assert!(matches!(error, TokenizerError::Odd { .. }), "{error:?}");
        assert!(error.to_string().contains(file), "{error}");
    }
    let folder = folder();
    fs::write(folder.path().join("tokenizer.json"), "[]").unwrap();
    assert!(refusal(folder.path()).to_string().contains("tokenizer.json"));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let folder = folder();
    let config = fs::read_to_string(folder.path().join("tokenizer_config.json")).unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), config.replace("<|VIDEO|>", "<|other|>")).unwrap();
    assert!(matches!(refusal(folder.path()), TokenizerError::NoToken { token: "<|VIDEO|>", .. }));
}

#[test]
fn ids_that_disagree_with_the_configuration_are_refused() {
    let folder = folder();
    let audio = Tokenizer::open(folder.path()).unwrap().special().get(Special::Audio);
    let config = |id: u32| format!(r#"{{"thinker_config": {{"audio_token_index": {id}}}}}"#);
    fs::write(folder.path().join("config.json"), config(audio)).unwrap();
    assert!(Tokenizer::open(folder.path()).is_ok());
    fs::write(folder.path().join("config.json"), config(audio + 1)).unwrap();
    assert!(matches!(refusal(folder.path()), TokenizerError::OtherId { token: "<|AUDIO|>", .. }));
}

#[test]
fn an_added_token_without_its_place_is_refused() {
    let folder = folder();
    let config = fs::read_to_string(folder.path().join("tokenizer_config.json")).unwrap();
    let audio = Tokenizer::open(folder.path()).unwrap().special().get(Special::Audio);
    let moved = config.replace(&format!("\"{audio}\""), "\"99999\"");
    fs::write(folder.path().join("tokenizer_config.json"), moved).unwrap();
    assert!(matches!(refusal(folder.path()), TokenizerError::Odd { .. }));
}
