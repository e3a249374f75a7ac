//! Which clip a media file is, told from its file name alone (design section 7).
//!
//! Downloaders of AudioSet name files in many ways. What they share is the width of a YouTube id: eleven
//! characters of `[A-Za-z0-9_-]`, some of which may themselves be `Y`, `_` or `-`. So a name is never split
//! at a separator; it is read by width, and where more than one reading is possible the label lists decide.
//!
//! | stem | reading |
//! | --- | --- |
//! | `canidae_aligned` | the whole stem, for a list that names stems |
//! | `7xkj4XqaynU` | the id |
//! | `7xkj4XqaynU_...`, `Y7xkj4XqaynU`, `Y7xkj4XqaynU_...` | the id inside |
//! | `ID_30.000_40.000` | seconds as decimals |
//! | `ID_30_40` | seconds as integers |
//! | `ID_30000_40000` | milliseconds: two integers that lie 1000 or more apart |
//!
//! A segment in seconds would have to last a quarter of an hour to be mistaken for milliseconds; AudioSet's
//! last ten seconds at most.

use counterpoint_messages::Segment;

/// Characters of a YouTube id.
const ID_WIDTH: usize = 11;

/// Two integers at least this far apart are milliseconds.
const LEAST_MILLISECONDS: u64 = 1000;

/// One reading of a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipName {
    /// Source video: a YouTube id, or the whole stem.
    pub video: String,
    /// The part of the source video that the name gives, if any.
    pub segment: Option<Segment>,
}

impl ClipName {
    /// Every reading of a file stem, in the order in which the label lists are to be asked: the whole stem,
    /// an id at its beginning, an id after a leading `Y`. Never empty.
    pub fn parse(stem: &str) -> Vec<Self> {
        let whole = Self { video: stem.to_owned(), segment: None };
        let mut readings = vec![whole];
        readings.extend(Self::at_start_of(stem).filter(|reading| reading.video != stem));
        readings.extend(stem.strip_prefix('Y').and_then(Self::at_start_of));
        readings
    }

    fn at_start_of(text: &str) -> Option<Self> {
        let video = text.get(..ID_WIDTH).filter(|id| is_youtube_id(id))?;
        let rest = &text[ID_WIDTH..];
        if !rest.is_empty() && !rest.starts_with('_') {
            return None;
        }
        Some(Self { video: video.to_owned(), segment: rest.strip_prefix('_').and_then(parse_segment) })
    }
}

/// What a file name comes to once the label lists were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The lists know this reading.
    Known(ClipName),
    /// The lists know none; this is the likeliest.
    Unknown(ClipName),
}

/// The first reading of `stem` whose video the label lists know. Where they know none, the reading by
/// width, or else the whole stem.
pub fn resolve(stem: &str, known: impl Fn(&str) -> bool) -> Resolution {
    let mut readings = ClipName::parse(stem);
    match readings.iter().position(|reading| known(&reading.video)) {
        Some(index) => Resolution::Known(readings.swap_remove(index)),
        None => Resolution::Unknown(readings.swap_remove(readings.len().min(2) - 1)),
    }
}

