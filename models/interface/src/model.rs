use crate::{Answer, AskError, Clip, Decoding, Question};

/// Something that answers questions on clips.
///
/// It is called from one thread only, the one it was made on ([`ModelThread`](crate::ModelThread)), and takes
/// as long as it takes. Between tokens and before it waits it looks at the [`Stop`](crate::Stop) that it was
/// made with.
pub trait Model: Send {
    /// What is known of it without asking.
    fn facts(&self) -> &ModelFacts;

    /// Answers each question, in their order: exactly one result a question. All questions on a clip come
    /// together, so that what they have in common is computed once.
    ///
    /// # Errors
    /// Per question; see [`AskError`].
    fn ask(
        &mut self,
        clip: &Clip,
        questions: &[Question],
        decoding: &Decoding,
    ) -> Vec<Result<Answer, AskError>>;
}

/// What is known of a model without asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// The name it was opened by, as reports print it.
    pub name: String,
    /// What its answers depend on, as part of their ids: the weights of a local model; name and settings of
    /// one that is asked over a network; the content of a file of answers.
    pub identity: String,
    /// In which form it reads clips.
    pub input: ModelInput,
}

/// In which form a model reads clips: what is not read need not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelInput {
    /// Frames and sound as numbers.
    FramesAndSound,
    /// The file for the picture, and the sound as numbers.
    FileAndSound,
    /// The file for both.
    File,
    /// Ids alone.
    Ids,
}
