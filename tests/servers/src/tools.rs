//! What `ops/setup.sh test` installed below the build folder.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::ServerError;

/// A file or folder in `target/tools`, wherever the build folder of this executable is.
pub(crate) fn tool(name: &str) -> Result<PathBuf, ServerError> {
    let executable = env::current_exe().unwrap_or_default();
    executable
        .ancestors()
        .map(|folder| folder.join("tools").join(name))
        .find(|tool| Path::exists(tool))
        .ok_or_else(|| ServerError::Missing { name: name.to_owned() })
}
