//! The names of tensors. Releases of the reference call one and the same tensor differently:
//!
//! | here | published checkpoint | transformers 5, in memory |
//! | --- | --- | --- |
//! | `model.layers.0...` | `thinker.model.layers.0...` | `model.language_model.layers.0...` |
//! | `visual.blocks.0...` | `thinker.visual.blocks.0...` | `model.visual.blocks.0...` |
//! | `audio_tower.layers.0...` | `thinker.audio_tower.layers.0...` | `model.audio_tower.layers.0...` |
//! | `lm_head.weight` | `thinker.lm_head.weight` | `lm_head.weight` |
//!
//! (`transformers/conversion_mapping.py`, `Qwen2_5OmniThinkerForConditionalGeneration`.) All three are read, the
//! first is written, which every release loads.

/// Beginnings of the names of the parts that speak, which are not read.
const SPEAKERS: [&str; 2] = ["talker.", "token2wav."];

/// The name used here for a tensor or module of any release, or `None` if it belongs to the talker.
pub fn canonical(name: &str) -> Option<String> {
    if SPEAKERS.iter().any(|speaker| name.starts_with(speaker)) {
        return None;
    }
    let name = name.strip_prefix("thinker.").unwrap_or(name);
    let Some(rest) = name.strip_prefix("model.") else { return Some(name.to_owned()) };
    if let Some(rest) = rest.strip_prefix("language_model.") {
        return Some(format!("model.{rest}"));
    }
    let tower = ["visual.", "audio_tower."].iter().any(|tower| rest.starts_with(tower));
    Some(if tower { rest } else { name }.to_owned())
}

/// The name of a module in the running model of transformers 5, by which PEFT finds it.
pub fn in_memory(canonical: &str) -> String {
    let tower = ["visual.", "audio_tower."].iter().any(|tower| canonical.starts_with(tower));
    match canonical.strip_prefix("model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None if tower => format!("model.{canonical}"),
        None => canonical.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_s_name_is_the_same_tensor() {
        for (here, others) in [
            ("model.norm.weight", ["thinker.model.norm.weight", "model.language_model.norm.weight"]),
            (
                "visual.merger.ln_q.weight",
                ["thinker.visual.merger.ln_q.weight", "model.visual.merger.ln_q.weight"],
            ),
            ("audio_tower.proj.bias", ["thinker.audio_tower.proj.bias", "model.audio_tower.proj.bias"]),
            ("lm_head.weight", ["thinker.lm_head.weight", "lm_head.weight"]),
        ] {
            for name in others.iter().chain([&here]) {
                assert_eq!(canonical(name).as_deref(), Some(here));
            }
            assert_eq!(in_memory(here), others[1]);
        }
        assert_eq!(canonical("talker.model.norm.weight"), None);
        assert_eq!(canonical("token2wav.code2wav.x"), None);
    }
}
