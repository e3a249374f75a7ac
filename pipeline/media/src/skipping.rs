//! Coded frames that need not be decoded because no sampled frame shows or needs them.
//!
//! The tables of an mp4 file tell when each frame is shown, before any is decoded. Two kinds of frames can be
//! left out and change no pixel of the others: those that no other frame refers to (H.264 says so in each
//! packet), and those between the last frame that is wanted and the next at which decoding begins anew. A file
//! whose tables are not understood, or that is no H.264 in mp4, is decoded whole.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gstreamer::prelude::*;
use gstreamer::{Buffer, ClockTime, Pad, PadProbeReturn, PadProbeType};
use mp4_atom::{Codec, FourCC, Moov, Stbl, StszSamples, Trak};

use crate::frame_clock::ROUNDING;

/// Frames of a file that is looked at.
const MOST_FRAMES: usize = 500_000;

/// NAL units looked at for the kind of a frame.
const MOST_UNITS: usize = 64;

/// Nanoseconds by which a time in the tables and the same time on its way through the graph may differ.
const SLACK: u64 = 100;

/// NAL unit types of a slice of an ordinary frame, and of one at which decoding begins anew.
const SLICE: u8 = 1;
const IDR: u8 = 5;

/// What to leave out of one file.
#[derive(Debug)]
pub(crate) struct Skipping {
    /// Frames by the time at which they are shown, in nanoseconds.
    frames: Vec<(u64, Use)>,
    /// Bytes of the length before each NAL unit.
    length_size: usize,
    /// Where the frames that were left out end, in nanoseconds.
    end: AtomicU64,
}

/// What a coded frame is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is wanted.
    Wanted,
    /// Others may need it.
    Reference,
    /// None that is wanted comes between it and the next new beginning.
    Nothing,
}

/// A coded frame in the order of decoding, in units of its track's clock.
#[derive(Debug, Clone, Copy)]
struct Coded {
    shown: i64,
    key: bool,
}

impl Skipping {
    /// What need not be decoded of `file`, whose tables are given, to know which frame is shown at each multiple
    /// of 1 / `rate` seconds; `None` where they do not tell.
    pub(crate) fn plan(tables: &Moov, file: &File, rate: f64) -> Option<Self> {
        // What is made of bad tables is no reason to turn a file away.
        std::panic::catch_unwind(|| {
            let mut pictures =
                tables.trak.iter().filter(|trak| trak.mdia.hdlr.handler == FourCC::new(b"vide"));
            let (trak, None) = (pictures.next()?, pictures.next()) else { return None };
            Self::of_track(trak, rate, file)
        })
        .ok()
        .flatten()
    }

    fn of_track(trak: &Trak, rate: f64, file: &File) -> Option<Self> {
        let stbl = &trak.mdia.minf.stbl;
        let [Codec::Avc1(avc1)] = stbl.stsd.codecs.as_slice() else { return None };
        let origin = match trak.edts.as_ref().and_then(|edts| edts.elst.as_ref()).map(|elst| &*elst.entries) {
            None | Some([]) => 0,
            Some([edit]) if edit.media_rate == 1.into() => i64::try_from(edit.media_time?).ok()?,
            Some(_) => return None,
        };
        let timescale = u64::from(trak.mdia.mdhd.timescale);
        let coded = coded_frames(stbl)?;
        let nanoseconds = |shown: i64| -> Option<u64> {
            let units = u128::try_from(shown.checked_sub(origin)?).unwrap_or(0);
            u64::try_from(units.checked_mul(1_000_000_000)? / u128::from(timescale.max(1))).ok()
        };
        let mut uses = uses(&coded, &nanoseconds, rate)?;
        let starts_anew = keys_that_start_anew(&coded, stbl, usize::from(avc1.avcc.length_size), file);
        mark_tails(&coded, &starts_anew, &mut uses);
        let mut frames = Vec::with_capacity(coded.len());
        for (frame, what) in coded.iter().zip(uses) {
            frames.push((nanoseconds(frame.shown)?, what));
        }
        frames.sort_unstable_by_key(|(time, _)| *time);
        let apart = frames.windows(2).all(|pair| pair[0].0.saturating_add(2 * SLACK) < pair[1].0);
        let length_size = usize::from(avc1.avcc.length_size);
        apart.then_some(Self { frames, length_size, end: AtomicU64::new(0) })
    }

