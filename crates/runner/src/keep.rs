//! What is kept of a stream: its first bytes, or its last.

/// The first bytes of a stream, up to a limit.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Head {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, cut: false }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..fits]);
        self.cut |= fits < bytes.len();
    }

    /// What was kept, and whether there was more.
    pub(crate) fn take(&mut self) -> (Vec<u8>, bool) {
        (std::mem::take(&mut self.bytes), self.cut)
    }
}

/// The last bytes of a stream, up to a limit.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Tail {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, cut: false }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let fresh = &bytes[bytes.len().saturating_sub(self.limit)..];
        self.bytes.extend_from_slice(fresh);
        self.cut |= fresh.len() < bytes.len();
        // Moved once per `limit` bytes, not at each call.
        if self.bytes.len() > 2 * self.limit {
            self.trim();
        }
    }

    /// What was kept, as text: not from the middle of a character, and with U+FFFD for what is not UTF-8.
    pub(crate) fn take(&mut self) -> String {
        self.trim();
        let rest = |byte: &u8| self.cut && byte & 0xC0 == 0x80;
        let start = self.bytes.iter().take(3).take_while(|byte| rest(byte)).count();
        let text = String::from_utf8_lossy(&self.bytes[start..]).into_owned();
        self.bytes = Vec::new();
        text
    }

    fn trim(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..surplus);
        self.cut |= surplus > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_the_first_bytes_and_knows_of_more() {
        let mut head = Head::new(4);
        head.feed(b"ab");
        head.feed(b"cd");
        assert!(!head.cut);
        head.feed(b"e");
        head.feed(b"f");
        assert_eq!(head.take(), (b"abcd".to_vec(), true));
    }

    #[test]
    fn a_tail_keeps_the_last_bytes() {
        let mut tail = Tail::new(4);
        for byte in b'a'..=b'z' {
            tail.feed(&[byte]);
            assert!(tail.bytes.len() <= 8);
        }
        assert_eq!(tail.take(), "wxyz");
        tail.feed(b"0123456789");
        assert_eq!(tail.take(), "6789");
    }

    #[test]
    fn a_tail_starts_at_a_whole_character() {
        let mut tail = Tail::new(4);
        tail.feed("xéüö".as_bytes());
        assert_eq!(tail.take(), "üö");
        tail.feed("xüö".as_bytes());
        assert_eq!(tail.take(), "üö");
        tail.feed("üab".as_bytes());
        assert_eq!(tail.take(), "üab");
        tail.feed("aüab".as_bytes());
        assert_eq!(tail.take(), "üab");
        tail.feed("üabc".as_bytes());
        assert_eq!(tail.take(), "abc");
    }

    #[test]
    fn what_is_not_text_is_replaced() {
        let mut tail = Tail::new(8);
        tail.feed(b"\x80a\xff");
        assert_eq!(tail.take(), "\u{fffd}a\u{fffd}");
    }
}
