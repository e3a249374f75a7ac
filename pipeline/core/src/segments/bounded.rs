use std::io::{self, Read};

/// Longest line of a segment list, in bytes. The longest published one has 230.
pub(super) const MAX_LINE: usize = 1 << 16;

/// Passes a stream on, with two mends: of each line at most one byte more than [`MAX_LINE`], so that a file
/// without line ends is one broken row and no flood of memory, and a line end behind the last line, so
/// that every line has one.
pub(super) struct BoundedLines<R> {
    inner: R,
    in_line: usize,
}

impl<R> BoundedLines<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, in_line: 0 }
    }
}

impl<R: Read> Read for BoundedLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.inner.read(buffer)?;
            if read == 0 {
                let closed = usize::from(self.in_line > 0);
                buffer[..closed].fill(b'\n');
                self.in_line = 0;
                return Ok(closed);
            }
            let kept = self.keep(&mut buffer[..read]);
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

impl<R> BoundedLines<R> {
    /// Moves the bytes that fit to the front and returns their number.
    fn keep(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        let mut next = 0;
        while next < bytes.len() {
            let line_end = bytes[next..].iter().position(|&byte| byte == b'\n').map(|end| next + end);
            let rest = line_end.unwrap_or(bytes.len());
            let fits = (MAX_LINE + 1 - self.in_line).min(rest - next);
            bytes.copy_within(next..next + fits, kept);
            kept += fits;
            self.in_line += fits;
            next = rest;
            if line_end.is_some() {
                bytes[kept] = b'\n';
                kept += 1;
                next += 1;
                self.in_line = 0;
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(bytes: &[u8]) -> Vec<u8> {
        let mut passed = Vec::new();
        BoundedLines::new(bytes).read_to_end(&mut passed).unwrap();
        passed
    }

    #[test]
    fn short_lines_pass_unchanged_and_the_last_one_is_closed() {
        assert_eq!(pass(b"a\n\nbc\n"), b"a\n\nbc\n");
        assert_eq!(pass(b"a\nbc"), b"a\nbc\n");
        assert_eq!(pass(b""), b"");
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let mut long = vec![b'x'; 3 * MAX_LINE];
        long.extend_from_slice(b"\nnext\n");
        let passed = pass(&long);
        assert_eq!(passed.len(), MAX_LINE + 1 + b"\nnext\n".len());
        assert!(passed.ends_with(b"x\nnext\n"));
    }
}
