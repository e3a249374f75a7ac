use std::path::{Path, PathBuf};

use crate::program::Program;

/// A file of the shared data that lies beside the checkout: real clips, label lists, ontology.
///
/// # Panics
/// If it is not there.
pub fn shared(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    assert!(path.exists(), "{} is missing: the shared data lies beside the checkout", path.display());
    path
}

/// The run on the eight real clips, into a folder.
pub fn real_run(out: &Path) -> Program {
    Program::counterpoint(["run", "--clips"])
        .with([shared("clips")])
        .with(["--labels".into(), shared("eval_segments.csv")])
        .with(["--labels".into(), shared("clips_extra.csv")])
        .with(["--ontology".into(), shared("ontology.json")])
        .with(["--out".as_ref(), out])
}
