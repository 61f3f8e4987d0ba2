//! kombu's compression: what a `compression` header names, undone up to a limit.
//!
//! A few bytes can claim to be gigabytes. What a stream says of its own size is not believed: output is counted, and a
//! ratio is no measure, for honest bodies of one repeated value reach any. Memory beside the output is bounded by each
//! method's window.

use std::io::{self, Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bzip2::read::BzDecoder;
use lzma_rust2::XzReader;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};
use ruzstd::decoding::StreamingDecoder;

/// The largest body after decompression: what the task contract carries at most.
pub const MAX_BODY: usize = 256 << 20;

/// The most memory for a dictionary of xz, in KiB: Python's highest preset has one of 64 MiB, and the decoder some
/// room beside it. The format allows 4 GiB.
const XZ_MEMORY: u32 = 72 << 10;

/// How much is read from a stream at once.
const CHUNK: usize = 32 << 10;

/// A method that kombu registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A zlib stream, which kombu calls gzip. The file format of that name is not meant.
    Zlib,
    /// bzip2.
    Bzip2,
    /// The xz container, which kombu calls lzma.
    Xz,
    /// Zstandard.
    Zstd,
    /// Brotli.
    Brotli,
}

/// Why a body cannot be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undone {
    /// It grows over the limit.
    #[error("the body is over {0} bytes after decompression")]
    TooLong(usize),
    /// It is no stream of its method, or ends too early.
    #[error("the body is not the {} stream that its `compression` says", .0.name())]
    Corrupt(Compression),
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Zlib, Self::Bzip2, Self::Xz, Self::Zstd, Self::Brotli];

    /// The method's own name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Brotli => "brotli",
        }
    }

    /// What kombu writes into the header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Zlib => "application/x-gzip",
            Self::Bzip2 => "application/x-bz2",
            Self::Xz => "application/x-lzma",
            Self::Zstd => "application/zstd",
            Self::Brotli => "application/x-brotli",
        }
    }

    /// The method that a header names, by kombu's content types and aliases.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "application/x-gzip" | "gzip" | "zlib" => Some(Self::Zlib),
            "application/x-bz2" | "bzip2" | "bzip" => Some(Self::Bzip2),
            "application/x-lzma" | "lzma" | "xz" => Some(Self::Xz),
            "application/zstd" | "zstd" | "zstandard" => Some(Self::Zstd),
            "application/x-brotli" | "brotli" => Some(Self::Brotli),
            _ => None,
        }
    }

    /// Decompresses up to `limit` bytes.
    pub fn decompress(self, body: &[u8], limit: usize) -> Result<Vec<u8>, Undone> {
        match self {
            Self::Zlib => match decompress_to_vec_zlib_with_limit(body, limit) {
                Ok(out) => Ok(out),
                Err(error) if error.status == TINFLStatus::HasMoreOutput => Err(Undone::TooLong(limit)),
                Err(_) => Err(Undone::Corrupt(self)),
            },
            Self::Bzip2 => self.read(BzDecoder::new(body), limit),
            Self::Xz => self.read(XzReader::new_mem_limit(body, false, XZ_MEMORY), limit),
            Self::Zstd => match StreamingDecoder::new(body) {
                Ok(reader) => self.read(reader, limit),
                Err(_) => Err(Undone::Corrupt(self)),
            },
            Self::Brotli => self.read(Brotli::new(body), limit),
        }
    }

    fn read(self, mut from: impl Read, limit: usize) -> Result<Vec<u8>, Undone> {
        let mut out = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return Ok(out),
                Ok(length) if length > limit - out.len() => return Err(Undone::TooLong(limit)),
                Ok(length) => out.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Undone::Corrupt(self)),
            }
        }
    }
}

/// A Brotli stream with a window of at most 16 MiB. The library's own reader takes the larger ones of an extension,
/// which Python's does not.
struct Brotli<'a> {
    body: &'a [u8],
    at: usize,
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
}