    /// Leaves out what need not be decoded of the packets that reach a decoder's `pad`.
    pub(crate) fn watch(self: Arc<Self>, pad: &Pad) {
        pad.add_probe(PadProbeType::BUFFER, move |pad, probe| match probe.buffer() {
            // The bindings let go of what a probe drops, and GStreamer then complains that it has nothing to drop.
            Some(packet) if self.leaves_out(pad, packet).is_some() => PadProbeReturn::Handled,
            _ => PadProbeReturn::Ok,
        });
    }

    /// Where in the file the last frame that was left out ends, in nanoseconds.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    fn leaves_out(&self, pad: &Pad, packet: &Buffer) -> Option<()> {
        let caps = pad.current_caps()?;
        if caps.structure(0)?.get::<&str>("stream-format").ok()? != "avc" {
            return None;
        }
        let segment = pad.sticky_event::<gstreamer::event::Segment>(0)?;
        let segment = segment.segment().downcast_ref::<ClockTime>()?;
        let time = segment.to_stream_time(packet.pts()?)?.nseconds();
        let duration = packet.duration()?.nseconds();
        self.is_needless(time, &packet.map_readable().ok()?).then(|| {
            self.end.fetch_max(time.saturating_add(duration), Ordering::AcqRel);
        })
    }

    /// Whether the frame in `packet`, which is shown `time` nanoseconds into the file, need not be decoded.
    pub(crate) fn is_needless(&self, time: u64, packet: &[u8]) -> bool {
        let nearest = self.frames.partition_point(|(shown, _)| shown.saturating_add(SLACK) < time);
        let frame = self.frames.get(nearest).filter(|(shown, _)| shown.abs_diff(time) <= SLACK);
        match frame.map(|(_, what)| what) {
            None | Some(Use::Wanted) => false,
            Some(Use::Nothing) => true,
            Some(Use::Reference) => is_disposable(packet, self.length_size),
        }
    }
}

/// The frames of a track in the order of decoding.
fn coded_frames(stbl: &Stbl) -> Option<Vec<Coded>> {
    let count = match &stbl.stsz.samples {
        StszSamples::Identical { count, .. } => *count as usize,
        StszSamples::Different { sizes } => sizes.len(),
    };
    if count == 0 || count > MOST_FRAMES {
        return None;
    }
    let keys = stbl.stss.as_ref().map(|stss| stss.entries.as_slice());
    let deltas = stbl.stts.entries.iter().flat_map(|run| {
        std::iter::repeat_n(i64::from(run.sample_delta), (run.sample_count as usize).min(count))
    });
    let runs = stbl.ctts.as_ref().map_or(&[][..], |ctts| &ctts.entries);
    let offsets = runs
        .iter()
        .flat_map(|run| std::iter::repeat_n(run.sample_offset, (run.sample_count as usize).min(count)));
    let mut decoded = 0_i64;
    let mut coded = Vec::with_capacity(count);
    for ((delta, offset), number) in deltas.zip(offsets.chain(std::iter::repeat(0))).zip(1_u32..).take(count)
    {
        let key = keys.is_none_or(|keys| keys.binary_search(&number).is_ok());
        coded.push(Coded { shown: decoded.checked_add(offset)?, key });
        decoded = decoded.checked_add(delta)?;
    }
    (coded.len() == count && coded.first().is_some_and(|first| first.key)).then_some(coded)
}

/// Which frames are shown at the moments that are sampled, in the order of decoding.
fn uses(coded: &[Coded], nanoseconds: &dyn Fn(i64) -> Option<u64>, rate: f64) -> Option<Vec<Use>> {
    let mut shown: Vec<usize> = (0..coded.len()).collect();
    shown.sort_by_key(|index| coded[*index].shown);
    let mut uses = vec![Use::Reference; coded.len()];
    let last = shown.len() - 1;
    for (place, index) in shown.iter().enumerate() {
        let start = nanoseconds(coded[*index].shown)?;
        let Some(next) = shown.get(place + 1) else { break };
        let end = nanoseconds(coded[*next].shown)?;
        // A moment that may be on either side of where two frames meet wants both.
        let from = start as f64 - (ROUNDING + SLACK) as f64;
        let until = end as f64 - ROUNDING as f64 + SLACK as f64;
        let first_moment = (from / 1e9 * rate).ceil().max(0.0) / rate * 1e9;
        if place == 0 || first_moment <= until {
            uses[*index] = Use::Wanted;
        }
    }
    // How long the last one is shown is not in the tables.
    uses[shown[last]] = Use::Wanted;
    Some(uses)
}

