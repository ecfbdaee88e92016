//! Reads IDX files, the format of MNIST: `00 00 08 D`, then D big-endian 32-bit sizes, then one
//! unsigned byte for each element, the last dimension fastest. Source: the description that LeCun,
//! Cortes and Burges published with MNIST.
//!
//! The content is not trusted: nothing is allocated for a size before it has passed all checks, and
//! no more is read than the header promises, plus one byte. So a lying header and a gzip bomb end
//! early and in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};
use swfn_shared::dataset::CHANNELS;

use super::error::DataError;

/// Largest number of elements of a file: almost twice those of the training images of EMNIST's largest set.
const MAX_ELEMENTS: u64 = 1 << 30;
/// Largest height and width of an image in pixels.
const MAX_SIDE: u64 = 4096;
/// Deflate cannot shrink data further than by this factor.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// The content of an IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// One size (labels), three or four (images: number, height, width, channels); none is 0.
    pub dims: Vec<usize>,
    /// The elements, as many as the product of `dims`.
    pub data: Vec<u8>,
    /// SHA-256 of the whole uncompressed file, header included, in hexadecimal.
    pub sha256: String,
}

/// Reads the file at `path`, plain or compressed with gzip.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Idx`].
pub fn read_idx(path: &Path) -> Result<Idx, DataError> {
    read_idx_of(path, MAX_ELEMENTS)
}

/// The same, of a file that has no more than so many elements.
pub(super) fn read_idx_of(path: &Path, most: u64) -> Result<Idx, DataError> {
    let hint = "check that the file exists and may be read";
    let file = File::open(path).map_err(DataError::io("open", path, hint))?;
    let len = file.metadata().map_err(DataError::io("read", path, hint))?.len();
    parse_idx_of(path, len, BufReader::with_capacity(1 << 16, file), most)
}

/// Reads an IDX file of `len` bytes from `input`; `file` is its name in errors. Compression is
/// recognised by gzip's magic bytes `1f 8b`, never by a name.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Idx`].
pub fn parse_idx(file: &Path, len: u64, input: impl BufRead) -> Result<Idx, DataError> {
    parse_idx_of(file, len, input, MAX_ELEMENTS)
}

fn parse_idx_of(
    file: &Path,
    len: u64,
    mut input: impl BufRead,
    most: u64,
) -> Result<Idx, DataError> {
    // A reader may return a single byte, so that the magic bytes need a loop of their own; `chain`
    // puts them back.
    let mut magic = Vec::with_capacity(2);
    input.by_ref().take(2).read_to_end(&mut magic).map_err(DataError::io(
        "read",
        file,
        "check the disk",
    ))?;
    let compressed = magic == [0x1f, 0x8b];
    let whole = std::io::Cursor::new(magic).chain(input);
    let size = Size { len, compressed, most };
    if compressed {
        Content::new(file, Members(Some(GzDecoder::new(whole)))).parse(size)
    } else {
        Content::new(file, whole).parse(size)
    }
}

/// The content of a gzip file: all members, one after the other, with zeros between and behind them, as blocks of tapes have.
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

/// Whether there is anything behind zeros.
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

/// The size of a file on disk, whether gzip made it smaller, and what it may hold.
#[derive(Clone, Copy)]
struct Size {
    len: u64,
    compressed: bool,
    /// Elements that it may have.
    most: u64,
}

impl Size {
    /// Whether the file can hold `promised` bytes of content.
    fn check(self, promised: u64) -> Result<(), String> {
        let len = self.len;
        if !self.compressed && promised != len {
            Err(format!("the header promises `{promised}` bytes in all, but the file has {len}"))
        } else if self.compressed && promised > len.saturating_mul(MAX_DEFLATE_RATIO) {
            Err(format!(
                "the header promises `{promised}` bytes, which {len} compressed ones cannot hold"
            ))
        } else {
            Ok(())
        }
    }
}

/// The uncompressed content with the number of bytes read from it and their hash.
struct Content<'a, R> {
    file: &'a Path,
    reader: R,
    offset: u64,
    hasher: Sha256,
}

impl<'a, R: Read> Content<'a, R> {
    fn new(file: &'a Path, reader: R) -> Self {
        Content { file, reader, offset: 0, hasher: Sha256::new() }
    }

    fn parse(mut self, size_on_disk: Size) -> Result<Idx, DataError> {
        if size_on_disk.len > 2 * MAX_ELEMENTS {
            return Err(self.error(0, format!("the file has `{}` bytes", size_on_disk.len)));
        }
        let magic = self.word("the magic number")?;
        let count: u64 = match magic {
            0x0000_0801 => 1,
            0x0000_0803 => 3,
            0x0000_0804 => 4,
            other => {
                let why = format!(
                    "the magic number is `{other:08x}`, not `00000801` (labels), `00000803` (images) or `00000804` \
                     (images with channels)"
                );
                return Err(self.error(0, why));
            }
        };
        let mut dims = Vec::new();
        let mut elements: u64 = 1;
        for axis in 0..count {
            let at = self.offset;
            let size = u64::from(self.word("a size")?);
            if size == 0 || (axis > 0 && size > MAX_SIDE) {
                return Err(self.error(at, format!("the size of dimension {axis} is `{size}`")));
            }
            if axis == 3 && !CHANNELS.map(u64::from).contains(&size) {
                return Err(self.error(
                    at,
                    format!("the images have `{size}` channels, not 1 (grey) or 3 (colour)"),
                ));
            }
            // Below 2^32 * 2^12 * 2^12: no overflow.
            elements *= size;
            if elements > size_on_disk.most {
                let why = format!(
                    "the sizes promise `{elements}` bytes, more than {}",
                    size_on_disk.most
                );
                return Err(self.error(at, why));
            }
            dims.push(size as usize);
        }
        let promised = self.offset + elements;
        size_on_disk.check(promised).map_err(|why| self.error(self.offset, why))?;
        let data = self.read(elements)?;
        if (data.len() as u64) < elements {
            let why = format!("the file ends after `{}` of {elements} elements", data.len());
            return Err(self.error(self.offset, why));
        }
        let end = self.offset;
        if !self.read(1)?.is_empty() {
            return Err(
                self.error(end, format!("bytes follow after the last of {elements} elements"))
            );
        }
        Ok(Idx { dims, data, sha256: hex(&self.hasher.finalize()) })
    }

    fn word(&mut self, what: &str) -> Result<u32, DataError> {
        let at = self.offset;
        let bytes = self.read(4)?;
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(word) => Ok(u32::from_be_bytes(word)),
            Err(_) => Err(self.error(at, format!("the file ends within {what}"))),
        }
    }

    /// Reads up to `most` bytes, fewer only at the end. Memory grows with what arrives.
    fn read(&mut self, most: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let result = self.reader.by_ref().take(most).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        self.hasher.update(&bytes);
        match result {
            Ok(_) => Ok(bytes),
            Err(error) => match error.kind() {
                ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
                    Err(self.error(self.offset, format!("damaged gzip data: {error}")))
                }
                _ => Err(DataError::io("read", self.file, "check the disk")(error)),
            },
        }
    }

    fn error(&self, offset: u64, why: String) -> DataError {
        DataError::Idx { file: self.file.to_path_buf(), offset, why }
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
