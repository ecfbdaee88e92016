//! Reads IDX files, the format of MNIST: `00 00 08 D`, then D big-endian 32-bit sizes, then one
//! unsigned byte for each element, the last dimension fastest. Source: the description that LeCun,
//! Cortes and Burges published with MNIST.
//!
//! The content is not trusted. Sizes are checked before memory is allocated for them, and no more
//! is read than the header promises, plus one byte. So a wrong header and a gzip bomb end early and
//! in bounded memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, ErrorKind, Read},
    path::Path,
};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};
use swfn_shared::{dataset::CHANNELS, problem::Problem};

use super::problems::{self, UNREADABLE, malformed};

/// Largest number of elements of a file: almost twice that of the training images of EMNIST's
/// largest set.
pub(crate) const MAX_ELEMENTS: u64 = 1 << 30;
/// Largest height and width of an image in pixels.
const MAX_SIDE: u64 = 4096;
/// Deflate cannot shrink data further than by this factor.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// The content of an IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idx {
    /// One size (labels), three or four (images: number, height, width, channels); none is 0.
    pub(crate) dims: Vec<usize>,
    /// The elements, as many as the product of `dims`.
    pub(crate) data: Vec<u8>,
    /// SHA-256 of the whole uncompressed file, header included, in hexadecimal.
    pub(crate) sha256: String,
}

/// Reads a file of at most `most` elements, plain or compressed with gzip.
pub(super) fn read_idx(path: &Path, most: u64) -> Result<Idx, Problem> {
    let file = File::open(path).map_err(problems::io("open", path, UNREADABLE))?;
    let len = file.metadata().map_err(problems::io("read", path, UNREADABLE))?.len();
    parse_idx(path, len, BufReader::with_capacity(1 << 16, file), most)
}

/// Reads an IDX file of `len` bytes and at most `most` elements from `input`; `file` is its name in
/// errors. Compression is recognised by gzip's magic bytes `1f 8b`, never by a name.
pub(crate) fn parse_idx(
    file: &Path,
    len: u64,
    mut input: impl BufRead,
    most: u64,
) -> Result<Idx, Problem> {
    // A reader may return a single byte, so the magic bytes need a loop of their own.
    let mut magic = Vec::with_capacity(2);
    let read = input.by_ref().take(2).read_to_end(&mut magic);
    read.map_err(problems::io("read", file, "check the disk"))?;
    let compressed = magic == [0x1f, 0x8b];
    let whole = Cursor::new(magic).chain(input);
    let reader: &mut dyn Read = match compressed {
        true => &mut Members(Some(GzDecoder::new(whole))),
        false => &mut { whole },
    };
    Content { file, reader, offset: 0, hasher: Sha256::new() }.parse(len, compressed, most)
}

/// The content of a gzip file: all members, with zeros between and behind them, as tape blocks
/// have.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let mut rest = self.0.take().expect("it was just read").into_inner();
            self.0 = if skip_zeros(&mut rest)? { Some(GzDecoder::new(rest)) } else { None };
        }
        Ok(0)
    }
}

/// Skips zeros; returns whether anything follows.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = input.fill_buf()?;
        let (zeros, all) = (bytes.iter().take_while(|byte| **byte == 0).count(), bytes.len());
        input.consume(zeros);
        if zeros < all || all == 0 {
            return Ok(all > 0);
        }
    }
}

/// The uncompressed content with the number of bytes read from it and their hash.
struct Content<'a> {
    file: &'a Path,
    reader: &'a mut dyn Read,
    offset: u64,
    hasher: Sha256,
}

impl Content<'_> {
    fn parse(mut self, len: u64, compressed: bool, most: u64) -> Result<Idx, Problem> {
        if len > 2 * MAX_ELEMENTS {
            return Err(malformed(self.file, 0, format!("the file has `{len}` bytes")));
        }
        let count: u64 = match self.word("the magic number")? {
            0x0000_0801 => 1,
            0x0000_0803 => 3,
            0x0000_0804 => 4,
            other => {
                let why = format!(
                    "the magic number is `{other:08x}`, not `00000801` (labels), `00000803` \
                     (images) or `00000804` (images with channels)"
                );
                return Err(malformed(self.file, 0, why));
            }
        };
        let mut dims = Vec::new();
        let mut elements: u64 = 1;
        for axis in 0..count {
            let at = self.offset;
            let size = u64::from(self.word("a size")?);
            elements = elements.saturating_mul(size);
            let why = if size == 0 || (axis > 0 && size > MAX_SIDE) {
                format!("the size of dimension {axis} is `{size}`")
            } else if axis == 3 && !CHANNELS.map(u64::from).contains(&size) {
                format!("the images have `{size}` channels, not 1 (grey) or 3 (colour)")
            } else if elements > most {
                format!("the sizes promise `{elements}` bytes, more than {most}")
            } else {
                dims.push(size as usize);
                continue;
            };
            return Err(malformed(self.file, at, why));
        }
        let promised = self.offset + elements;
        let why = if !compressed && promised != len {
            format!("the header promises `{promised}` bytes in all, but the file has {len}")
        } else if compressed && promised > len.saturating_mul(MAX_DEFLATE_RATIO) {
            format!(
                "the header promises `{promised}` bytes, which {len} compressed ones cannot hold"
            )
        } else {
            let data = self.read(elements)?;
            let end = self.offset;
            if (data.len() as u64) < elements {
                format!("the file ends after `{}` of {elements} elements", data.len())
            } else if self.read(1)?.is_empty() {
                return Ok(Idx { dims, data, sha256: hex(&self.hasher.finalize()) });
            } else {
                self.offset = end;
                format!("bytes follow after the last of {elements} elements")
            }
        };
        Err(malformed(self.file, self.offset, why))
    }

    fn word(&mut self, what: &str) -> Result<u32, Problem> {
        let at = self.offset;
        let bytes = self.read(4)?;
        let word = <[u8; 4]>::try_from(bytes.as_slice()).map(u32::from_be_bytes);
        word.map_err(|_| malformed(self.file, at, format!("the file ends within {what}")))
    }

    /// Reads up to `most` bytes, fewer only at the end. Memory grows with what arrives.
    fn read(&mut self, most: u64) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        let result = (&mut self.reader).take(most).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        self.hasher.update(&bytes);
        match result {
            Ok(_) => Ok(bytes),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
                    malformed(self.file, self.offset, format!("damaged gzip data: {error}"))
                }
                _ => problems::io("read", self.file, "check the disk")(error),
            }),
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