/// Indices of key frames before which nothing is kept by the decoder.
fn keys_that_start_anew(coded: &[Coded], stbl: &Stbl, length_size: usize, file: &File) -> Vec<usize> {
    let offsets = Offsets::of(stbl);
    let keys = coded.iter().enumerate().filter(|(_, frame)| frame.key);
    keys.filter(|(index, _)| {
        let at = offsets.as_ref().and_then(|offsets| offsets.at(*index));
        at.and_then(|(at, size)| first_slice(file, at, size, length_size)) == Some(IDR)
    })
    .map(|(index, _)| index)
    .collect()
}

/// Marks what lies between the last wanted frame and the next new beginning.
fn mark_tails(coded: &[Coded], starts_anew: &[usize], uses: &mut [Use]) {
    let mut beginnings = starts_anew.to_vec();
    beginnings.insert(0, 0);
    beginnings.dedup();
    for (place, first) in beginnings.iter().enumerate() {
        let end = beginnings.get(place + 1).copied().unwrap_or(coded.len());
        let Some(group) = uses.get_mut(*first..end) else { continue };
        let wanted = group.iter().rposition(|what| *what == Use::Wanted);
        // The group's own beginning stays: a decoder is not left without any.
        let keep = wanted.unwrap_or(0) + 1;
        group.iter_mut().skip(keep).for_each(|what| *what = Use::Nothing);
    }
}

/// Where the frames of a track lie in their file.
struct Offsets {
    places: Vec<(u64, u32)>,
}

impl Offsets {
    fn of(stbl: &Stbl) -> Option<Self> {
        let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
            (Some(stco), _) => stco.entries.iter().map(|offset| u64::from(*offset)).collect(),
            (None, Some(co64)) => co64.entries.clone(),
            (None, None) => return None,
        };
        let StszSamples::Different { sizes } = &stbl.stsz.samples else { return None };
        let mut sizes_left = sizes.iter();
        let mut runs = stbl.stsc.entries.iter().peekable();
        let (mut places, mut per_chunk) = (Vec::with_capacity(sizes.len()), 0);
        for (offset, chunk) in chunks.iter().zip(1_u32..) {
            while let Some(run) = runs.next_if(|run| run.first_chunk <= chunk) {
                per_chunk = run.samples_per_chunk;
            }
            let mut at = *offset;
            for size in sizes_left.by_ref().take(per_chunk as usize) {
                places.push((at, *size));
                at = at.checked_add(u64::from(*size))?;
            }
        }
        Some(Self { places })
    }

    fn at(&self, index: usize) -> Option<(u64, u32)> {
        self.places.get(index).copied()
    }
}

/// Type of the first slice of a frame that lies in a file.
fn first_slice(file: &File, at: u64, size: u32, length_size: usize) -> Option<u8> {
    let end = at.checked_add(u64::from(size))?;
    let mut at = at;
    for _ in 0..MOST_UNITS {
        let mut head = [0; 5];
        let head = head.get_mut(..length_size.checked_add(1)?)?;
        file.read_exact_at(head, at).ok()?;
        let (length, unit) = head.split_at(length_size);
        let kind = unit.first()? & 0x1f;
        if (SLICE..=IDR).contains(&kind) {
            return Some(kind);
        }
        let length = length.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        at = at.checked_add(length_size as u64)?.checked_add(length).filter(|at| *at < end)?;
    }
    None
}

