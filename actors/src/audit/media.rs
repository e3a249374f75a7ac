use std::collections::BTreeMap;

use counterpoint_messages::{ContentHash, MediaObject};

use super::{Audit, Evidence, Grounds, finding::MissingMedia};
use crate::{
    materialise::MadeSamples,
    store::{StoreError, hash_file},
};

/// Reads every object that a record names.
///
/// # Errors
/// If the store does not answer.
pub(super) fn check(evidence: &Evidence, grounds: &Grounds<'_>, audit: &mut Audit) -> Result<(), StoreError> {
    for (hash, Needed { bytes, by }) in needed(evidence, audit) {
        audit.objects += 1;
        let problem = match grounds.store.get(hash) {
            Ok(found) if bytes.is_some_and(|bytes| bytes != found.len() as u64) => {
                format!("it has {} bytes instead of {}", found.len(), bytes.unwrap_or_default())
            }
            Ok(found) if ContentHash::of(&found) != hash => "it holds other bytes".to_owned(),
            Ok(_) => continue,
            Err(StoreError::Missing { .. }) => "it is not there".to_owned(),
            Err(error) => return Err(error),
        };
        audit.missing_media.push(MissingMedia { hash, needed_by: by, problem });
    }
    if let Some(folder) = grounds.made {
        check_files(evidence, folder, audit);
    }
    Ok(())
}

struct Needed {
    /// Length, where the records say it.
    bytes: Option<u64>,
    by: String,
}

/// Objects with what needs each of them first.
fn needed(evidence: &Evidence, audit: &mut Audit) -> BTreeMap<ContentHash, Needed> {
    let mut needed: BTreeMap<ContentHash, Needed> = BTreeMap::new();
    let mut need = |object: MediaObject, by: &dyn Fn() -> String| {
        let first =
            needed.entry(object.hash).or_insert_with(|| Needed { bytes: Some(object.bytes), by: by() });
        if first.bytes.is_some_and(|bytes| bytes != object.bytes) {
            let problem = format!("{} says it has {} bytes, {} another length", by(), object.bytes, first.by);
            audit.missing_media.push(MissingMedia { hash: object.hash, needed_by: by(), problem });
        }
    };
    for (clip, objects) in &evidence.decoded {
        objects.iter().for_each(|object| need(*object, &|| format!("decoded clip {clip}")));
    }
    for (clip, accepted) in &evidence.accepted {
        for object in [accepted.media, accepted.sound] {
            need(object, &|| format!("accepted clip {clip}"));
        }
    }
    for (id, sample) in &evidence.samples {
        for object in sample.parents.iter().flat_map(|parent| [parent.media, parent.sound]) {
            need(object, &|| format!("sample {id}"));
        }
    }
    for (pool, sealed) in &evidence.pools {
        needed
            .entry(sealed.listing)
            .or_insert_with(|| Needed { bytes: None, by: format!("the listing of pool {pool}") });
    }
    needed
}

/// Files of samples that were made. One that is gone or has another length is made again when asked for.
fn check_files(evidence: &Evidence, folder: &std::path::Path, audit: &mut Audit) {
    let made = MadeSamples::read(folder, folder);
    for id in evidence.samples.keys() {
        let Some(file) = made.get(*id) else { continue };
        audit.objects += 1;
        let problem = match hash_file(&folder.join(&file.path)) {
            Ok((hash, _)) if hash == file.blake3 => continue,
            Ok(_) => format!("{} holds other bytes", file.path),
            Err(error) => format!("{}: {error}", file.path),
        };
        let needed_by = format!("the file of sample {id}");
        audit.missing_media.push(MissingMedia { hash: file.blake3, needed_by, problem });
    }
}
