use serde::Serialize;

use crate::{
    PageError,
    format::{count, counted, decimal, percent, spaced, with_unit},
    plot::{Axis, Bar, BarScale, Caption, Histogram, bars, histogram},
    report::{ClassCount, Clips, Limit, Measured, Resolution},
    view::Figure,
};

/// Picture sizes that get a bar of their own at most; each has at least 1 % of the clips.
const SIZES: usize = 10;

/// Most bars in one column of classes.
const COLUMN: usize = 31;

/// A length within this of the clip length counts as that long: one frame at 25 frames a second.
const FRAME_S: f64 = 0.04;

/// What the clips are like.
#[derive(Debug, Serialize)]
pub(super) struct ClipsView {
    sizes: Option<Figure>,
    durations: Option<Figure>,
    classes: Vec<String>,
    classes_note: String,
    signal: Vec<Figure>,
}

impl ClipsView {
    pub(super) fn of(clips: &Clips) -> Result<Self, PageError> {
        let (classes, classes_note) = classes(&clips.classes)?;
        Ok(Self {
            sizes: sizes(&clips.resolutions, clips.crop_px)?,
            durations: durations(&clips.durations_s, clips.clip_s)?,
            classes,
            classes_note,
            signal: signal(clips)?,
        })
    }
}

fn sizes(resolutions: &[Resolution], crop: u32) -> Result<Option<Figure>, PageError> {
    let total = resolutions.iter().fold(0_u64, |sum, size| sum.saturating_add(size.clips));
    if total == 0 {
        return Ok(None);
    }
    let mut frequent: Vec<&Resolution> = resolutions.iter().filter(|size| size.clips > 0).collect();
    let peaks = frequent.iter().filter(|size| size.clips.saturating_mul(100) >= total).count();
    frequent.sort_by_key(|size| (std::cmp::Reverse(size.clips), size.width, size.height));
    let others = frequent.split_off(peaks.min(SIZES));
    frequent.sort_by_key(|size| (u64::from(size.width) * u64::from(size.height), size.width));
    let bar = |label: String, clips: u64| Bar { label, whole: clips, part: None, value: count(clips) };
    let mut rows: Vec<Bar> =
        frequent.iter().map(|size| bar(format!("{}\u{d7}{}", size.width, size.height), size.clips)).collect();
    if !others.is_empty() {
        let clips = others.iter().fold(0_u64, |sum, size| sum.saturating_add(size.clips));
        rows.push(bar(counted(others.len() as u64, "other size", "other sizes"), clips));
    }
    let small = resolutions
        .iter()
        .filter(|size| size.width.min(size.height) < crop)
        .fold(0_u64, |sum, size| sum.saturating_add(size.clips));
    let note = format!(
        "Every picture is scaled until it covers {crop}\u{d7}{crop} and cropped in the middle; {} ({}) had to be \
         enlarged. The appendix states less than 5\u{a0}% enlargement for its corpus.",
        counted(small, "file", "files"),
        percent(small, total),
    );
    let title = "Picture sizes as found";
    let description = described(&rows);
    let caption = Caption { id: "plot-sizes", title, description: &description };
    Ok(Some(Figure { title: title.to_owned(), note, plot: bars(caption, &rows, BarScale::of(&rows))? }))
}

