//! The clips that something happened to last.

use std::collections::BTreeMap;

use counterpoint_actors::tally::Tally;
use counterpoint_messages::{Clip, ContentHash, Message, RecordId, RejectReason, Segment, StageName};
use counterpoint_pages::live::{Fate, MAX_CLIPS, NewClip};

/// Clips that are kept. More than the page shows, so that those it showed a moment ago can still be played.
const KEPT: usize = 4 * MAX_CLIPS;

/// The newest clips, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Newest {
    clips: BTreeMap<RecordId, Known>,
}

/// What is known of a clip, whatever order its records are read in.
#[derive(Debug)]
struct Known {
    /// When the last thing happened, in milliseconds since 1970, and how far that is on the way of a clip.
    last: (i64, u8),
    video: String,
    segment: Option<Segment>,
    class: Option<String>,
    object: Option<ContentHash>,
    fate: Fate,
}

/// What a record tells of a clip.
struct News<'a> {
    clip: RecordId,
    video: &'a str,
    segment: Option<Segment>,
    class: Option<&'a str>,
    object: Option<ContentHash>,
    step: u8,
    fate: Fate,
}

impl Newest {
    /// Takes note of a record that was written at this time.
    pub(super) fn take(&mut self, message: &Message, written_ms: i64) {
        let Some(news) = news(message) else { return };
        let last = (written_ms, news.step);
        if !self.clips.contains_key(&news.clip) && self.clips.len() >= KEPT {
            let Some((oldest, known)) = self.clips.iter().min_by_key(|(_, known)| known.last) else { return };
            if known.last >= last {
                return;
            }
            let oldest = *oldest;
            self.clips.remove(&oldest);
        }
        let known = self.clips.entry(news.clip).or_insert_with(|| Known {
            last,
            video: String::new(),
            segment: None,
            class: None,
            object: None,
            fate: news.fate.clone(),
        });
        if known.video.is_empty() {
            known.video = news.video.to_owned();
        }
        known.segment = known.segment.or(news.segment);
        known.class = known.class.take().or_else(|| news.class.map(str::to_owned));
        known.object = known.object.or(news.object);
        if last >= known.last {
            known.last = last;
            known.fate = news.fate;
        }
    }

    /// The clips, the last first; `plays` says whether their objects can be had.
    pub(super) fn shown(&self, tally: &Tally, plays: bool) -> Vec<NewClip> {
        let mut clips: Vec<_> = self.clips.iter().collect();
        clips.sort_by_key(|(id, known)| (std::cmp::Reverse(known.last), **id));
        let clip = |(id, known): (&RecordId, &Known)| NewClip {
            id: id.to_string(),
            video: known.video.clone(),
            segment: known.segment,
            class: known.class.clone(),
            object: known.object.filter(|_| plays).map(|hash| hash.to_string()),
            fate: match &known.fate {
                Fate::Composed(_) => Fate::Composed(tally.samples_of(*id)),
                fate => fate.clone(),
            },
        };
        clips.into_iter().map(clip).collect()
    }
}

