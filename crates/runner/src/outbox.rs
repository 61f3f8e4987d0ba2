//! Bytes that wait to be written, kept without growing over time.

/// What an empty outbox keeps allocated at most, and how much may be sent before what is left moves to the front.
const KEEP: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    /// Where more is appended.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// The first `count` pending bytes have been written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEEP);
            self.sent = 0;
        } else if self.sent >= KEEP && self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut outbox = Outbox::of(b"abc".to_vec());
        outbox.advance(1);
        outbox.end().extend_from_slice(b"de");
        assert_eq!(outbox.pending(), b"bcde");
        outbox.advance(4);
        assert!(outbox.is_empty());
    }

    #[test]
    fn memory_is_given_back() {
        let mut outbox = Outbox::of(vec![7; 10 * KEEP]);
        outbox.advance(6 * KEEP);
        assert_eq!((outbox.bytes.len(), outbox.sent), (4 * KEEP, 0));
        outbox.advance(4 * KEEP);
        assert!(outbox.bytes.capacity() <= KEEP);
    }
}
