use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use counterpoint_messages::Segment;
use serde::Serialize;

use crate::{
    format::{decimal, spaced},
    report::{GalleryClip, GalleryGroup, GalleryVariant},
    words,
};

/// Samples beside the clips they were made from.
#[derive(Debug, Serialize)]
pub(super) struct GalleryView {
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Group {
    host: Clip,
    variants: Vec<Variant>,
}

#[derive(Debug, Serialize)]
struct Clip {
    video: String,
    segment: Option<String>,
    class: String,
    player: Player,
}

#[derive(Debug, Serialize)]
struct Variant {
    sample: String,
    title: &'static str,
    does: &'static str,
    parameters: Option<String>,
    seen: Option<String>,
    heard: Vec<String>,
    split: &'static str,
    seed: u64,
    donors: Vec<Clip>,
    player: Player,
}

/// One video element. Bytes that the page holds already are named, not repeated.
#[derive(Debug, Serialize)]
struct Player {
    id: String,
    label: String,
    source: Option<String>,
    same_as: Option<String>,
}

impl GalleryView {
    pub(super) fn of(groups: &[GalleryGroup]) -> Self {
        let mut players = Players { first: HashMap::new(), made: 0 };
        Self { groups: groups.iter().map(|group| group_view(group, &mut players)).collect() }
    }
}

fn group_view<'a>(group: &'a GalleryGroup, players: &mut Players<'a>) -> Group {
    let host = clip(&group.host, "Host", players);
    let variants = group.variants.iter().map(|sample| variant(sample, &group.host, players)).collect();
    Group { host, variants }
}

fn clip<'a>(clip: &'a GalleryClip, role: &str, players: &mut Players<'a>) -> Clip {
    let class = spaced(&clip.class);
    Clip {
        video: clip.video.clone(),
        segment: clip.segment.map(segment),
        player: players.player(clip.mp4.as_deref(), format!("{role}: {class}, {}", clip.video)),
        class,
    }
}

fn variant<'a>(sample: &'a GalleryVariant, host: &GalleryClip, players: &mut Players<'a>) -> Variant {
    let title = words::recipe_title(sample.recipe.name());
    Variant {
        sample: sample.sample.clone(),
        title,
        does: words::recipe(sample.recipe.name()),
        parameters: words::recipe_parameters(sample.recipe),
        seen: sample.class_seen.as_deref().map(spaced),
        heard: sample.classes_heard.iter().map(|class| spaced(class)).collect(),
        split: sample.split.as_str(),
        seed: sample.seed,
        player: players.player(sample.mp4.as_deref(), format!("{title} sample of {}", host.video)),
        donors: sample.donors.iter().map(|donor| clip(donor, "Donor", players)).collect(),
    }
}

struct Players<'a> {
    first: HashMap<&'a [u8], String>,
    made: u64,
}

impl<'a> Players<'a> {
    fn player(&mut self, mp4: Option<&'a [u8]>, label: String) -> Player {
        self.made += 1;
        let id = format!("player-{}", self.made);
        let same_as = mp4.and_then(|bytes| self.first.get(bytes).cloned());
        let source = match (&same_as, mp4) {
            (None, Some(bytes)) => {
                self.first.insert(bytes, id.clone());
                Some(format!("data:video/mp4;base64,{}", STANDARD.encode(bytes)))
            }
            _ => None,
        };
        Player { id, label, source, same_as }
    }
}

pub(super) fn segment(segment: Segment) -> String {
    let seconds = |ms: u64| decimal(ms as f64 / 1000.0);
    format!("{}\u{2013}{} s", seconds(segment.start_ms), seconds(segment.end_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_stand_in_the_page_once() {
        let mut players = Players { first: HashMap::new(), made: 0 };
        let first = players.player(Some(b"abc"), "first".to_owned());
        let again = players.player(Some(b"abc"), "again".to_owned());
        let none = players.player(None, "none".to_owned());
        assert_eq!(first.source.as_deref(), Some("data:video/mp4;base64,YWJj"));
        assert_eq!((again.source, again.same_as.as_deref()), (None, Some("player-1")));
        assert_eq!((none.source, none.same_as), (None, None));
    }
}