fn durations(seconds: &[f64], clip_s: f64) -> Result<Option<Figure>, PageError> {
    let sorted = sorted(seconds);
    let (Some(&longest), Some(middle)) = (sorted.last(), quantile(&sorted, 0.5)) else {
        return Ok(None);
    };
    let most = quantile(&sorted, 0.99).unwrap_or(longest);
    let end = (most.max(clip_s) + 1.0).ceil();
    let short = sorted.iter().filter(|&&length| length < clip_s - FRAME_S).count() as u64;
    let total = sorted.len() as u64;
    let mut note = format!(
        "{} of {} shorter than {} by more than a frame ({}; published: 4.8\u{a0}%). Median {}, longest {}.",
        count(short),
        if total == 1 { "1 file is".to_owned() } else { format!("{} files are", count(total)) },
        with_unit(clip_s, "s"),
        percent(short, total),
        with_unit(middle, "s"),
        with_unit(longest, "s"),
    );
    if longest > end {
        note.push_str(" The last bar holds all longer ones.");
    }
    let title = "Lengths as found";
    let plot = histogram(&Histogram {
        caption: Caption { id: "plot-durations", title, description: &note },
        values: &sorted,
        range: (0.0, end),
        bins: (end * 2.0).clamp(12.0, 40.0) as usize,
        axis: Axis { label: |value| with_unit(value, "s"), labels: 6 },
        limit: None,
    })?;
    Ok(Some(Figure { title: title.to_owned(), note, plot }))
}

fn classes(classes: &[ClassCount]) -> Result<(Vec<String>, String), PageError> {
    let mut present: Vec<&ClassCount> =
        classes.iter().filter(|class| class.curated.max(class.accepted) > 0).collect();
    present.sort_by(|a, b| (b.accepted, b.curated, &a.class).cmp(&(a.accepted, a.curated, &b.class)));
    let rows: Vec<Bar> = present.iter().map(|class| class_bar(class)).collect();
    let scale = BarScale::of(&rows);
    let columns = rows.len().div_ceil(COLUMN).max(1);
    let mut plots = Vec::new();
    for (place, column) in rows.chunks(rows.len().div_ceil(columns).max(1)).enumerate() {
        let id = format!("plot-classes-{}", place + 1);
        let description = described(column);
        let caption = Caption { id: &id, title: "Accepted clips per class", description: &description };
        plots.push(bars(caption, column, scale)?);
    }
    let absent = (classes.len() - present.len()) as u64;
    let mut notes = Vec::new();
    if !plots.is_empty() {
        notes.push("Full: accepted. Pale: curated and lost later.".to_owned());
    }
    if absent > 0 {
        notes.push(format!("{} without a clip.", counted(absent, "class is", "classes are")));
    }
    Ok((plots, notes.join(" ")))
}

fn class_bar(class: &ClassCount) -> Bar {
    Bar {
        label: spaced(&class.class),
        whole: class.curated.max(class.accepted),
        part: Some(class.accepted),
        value: if class.accepted == class.curated {
            count(class.accepted)
        } else {
            format!("{} of {}", count(class.accepted), count(class.curated))
        },
    }
}

fn described(rows: &[Bar]) -> String {
    rows.iter().map(|row| format!("{}: {}", row.label, row.value)).collect::<Vec<_>>().join("; ")
}

fn signal(clips: &Clips) -> Result<Vec<Figure>, PageError> {
    let signal = &clips.signal;
    let share = Axis { label: |value| with_unit((value * 100.0).round(), "%"), labels: 5 };
    let figures = [
        statistic("plot-loudness", "Loudness before it was made equal", &signal.loudness_lufs, |_| Scale {
            range: (-70.0, 0.0),
            bins: 35,
            axis: Axis { label: |value| with_unit(value, "LUFS"), labels: 4 },
        })?,
        statistic("plot-silence", "Share of silence", &signal.silent_share, |_| Scale {
            range: (0.0, 1.0),
            bins: 25,
            axis: share,
        })?,
        statistic("plot-black", "Share of black frames", &signal.black_share, |_| Scale {
            range: (0.0, 1.0),
            bins: 25,
            axis: share,
        })?,
        statistic("plot-motion", "Motion: luma change from frame to frame", &signal.motion, |sorted| {
            Scale {
                range: (0.0, quantile(sorted, 0.99).unwrap_or(0.0).max(0.01)),
                bins: 30,
                axis: Axis { label: |value| with_unit(value * 100.0, "%"), labels: 5 },
            }
        })?,
        statistic("plot-cuts", "Hard cuts", &signal.cuts, |sorted| {
            let most = quantile(sorted, 0.99).unwrap_or(0.0).max(5.0).round();
            Scale {
                range: (-0.5, most + 0.5),
                bins: (most + 1.0).clamp(1.0, 60.0) as usize,
                axis: Axis { label: decimal, labels: 6 },
            }
        })?,
    ];
    Ok(figures.into_iter().flatten().collect())
}

