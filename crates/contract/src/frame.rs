//! Bytes on the socket ↔ frames.
//!
//! ```text
//!   ┌──────────────┬───────────────┬────────────┬─────────────┐
//!   │ header bytes │ payload bytes │ header     │ payload     │
//!   │ u32, big end │ u32, big end  │ JSON       │ any bytes   │
//!   └──────────────┴───────────────┴────────────┴─────────────┘
//! ```
//!
//! The header is a JSON object with one member, whose name is the frame's kind. The payload carries the user's
//! bytes (arguments, a result) as they are, so that nothing in between has to read or escape them.

use serde::{Deserialize, Serialize};

/// Bytes before the header: the two lengths.
pub const PREFIX: usize = 8;

/// The largest header. Ours are far below it; a larger one means that the peer does not speak this contract.
pub const MAX_HEADER: usize = 1 << 20;

/// The largest payload: a result or a task's arguments. Celery's brokers stall long before.
pub const MAX_PAYLOAD: usize = 256 << 20;

/// A frame cut out of a buffer: its two parts, and how many bytes of the buffer it took.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The JSON header, not yet read.
    pub header: &'a [u8],
    /// The user's bytes.
    pub payload: &'a [u8],
    /// Bytes that the frame took from the buffer's start.
    pub taken: usize,
}

/// Why bytes are not a frame. The connection cannot be used any further.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The header's length is over [`MAX_HEADER`].
    #[error("a frame's header of {0} bytes is over the limit of {MAX_HEADER}")]
    HeaderTooLong(usize),
    /// The payload's length is over [`MAX_PAYLOAD`].
    #[error("a frame's payload of {0} bytes is over the limit of {MAX_PAYLOAD}")]
    PayloadTooLong(usize),
    /// The header is not the JSON that is expected here.
    #[error("failed to read a frame's header")]
    Header(#[source] serde_json::Error),
}

/// Cuts the first frame from `buffer`; `None` when it has not arrived whole.
pub fn cut(buffer: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((prefix, rest)) = buffer.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let [h0, h1, h2, h3, p0, p1, p2, p3] = *prefix;
    let header_length = u32::from_be_bytes([h0, h1, h2, h3]) as usize;
    let payload_length = u32::from_be_bytes([p0, p1, p2, p3]) as usize;
    if header_length > MAX_HEADER {
        return Err(FrameError::HeaderTooLong(header_length));
    }
    if payload_length > MAX_PAYLOAD {
        return Err(FrameError::PayloadTooLong(payload_length));
    }
    let Some((header, rest)) = rest.split_at_checked(header_length) else {
        return Ok(None);
    };
    let Some((payload, _)) = rest.split_at_checked(payload_length) else {
        return Ok(None);
    };
    Ok(Some(Frame { header, payload, taken: PREFIX + header_length + payload_length }))
}

/// Reads a frame's header as `T` ([`crate::control::ToRunner`] and its siblings), which may borrow from it.
pub fn read<'a, T: Deserialize<'a>>(header: &'a [u8]) -> Result<T, FrameError> {
    serde_json::from_slice(header).map_err(FrameError::Header)
}

/// Appends a frame to `buffer`, so that a batch of frames leaves by one system call.
pub fn put<T: Serialize>(buffer: &mut Vec<u8>, header: &T, payload: &[u8]) -> Result<(), FrameError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; PREFIX]);
    let written = serde_json::to_writer(&mut *buffer, header).map_err(FrameError::Header);
    let header_length = buffer.len() - start - PREFIX;
    let lengths = written.and_then(|()| Ok((length_of_header(header_length)?, length_of_payload(payload)?)));
    let (header_length, payload_length) = match lengths {
        Ok(lengths) => lengths,
        Err(error) => {
            buffer.truncate(start);
            return Err(error);
        }
    };
    buffer[start..start + 4].copy_from_slice(&header_length.to_be_bytes());
    buffer[start + 4..start + PREFIX].copy_from_slice(&payload_length.to_be_bytes());
    buffer.extend_from_slice(payload);
    Ok(())
}

fn length_of_header(length: usize) -> Result<u32, FrameError> {
    match u32::try_from(length) {
        Ok(short) if length <= MAX_HEADER => Ok(short),
        _ => Err(FrameError::HeaderTooLong(length)),
    }
}

fn length_of_payload(payload: &[u8]) -> Result<u32, FrameError> {
    match u32::try_from(payload.len()) {
        Ok(short) if payload.len() <= MAX_PAYLOAD => Ok(short),
        _ => Err(FrameError::PayloadTooLong(payload.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_frames_is_cut_in_the_order_it_was_put() {
        let mut buffer = Vec::new();
        put(&mut buffer, &["a"], b"first").unwrap();
        put(&mut buffer, &["b"], b"").unwrap();
        let first = cut(&buffer).unwrap().unwrap();
        assert_eq!((first.header, first.payload), (&br#"["a"]"#[..], &b"first"[..]));
        let second = cut(&buffer[first.taken..]).unwrap().unwrap();
        assert_eq!(read::<Vec<String>>(second.header).unwrap(), ["b"]);
        assert_eq!(first.taken + second.taken, buffer.len());
    }

    #[test]
    fn a_frame_that_has_not_arrived_whole_waits_for_more() {
        let mut buffer = Vec::new();
        put(&mut buffer, &["a"], b"payload").unwrap();
        for end in 0..buffer.len() {
            assert_eq!(cut(&buffer[..end]).unwrap(), None, "cut at {end} of {}", buffer.len());
        }
    }

    #[test]
    fn lengths_over_the_limits_are_refused_before_anything_is_allocated() {
        let header = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert!(matches!(cut(&header), Err(FrameError::HeaderTooLong(_))));
        let payload = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(cut(&payload), Err(FrameError::PayloadTooLong(_))));
    }
}
