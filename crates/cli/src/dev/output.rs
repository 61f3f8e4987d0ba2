//! The lines of many processes as one readable log.

use std::io::{IsTerminal, Write};

/// Colours that are told apart on light and dark ground.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// Where lines go.
#[derive(Debug, Clone)]
pub struct Output {
    width: usize,
    coloured: bool,
}

impl Output {
    /// Lines on standard error, behind labels of this width.
    pub fn new(width: usize) -> Self {
        Self { width, coloured: std::io::stderr().is_terminal() }
    }

    /// Writes one line of the process that has this label.
    pub fn line(&self, label: &str, line: &[u8]) {
        let mut out = std::io::stderr().lock();
        // Nobody reads any more: nothing is left to be said.
        let _ = out.write_all(&self.compose(label, line));
    }

    fn compose(&self, label: &str, line: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(label.len() + line.len() + 16);
        if self.coloured {
            let sum = label.bytes().map(usize::from).sum::<usize>();
            text.extend_from_slice(format!("\x1b[{}m", COLOURS[sum % COLOURS.len()]).as_bytes());
        }
        text.extend_from_slice(format!("{label:<width$} | ", width = self.width).as_bytes());
        if self.coloured {
            text.extend_from_slice(b"\x1b[0m");
        }
        text.extend_from_slice(line);
        text.push(b'\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_in_a_column_behind_their_labels() {
        let output = Output { width: 12, coloured: false };
        assert_eq!(output.compose("pool/0 task", b"hello"), b"pool/0 task  | hello\n");
    }
}
