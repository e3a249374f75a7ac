//! Token ids of text, by the tokenizer of a checkpoint folder.
//!
//! Text never becomes a special token: a question that spells `<|AUDIO|>` is read as those letters. Special tokens
//! enter a prompt only where [`super::template`] and [`super::layout`] put them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;
use tokenizers::{
    AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior,
    decoders::byte_level::ByteLevel,
    models::bpe::BPE,
    normalizers::unicode::NFC,
    pre_tokenizers::{
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

/// How text is cut into words before merging (`PRETOKENIZE_REGEX` of
/// `transformers/models/qwen2/tokenization_qwen2.py`).
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A tokenizer that cannot be used, or text that it cannot read.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The folder has no tokenizer.
    #[error("{} holds no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt", folder.display())]
    Missing {
        /// The checkpoint folder.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{} is damaged or of another kind, fetch it again: {reason}", path.display())]
    Odd {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The tokenizer lacks a token that prompts are made of.
    #[error("the tokenizer of {} has no token {token}: it is not one of Qwen2.5-Omni", folder.display())]
    NoToken {
        /// The checkpoint folder.
        folder: PathBuf,
        /// The token.
        token: &'static str,
    },
    /// Tokenizer and configuration disagree.
    #[error(
        "{token} is {id} in the tokenizer and {configured} in config.json of {}: the files are of two checkpoints",
        folder.display()
    )]
    OtherId {
        /// The checkpoint folder.
        folder: PathBuf,
        /// The token.
        token: &'static str,
        /// Its id in the tokenizer.
        id: u32,
        /// Its id in the configuration.
        configured: u64,
    },
    /// Text spells a special token that the tokenizer does not mark as special.
    #[error("the text spells {token}, which is reserved: leave it out")]
    Reserved {
        /// The token.
        token: &'static str,
    },
    /// The library refused.
    #[error("the tokenizer failed: {reason}")]
    Failed {
        /// In its words.
        reason: String,
    },
}

/// Tokens that stand for themselves: ends of turns, and places of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Padding, and the end of plain text.
    EndOfText,
    /// Before a role.
    TurnStart,
    /// After a turn: where an answer ends.
    TurnEnd,
    /// One token of sound.
    Audio,
    /// Before sound.
    AudioStart,
    /// After sound.
    AudioEnd,
    /// Before pictures.
    VisionStart,
    /// After pictures.
    VisionEnd,
    /// One token of a still picture.
    Image,
    /// One token of a video.
    Video,
}

impl Special {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::EndOfText,
        Self::TurnStart,
        Self::TurnEnd,
        Self::Audio,
        Self::AudioStart,
        Self::AudioEnd,
        Self::VisionStart,
        Self::VisionEnd,
        Self::Image,
        Self::Video,
    ];

    /// Its text in the vocabulary.
    pub fn text(self) -> &'static str {
        match self {
            Self::EndOfText => "<|endoftext|>",
            Self::TurnStart => "<|im_start|>",
            Self::TurnEnd => "<|im_end|>",
            Self::Audio => "<|AUDIO|>",
            Self::AudioStart => "<|audio_bos|>",
            Self::AudioEnd => "<|audio_eos|>",
            Self::VisionStart => "<|vision_bos|>",
            Self::VisionEnd => "<|vision_eos|>",
            Self::Image => "<|IMAGE|>",
            Self::Video => "<|VIDEO|>",
        }
    }

    /// Its names in the thinker's part of `config.json`.
    fn config_keys(self) -> &'static [&'static str] {
        match self {
            Self::EndOfText | Self::TurnStart | Self::TurnEnd => &[],
            Self::Audio => &["audio_token_index", "audio_token_id"],
            Self::AudioStart => &["audio_start_token_id"],
            Self::AudioEnd => &["audio_end_token_id"],
            Self::VisionStart => &["vision_start_token_id"],
            Self::VisionEnd => &["vision_end_token_id"],
            Self::Image => &["image_token_index", "image_token_id"],
            Self::Video => &["video_token_index", "video_token_id"],
        }
    }
}

/// The id of every special token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialIds([u32; Special::ALL.len()]);

impl SpecialIds {
    /// Ids looked up one by one.
    pub fn try_new<E>(id: impl FnMut(Special) -> Result<u32, E>) -> Result<Self, E> {
        let mut ids = [0; Special::ALL.len()];
        for (slot, found) in ids.iter_mut().zip(Special::ALL.map(id)) {
            *slot = found?;
        }
        Ok(Self(ids))
    }

    /// The id of one.
    pub fn get(&self, token: Special) -> u32 {
        self.0[token as usize]
    }
}

/// What a token that was added to the vocabulary is called in `tokenizer_config.json`.
#[derive(Deserialize)]
struct Added {
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    added_tokens_decoder: BTreeMap<u32, Added>,
}

/// The tokenizer of one checkpoint.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialIds,
}

