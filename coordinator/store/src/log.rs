//! Whether the write-ahead log beside the database holds more than SQLite will read of it.
//!
//! SQLite silently reads the log up to the last commit before the first frame that makes no sense.
//! That is right for a commit that a crash interrupted. But people have to know if the log was
//! damaged before a commit that was acknowledged. Two things give that away: frames of the same
//! log behind the place where reading ends, and the index (`-shm`) that a killed process leaves
//! and that says how far the log went. Both cost nothing while the database is used.
//!
//! The formats: <https://sqlite.org/walformat.html>.

use std::{
    fmt, fs,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

/// A log that ends before it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDamage {
    log: PathBuf,
    /// Commits that can be read.
    commits: u64,
    /// Later frames that cannot: each holds a page.
    frames: u64,
    /// False if it may be an incomplete commit, as power cuts leave it.
    certain: bool,
}

impl LogDamage {
    /// Looks at the log of a database that nobody has open. SQLite reports what cannot be read.
    pub(super) fn find(database: &Path) -> Option<Self> {
        let log = path_of(database);
        let index = fs::read(index_of(database)).ok().and_then(|bytes| Index::read(&bytes));
        let found = match fs::File::open(&log) {
            Ok(file) => LogContent::read(&mut BufReader::new(file)).ok()?,
            Err(_) => LogContent::default(),
        };
        let (frames, certain) = found.lost(index)?;
        Some(Self { log, commits: found.commits, frames, certain })
    }

    /// Copies what is left of the log, which the next commits overwrite.
    pub(super) fn keep(&self) -> io::Result<()> {
        match fs::copy(&self.log, self.copy()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::write(self.copy(), []),
            copied => copied.map(drop),
        }
    }

    fn copy(&self) -> PathBuf {
        with_end(&self.log, ".damaged")
    }
}

impl fmt::Display for LogDamage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, commits, frames, certain } = self;
        let (log, copy) = (log.display(), self.copy());
        if *certain {
            write!(
                formatter,
                "`{log}` is damaged after commit {commits}: {frames} later frames cannot be read; \
                 what they held is lost, and is trained again"
            )?;
        } else {
            write!(
                formatter,
                "the last commit in `{log}`, number {}, cannot be read: if the machine lost its \
                 power in that moment, it was never acknowledged and nothing is missing; else what \
                 it held is lost, and is trained again",
                commits + 1
            )?;
        }
        let copy = copy.display();
        write!(formatter, "\nhint: check this disk; what is left of the log is in `{copy}`")
    }
}

pub(super) fn path_of(database: &Path) -> PathBuf {
    with_end(database, "-wal")
}

pub(super) fn index_of(database: &Path) -> PathBuf {
    with_end(database, "-shm")
}

pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The running checksum of SQLite's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Checksum(u32, u32);

impl Checksum {
    fn over(mut self, bytes: &[u8], word: fn([u8; 4]) -> u32) -> Self {
        for pair in bytes.as_chunks::<4>().0.as_chunks::<2>().0 {
            self.0 = self.0.wrapping_add(word(pair[0])).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(word(pair[1])).wrapping_add(self.0);
        }
        self
    }
}

fn word_at(bytes: &[u8], at: usize, word: fn([u8; 4]) -> u32) -> u32 {
    word([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn number(bytes: &[u8], at: usize) -> u32 {
    word_at(bytes, at, u32::from_be_bytes)
}

#[derive(Debug, Default)]
struct LogContent {
    salt: Option<[u8; 8]>,
    /// Commits that SQLite reads, and the frame that ends the last of them.
    commits: u64,
    last: u64,
    /// Later frames of this log.
    behind: u64,
    /// How many of them end a commit, and whether any comes after such a one.
    ends: u64,
    beyond_an_end: bool,
    /// There are frames, but the header makes no sense: SQLite reads none.
    headless: bool,
}

impl LogContent {
    fn read(log: &mut impl Read) -> io::Result<Self> {
        let mut header = [0; HEADER];
        if !fill(log, &mut header)? {
            return Ok(Self::default());
        }
        let word = match number(&header, 0) {
            0x377f_0682 => u32::from_le_bytes,
            _ => u32::from_be_bytes,
        };
        let page = number(&header, 8) as usize;
        let mut sum = Checksum::default().over(&header[..24], word);
        let sound = matches!(number(&header, 0), 0x377f_0682 | 0x377f_0683)
            && number(&header, 4) == 3_007_000
            && page.is_power_of_two()
            && (512..=65_536).contains(&page)
            && sum == Checksum(number(&header, 24), number(&header, 28));
        if !sound {
            let rest = io::copy(log, &mut io::sink())?;
            return Ok(Self { headless: rest > 0, behind: rest.div_ceil(4096), ..Self::default() });
        }
        let salt: [u8; 8] = header[16..24].try_into().expect("eight bytes are eight bytes");
        let mut found = Self { salt: Some(salt), ..Self::default() };
        let mut frame = vec![0; FRAME_HEADER + page];
        let (mut position, mut readable) = (0, true);
        while fill(log, &mut frame)? {
            position += 1;
            // A frame that an earlier log has left in the file.
            if frame[8..16] != salt {
                readable = false;
                continue;
            }
            let ends_a_commit = number(&frame, 4) != 0;
            sum = sum.over(&frame[..8], word).over(&frame[FRAME_HEADER..], word);
            readable &=
                sum == Checksum(number(&frame, 16), number(&frame, 20)) && number(&frame, 0) != 0;
            if readable && ends_a_commit {
                (found.commits, found.last, found.behind) = (found.commits + 1, position, 0);
                continue;
            }
            found.behind += 1;
            found.beyond_an_end |= found.ends > 0;
            found.ends += u64::from(ends_a_commit);
        }
        Ok(found)
    }

    /// Frames that are lost, and whether that is certain; `None` for an interrupted commit.
    fn lost(&self, index: Option<Index>) -> Option<(u64, bool)> {
        // A commit is on the disk before the next begins: frames beyond an end are older than that.
        let certain = self.headless || self.beyond_an_end;
        if let Some(index) = index.filter(|index| self.salt.is_none_or(|salt| salt == index.salt)) {
            let last = u64::from(index.last);
            // All of it has been copied into the database, and the log may be gone.
            if self.last == 0 && index.copied >= index.last && !self.headless {
                return None;
            }
            if last > self.last {
                return Some((self.behind.max(last - self.last), true));
            }
            // The index would know if the commit had been completed.
            if last == self.last && !certain {
                return None;
            }
        }
        (certain || self.ends > 0).then_some((self.behind, certain))
    }
}

/// Fills `bytes`; false if there are too few.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| true),
    }
}

/// The index of a log: shared memory, which survives processes, and a power cut only by chance.
#[derive(Debug, Clone, Copy)]
struct Index {
    salt: [u8; 8],
    /// The last frame of the last commit, and the last one that the database has.
    last: u32,
    copied: u32,
}

impl Index {
    /// `None` if it is not whole, since its writer was killed halfway.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<48>()?;
        let (again, rest) = rest.split_first_chunk::<48>()?;
        let word = |at| word_at(header, at, u32::from_ne_bytes);
        let sum = Checksum::default().over(&header[..40], u32::from_ne_bytes);
        let sound = header == again
            && word(0) == 3_007_000
            && header[12] == 1
            && sum == Checksum(word(40), word(44));
        let copied = u32::from_ne_bytes(*rest.first_chunk()?);
        let salt = *header[32..40].first_chunk()?;
        sound.then_some(Self { salt, last: word(16), copied })
    }
}
