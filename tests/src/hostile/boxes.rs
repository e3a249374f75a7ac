//! An mp4 as a tree of boxes, for edits that no muxer would make.

/// Boxes that hold boxes.
const CONTAINERS: [&[u8; 4]; 11] =
    [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"mvex", b"moof", b"traf", b"udta"];

/// The length that a box claims to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// What it is.
    Right,
    /// Anything, in 32 bits.
    Claimed(u32),
    /// Anything, in 64 bits behind the kind.
    Wide(u64),
}

/// A box.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: [u8; 4],
    pub(super) size: Size,
    /// Its content, or what stands before its boxes.
    pub(super) data: Vec<u8>,
    pub(super) boxes: Vec<Node>,
}

impl Node {
    /// A box of bytes.
    pub(super) fn new(kind: &[u8; 4], data: impl Into<Vec<u8>>) -> Self {
        Self { kind: *kind, size: Size::Right, data: data.into(), boxes: Vec::new() }
    }

    /// A box of boxes.
    pub(super) fn of(kind: &[u8; 4], boxes: Vec<Node>) -> Self {
        Self { boxes, ..Self::new(kind, []) }
    }

    /// The boxes that these bytes hold; what is none stays out.
    pub(super) fn parse(mut bytes: &[u8]) -> Vec<Self> {
        let mut nodes = Vec::new();
        while let (Some(size), Some(kind)) = (bytes.first_chunk::<4>(), bytes.get(4..8)) {
            let size = (u32::from_be_bytes(*size) as usize).clamp(8, bytes.len());
            let mut node = Self::new(&[kind[0], kind[1], kind[2], kind[3]], &bytes[8..size]);
            if CONTAINERS.contains(&&node.kind) {
                node.boxes = Self::parse(&std::mem::take(&mut node.data));
            }
            nodes.push(node);
            bytes = &bytes[size..];
        }
        nodes
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut content = self.data.clone();
        content.extend(self.boxes.iter().flat_map(Self::bytes));
        let mut bytes = match self.size {
            Size::Right => (content.len() as u32 + 8).to_be_bytes().to_vec(),
            Size::Claimed(size) => size.to_be_bytes().to_vec(),
            Size::Wide(_) => 1_u32.to_be_bytes().to_vec(),
        };
        bytes.extend(self.kind);
        if let Size::Wide(size) = self.size {
            bytes.extend(size.to_be_bytes());
        }
        bytes.extend(content);
        bytes
    }

    /// Writes over its content.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.data[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes a number over its content.
    pub(super) fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_be_bytes());
    }

    /// Reads a number from its content.
    pub(super) fn u32(&self, at: usize) -> u32 {
        self.data[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

/// A whole file.
#[derive(Debug, Clone)]
pub(super) struct Movie {
    pub(super) boxes: Vec<Node>,
}

impl Movie {
    /// The file of these bytes.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self { boxes: Node::parse(bytes) }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.boxes.iter().flat_map(Node::bytes).collect()
    }

    /// The box at a path as `moov/trak:1/mdia`; without a number the first of its kind.
    pub(super) fn at(&mut self, path: &str) -> &mut Node {
        let (list, name, nth) = self.place(path);
        let mut same = list.iter_mut().filter(|node| node.kind == *name.as_bytes());
        same.nth(nth).unwrap_or_else(|| panic!("the film has no box {path}"))
    }

    /// Takes the box at a path out.
    pub(super) fn take(&mut self, path: &str) -> Node {
        let (list, name, nth) = self.place(path);
        let same = |(_, node): &(usize, &Node)| node.kind == *name.as_bytes();
        let found = list.iter().enumerate().filter(same).nth(nth).map(|(index, _)| index);
        list.remove(found.unwrap_or_else(|| panic!("the film has no box {path}")))
    }

    /// The list that holds the last box of a path, the box's name, and which of its kind it is.
    fn place<'a>(&mut self, path: &'a str) -> (&mut Vec<Node>, &'a str, usize) {
        let mut list = &mut self.boxes;
        let mut steps = path.split('/').peekable();
        loop {
            let step = steps.next().unwrap_or_default();
            let (name, nth) = step.split_once(':').unwrap_or((step, "0"));
            let nth = nth.parse().unwrap_or(0);
            if steps.peek().is_none() {
                return (list, name, nth);
            }
            let mut same = list.iter_mut().filter(|node| node.kind == *name.as_bytes());
            list = &mut same.nth(nth).unwrap_or_else(|| panic!("the film has no box {path}")).boxes;
        }
    }
}

/// Where each box of a file begins, where its content begins, and its path; depth first.
pub(super) fn places(bytes: &[u8]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    walk(bytes, 0, "", &mut found);
    found
}

fn walk(bytes: &[u8], base: usize, path: &str, found: &mut Vec<(usize, String)>) {
    let mut at = 0;
    while let (Some(size), Some(kind)) =
        (bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()), bytes.get(at + 4..at + 8))
    {
        let size = (u32::from_be_bytes(*size) as usize).clamp(8, bytes.len() - at);
        let name = format!("{path}{}", String::from_utf8_lossy(kind));
        found.push((base + at, name.clone()));
        if CONTAINERS.iter().any(|container| *container == kind) {
            walk(&bytes[at + 8..at + size], base + at + 8, &format!("{name}-"), found);
        }
        at += size;
    }
}

/// Big-endian numbers, one behind the other.
pub(super) fn u32s(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}
