//! Segment lists drawn for measuring: as many rows as wanted, labels out of the real ontology.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use counterpoint_core::curation::Curator;

/// AudioSet's ontology, which the program carries for its demo.
pub const ONTOLOGY: &str = include_str!("../../../assets/ontology.json");

/// Characters of an id.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Id of the source video of a row: eleven characters, as YouTube's have.
pub fn video(row: u64) -> String {
    (0..11).rev().map(|place| char::from(DIGITS[(row >> (5 * place) & 31) as usize])).collect()
}

/// Writes a list of so many rows. Three rows of four carry labels of one class, like the clips that
/// a person collects; the rest two labels of any kind.
pub fn draw(rows: u64, rulebook: &Curator, path: &Path) -> anyhow::Result<()> {
    let mids: Vec<&str> =
        rulebook.ontology().ids().map(|id| rulebook.ontology().node(id).mid.as_str()).collect();
    let classes = rulebook.classes();
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 18, File::create(path)?);
        writeln!(out, "# Segments drawn for measuring\n# YTID, start_seconds, end_seconds, positive_labels")?;
        let mut state = 1_u64;
        for row in 0..rows {
            let mut pick = |many: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % many.max(1)
            };
            let labels = if row % 4 == 3 {
                [mids[pick(mids.len())], mids[pick(mids.len())]]
            } else {
                let class = &classes[pick(classes.len())].mids;
                [class[pick(class.len())].as_str(), class[pick(class.len())].as_str()]
            };
            let start = pick(300);
            writeln!(out, "{}, {start}.000, {}.000, \"{}\"", video(row), start + 10, labels.join(","))?;
        }
        out.flush()
    };
    write().with_context(|| format!("cannot write {}; name another folder with --scratch", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_video_of_its_own() {
        let videos: BTreeSet<String> = (0..5000).map(video).collect();
        assert_eq!(videos.len(), 5000);
        assert!(videos.iter().all(|video| video.len() == 11));
    }
}