/// Whether no other frame refers to the one that `packet` holds.
fn is_disposable(packet: &[u8], length_size: usize) -> bool {
    let (mut rest, mut slices) = (packet, 0);
    for _ in 0..MOST_UNITS {
        if rest.is_empty() {
            return slices > 0;
        }
        let Some((length, units)) = rest.split_at_checked(length_size) else { return false };
        let length = length.iter().fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
        let Some((unit, others)) = units.split_at_checked(length) else { return false };
        let Some(head) = unit.first() else { return false };
        match (head & 0x1f, head >> 5 & 3) {
            (SLICE..IDR, 0) => slices += 1,
            (SLICE..=IDR, _) => return false,
            _ => {}
        }
        rest = others;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::read_tables;

    fn plan(shown: &[i64], keys: &[usize], anew: &[usize], rate: f64) -> String {
        let coded: Vec<Coded> = shown
            .iter()
            .enumerate()
            .map(|(at, shown)| Coded { shown: *shown, key: keys.contains(&at) })
            .collect();
        let nanoseconds = |units: i64| u64::try_from(units).ok().map(|units| units * 1_000_000);
        let mut uses = uses(&coded, &nanoseconds, rate).unwrap();
        mark_tails(&coded, anew, &mut uses);
        let letter = |what: &Use| match what {
            Use::Wanted => 'W',
            Use::Reference => 'r',
            Use::Nothing => '-',
        };
        uses.iter().map(letter).collect()
    }

    #[test]
    fn of_each_group_what_follows_the_last_wanted_frame_is_left_out() {
        let every_100_ms: Vec<i64> = (0..12).map(|frame| frame * 100).collect();
        assert_eq!(plan(&every_100_ms, &[0, 4, 8], &[0, 4, 8], 2.0), "W---rW--rrWW");
        assert_eq!(plan(&every_100_ms, &[0, 4, 8], &[0, 4, 8], 10.0), "WWWWWWWWWWWW");
    }

    #[test]
    fn before_a_key_frame_that_earlier_frames_are_needed_for_nothing_is_left_out() {
        let every_100_ms: Vec<i64> = (0..12).map(|frame| frame * 100).collect();
        assert_eq!(plan(&every_100_ms, &[0, 4, 8], &[0, 8], 2.0), "WrrrrW--rrWW");
    }

    #[test]
    fn frames_are_wanted_by_when_they_are_shown_not_by_when_they_are_decoded() {
        // Decoded I P B B P B B, shown 0 300 100 200 600 400 500.
        assert_eq!(plan(&[0, 300, 100, 200, 600, 400, 500], &[0], &[0], 5.0), "WrrWWW-");
    }

    #[test]
    fn a_moment_between_two_frames_by_rounding_wants_both() {
        let coded = [0, 499_999, 500_001, 900_000].map(|shown| Coded { shown, key: shown == 0 });
        let uses = uses(&coded, &|units| u64::try_from(units).ok().map(|units| units * 1000), 2.0).unwrap();
        assert_eq!(uses, [Use::Wanted, Use::Wanted, Use::Wanted, Use::Wanted]);
    }

    #[test]
    fn only_a_packet_without_a_referenced_slice_is_disposable() {
        let packet = |units: &[u8]| units.iter().flat_map(|head| [0, 0, 0, 2, *head, 0]).collect::<Vec<u8>>();
        assert!(is_disposable(&packet(&[0x06, 0x01]), 4), "a message and a slice that nothing refers to");
        assert!(is_disposable(&packet(&[0x01, 0x01]), 4));
        for units in [&[0x41_u8][..], &[0x01, 0x41], &[0x65], &[0x06], &[]] {
            assert!(!is_disposable(&packet(units), 4), "{units:?}");
        }
        let whole = packet(&[0x01]);
        for length in 1..whole.len() {
            assert!(!is_disposable(&whole[..length], 4), "{length}");
        }
        assert!(!is_disposable(&[0xff, 0xff, 0xff, 0xff, 1], 4));
    }

    #[test]
    fn files_whose_tables_are_not_there_or_cut_are_decoded_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        for bytes in [&b""[..], b"moov", &[0, 0, 0, 8, b'm', b'o', b'o', b'v'], &[0xff; 64], &[0; 64]] {
            std::fs::write(&path, bytes).unwrap();
            let file = File::open(&path).unwrap();
            let plan = read_tables(&file).and_then(|tables| Skipping::plan(&tables, &file, 2.0));
            assert!(plan.is_none(), "{bytes:?}");
        }
    }
}
