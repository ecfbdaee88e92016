//! The names of the crate `zip` 0.6 that tch and torch-sys compile against.
//!
//! tch opens archives in `read_npz` and `write_npz`, torch-sys in a download of its own; swfn calls
//! none of them. The real crate would bring C code for bzip2 and zstd, and ciphers, into every
//! build. Each function here returns an error.
#![allow(missing_docs, reason = "the names and their meaning are those of the crate zip")]

use std::{
    io::{self, Read, Write},
    marker::PhantomData,
    path::PathBuf,
};

/// The error of each function: this build has no archives.
fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "swfn is built without zip archives")
}

pub mod result {
    use std::{error::Error, fmt, io};

    #[derive(Debug)]
    pub struct ZipError(pub(crate) io::Error);

    impl fmt::Display for ZipError {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(out)
        }
    }

    impl Error for ZipError {}

    pub type ZipResult<T> = Result<T, ZipError>;
}

pub mod read {
    /// A file of an archive. There are no values of this type.
    #[derive(Debug)]
    pub enum ZipFile {}
}

pub mod write {
    #[derive(Debug, Clone, Copy, Default)]
    pub struct FileOptions;

    impl FileOptions {
        #[must_use]
        pub fn compression_method(self, _: super::CompressionMethod) -> Self {
            self
        }
    }
}

use result::{ZipError, ZipResult};

#[derive(Debug, Clone, Copy)]
pub enum CompressionMethod {
    Stored,
}

#[derive(Debug)]
pub struct ZipArchive<R>(PhantomData<R>);

impl<R> ZipArchive<R> {
    pub fn new(_: R) -> ZipResult<Self> {
        Err(ZipError(unsupported()))
    }

    #[allow(clippy::len_without_is_empty, reason = "tch asks for the length alone")]
    pub fn len(&self) -> usize {
        0
    }

    pub fn by_index(&mut self, _: usize) -> ZipResult<read::ZipFile> {
        Err(ZipError(unsupported()))
    }
}

impl read::ZipFile {
    pub fn name(&self) -> &str {
        match *self {}
    }

    pub fn size(&self) -> u64 {
        match *self {}
    }

    pub fn mangled_name(&self) -> PathBuf {
        match *self {}
    }
}

impl Read for read::ZipFile {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

#[derive(Debug)]
pub struct ZipWriter<W>(PhantomData<W>);

impl<W> ZipWriter<W> {
    pub fn new(_: W) -> Self {
        Self(PhantomData)
    }

    pub fn start_file(&mut self, _: impl Into<String>, _: write::FileOptions) -> ZipResult<()> {
        Err(ZipError(unsupported()))
    }
}

impl<W> Write for ZipWriter<W> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(unsupported())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