struct Scale {
    range: (f64, f64),
    bins: usize,
    axis: Axis,
}

fn statistic(
    id: &str,
    title: &str,
    measured: &Measured,
    scale: impl FnOnce(&[f64]) -> Scale,
) -> Result<Option<Figure>, PageError> {
    let sorted = sorted(&measured.values);
    let Some(middle) = quantile(&sorted, 0.5) else {
        return Ok(None);
    };
    let scale = scale(&sorted);
    let write = scale.axis.label;
    let median = format!("Median {}.", write(middle));
    let note = match measured.limit {
        None => format!("{median} No limit is set."),
        Some(limit) => {
            let (beyond, words) = match limit {
                Limit::AtLeast(least) => (sorted.iter().filter(|&&value| value < least).count(), "below"),
                Limit::AtMost(most) => (sorted.iter().filter(|&&value| value > most).count(), "above"),
            };
            let (Limit::AtLeast(value) | Limit::AtMost(value)) = limit;
            let clips = match beyond {
                0 => "No clip lies".to_owned(),
                1 => "1 clip lies".to_owned(),
                more => format!("{} clips lie", count(more as u64)),
            };
            format!("{median} {clips} {words} the limit of {}.", write(value))
        }
    };
    let plot = histogram(&Histogram {
        caption: Caption { id, title, description: &note },
        values: &sorted,
        range: scale.range,
        bins: scale.bins,
        axis: scale.axis,
        limit: measured.limit,
    })?;
    Ok(Some(Figure { title: title.to_owned(), note, plot }))
}

/// The finite values in order.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value below which a share of sorted values lies; `None` where there is none.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_less_than_the_clip_length_is_not_short() {
        let figure = durations(&[9.97, 10.0, 9.5, f64::NAN], 10.0).unwrap().unwrap();
        assert!(figure.note.starts_with("1 of 3 files are shorter than 10\u{a0}s"), "{}", figure.note);
    }

    #[test]
    fn rare_picture_sizes_share_one_bar() {
        let sizes_found: Vec<Resolution> =
            (1..=40).map(|step| Resolution { width: 16 * step, height: 9 * step, clips: 1 }).collect();
        let figure = sizes(&sizes_found, 504).unwrap().unwrap();
        assert!(figure.plot.contains("30 other sizes"), "{}", figure.plot);
    }

    #[test]
    fn a_statistic_says_how_many_clips_its_limit_rejects() {
        let measured = Measured { values: vec![0.0, 0.1, 0.97], limit: Some(Limit::AtMost(0.9)) };
        let scale = |_: &[f64]| Scale {
            range: (0.0, 1.0),
            bins: 10,
            axis: Axis { label: |value| with_unit((value * 100.0).round(), "%"), labels: 5 },
        };
        let figure = statistic("s", "Silence", &measured, scale).unwrap().unwrap();
        assert_eq!(figure.note, "Median 10\u{a0}%. 1 clip lies above the limit of 90\u{a0}%.");
        assert!(statistic("s", "Silence", &Measured::default(), scale).unwrap().is_none());
    }

    #[test]
    fn classes_without_a_clip_are_counted_not_drawn() {
        let class = |name: &str, curated, accepted| ClassCount { class: name.to_owned(), curated, accepted };
        let (plots, note) = classes(&[class("Cat", 3, 2), class("Sewing_machine", 0, 0)]).unwrap();
        assert_eq!(plots.len(), 1);
        assert!(plots[0].contains("2 of 3") && !plots[0].contains("Sewing"));
        assert!(note.ends_with("1 class is without a clip."), "{note}");
    }
}
