//! Models whose answers come from elsewhere: a server that speaks OpenAI's chat completions, the Gemini API,
//! or a file of answers given earlier. All stand behind [`counterpoint_models::Model`].
//!
//! A model blocks its thread while it waits for a server, which is why it lives on a
//! [`ModelThread`](counterpoint_models::ModelThread). What can pass is repeated with growing waits until the
//! question's deadline; what is left is an [`AskError`](counterpoint_models::AskError) that says whose fault it
//! is. Keys come from the environment or from a file, and are in no error, log line or debug output, not even
//! where a server repeats them.

mod gemini;
mod keys;
mod likelihood;
mod line;
mod media;
mod openai;
mod pace;
mod predictions;
mod price;
mod refusal;
mod secret;
mod served;
mod settings;

use counterpoint_models::{Model, ModelError, RemoteModel, Stop};
pub use price::Price;
pub use secret::Secret;
pub use settings::{AudioPart, Constraint, GeminiSettings, OpenAiSettings, RemoteSettings};

/// Makes a model ready to be asked; no server is asked yet. Call it on the thread that the model lives on, and
/// never inside an async runtime: its client brings one of its own.
///
/// # Errors
/// A setting that can never work, a key that is missing or cannot be used, a file that cannot be read.
pub fn open(
    model: &RemoteModel,
    settings: &RemoteSettings,
    stop: &Stop,
) -> Result<Box<dyn Model>, ModelError> {
    settings.check()?;
    match model {
        RemoteModel::OpenAi { url, model: name } => {
            let key = keys::open_ai(model, url, settings)?;
            let protocol = openai::OpenAi::new(url, name, &settings.openai);
            served::Served::open(model, name, protocol, key, settings, stop)
        }
        RemoteModel::Gemini { model: name } => {
            let url = settings.gemini_url()?;
            let key = keys::gemini(model, &url, settings)?;
            let protocol = gemini::Gemini::new(&url, name, &settings.gemini);
            served::Served::open(model, name, protocol, Some(key), settings, stop)
        }
        RemoteModel::Predictions { path } => Ok(Box::new(predictions::Predictions::open(model, path)?)),
    }
}