/// What a record tells of a clip, if it is about one.
fn news(message: &Message) -> Option<News<'_>> {
    let of = |clip: &'_ Clip, step, fate| (clip.id, clip.segment, step, fate);
    let ((clip, segment, step, fate), video, class, object) = match message {
        Message::ClipFound(found) => (of(&found.clip, 0, Fate::Found), &found.clip.video, None, None),
        Message::ClipCurated(curated) => {
            (of(&curated.clip, 1, Fate::Curated), &curated.clip.video, Some(&curated.class), None)
        }
        Message::ClipDecoded(decoded) => (
            of(&decoded.clip, 2, Fate::Decoded),
            &decoded.clip.video,
            Some(&decoded.class),
            Some(decoded.media.hash),
        ),
        Message::ClipProbed(probed) => (
            of(&probed.decoded.clip, 3, Fate::Judged),
            &probed.decoded.clip.video,
            Some(&probed.decoded.class),
            Some(probed.decoded.media.hash),
        ),
        Message::ClipAccepted(accepted) => (
            of(&accepted.clip, 4, Fate::Accepted),
            &accepted.clip.video,
            Some(&accepted.class),
            Some(accepted.media.hash),
        ),
        Message::SampleComposed(sample) => {
            let host = sample.host()?;
            let told = (host.clip, None, 5, Fate::Composed(0));
            (told, &host.video, Some(&host.class), Some(host.media.hash))
        }
        // What no list names, and what could not be fetched, is no clip.
        Message::Rejected(rejected)
            if rejected.reason != RejectReason::Unlabelled && rejected.stage != StageName::Fetcher =>
        {
            let fate = Fate::Rejected {
                stage: rejected.stage,
                reason: rejected.reason,
                detail: rejected.detail.clone(),
            };
            ((rejected.clip, None, 6, fate), &rejected.video, None, None)
        }
        Message::DeadLetter(letter) => {
            let fate = Fate::GivenUp { stage: letter.stage, reason: letter.reason.clone() };
            return Some(News {
                clip: letter.clip?,
                video: "",
                segment: None,
                class: None,
                object: None,
                step: 6,
                fate,
            });
        }
        _ => return None,
    };
    Some(News { clip, video, segment, class: class.map(String::as_str), object, step, fate })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use counterpoint_actors::{
        revision::{Contents, Revision},
        settings::Settings,
    };
    use counterpoint_messages::{ClipCurated, ClipFound, MediaFile, Rejected, Split};

    use super::*;

    fn clip(number: u8) -> Clip {
        Clip {
            id: RecordId([number; 16]),
            video: format!("video{number}"),
            segment: Some(Segment { start_ms: 30_000, end_ms: 40_000 }),
            split: Split::Eval,
            labels: Vec::new(),
        }
    }

    fn media() -> MediaFile {
        MediaFile { path: "clip.mp4".to_owned(), hash: ContentHash::default(), bytes: 1 }
    }

    fn found(number: u8) -> Message {
        Message::ClipFound(ClipFound { clip: clip(number), media: media() })
    }

    fn curated(number: u8) -> Message {
        let (id, class) = (RecordId::default(), "Cat".to_owned());
        Message::ClipCurated(ClipCurated { id, clip: clip(number), media: media(), class, mids: Vec::new() })
    }

    fn rejected(number: u8, stage: StageName, reason: RejectReason) -> Message {
        Message::Rejected(Rejected {
            id: RecordId::default(),
            clip: RecordId([number; 16]),
            video: format!("video{number}"),
            path: "clip.mp4".to_owned(),
            split: None,
            stage,
            reason,
            detail: "so".to_owned(),
        })
    }

    fn shown(newest: &Newest) -> Vec<NewClip> {
        let contents = Contents {
            ontology: ContentHash::default(),
            rules: ContentHash::default(),
            plan: ContentHash::default(),
            judge: None,
            rounds: None,
        };
        let revision = Revision::new(1, &Settings::default(), contents, BTreeMap::new());
        newest.shown(&Tally::new(&revision), true)
    }

    #[test]
    fn what_became_of_a_clip_is_what_happened_last_in_whatever_order_it_is_read() {
        let records = [
            (found(1), 10),
            (curated(1), 20),
            (rejected(1, StageName::Decoder, RejectReason::NoSound), 30),
            (found(2), 20),
        ];
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]];
        let shown = orders.map(|order| {
            let mut newest = Newest::default();
            order.iter().for_each(|place: &usize| newest.take(&records[*place].0, records[*place].1));
            shown(&newest)
        });
        assert!(shown[0] == shown[1] && shown[1] == shown[2], "{shown:?}");
        let [first, second] = &shown[0][..] else { panic!("{shown:?}") };
        assert_eq!((first.video.as_str(), first.class.as_deref()), ("video1", Some("Cat")));
        assert!(matches!(first.fate, Fate::Rejected { reason: RejectReason::NoSound, .. }), "{first:?}");
        assert!(first.segment.is_some());
        assert_eq!((second.video.as_str(), &second.fate), ("video2", &Fate::Found));
    }

    #[test]
    fn the_oldest_make_way_and_old_news_does_not_come_back() {
        let mut newest = Newest::default();
        (0..=200).for_each(|number| newest.take(&found(number), number.into()));
        newest.take(&curated(3), 4);
        let clips = shown(&newest);
        assert_eq!(clips.len(), KEPT);
        assert_eq!((clips[0].video.as_str(), clips[KEPT - 1].video.as_str()), ("video200", "video153"));
    }

    #[test]
    fn what_no_list_names_and_what_could_not_be_fetched_is_no_clip() {
        let mut newest = Newest::default();
        newest.take(&rejected(1, StageName::Source, RejectReason::Unlabelled), 1);
        newest.take(&rejected(2, StageName::Fetcher, RejectReason::Gone), 1);
        newest.take(&rejected(3, StageName::Source, RejectReason::ConflictingMedia), 1);
        let clips = shown(&newest);
        assert_eq!(clips.iter().map(|clip| clip.video.as_str()).collect::<Vec<_>>(), ["video3"]);
    }
}
