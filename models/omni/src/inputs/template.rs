//! The conversation around clips and a question: what the checkpoint's `chat_template` renders for a system turn, a
//! user turn of media and one question, and the beginning of the assistant's turn.
//!
//! It is written out here as pieces, and not rendered to text, so that nothing in a question can become a
//! special token. The tests hold it against the published template.

use super::tokenizer::Special;

/// The system turn that the published model was trained with.
pub const SYSTEM: &str = "You are Qwen, a virtual human developed by the Qwen Team, Alibaba Group, capable of \
                          perceiving auditory and visual inputs, as well as generating text and speech.";

/// One part of the user's turn before the question, as the template tells them apart. A video whose sound is heard
/// with it is a video here: [`super::layout`] puts its sound inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A video.
    Video,
    /// A sound.
    Audio,
}

/// A stretch of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A special token.
    Special(Special),
    /// Plain text, encoded by itself: special tokens on both sides cut the reference's text at the same places.
    Text(String),
    /// The tokens of the medium with this number, without its start and end.
    Medium(usize),
}

/// What is the same for every question: the system's turn and the media. Without media it ends before the role of
/// the user, whose name and question are one stretch of text.
pub fn prefix(system: &str, media: &[Medium]) -> Vec<Piece> {
    let mut pieces = vec![
        Piece::Special(Special::TurnStart),
        Piece::Text(format!("system\n{system}")),
        Piece::Special(Special::TurnEnd),
        Piece::Text("\n".to_owned()),
        Piece::Special(Special::TurnStart),
    ];
    if !media.is_empty() {
        pieces.push(Piece::Text("user\n".to_owned()));
    }
    for (number, medium) in media.iter().enumerate() {
        let (start, end) = match medium {
            Medium::Video => (Special::VisionStart, Special::VisionEnd),
            Medium::Audio => (Special::AudioStart, Special::AudioEnd),
        };
        pieces.extend([Piece::Special(start), Piece::Medium(number), Piece::Special(end)]);
    }
    pieces
}

/// What follows the prefix: the question and the beginning of the assistant's turn.
pub fn suffix(has_media: bool, question: &str) -> Vec<Piece> {
    let question = if has_media { question.to_owned() } else { format!("user\n{question}") };
    vec![
        Piece::Text(question),
        Piece::Special(Special::TurnEnd),
        Piece::Text("\n".to_owned()),
        Piece::Special(Special::TurnStart),
        Piece::Text("assistant\n".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context, syntax::SyntaxConfig};
    use proptest::prelude::*;

    use super::*;

    /// `chat_template` of Qwen2.5-Omni, as published with the checkpoint and in the tests of transformers
    /// (`tests/models/qwen2_5_omni/test_processing_qwen2_5_omni.py`).
    const PUBLISHED: &str = concat!(
        "{% set audio_count = namespace(value=0) %}{% set image_count = namespace(value=0) %}",
        "{% set video_count = namespace(value=0) %}{% for message in messages %}",
        "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.",
        "<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}",
        "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}",
        "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}",
        "{% set image_count.value = image_count.value + 1 %}",
        "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}",
        "<|vision_bos|><|IMAGE|><|vision_eos|>",
        "{% elif content['type'] == 'audio' or 'audio' in content or 'audio_url' in content %}",
        "{% set audio_count.value = audio_count.value + 1 %}",
        "{% if add_audio_id %}Audio {{ audio_count.value }}: {% endif %}<|audio_bos|><|AUDIO|><|audio_eos|>",
        "{% elif content['type'] == 'video' or 'video' in content %}",
        "{% set video_count.value = video_count.value + 1 %}",
        "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_bos|><|VIDEO|><|vision_eos|>",
        "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}",
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );

    fn published(media: &[Medium], question: &str) -> String {
        let mut content: Vec<_> = media
            .iter()
            .map(|medium| match medium {
                Medium::Video => context! { type => "video", video => "clip.mp4" },
                Medium::Audio => context! { type => "audio", audio => "clip.wav" },
            })
            .collect();
        content.push(context! { type => "text", text => question });
        let system = vec![context! { type => "text", text => SYSTEM }];
        let messages = vec![
            context! { role => "system", content => system },
            context! { role => "user", content => content },
        ];
        let mut environment = Environment::new();
        // As transformers renders it.
        let mut syntax = SyntaxConfig::builder();
        let syntax = syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        environment.set_syntax(syntax.unwrap());
        let template = environment.template_from_str(PUBLISHED).unwrap();
        template.render(context! { messages, add_generation_prompt => true }).unwrap()
    }

    fn text(media: &[Medium], question: &str) -> String {
        let mut text = String::new();
        for piece in prefix(SYSTEM, media).into_iter().chain(suffix(!media.is_empty(), question)) {
            match piece {
                Piece::Special(token) => text.push_str(token.text()),
                Piece::Text(plain) => text.push_str(&plain),
                Piece::Medium(number) => text.push_str(match media[number] {
                    Medium::Video => Special::Video.text(),
                    Medium::Audio => Special::Audio.text(),
                }),
            }
        }
        text
    }

    fn medium() -> impl Strategy<Value = Medium> {
        prop_oneof![Just(Medium::Video), Just(Medium::Audio)]
    }

    proptest! {
        #[test]
        fn the_pieces_are_what_the_published_template_renders(
            media in prop::collection::vec(medium(), 0..4),
            question in "[ -~\n]{0,40}",
        ) {
            prop_assert_eq!(text(&media, &question), published(&media, &question));
        }
    }
}
