//! A stream of bytes → lines of the log, each with its label.

/// A longer line is cut into pieces, so that a stream without newlines takes no more memory than this. Container
/// runtimes cut at 16 KiB themselves.
const LONGEST: usize = 8 * 1024;

/// The line that has begun.
#[derive(Debug)]
pub(crate) struct Lines {
    label: String,
    begun: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(label: &str) -> Self {
        let label = if label.is_empty() { String::new() } else { format!("[{label}] ") };
        Self { label, begun: Vec::new() }
    }

    /// Takes bytes, and appends the lines that are whole to `log`.
    pub(crate) fn feed(&mut self, bytes: &[u8], log: &mut Vec<u8>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (mut text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            while self.begun.len() + text.len() > LONGEST {
                let (piece, rest) = text.split_at(LONGEST - self.begun.len());
                self.begun.extend_from_slice(piece);
                let carried = self.begun.split_off(whole_characters(&self.begun));
                self.write(log);
                self.begun = carried;
                text = rest;
            }
            self.begun.extend_from_slice(text);
            if ends {
                self.write(log);
            }
        }
    }

    /// Appends the line that has begun: the stream is at its end.
    pub(crate) fn finish(&mut self, log: &mut Vec<u8>) {
        if !self.begun.is_empty() {
            self.write(log);
        }
    }

    fn write(&mut self, log: &mut Vec<u8>) {
        log.extend_from_slice(self.label.as_bytes());
        log.append(&mut self.begun);
        log.push(b'\n');
    }
}

/// How many bytes can stand in a piece without cutting a UTF-8 character in two.
fn whole_characters(bytes: &[u8]) -> usize {
    let starts = |byte: u8| byte & 0xC0 != 0x80;
    match bytes.iter().rposition(|byte| starts(*byte)) {
        Some(last) if bytes.len() - last < width(bytes[last]) && last > 0 => last,
        _ => bytes.len(),
    }
}

/// How many bytes a character has that starts with this one.
fn width(first: u8) -> usize {
    match first {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF7 => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(label: &str, parts: &[&[u8]]) -> String {
        let mut lines = Lines::new(label);
        let mut log = Vec::new();
        for part in parts {
            lines.feed(part, &mut log);
        }
        lines.finish(&mut log);
        String::from_utf8(log).unwrap()
    }

    #[test]
    fn each_line_gets_the_label() {
        assert_eq!(lines("7", &[b"a\nb", b"c\n\n", b"d"]), "[7] a\n[7] bc\n[7] \n[7] d\n");
        assert_eq!(lines("", &[b"a\n"]), "a\n");
        assert_eq!(lines("7", &[]), "");
    }

    #[test]
    fn a_long_line_is_cut_into_pieces_of_bounded_memory() {
        let long = vec![b'a'; 3 * LONGEST + 1];
        let mut lines = Lines::new("7");
        let mut written = Vec::new();
        for part in long.chunks(1000) {
            lines.feed(part, &mut written);
            assert!(lines.begun.len() <= LONGEST);
        }
        lines.feed(b"\n", &mut written);
        let pieces: Vec<usize> = written.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
        let label = "[7] ".len();
        assert_eq!(pieces, [LONGEST + label, LONGEST + label, LONGEST + label, 1 + label, 0]);
    }

    #[test]
    fn a_line_of_exactly_the_longest_is_one_piece() {
        let mut line = vec![b'a'; LONGEST];
        line.push(b'\n');
        assert_eq!(lines("", &[&line]).lines().count(), 1);
    }

    #[test]
    fn a_piece_ends_at_a_whole_character() {
        let mut text = "a".repeat(LONGEST - 1);
        text.push_str("€uro\n");
        let text = lines("", &[text.as_bytes()]);
        assert_eq!(text.lines().nth(1), Some("€uro"));
    }

    #[test]
    fn bytes_that_are_no_text_are_cut_all_the_same() {
        let mut lines = Lines::new("");
        let mut log = Vec::new();
        lines.feed(&vec![0x80; 2 * LONGEST], &mut log);
        assert_eq!(log.len(), LONGEST + 1);
    }
}
