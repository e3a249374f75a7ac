use counterpoint_core::media_job::{Limits, MediaReject};
use counterpoint_messages::{ContainerFacts, RejectReason};
use gstreamer::prelude::*;
use gstreamer::{Caps, CapsRef, StructureRef};
use gstreamer_video::{VideoInfo, VideoOrientationMethod};

/// What a person does about a codec or container that is not supported.
const CONVERT: &str = "convert the file to H.264 and AAC in mp4";

/// What the decoder's signals tell about a file, gathered while it is opened.
#[derive(Debug)]
pub(crate) struct SourceFacts {
    limits: Limits,
    /// Container, codecs and formats; width and height as stored.
    pub(crate) container: ContainerFacts,
    /// How the picture has to be turned to be seen upright.
    pub(crate) orientation: VideoOrientationMethod,
    /// Whether a picture stream is decoded.
    pub(crate) has_picture: bool,
    /// Whether a sound stream is decoded.
    pub(crate) has_sound: bool,
    /// The limit that the file broke.
    pub(crate) too_large: Option<MediaReject>,
    unknown: Vec<String>,
    streams: u32,
}

impl SourceFacts {
    /// Nothing known yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            container: ContainerFacts {
                container: String::new(),
                video_codec: String::new(),
                audio_codec: String::new(),
                width: 0,
                height: 0,
                frame_rate: 0.0,
                duration_ms: 0,
                sample_rate: 0,
                channels: 0,
            },
            orientation: VideoOrientationMethod::Identity,
            has_picture: false,
            has_sound: false,
            too_large: None,
            unknown: Vec::new(),
            streams: 0,
        }
    }

    /// Notes what the decoder came upon; false where it must not go on with it.
    pub(crate) fn found(&mut self, caps: &Caps) -> bool {
        let Some(structure) = caps.structure(0) else { return true };
        if self.container.container.is_empty() {
            self.container.container = container_name(structure);
            return true;
        }
        let name = codec_name(structure);
        if structure.name().starts_with("video/") && self.container.video_codec.is_empty() {
            self.container.video_codec = name;
        } else if structure.name().starts_with("audio/") && self.container.audio_codec.is_empty() {
            self.container.audio_codec = name;
        }
        self.size_allowed(caps)
    }

    /// Whether a frame of this format is within the limit; notes the reject where it is not.
    pub(crate) fn size_allowed(&mut self, caps: &CapsRef) -> bool {
        let side = |structure: &StructureRef, name| structure.get::<i32>(name).map_or(0, i64::from).max(0);
        let Some(structure) = caps.structure(0) else { return true };
        let (width, height) = (side(structure, "width"), side(structure, "height"));
        if width.saturating_mul(height).unsigned_abs() <= self.limits.frame_pixels {
            return true;
        }
        self.too_large.get_or_insert_with(|| {
            MediaReject::new(
                RejectReason::TooLarge,
                format!(
                    "the picture is {width}x{height}, more than {} pixels; scale it down",
                    self.limits.frame_pixels
                ),
            )
        });
        false
    }

    /// Notes a stream that nothing may decode.
    pub(crate) fn unknown(&mut self, caps: &Caps) {
        self.count_stream();
        if let Some(structure) = caps.structure(0)
            && self.unknown.len() < 16
        {
            self.unknown.push(structure.name().to_string());
        }
    }

    /// Whether a decoded stream is the first of its kind.
    pub(crate) fn claim(&mut self, kind: &str, caps: &CapsRef) -> bool {
        self.count_stream();
        match kind {
            "video/x-raw" if !self.has_picture => {
                let Ok(info) = VideoInfo::from_caps(caps) else { return false };
                self.has_picture = true;
                let par = f64::from(info.par().numer()) / f64::from(info.par().denom().max(1));
                self.container.width = (f64::from(info.width()) * par).round() as u32;
                self.container.height = info.height();
                true
            }
            "audio/x-raw" if !self.has_sound => {
                self.has_sound = true;
                if let Some(structure) = caps.structure(0) {
                    let number =
                        |name| structure.get::<i32>(name).map_or(0, |value| value.max(0).unsigned_abs());
                    self.container.sample_rate = number("rate");
                    self.container.channels = number("channels");
                }
                true
            }
            _ => false,
        }
    }

    /// Notes how the picture has to be turned.
    pub(crate) fn tags(&mut self, tags: &gstreamer::TagListRef) {
        if let Some(tag) = tags.get::<gstreamer::tags::ImageOrientation>() {
            self.orientation = orientation(tag.get());
        }
    }

    /// The facts, with width and height as displayed.
    pub(crate) fn displayed(&self) -> ContainerFacts {
        use VideoOrientationMethod::{_90l, _90r, UlLr, UrLl};
        let mut facts = self.container.clone();
        if matches!(self.orientation, _90l | _90r | UlLr | UrLl) {
            std::mem::swap(&mut facts.width, &mut facts.height);
        }
        facts
    }

    /// Rejects a file that lacks one of the streams asked for.
    pub(crate) fn require(&self, picture: bool, sound: bool) -> Result<(), MediaReject> {
        if picture && !self.has_picture {
            return Err(self.lacking(&["video/", "image/"], RejectReason::NoPicture));
        }
        if sound && !self.has_sound {
            return Err(self.lacking(&["audio/"], RejectReason::NoSound));
        }
        Ok(())
    }

    fn lacking(&self, kinds: &[&str], reason: RejectReason) -> MediaReject {
        if let Some(codec) = self.unknown.iter().find(|name| kinds.iter().any(|kind| name.starts_with(kind)))
        {
            return unsupported(codec);
        }
        let what = if reason == RejectReason::NoPicture { "picture" } else { "sound" };
        let container = &self.container.container;
        MediaReject::new(
            reason,
            format!("the {container} file has no {what} stream; use a clip with picture and sound"),
        )
    }

    fn count_stream(&mut self) {
        self.streams = self.streams.saturating_add(1);
        if self.streams > self.limits.streams {
            self.too_large.get_or_insert_with(|| {
                MediaReject::new(
                    RejectReason::TooLarge,
                    format!("more than {} streams; remux the file with one of each", self.limits.streams),
                )
            });
        }
    }
}

