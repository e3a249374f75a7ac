//! Lines of an experiment as the rows and columns of the paper's table, published figures among them.

use counterpoint_core::{
    experiments::{Experiment, ExperimentName, Group, Line, Measured},
    questions::Stream,
};
use counterpoint_messages::RecipeName;
use serde::Serialize;

use crate::{
    format::{count, interval, points, share},
    view::published::{FIGURE_12, TABLE_3, TABLE_5, published},
    words,
};

/// A table with columns in spans and rows in sections.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    spans: Vec<Span>,
    sections: Vec<Section>,
    /// Columns without that of the rows' names.
    width: usize,
}

/// Columns under one heading.
#[derive(Debug, Serialize)]
struct Span {
    title: &'static str,
    columns: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Section {
    title: Option<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    is_published: bool,
    cells: Vec<Option<Cell>>,
}

#[derive(Debug, Default, Serialize)]
struct Cell {
    value: String,
    interval: String,
    n: String,
    change: String,
}

impl Table {
    pub(super) fn of(made: &Experiment) -> Self {
        let (spans, sections) = match made.experiment {
            ExperimentName::Ablations | ExperimentName::NoneOfTheAbove => taken_away(made),
            ExperimentName::CrossClass => classes(made),
            ExperimentName::Mixup => mixup(made),
        };
        let width = spans.iter().map(|span| span.columns.len()).sum();
        Self { spans, sections, width }
    }
}

/// What a question is called over its columns.
fn asked(stream: Stream) -> &'static str {
    match stream {
        Stream::Visual => "Picture question",
        Stream::Audio => "Sound question",
    }
}

fn measured(measured: &Measured) -> Cell {
    Cell {
        value: share(measured.accuracy),
        interval: interval(measured.interval),
        n: format!("n = {}", count(measured.n)),
        change: String::new(),
    }
}

/// The model after its tuning, with what changed.
fn after(line: &Line) -> Cell {
    let [low, high] = line.change.interval;
    let change = format!("{} ({} to {})", points(line.change.difference), points(low), points(high));
    Cell { change, ..measured(&line.after) }
}

/// A figure of the paper, in percent.
fn printed(percent: f64) -> Cell {
    Cell { value: share(percent / 100.0), ..Cell::default() }
}

fn published_row(name: &str, place: &str, cells: Vec<Option<Cell>>) -> Row {
    Row { name: format!("published, {place}: {name}"), is_published: true, cells }
}

/// Columns of Fig. 12 and Table 5: a stream and what the samples lack.
const TAKEN_AWAY: [(Stream, RecipeName); 6] = [
    (Stream::Visual, RecipeName::Aligned),
    (Stream::Visual, RecipeName::AudioRemoved),
    (Stream::Visual, RecipeName::FramesZeroed),
    (Stream::Audio, RecipeName::Aligned),
    (Stream::Audio, RecipeName::FramesZeroed),
    (Stream::Audio, RecipeName::AudioRemoved),
];

fn taken_away(made: &Experiment) -> (Vec<Span>, Vec<Section>) {
    let spans = Stream::ALL.map(|stream| Span {
        title: asked(stream),
        columns: TAKEN_AWAY
            .iter()
            .filter(|(of, _)| *of == stream)
            .map(|(_, recipe)| words::recipe_title(*recipe))
            .collect(),
    });
    let row = |name: &str, cell: fn(&Line) -> Cell| {
        let cells = TAKEN_AWAY
            .map(|(stream, recipe)| made.line(None, recipe, made.experiment.question(stream)).map(cell));
        Row { name: name.to_owned(), is_published: false, cells: cells.into() }
    };
    let mut rows = vec![row("Base", |line| measured(&line.before)), row("Tuned", after)];
    match made.experiment {
        ExperimentName::NoneOfTheAbove => rows.extend(TABLE_5.map(|(name, figures)| {
            published_row(name, "Table 5", figures.map(|figure| Some(printed(figure))).into())
        })),
        _ => rows.extend(FIGURE_12.map(|(name, figures)| {
            published_row(name, "text on Fig. 12", figures.map(|figure| figure.map(printed)).into())
        })),
    }
    (spans.into(), vec![Section { title: None, rows }])
}

