//! What answers and embeddings depend on, as hashes.

use std::{fs, io, path::Path};

use blake3::Hasher;
use counterpoint_omni::{Checkpoint, weights::adapter::Adapter};

/// Hashes of a checkpoint's parts.
pub struct Identity {
    /// Of the towers and the configuration: what embeddings depend on.
    pub towers: String,
    /// Of all of it and the adapter: what answers depend on.
    pub whole: String,
}

impl Identity {
    /// What answers name the model by.
    pub fn name(&self) -> String {
        format!("omni-{}", self.whole)
    }
}

/// Reads every tensor once.
///
/// # Errors
/// The configuration cannot be read.
pub fn identity(folder: &Path, checkpoint: &Checkpoint, adapter: Option<&Adapter>) -> io::Result<Identity> {
    let config = fs::read(folder.join("config.json"))?;
    let begin = |what: &str| {
        let mut hasher = Hasher::new_derive_key(&format!("counterpoint {what}"));
        field(&mut hasher, &config);
        hasher
    };
    let (mut towers, mut whole) = (begin("towers"), begin("model"));
    for name in checkpoint.names() {
        let Some(view) = checkpoint.get(name) else { continue };
        let is_tower = ["visual.", "audio_tower."].iter().any(|tower| name.starts_with(tower));
        let hasher = if is_tower { &mut towers } else { &mut whole };
        field(hasher, name.as_bytes());
        field(hasher, format!("{:?}{:?}", view.dtype, view.shape).as_bytes());
        field(hasher, view.bytes);
    }
    let towers = towers.finalize();
    field(&mut whole, towers.as_bytes());
    if let Some(adapter) = adapter {
        field(&mut whole, &adapter.config.scale().to_le_bytes());
        for (name, pair) in &adapter.pairs {
            field(&mut whole, name.as_bytes());
            for matrix in [&pair.a, &pair.b] {
                let bytes: Vec<u8> = matrix.iter().flat_map(|value| value.to_le_bytes()).collect();
                field(&mut whole, &bytes);
            }
        }
    }
    Ok(Identity { towers: towers.to_hex().to_string(), whole: whole.finalize().to_hex().to_string() })
}

/// Adds bytes with their length, so that no two lists of fields are one and the same.
pub fn field(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
