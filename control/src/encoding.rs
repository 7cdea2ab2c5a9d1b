//! Encoded request bodies, as the engine takes them: whole, or not at all. What decodes to its half only would be taken
//! for a shorter list of documents.

use std::io::{BufRead, Read, Write};

use axum::http::{HeaderMap, header};
use brotli_decompressor::Decompressor;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use miroir_core::error::ErrorBody;

/// Bytes that are decoded at a time.
const PIECE: usize = 1 << 16;

/// An encoding that the engine knows. It takes bodies under any other name as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Deflate,
    Brotli,
}

/// Why a body cannot be decoded.
#[derive(Debug)]
pub(crate) enum DecodeFault {
    /// Larger than allowed.
    TooLarge,
    /// It ends too early, has more behind its end, or is not what its header says.
    Broken,
    /// Where it was to be written to.
    Write(std::io::Error),
}

impl DecodeFault {
    pub(crate) fn error(&self, limit: u64) -> ErrorBody {
        match self {
            Self::TooLarge => ErrorBody::payload_too_large(limit),
            Self::Broken => ErrorBody::new("bad_request", "The provided payload is incomplete and cannot be parsed"),
            Self::Write(error) => ErrorBody::new("io_error", format!("Decoding the payload: {error}")),
        }
    }
}

impl Encoding {
    /// How a request's body is encoded, if it is.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let name = headers.get(header::CONTENT_ENCODING)?.to_str().ok()?.trim().to_ascii_lowercase();
        match name.as_str() {
            "gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            _ => None,
        }
    }

    /// Decodes all of `body`, to at most `limit` bytes; their number.
    pub(crate) fn decode(self, body: impl BufRead, out: &mut impl Write, limit: u64) -> Result<u64, DecodeFault> {
        let (length, mut rest) = match self {
            Self::Gzip => {
                let mut decoder = GzDecoder::new(body);
                (copy(&mut decoder, out, limit)?, decoder.into_inner())
            }
            Self::Deflate => {
                let mut decoder = ZlibDecoder::new(body);
                (copy(&mut decoder, out, limit)?, decoder.into_inner())
            }
            Self::Brotli => return copy(&mut Decompressor::new(body, PIECE), out, limit),
        };
        match rest.fill_buf() {
            Ok([]) => Ok(length),
            _ => Err(DecodeFault::Broken),
        }
    }
}

fn copy(decoder: &mut impl Read, out: &mut impl Write, limit: u64) -> Result<u64, DecodeFault> {
    let mut piece = vec![0; PIECE];
    let mut length = 0u64;
    loop {
        let read = decoder.read(&mut piece).map_err(|_| DecodeFault::Broken)?;
        if read == 0 {
            return Ok(length);
        }
        length += read as u64;
        if length > limit {
            return Err(DecodeFault::TooLarge);
        }
        out.write_all(&piece[..read]).map_err(DecodeFault::Write)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    const TEXT: &[u8] = b"{\"id\":1}\n{\"id\":2}\n";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(encoding: Encoding, body: &[u8], limit: u64) -> Result<Vec<u8>, DecodeFault> {
        let mut plain = Vec::new();
        encoding.decode(body, &mut plain, limit).map(|length| {
            assert_eq!(length, plain.len() as u64);
            plain
        })
    }

    #[test]
    fn what_was_encoded_comes_back() {
        assert_eq!(decode(Encoding::Gzip, &gzip(TEXT), 20).unwrap(), TEXT);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(TEXT).unwrap();
        assert_eq!(decode(Encoding::Deflate, &zlib.finish().unwrap(), 20).unwrap(), TEXT);
        // `[]` as an uncompressed meta-block.
        let brotli = [0x8b, 0x00, 0x80, b'[', b']', 0x03];
        assert_eq!(decode(Encoding::Brotli, &brotli, 2).unwrap(), b"[]");
    }

    #[test]
    fn a_body_is_taken_whole_or_not_at_all() {
        let whole = gzip(TEXT);
        for length in 0..whole.len() {
            assert!(matches!(decode(Encoding::Gzip, &whole[..length], 20), Err(DecodeFault::Broken)), "{length}");
        }
        let twice = [whole.clone(), whole.clone()].concat();
        for body in [twice.as_slice(), TEXT] {
            assert!(matches!(decode(Encoding::Gzip, body, 40), Err(DecodeFault::Broken)));
            assert!(matches!(decode(Encoding::Deflate, body, 40), Err(DecodeFault::Broken)));
        }
        assert!(matches!(decode(Encoding::Brotli, &[0x8b, 0x00, 0x80, b'['], 40), Err(DecodeFault::Broken)));
    }

    #[test]
    fn the_limit_is_one_of_what_comes_out() {
        assert!(matches!(decode(Encoding::Gzip, &gzip(&[b' '; 100_000]), 99_999), Err(DecodeFault::TooLarge)));
        assert_eq!(decode(Encoding::Gzip, &gzip(&[b' '; 100_000]), 100_000).unwrap().len(), 100_000);
    }

    #[test]
    fn other_names_mean_nothing() {
        let of = |name: &str| Encoding::of(&HeaderMap::from_iter([(header::CONTENT_ENCODING, name.parse().unwrap())]));
        assert_eq!(["gzip", "GZIP", "deflate", "br"].map(of).map(|found| found.is_some()), [true; 4]);
        assert_eq!(["identity", "zstd", "x-gzip", "gzip, gzip", ""].map(of), [None; 5]);
    }
}