/// Sections of Table 3, each with its place there; that of mixed samples has none.
const GROUPS: [(Group, &str, Option<usize>); 3] = [
    (Group::Seen, "Classes seen in tuning", Some(0)),
    (Group::Unseen, "Classes unseen in tuning", Some(2)),
    (Group::Mixed, "Of one class seen and one unseen", None),
];

fn classes(made: &Experiment) -> (Vec<Span>, Vec<Section>) {
    let has_on_all = made.lines.iter().any(|line| line.on_all.is_some());
    let mut columns = vec!["Base", "Tuned on the seen"];
    columns.extend(has_on_all.then_some("Tuned on all"));
    let spans = Stream::ALL.map(|stream| Span { title: asked(stream), columns: columns.clone() });
    let section = |(group, title, published): (Group, &'static str, Option<usize>)| {
        let mut rows = Vec::new();
        for (at, recipe) in [RecipeName::Aligned, RecipeName::Misaligned].into_iter().enumerate() {
            let cells: Vec<_> = Stream::ALL
                .into_iter()
                .flat_map(|stream| {
                    let line = made.line(Some(group), recipe, made.experiment.question(stream));
                    let on_all = line.and_then(|line| line.on_all.as_ref());
                    let both = [line.map(|line| measured(&line.before)), line.map(after)];
                    both.into_iter().chain(has_on_all.then(|| on_all.map(measured)))
                })
                .collect();
            // No clip whose streams agree is of two classes.
            if cells.iter().all(Option::is_none) && group == Group::Mixed {
                continue;
            }
            rows.push(Row { name: words::recipe_title(recipe).to_owned(), is_published: false, cells });
            if let Some(figures) = published.and_then(|first| TABLE_3.get(first + at)) {
                let cells = figures.chunks(2).flat_map(|pair| {
                    let pair = pair.iter().map(|figure| Some(printed(*figure)));
                    pair.chain(has_on_all.then_some(None))
                });
                rows.push(published_row("Qwen2.5-Omni-7B", "Table 3", cells.collect()));
            }
        }
        Section { title: Some(title), rows }
    };
    let sections = GROUPS.map(section).into_iter().filter(|section| !section.rows.is_empty());
    (spans.into(), sections.collect())
}

fn mixup(made: &Experiment) -> (Vec<Span>, Vec<Section>) {
    let spans = vec![
        Span { title: "Right", columns: vec!["Base", "Tuned"] },
        Span { title: "Names the added sound", columns: vec!["Base", "Tuned"] },
    ];
    let mut rows = Vec::new();
    for recipe in [RecipeName::Aligned, RecipeName::Mixup] {
        for stream in Stream::ALL {
            let question = made.experiment.question(stream);
            let line = made.line(None, recipe, question);
            let other = |of: fn(&Line) -> &Measured| {
                let share_of = line.and_then(|line| of(line).other)?;
                Some(Cell { value: share(share_of), ..Cell::default() })
            };
            rows.push(Row {
                name: format!("{}, {}", words::recipe_title(recipe), asked(stream).to_lowercase()),
                is_published: false,
                cells: vec![
                    line.map(|line| measured(&line.before)),
                    line.map(after),
                    other(|line| &line.before),
                    other(|line| &line.after),
                ],
            });
            if let Some(figures) = published(recipe.as_str(), question.as_str()) {
                let [before, after] =
                    [figures.before, figures.after].map(|figure| Some(printed(100.0 * figure)));
                rows.push(published_row("Qwen2.5-Omni-7B", figures.place, vec![before, after, None, None]));
            }
        }
    }
    (spans, vec![Section { title: None, rows }])
}
