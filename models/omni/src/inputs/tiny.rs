//! A tokenizer for a model that is trained here from nothing: byte-level BPE in the format and with the special
//! tokens of the published one, so that everything else treats both alike.
//!
//! Its vocabulary is every byte, so any text can be written and read back, and merges learned from the words the
//! model will meet: a question then takes about a token a word.

use tokenizers::{
    AddedToken,
    models::{TrainerWrapper, bpe::BPE, bpe::BpeTrainer},
    pre_tokenizers::byte_level::ByteLevel,
};

use super::tokenizer::{Special, TokenizerError, dress, failed};

/// The text of a `tokenizer.json` with at most `size` tokens, learned from `texts`: prompts and class names, each
/// once. Special tokens have the first ids. The same texts in the same order give the same bytes.
pub fn learn(texts: &[&str], size: usize) -> Result<String, TokenizerError> {
    let mut trainer = TrainerWrapper::BpeTrainer(
        BpeTrainer::builder()
            .vocab_size(size)
            .min_frequency(1)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(Special::ALL.map(|token| AddedToken::from(token.text(), true)).to_vec())
            .build(),
    );
    let mut inner = tokenizers::Tokenizer::new(BPE::default());
    dress(&mut inner)?;
    inner.train(&mut trainer, texts.iter()).map_err(failed)?;
    inner.to_string(true).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::LazyLock};

    use proptest::prelude::*;

    use super::*;
    use crate::inputs::tokenizer::Tokenizer;

    const TEXTS: [&str; 3] = [
        "Which class best describes the audio content of this video? Options: Cat, Sewing_machine.",
        "Is the Cat clearly visible in this video?",
        "Is the sound of Sewing_machine clearly audible in this video? Answer with Yes or No",
    ];

    static TINY: LazyLock<Tokenizer> = LazyLock::new(|| tiny(400));

    fn tiny(size: usize) -> Tokenizer {
        Tokenizer::from_json(&learn(&TEXTS, size).unwrap(), Path::new("tiny")).unwrap()
    }

    #[test]
    fn learned_words_are_one_token_each() {
        let tokenizer = tiny(10_000);
        let ids = tokenizer.encode("Is the Cat clearly visible in this video?").unwrap();
        assert_eq!(ids.len(), 9, "{ids:?}");
        assert_eq!(tokenizer.encode(" Sewing_machine").unwrap().len(), 2);
    }

    #[test]
    fn learning_twice_gives_the_same_bytes_and_the_size_is_a_bound() {
        assert_eq!(learn(&TEXTS, 10_000).unwrap(), learn(&TEXTS, 10_000).unwrap());
        assert_eq!(tiny(300).vocabulary(), 300);
        assert!(tiny(10_000).vocabulary() < 600);
    }

    #[test]
    fn special_tokens_come_first() {
        let tokenizer = tiny(400);
        let ids = Special::ALL.map(|token| tokenizer.special().get(token));
        assert_eq!(ids, std::array::from_fn(|id| id as u32));
    }

    #[test]
    fn a_spelled_special_token_is_only_letters() {
        let tokenizer = tiny(10_000);
        for token in Special::ALL {
            let ids = tokenizer.encode(token.text()).unwrap();
            assert!(ids.len() > 1 && !ids.contains(&tokenizer.special().get(token)), "{token:?}: {ids:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), token.text());
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(TINY.decode(&TINY.encode(&text).unwrap()).unwrap(), text);
        }
    }
}
