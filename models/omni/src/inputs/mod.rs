//! What the network reads: log-mel, patches and token ids, each as the reference's processors make them.
//!
//! Nothing here knows a tensor library: numbers are slices with shapes beside them.
//!
//! | file | makes | reference |
//! | --- | --- | --- |
//! | [`mel`] | log-mel of 16 kHz PCM | `WhisperFeatureExtractor` |
//! | [`patches`] | flattened patches of RGB frames | `Qwen2VLVideoProcessor` |
//! | [`tokenizer`] | token ids of text | `Qwen2Tokenizer` |
//! | [`tiny`] | a tokenizer for a model trained from nothing | |
//! | [`template`] | the conversation around clips and a question | the checkpoint's `chat_template` |
//! | [`layout`] | ids of a whole prompt, prefix and suffix, batches | `Qwen2_5OmniProcessor` |

pub mod layout;
pub mod mel;
pub mod patches;
pub mod template;
pub mod tiny;
pub mod tokenizer;