impl Tokenizer {
    /// That of a checkpoint folder: `tokenizer.json`, or `vocab.json`, `merges.txt` and what
    /// `tokenizer_config.json` or `added_tokens.json` adds. Ids in `config.json`, if there is one, must agree.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let whole = folder.join("tokenizer.json");
        let parts = [folder.join("vocab.json"), folder.join("merges.txt")];
        let inner = if whole.exists() {
            tokenizers::Tokenizer::from_bytes(read(&whole)?).map_err(|error| odd(&whole, error))?
        } else if parts.iter().all(|part| part.exists()) {
            from_parts(folder, &parts)?
        } else {
            return Err(TokenizerError::Missing { folder: folder.to_owned() });
        };
        let tokenizer = Self::new(inner, folder)?;
        tokenizer.agrees(folder)?;
        Ok(tokenizer)
    }

    /// From the text of a `tokenizer.json` that is at hand, of a checkpoint that will be called `folder`.
    pub fn from_json(json: &str, folder: &Path) -> Result<Self, TokenizerError> {
        let inner = tokenizers::Tokenizer::from_bytes(json).map_err(|error| odd(folder, error))?;
        Self::new(inner, folder)
    }

    fn new(mut inner: tokenizers::Tokenizer, folder: &Path) -> Result<Self, TokenizerError> {
        // What the file says about cutting and padding is for batches of other programs.
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        let special = SpecialIds::try_new(|token| {
            let missing = || TokenizerError::NoToken { folder: folder.to_owned(), token: token.text() };
            inner.token_to_id(token.text()).ok_or_else(missing)
        })?;
        Ok(Self { inner, special })
    }

    /// Whether `config.json` has the same ids, where it names any.
    fn agrees(&self, folder: &Path) -> Result<(), TokenizerError> {
        let path = folder.join("config.json");
        if !path.exists() {
            return Ok(());
        }
        let config: Value = parse(&path)?;
        let thinker = config.get("thinker_config").unwrap_or(&config);
        for token in Special::ALL {
            let named = token.config_keys().iter().filter_map(|key| thinker.get(key)?.as_u64());
            for configured in named {
                let id = self.special.get(token);
                if u64::from(id) != configured {
                    let (folder, token) = (folder.to_owned(), token.text());
                    return Err(TokenizerError::OtherId { folder, token, id, configured });
                }
            }
        }
        Ok(())
    }

    /// Ids of special tokens.
    pub fn special(&self) -> &SpecialIds {
        &self.special
    }

    /// Ids that there are: every id is below.
    pub fn vocabulary(&self) -> usize {
        let highest = self.inner.get_vocab(true).into_values().max();
        highest.map_or(0, |highest| highest as usize + 1)
    }

    /// Ids of plain text, none of them special.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.inner.encode_fast(text, false).map_err(failed)?;
        let ids = encoding.get_ids();
        let reserved = |token: &&Special| ids.contains(&self.special.get(**token));
        match Special::ALL.iter().find(reserved) {
            Some(token) => Err(TokenizerError::Reserved { token: token.text() }),
            None => Ok(ids.to_vec()),
        }
    }

    /// The text of ids, special tokens left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(ids, true).map_err(failed)
    }
}

/// How every tokenizer here cuts text, and puts bytes back together: Qwen2's way.
pub(super) fn dress(inner: &mut tokenizers::Tokenizer) -> Result<(), TokenizerError> {
    let pattern = SplitPattern::Regex(WORDS.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
    let bytes = ByteLevel::new(false, true, false);
    inner.with_pre_tokenizer(Some(Sequence::new(vec![
        PreTokenizerWrapper::Split(split),
        PreTokenizerWrapper::ByteLevel(bytes),
    ])));
    inner.with_decoder(Some(bytes));
    Ok(())
}

/// Qwen2's tokenizer from its vocabulary, its merges and its added tokens.
fn from_parts(folder: &Path, parts: &[PathBuf; 2]) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let [vocabulary, merges] = parts.each_ref().map(|part| part.to_string_lossy());
    let model = BPE::from_file(&vocabulary, &merges).build().map_err(|error| odd(&parts[0], error))?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_normalizer(Some(NFC)).map_err(failed)?;
    dress(&mut inner)?;
    let (path, added) = added(folder)?;
    for (id, token) in added {
        inner.add_tokens([AddedToken::from(token.content.as_str(), token.special)]).map_err(failed)?;
        if inner.token_to_id(&token.content) != Some(id) {
            return Err(odd(&path, format!("{} cannot have the id {id}", token.content)));
        }
    }
    Ok(inner)
}

/// Tokens added to the vocabulary, by id, and the file that says so.
fn added(folder: &Path) -> Result<(PathBuf, BTreeMap<u32, Added>), TokenizerError> {
    let config = folder.join("tokenizer_config.json");
    if config.exists() {
        let tokens = parse::<TokenizerConfig>(&config)?.added_tokens_decoder;
        if !tokens.is_empty() {
            return Ok((config, tokens));
        }
    }
    let list = folder.join("added_tokens.json");
    if !list.exists() {
        return Ok((list, BTreeMap::new()));
    }
    let tokens = parse::<BTreeMap<String, u32>>(&list)?;
    let special = |content: &str| content.starts_with("<|");
    let tokens = tokens.into_iter().map(|(content, id)| (id, Added { special: special(&content), content }));
    Ok((list, tokens.collect()))
}

fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    fs::read(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, TokenizerError> {
    serde_json::from_slice(&read(path)?).map_err(|error| odd(path, error))
}

fn odd(path: &Path, reason: impl ToString) -> TokenizerError {
    TokenizerError::Odd { path: path.to_owned(), reason: reason.to_string() }
}

pub(super) fn failed(reason: impl ToString) -> TokenizerError {
    TokenizerError::Failed { reason: reason.to_string() }
}
