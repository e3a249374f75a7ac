//! The tables of an mp4 file, read before anything is decoded.

use std::fs::File;
use std::os::unix::fs::FileExt;

use mp4_atom::{Decode as _, FourCC, Header, Moov};

/// Longest `moov` box that is looked at, in bytes.
const MOST_TABLES: u64 = 16 << 20;

/// Boxes in boxes.
const MOST_LEVELS: usize = 40;

/// Boxes looked at on the way to `moov`.
const MOST_BOXES: usize = 64;

/// The `moov` box of a file; `None` where there is none that can be read.
pub(crate) fn read_tables(file: &File) -> Option<Moov> {
    // The tables are not ours. What their reader makes of bad ones is no reason to turn a file away.
    std::panic::catch_unwind(|| find_tables(file)).ok().flatten()
}

fn find_tables(file: &File) -> Option<Moov> {
    let mut at = 0;
    for _ in 0..MOST_BOXES {
        let mut head = [0; 16];
        let read = file.read_at(&mut head, at).ok()?;
        let header = Header::decode(&mut head.get(..read)?).ok()?;
        let long = head.get(..4) == Some(&[0, 0, 0, 1]);
        let body_at = at.checked_add(if long { 16 } else { 8 })?;
        let length = u64::try_from(header.size?).ok()?;
        if header.kind == FourCC::new(b"moov") {
            let mut body =
                vec![0; usize::try_from(Some(length).filter(|length| *length <= MOST_TABLES)?).ok()?];
            file.read_exact_at(&mut body, body_at).ok()?;
            if is_deep(&body) {
                return None;
            }
            return <Moov as mp4_atom::Atom>::decode_body(&mut body.as_slice()).ok();
        }
        at = body_at.checked_add(length)?;
    }
    None
}

/// Whether boxes lie in boxes deeper than in any honest file: their reader calls itself for each level. What
/// only looks like a box counts as one.
fn is_deep(body: &[u8]) -> bool {
    let (mut ends, mut at) = (vec![body.len()], 0_usize);
    while let Some(end) = ends.last().copied() {
        let size = |at: usize| {
            let kind = body.get(at.checked_add(4)?..at.checked_add(8)?)?;
            let bytes = body.get(at..at.checked_add(4)?)?.try_into().ok()?;
            if !kind.iter().all(|letter| letter.is_ascii_graphic() || matches!(letter, b' ' | 0xa9)) {
                return None;
            }
            match u32::from_be_bytes(bytes) as usize {
                0 => Some(end.saturating_sub(at)),
                1 => Some(16),
                size => Some(size),
            }
        };
        // Some boxes begin with four bytes of their own.
        let inner = [at, at.saturating_add(4)].into_iter().find_map(|start| {
            let stop = start.checked_add(size(start)?)?;
            (size(start)? >= 8 && stop <= end).then_some((start, stop))
        });
        match inner {
            Some((start, stop)) => {
                ends.push(stop);
                at = start.saturating_add(8);
            }
            None => {
                at = end;
                ends.pop();
            }
        }
        if ends.len() > MOST_LEVELS {
            return true;
        }
    }
    false
}
