//! A Matroska file as a tree of elements, for edits that no muxer would make.

/// Ids of the elements that the corpus edits.
pub(super) mod id {
    pub(in crate::hostile) const EBML: u32 = 0x1a45_dfa3;
    pub(in crate::hostile) const DOC_TYPE: u32 = 0x4282;
    pub(in crate::hostile) const SEGMENT: u32 = 0x1853_8067;
    pub(in crate::hostile) const INFO: u32 = 0x1549_a966;
    pub(in crate::hostile) const SCALE: u32 = 0x002a_d7b1;
    pub(in crate::hostile) const DURATION: u32 = 0x4489;
    pub(in crate::hostile) const TRACKS: u32 = 0x1654_ae6b;
    pub(in crate::hostile) const TRACK: u32 = 0xae;
    pub(in crate::hostile) const TRACK_NUMBER: u32 = 0xd7;
    pub(in crate::hostile) const TRACK_TYPE: u32 = 0x83;
    pub(in crate::hostile) const CODEC: u32 = 0x86;
    pub(in crate::hostile) const CODEC_PRIVATE: u32 = 0x63a2;
    pub(in crate::hostile) const FRAME_LENGTH: u32 = 0x0023_e383;
    pub(in crate::hostile) const VIDEO: u32 = 0xe0;
    pub(in crate::hostile) const WIDTH: u32 = 0xb0;
    pub(in crate::hostile) const HEIGHT: u32 = 0xba;
    pub(in crate::hostile) const AUDIO: u32 = 0xe1;
    pub(in crate::hostile) const RATE: u32 = 0xb5;
    pub(in crate::hostile) const CHANNELS: u32 = 0x9f;
    pub(in crate::hostile) const ENCODINGS: u32 = 0x6d80;
    pub(in crate::hostile) const ENCODING: u32 = 0x6240;
    pub(in crate::hostile) const COMPRESSION: u32 = 0x5034;
    pub(in crate::hostile) const ALGORITHM: u32 = 0x4254;
    pub(in crate::hostile) const CLUSTER: u32 = 0x1f43_b675;
    pub(in crate::hostile) const TIME: u32 = 0xe7;
    pub(in crate::hostile) const BLOCK: u32 = 0xa3;
    pub(in crate::hostile) const GROUP: u32 = 0xa0;
    pub(in crate::hostile) const CUES: u32 = 0x1c53_bb6b;
    pub(in crate::hostile) const SEEK_HEAD: u32 = 0x114d_9b74;
    pub(in crate::hostile) const TAGS: u32 = 0x1254_c367;
    pub(in crate::hostile) const ATTACHMENTS: u32 = 0x1941_a469;
    pub(in crate::hostile) const VOID: u32 = 0xec;
}

/// Elements that hold elements.
const MASTERS: [u32; 12] = [
    id::EBML,
    id::SEGMENT,
    id::INFO,
    id::TRACKS,
    id::TRACK,
    id::VIDEO,
    id::AUDIO,
    id::CLUSTER,
    id::GROUP,
    id::ENCODINGS,
    id::ENCODING,
    id::COMPRESSION,
];

/// The length that an element claims to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// What it is.
    Right,
    /// None: it ends where something else begins.
    Unknown,
    /// Anything.
    Claimed(u64),
}

/// An element, or with the id 0 a whole file.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) id: u32,
    pub(super) length: Length,
    pub(super) data: Vec<u8>,
    pub(super) elements: Vec<Element>,
}

impl Element {
    /// An element of bytes.
    pub(super) fn new(id: u32, data: impl Into<Vec<u8>>) -> Self {
        Self { id, length: Length::Right, data: data.into(), elements: Vec::new() }
    }

    /// An element of elements.
    pub(super) fn of(id: u32, elements: Vec<Element>) -> Self {
        Self { elements, ..Self::new(id, []) }
    }

    /// The file of these bytes.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self::of(0, parse(bytes))
    }

    /// Its bytes; every length takes eight of them.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut content = self.data.clone();
        content.extend(self.elements.iter().flat_map(Self::bytes));
        if self.id == 0 {
            return content;
        }
        let length = match self.length {
            Length::Right => content.len() as u64,
            Length::Unknown => (1 << 56) - 1,
            Length::Claimed(length) => length,
        };
        let id = self.id.to_be_bytes();
        let mut bytes = id[id.iter().take_while(|byte| **byte == 0).count()..].to_vec();
        bytes.extend((length | 1 << 56).to_be_bytes());
        bytes.extend(content);
        bytes
    }

    /// The element at a path of ids; the first of its kind at each step.
    pub(super) fn at(&mut self, path: &[u32]) -> &mut Self {
        let Some((first, rest)) = path.split_first() else { return self };
        let found = self.elements.iter_mut().find(|element| element.id == *first);
        found.unwrap_or_else(|| panic!("the film has no element {first:x}")).at(rest)
    }

    /// Gives the element of this id in it another content, or adds it.
    pub(super) fn set(&mut self, id: u32, data: impl Into<Vec<u8>>) {
        self.elements.retain(|element| element.id != id);
        self.elements.insert(0, Self::new(id, data));
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Element> {
    let mut elements = Vec::new();
    while let Some((id, length, header)) = header(bytes) {
        let end = header.saturating_add(length).min(bytes.len());
        let mut element = Element::new(id, &bytes[header..end]);
        if MASTERS.contains(&id) {
            element.elements = parse(&std::mem::take(&mut element.data));
        }
        elements.push(element);
        bytes = &bytes[end..];
    }
    elements
}

/// Id and length of the element that begins here, and the length of both.
fn header(bytes: &[u8]) -> Option<(u32, usize, usize)> {
    let id_length = bytes.first()?.leading_zeros() as usize + 1;
    let id = bytes.get(..id_length.min(4))?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let first = *bytes.get(id_length)?;
    let length_length = first.leading_zeros() as usize + 1;
    let rest = bytes.get(id_length + 1..id_length + length_length)?;
    let begin = u64::from(first) & (0x7f >> (length_length - 1));
    let length = rest.iter().fold(begin, |length, byte| length << 8 | u64::from(*byte));
    let unknown = (1 << (7 * length_length)) - 1;
    let length = if length == unknown { usize::MAX } else { length as usize };
    Some((id, length, id_length + length_length))
}

/// Where each element of a file begins, and its id; depth first.
pub(super) fn places(bytes: &[u8]) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    walk(bytes, 0, &mut found);
    found
}

fn walk(bytes: &[u8], base: usize, found: &mut Vec<(usize, u32)>) {
    let mut at = 0;
    while let Some((id, length, header)) = header(&bytes[at..]) {
        let end = at.saturating_add(header).saturating_add(length).min(bytes.len());
        found.push((base + at, id));
        if MASTERS.contains(&id) {
            walk(&bytes[at + header..end], base + at + header, found);
        }
        at = end;
    }
}