/// The reject for an error that GStreamer reported on a file, in words of our own: GStreamer's name source
/// files and depend on the language of the machine.
pub(crate) fn reject_of(error: &gstreamer::message::Error, facts: &SourceFacts) -> MediaReject {
    use gstreamer::{CoreError, ResourceError, StreamError};
    let cause = error.error();
    let is = |kinds: &[StreamError]| kinds.iter().any(|kind| cause.matches(*kind));
    if is(&[StreamError::TypeNotFound, StreamError::WrongType]) {
        return MediaReject::new(
            RejectReason::NotMedia,
            "the bytes are of no known media format; check that it is a video file",
        );
    }
    if is(&[StreamError::CodecNotFound]) || cause.matches(CoreError::MissingPlugin) {
        let of = |kind: &str| facts.unknown.iter().find(|name| name.starts_with(kind));
        return match of("video/").or_else(|| of("audio/")) {
            Some(codec) => unsupported(codec),
            None => MediaReject::new(
                RejectReason::NotMedia,
                format!("the file is {}, not a video; check the file", facts.unknown.join(", ")),
            ),
        };
    }
    if is(&[StreamError::Decrypt, StreamError::DecryptNokey]) {
        return unsupported("encrypted streams");
    }
    if cause.matches(ResourceError::Read) {
        let said = cause.message();
        return MediaReject::new(
            RejectReason::UnreadableFile,
            format!("the file cannot be read ({said}); check the disk that it lies on"),
        );
    }
    let why = if is(&[StreamError::Demux]) {
        "its index is damaged or ends early"
    } else if is(&[StreamError::Decode]) {
        "its packets are damaged"
    } else if is(&[StreamError::Format, StreamError::NotImplemented]) {
        "its format contradicts itself"
    } else {
        "its data breaks off or contradicts itself"
    };
    MediaReject::new(
        RejectReason::CorruptMedia,
        format!("{} cannot be decoded: {why}; fetch the file again or re-encode it", part_of(error, facts)),
    )
}

/// What of the file an element was at work on: a codec or the container.
fn part_of(error: &gstreamer::message::Error, facts: &SourceFacts) -> String {
    use gstreamer::ElementFactoryType;
    let factory = error.src().and_then(|source| source.downcast_ref::<gstreamer::Element>()?.factory());
    let has = |kind: ElementFactoryType| factory.as_ref().is_some_and(|factory| factory.has_type(kind));
    let named = |what: &str, codec: &str| match codec {
        "" => format!("the {what}"),
        codec => format!("the {what} ({codec})"),
    };
    if has(ElementFactoryType::MEDIA_VIDEO) {
        named("picture", &facts.container.video_codec)
    } else if has(ElementFactoryType::MEDIA_AUDIO) {
        named("sound", &facts.container.audio_codec)
    } else {
        named("file", &facts.container.container)
    }
}

fn unsupported(codec: &str) -> MediaReject {
    MediaReject::new(RejectReason::UnsupportedCodec, format!("no decoder may be used for {codec}; {CONVERT}"))
}

/// `mp4`, `mov`, `matroska`, `webm`, `avi`; otherwise the media type as GStreamer names it.
fn container_name(structure: &StructureRef) -> String {
    match structure.name().as_str() {
        "video/quicktime" => match structure.get::<&str>("variant") {
            Ok("iso") => "mp4",
            _ => "mov",
        },
        "video/x-m4v" => "mp4",
        "video/x-matroska" | "audio/x-matroska" => "matroska",
        "video/webm" | "audio/webm" => "webm",
        "video/x-msvideo" => "avi",
        other => other,
    }
    .to_owned()
}

/// `h264`, `vp8`, `vp9`, `mpeg4`, `aac`, `mp3`, `opus`, `vorbis`, `pcm`; otherwise as GStreamer names it.
fn codec_name(structure: &StructureRef) -> String {
    let version = structure.get::<i32>("mpegversion").unwrap_or(0);
    match (structure.name().as_str(), version) {
        ("video/x-h264", _) => "h264",
        ("video/x-vp8", _) => "vp8",
        ("video/x-vp9", _) => "vp9",
        ("video/mpeg", 4) | ("video/x-divx" | "video/x-xvid", _) => "mpeg4",
        ("video/x-raw", _) => "raw",
        ("audio/mpeg", 2 | 4) => "aac",
        ("audio/mpeg", 1) => "mp3",
        ("audio/x-opus", _) => "opus",
        ("audio/x-vorbis", _) => "vorbis",
        ("audio/x-raw", _) => "pcm",
        (other, _) => other,
    }
    .to_owned()
}

/// What GStreamer's `image-orientation` tag asks for.
fn orientation(tag: &str) -> VideoOrientationMethod {
    use VideoOrientationMethod::{_90l, _90r, _180, Horiz, Identity, UlLr, UrLl, Vert};
    match tag {
        "rotate-90" => _90r,
        "rotate-180" => _180,
        "rotate-270" => _90l,
        "flip-rotate-0" => Horiz,
        "flip-rotate-90" => UlLr,
        "flip-rotate-180" => Vert,
        "flip-rotate-270" => UrLl,
        _ => Identity,
    }
}
