//! Documents that a worker of Celery 5.7 stored compressed, by `result_compression`.

use std::borrow::Cow;

use crate::compression::{Compression, MAX_BODY, Undone};

/// What a compressed document begins with: `compress_payload` of `celery/backends/base.py`. The content type of the
/// method follows, and a zero.
const MAGIC: &[u8] = b"\0celery-compressed\0";

/// Why a stored document cannot be decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDecompressed {
    /// It names a method that is not known.
    #[error("failed to read a stored result: it is compressed by {0:?}, which is not supported")]
    Unknown(String),
    /// It is not what it says.
    #[error("failed to decompress a stored result")]
    Undone(#[source] Undone),
}

/// The text of a stored document, whether it was compressed or not; readers tell by the document itself, as Celery's do.
pub fn decompressed(stored: &[u8]) -> Result<Cow<'_, [u8]>, NotDecompressed> {
    let Some(rest) = stored.strip_prefix(MAGIC) else {
        return Ok(Cow::Borrowed(stored));
    };
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let (name, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let method = std::str::from_utf8(name).ok().and_then(Compression::named);
    let method = method.ok_or_else(|| NotDecompressed::Unknown(name.escape_ascii().to_string()))?;
    method.decompress(body, MAX_BODY).map(Cow::Owned).map_err(NotDecompressed::Undone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_itself_whether_it_is_compressed() {
        let plain = br#"{"status": "SUCCESS"}"#;
        let zlib = miniz_oxide::deflate::compress_to_vec_zlib(plain, 6);
        let stored = [b"\0celery-compressed\0application/x-gzip\0", &*zlib].concat();
        assert_eq!(decompressed(&stored).unwrap(), &plain[..]);
        assert!(matches!(decompressed(plain), Ok(Cow::Borrowed(same)) if same == plain));
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        let unknown = decompressed(b"\0celery-compressed\0snappy\0x").unwrap_err();
        assert_eq!(unknown, NotDecompressed::Unknown("snappy".to_owned()));
        assert_eq!(
            decompressed(b"\0celery-compressed\0zstd"),
            Err(NotDecompressed::Undone(Undone::Corrupt(Compression::Zstd)))
        );
        assert_eq!(
            decompressed(b"\0celery-compressed\0\xff\0"),
            Err(NotDecompressed::Unknown("\\xff".to_owned()))
        );
    }
}
