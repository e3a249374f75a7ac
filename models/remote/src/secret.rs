use std::fmt;

use reqwest::header::HeaderValue;
use serde::{Serialize, Serializer};

/// What stands in the place of a secret.
const HIDDEN: &str = "[secret]";

/// Longest part of a key that may stand in a text that others wrote.
const HARMLESS: usize = 7;

/// Shortest key that stands in no answer by chance.
const UNMISTAKABLE: usize = 16;

/// A key. Neither debug output, nor text, nor any serialised form shows it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a key: visible ASCII, at least one character. `None` for any other text.
    pub fn new(key: &str) -> Option<Self> {
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        is_key.then(|| Self(key.to_owned()))
    }

    /// A header that holds it after `prefix`, marked so that HTTP libraries do not print it. `None` if no
    /// header may hold it.
    pub(crate) fn header(&self, prefix: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// An answer with the key hidden, should a server put it there. Only the whole of a long key: an answer is
    /// not to be changed by chance.
    pub(crate) fn hide_whole_in(&self, answer: &str) -> Option<String> {
        let is_there = self.0.len() >= UNMISTAKABLE && answer.contains(&self.0);
        is_there.then(|| answer.replace(&self.0, HIDDEN))
    }

    /// The text with every part hidden that it shares with the key, unless that is short enough to be chance.
    /// Servers repeat what they were sent, whole, masked in the middle or cut.
    pub(crate) fn hide_in(&self, text: &str) -> String {
        let key = self.0.as_bytes();
        let shortest = key.len().min(HARMLESS.saturating_add(1));
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let shared = longest_shared(rest.as_bytes(), key);
            // What is shared is ASCII, so the text can be cut behind it.
            let step = if shared >= shortest { shared } else { letter.len_utf8() };
            if shared >= shortest {
                shown.push_str(HIDDEN);
            } else {
                shown.push(letter);
            }
            rest = rest.get(step..).unwrap_or_default();
        }
        shown
    }
}

/// Length of the longest beginning of `text` that stands somewhere in `key`, in any case.
fn longest_shared(text: &[u8], key: &[u8]) -> usize {
    let shared = |part: &[u8]| text.iter().zip(part).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    (0..key.len()).filter_map(|start| key.get(start..)).map(shared).max().unwrap_or(0)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-proj-aB3dE5fG7hI9jK1";

    #[test]
    fn no_form_shows_it() {
        let secret = Secret::new(KEY).unwrap();
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(shown, r#"[secret] [secret] "[secret]""#);
        let header = secret.header("Bearer ").unwrap();
        assert_eq!(header.to_str().unwrap(), format!("Bearer {KEY}"));
        assert!(!format!("{header:?}").contains("sk-"));
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in ["", "two words", "line\nbreak", "schlüssel", "\0"] {
            assert!(Secret::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn it_is_hidden_in_texts_whole_or_in_part() {
        let secret = Secret::new(KEY).unwrap();
        assert_eq!(secret.hide_in(&format!("é Bearer {KEY}, {KEY}")), "é Bearer [secret], [secret]");
        assert_eq!(secret.hide_in("Incorrect key sk-proj-****I9jK1"), "Incorrect key [secret]****I9jK1");
        assert_eq!(secret.hide_in(&KEY.to_lowercase()), "[secret]");
        assert_eq!(secret.hide_in(&KEY[5..14]), "[secret]");
        assert_eq!(secret.hide_in("sk-proj"), "sk-proj");
        assert_eq!(Secret::new("abc").unwrap().hide_in("xabcx ab"), "x[secret]x ab");
        assert_eq!(secret.hide_whole_in(&format!("Cat {KEY}")).unwrap(), "Cat [secret]");
        assert_eq!(Secret::new("Cat").unwrap().hide_whole_in("Cat"), None);
    }
}