impl<'a> Brotli<'a> {
    fn new(body: &'a [u8]) -> Self {
        let state = BrotliState::new_strict(StandardAlloc {}, StandardAlloc {}, StandardAlloc {});
        Self { body, at: 0, state }
    }
}

impl Read for Brotli<'_> {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let (mut left, mut room) = (self.body.len() - self.at, chunk.len());
        let (mut written, mut total) = (0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut self.at,
            self.body,
            &mut room,
            &mut written,
            chunk,
            &mut total,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultSuccess | BrotliResult::NeedsMoreOutput => Ok(written),
            BrotliResult::NeedsMoreInput if written > 0 => Ok(written),
            BrotliResult::NeedsMoreInput => Err(io::ErrorKind::UnexpectedEof.into()),
            BrotliResult::ResultFailure => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 spaces, as Python's modules compress them.
    fn spaces(method: Compression) -> Vec<u8> {
        match method {
            Compression::Zlib => miniz_oxide::deflate::compress_to_vec_zlib(&[b' '; 1000], 9),
            Compression::Bzip2 => hex(BZIP2),
            Compression::Xz => hex(XZ),
            Compression::Zstd => hex(ZSTD),
            Compression::Brotli => hex(BROTLI),
        }
    }

    const BZIP2: &str = "425a6839314159265359091225960000019001c00000800008200020aa6d4198ba83c5dc914e1424\
         0244896580";
    const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3e003e7000b5d00106ffbbffea3b0b9a6\
         560000004bc2ea591dda7fd2000127e807000000f4558f5cb1c467fb020000000004595a";
    const ZSTD: &str = "28b52ffd60e8024d00001020200100e32b8005";
    const BROTLI: &str = "1be703f82540a2b1402034";

    fn hex(text: &str) -> Vec<u8> {
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
        text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    #[test]
    fn a_body_that_grows_over_the_limit_is_refused() {
        for method in Compression::ALL {
            let body = spaces(method);
            assert!(body.len() < 100, "{method:?}");
            assert_eq!(method.decompress(&body, 1000), Ok(vec![b' '; 1000]), "{method:?}");
            for limit in [999, 1, 0] {
                assert_eq!(method.decompress(&body, limit), Err(Undone::TooLong(limit)), "{method:?}");
            }
        }
        assert_eq!(Undone::TooLong(5).to_string(), "the body is over 5 bytes after decompression");
    }

    #[test]
    fn a_body_that_is_cut_or_of_another_method_is_refused() {
        for method in Compression::ALL {
            let body = spaces(method);
            for end in 0..body.len() - 1 {
                assert_eq!(
                    method.decompress(&body[..end], 1000),
                    Err(Undone::Corrupt(method)),
                    "{method:?}, {end}"
                );
            }
            for other in Compression::ALL.into_iter().filter(|other| *other != method) {
                assert_eq!(
                    other.decompress(&body, 1000),
                    Err(Undone::Corrupt(other)),
                    "{method:?} as {other:?}"
                );
            }
        }
        let corrupt = Undone::Corrupt(Compression::Xz).to_string();
        assert_eq!(corrupt, "the body is not the xz stream that its `compression` says");
    }

    #[test]
    fn a_window_that_no_encoder_of_python_asks_for_is_not_given() {
        // Frame headers that ask for the most that their format can: 4 GiB (xz), 3.75 TiB (zstd).
        let mut xz = spaces(Compression::Xz);
        assert_eq!(xz[12..15], [2, 0, 0x21], "a block header with the filter LZMA2");
        xz[16] = 40;
        let crc = crc32(&xz[12..20]);
        xz[20..24].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Compression::Xz.decompress(&xz, 1000), Err(Undone::Corrupt(Compression::Xz)));
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00];
        assert_eq!(Compression::Zstd.decompress(&zstd, 1000), Err(Undone::Corrupt(Compression::Zstd)));
        // An empty stream with Brotli's extension for windows over 16 MiB, here of 1 GiB.
        let brotli = [0x11, 0xde];
        assert_eq!(Compression::Brotli.decompress(&brotli, 1000), Err(Undone::Corrupt(Compression::Brotli)));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
            })
        })
    }
}
