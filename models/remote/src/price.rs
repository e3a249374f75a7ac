use counterpoint_models::TokenCounts;
use serde::{Deserialize, Serialize};

/// What a model's tokens cost, in US dollars per million. Nothing is assumed: a kind of token that has no price
/// of its own costs what text does, and where a count is missing there is no price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Text that is read.
    pub text: f64,
    /// Picture that is read; as text if not given.
    #[serde(default)]
    pub video: Option<f64>,
    /// Sound that is read; as text if not given.
    #[serde(default)]
    pub audio: Option<f64>,
    /// What is written.
    pub answer: f64,
}

impl Price {
    /// Whether these can be prices.
    pub(crate) fn is_possible(&self) -> bool {
        let prices = [Some(self.text), self.video, self.audio, Some(self.answer)];
        prices.into_iter().flatten().all(|price| (0.0..=100_000.0).contains(&price))
    }

    /// What an answer cost, without discounts that a server may give; `None` if the counts do not tell.
    pub(crate) fn of(&self, tokens: &TokenCounts) -> Option<f64> {
        let video = self.video.unwrap_or(self.text);
        let audio = self.audio.unwrap_or(self.text);
        let by_kind = || {
            let (text_read, video_read, audio_read) = (tokens.text?, tokens.video?, tokens.audio?);
            Some(
                f64::from(text_read) * self.text
                    + f64::from(video_read) * video
                    + f64::from(audio_read) * audio,
            )
        };
        // Of one price, their sum is enough.
        let at_once = || {
            let is_one = [video, audio].iter().all(|price| price.to_bits() == self.text.to_bits());
            is_one.then_some(f64::from(tokens.prompt?) * self.text)
        };
        let read = by_kind().or_else(at_once)?;
        Some((read + f64::from(tokens.answer?) * self.answer) / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: TokenCounts = TokenCounts {
        prompt: Some(1000),
        text: Some(100),
        video: Some(700),
        audio: Some(200),
        answer: Some(10),
    };

    #[test]
    fn each_kind_costs_its_own_price() {
        let price = Price { text: 1.0, video: Some(2.0), audio: Some(10.0), answer: 100.0 };
        assert_eq!(price.of(&COUNTS), Some((100.0 + 1400.0 + 2000.0 + 1000.0) / 1e6));
        let price = Price { audio: None, ..price };
        assert_eq!(price.of(&COUNTS), Some((100.0 + 1400.0 + 200.0 + 1000.0) / 1e6));
    }

    #[test]
    fn without_the_counts_that_matter_there_is_no_price() {
        let total = TokenCounts { text: None, ..COUNTS };
        let by_kind = Price { text: 1.0, video: Some(2.0), audio: None, answer: 1.0 };
        assert_eq!(by_kind.of(&total), None);
        let flat = Price { text: 1.0, video: None, audio: None, answer: 1.0 };
        assert_eq!(flat.of(&total), Some(1010.0 / 1e6));
        assert_eq!(flat.of(&TokenCounts { answer: None, ..COUNTS }), None);
        assert_eq!(flat.of(&TokenCounts::default()), None);
    }
}