/// Whether a text is eleven characters of `[A-Za-z0-9_-]`.
pub fn is_youtube_id(text: &str) -> bool {
    text.len() == ID_WIDTH && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// `START_END`; `None` for any other text and for an end that does not come after its start.
fn parse_segment(text: &str) -> Option<Segment> {
    let (start, end) = text.split_once('_')?;
    let (start, end) = (Number::parse(start)?, Number::parse(end)?);
    let in_milliseconds = start.is_integer
        && end.is_integer
        && end.thousandths.saturating_sub(start.thousandths) >= LEAST_MILLISECONDS * 1000;
    let unit = if in_milliseconds { 1000 } else { 1 };
    let segment = Segment { start_ms: start.thousandths / unit, end_ms: end.thousandths / unit };
    (segment.end_ms > segment.start_ms).then_some(segment)
}

/// A decimal number without sign, in thousandths; digits past the third decimal are dropped.
struct Number {
    thousandths: u64,
    is_integer: bool,
}

impl Number {
    /// Longest integer part: fifteen digits of milliseconds are thirty thousand years.
    const MAX_DIGITS: usize = 15;

    fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').map_or((text, None), |(w, d)| (w, Some(d)));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || whole.len() > Self::MAX_DIGITS || !decimals.is_none_or(is_number) {
            return None;
        }
        let fraction: String = decimals.unwrap_or("").chars().chain("000".chars()).take(3).collect();
        let thousandths = whole.parse::<u64>().ok()? * 1000 + fraction.parse::<u64>().ok()?;
        Some(Self { thousandths, is_integer: decimals.is_none() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(ids: &[&str], stem: &str) -> ClipName {
        match resolve(stem, |id| ids.contains(&id)) {
            Resolution::Known(name) => name,
            Resolution::Unknown(name) => panic!("{stem} resolved to the unknown {name:?}"),
        }
    }

    fn segment(stem: &str) -> Option<(u64, u64)> {
        known(&["-4gqARaE_JE"], stem).segment.map(|s| (s.start_ms, s.end_ms))
    }

    #[test]
    fn eleven_characters_are_an_id_even_with_separators_inside() {
        for id in ["7xkj4XqaynU", "--4gqARaEJE", "YA_0xhMEZ1C", "___________"] {
            assert_eq!(ClipName::parse(id), [ClipName { video: id.into(), segment: None }], "{id}");
            assert_eq!(known(&[id], id).video, id);
        }
    }

    #[test]
    fn a_leading_y_and_a_tail_are_not_part_of_the_id() {
        let id = "7xkj4XqaynU";
        for stem in ["Y7xkj4XqaynU", "7xkj4XqaynU_cut", "Y7xkj4XqaynU_repDiff_Glass_0", "7xkj4XqaynU_"] {
            assert_eq!(known(&[id], stem), ClipName { video: id.into(), segment: None }, "{stem}");
        }
    }

    #[test]
    fn the_real_clips_are_found_by_their_youtube_id_or_their_stem() {
        let listed = [
            "7xkj4XqaynU",
            "9ivV2chJLa4",
            "A_0xhMEZ1Cg",
            "PkDHPoMjvJ8",
            "Rz7RBslEAG0",
            "SwZxKE3CnEg",
            "gefp9ta8LTA",
            "canidae_aligned",
        ];
        let stems = [
            "Y7xkj4XqaynU_repDiff_Glass_0",
            "Y9ivV2chJLa4_repDiff_Cat_0",
            "YA_0xhMEZ1Cg_repDiff_Frying_food_0",
            "YPkDHPoMjvJ8_repDiff_Clapping_0",
            "YRz7RBslEAG0_repDiff_Frog_0",
            "YSwZxKE3CnEg_repDiff_Bowed_string_instrument_0",
            "Ygefp9ta8LTA_repDiff_Rain_0",
            "canidae_aligned",
        ];
        for (stem, id) in stems.into_iter().zip(listed) {
            assert_eq!(known(&listed, stem).video, id);
        }
    }

    #[test]
    fn the_label_lists_decide_between_two_readings() {
        let stem = "YA_0xhMEZ1C_x_0";
        assert_eq!(known(&["YA_0xhMEZ1C"], stem).video, "YA_0xhMEZ1C");
        let stem = "YA_0xhMEZ1C__x_0";
        assert_eq!(known(&["A_0xhMEZ1C_"], stem).video, "A_0xhMEZ1C_");
        assert_eq!(known(&["A_0xhMEZ1C_", "YA_0xhMEZ1C"], stem).video, "YA_0xhMEZ1C");
        assert_eq!(known(&["A_0xhMEZ1C_", "YA_0xhMEZ1C", stem], stem).video, stem, "a list may name a stem");
    }

    #[test]
    fn a_segment_is_read_in_seconds_or_milliseconds() {
        assert_eq!(segment("-4gqARaE_JE_30.000_40.000"), Some((30_000, 40_000)));
        assert_eq!(segment("Y-4gqARaE_JE_30_40"), Some((30_000, 40_000)));
        assert_eq!(segment("-4gqARaE_JE_30000_40000"), Some((30_000, 40_000)));
        assert_eq!(segment("-4gqARaE_JE_0_10000"), Some((0, 10_000)));
        assert_eq!(segment("-4gqARaE_JE_0_9"), Some((0, 9_000)));
        assert_eq!(segment("-4gqARaE_JE_0.5_9.98765"), Some((500, 9_987)));
        assert_eq!(segment("-4gqARaE_JE_0.0_1200.0"), Some((0, 1_200_000)), "decimals are always seconds");
    }

    #[test]
    fn what_is_no_segment_is_left_alone() {
        for tail in
            ["40_30", "30_30", "30", "_30_40", "30_40_x", "-1_9", "1e3_2e3", "1._2.", "NaN_inf", "a_b"]
        {
            assert_eq!(segment(&format!("-4gqARaE_JE_{tail}")), None, "{tail}");
        }
        assert_eq!(segment("-4gqARaE_JE_0_99999999999999999999"), None);
    }

    #[test]
    fn an_unknown_name_is_read_by_width_or_else_taken_whole() {
        let unknown = |stem| resolve(stem, |_| false);
        let name = |video: &str| Resolution::Unknown(ClipName { video: video.into(), segment: None });
        assert_eq!(unknown("Y7xkj4XqaynU_repDiff_Glass_0"), name("7xkj4XqaynU"));
        assert_eq!(unknown("Yxkj4XqaynU"), name("Yxkj4XqaynU"));
        assert_eq!(unknown("holiday"), name("holiday"));
        assert_eq!(unknown(""), name(""));
        assert_eq!(unknown("Ÿÿÿÿÿÿÿÿÿÿÿ"), name("Ÿÿÿÿÿÿÿÿÿÿÿ"));
    }

    proptest! {
        #[test]
        fn any_name_has_a_reading_and_the_whole_stem_comes_first(stem in "\\PC*") {
            prop_assert_eq!(&ClipName::parse(&stem)[0].video, &stem);
            resolve(&stem, |_| false);
        }

        #[test]
        fn any_tail_behind_an_id_leaves_the_id_readable(tail in "[0-9._ée-]{0,40}") {
            let stem = format!("Y7xkj4XqaynU_{tail}");
            prop_assert_eq!(known(&["7xkj4XqaynU"], &stem).video, "7xkj4XqaynU");
        }
    }
}
