//! Reports that wait for their acknowledgement: a few in memory, the rest in a file.
//!
//! A coordinator may be away for hours, and trials leave files of many megabytes behind. Reports
//! that do not fit into memory go into an unnamed temporary file. It ends with the process, as the
//! leases do to which the reports belong.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use prost::Message as _;
use swfn_proto::v1::{self, worker_message::Kind};
use tracing::warn;

/// Where reports are kept, and how many bytes of them.
#[derive(Debug, Clone, Default)]
pub struct OutboxLimits {
    /// Bytes in memory; further reports go to the file.
    pub memory: usize,
    /// Bytes in the file; beyond it, the outbox is full.
    pub disk: u64,
    /// Folder of the file.
    pub folder: PathBuf,
}

impl OutboxLimits {
    /// The limits of a worker: 8 MiB in memory, and 4 GiB in this folder.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { memory: 8 << 20, disk: 4 << 30, folder }
    }
}

/// Reports beyond which the outbox is full, however small they are.
const MANY: usize = 100_000;

#[derive(Debug)]
enum Location {
    Memory(Box<v1::WorkerMessage>),
    Disk { offset: u64 },
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// Length of the encoded message.
    bytes: usize,
    location: Location,
}

/// The reports, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    limits: OutboxLimits,
    entries: VecDeque<Entry>,
    /// Number of the latest report.
    last: u64,
    /// Bytes in memory, bytes of the file, and reports that wait in it.
    memory: usize,
    disk: u64,
    in_file: usize,
    file: Option<File>,
    /// The file cannot be written: reports stay in memory, and the trainer waits when that is full.
    broken: bool,
}

impl Outbox {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Keeps a report; returns its number.
    pub(crate) fn push(&mut self, kind: Kind) -> u64 {
        self.last += 1;
        let message = v1::WorkerMessage { sequence: self.last, kind: Some(kind) };
        let bytes = message.encoded_len();
        let on_disk = self.memory + bytes > self.limits.memory && !self.broken;
        let location = match on_disk.then(|| self.store(&message)) {
            Some(Ok(offset)) => {
                self.disk += bytes as u64;
                self.in_file += 1;
                Location::Disk { offset }
            }
            stored => {
                if let Some(Err(error)) = stored {
                    let folder = self.limits.folder.display();
                    warn!(
                        "cannot keep reports for the coordinator in `{folder}`: {error}; training \
                         pauses when the memory for them is full"
                    );
                    self.broken = true;
                }
                self.memory += bytes;
                Location::Memory(Box::new(message))
            }
        };
        self.entries.push_back(Entry { sequence: self.last, bytes, location });
        self.last
    }

    /// Writes a message to the end of the file; returns its offset.
    fn store(&mut self, message: &v1::WorkerMessage) -> io::Result<u64> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                std::fs::create_dir_all(&self.limits.folder)?;
                none.insert(tempfile::tempfile_in(&self.limits.folder)?)
            }
        };
        file.seek(SeekFrom::Start(self.disk))?;
        file.write_all(&message.encode_to_vec())?;
        Ok(self.disk)
    }

    /// The numbers of all reports, in order.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| entry.sequence)
    }

    /// The report of that number; `None` if it has been acknowledged.
    pub(crate) fn message(&mut self, sequence: u64) -> io::Result<Option<v1::WorkerMessage>> {
        let found = self.entries.binary_search_by_key(&sequence, |entry| entry.sequence);
        let Ok(index) = found else { return Ok(None) };
        let Entry { bytes, location, .. } = &self.entries[index];
        match location {
            Location::Memory(message) => Ok(Some(*message.clone())),
            Location::Disk { offset } => {
                let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
                let mut encoded = vec![0; *bytes];
                file.seek(SeekFrom::Start(*offset))?;
                file.read_exact(&mut encoded)?;
                let message = v1::WorkerMessage::decode(&*encoded).map_err(io::Error::other)?;
                Ok(Some(message).filter(|message| message.sequence == sequence))
            }
        }
    }

    /// Removes all reports up to that number.
    pub(crate) fn acknowledge(&mut self, through: u64) {
        let acknowledged = self.entries.partition_point(|entry| entry.sequence <= through);
        for entry in self.entries.drain(..acknowledged) {
            match entry.location {
                Location::Memory(_) => self.memory -= entry.bytes,
                Location::Disk { .. } => self.in_file -= 1,
            }
        }
        if self.disk > 0 && self.in_file == 0 {
            self.disk = 0;
            self.broken = self.file.as_mut().is_some_and(|file| file.set_len(0).is_err());
        }
    }

    /// Whether the trainer has to wait.
    pub(crate) fn is_full(&self) -> bool {
        let no_room = self.broken && self.memory >= self.limits.memory;
        no_room || self.disk >= self.limits.disk || self.entries.len() >= MANY
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(length: usize) -> Kind {
        Kind::Artifact(v1::ArtifactPart { content: vec![7; length], ..v1::ArtifactPart::default() })
    }

    fn outbox(folder: PathBuf) -> Outbox {
        Outbox::new(OutboxLimits { memory: 1_000, disk: 5_000, folder })
    }

    #[test]
    fn reports_beyond_memory_come_back_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = outbox(folder.path().join("new"));
        for index in 1..=10_u64 {
            assert_eq!(outbox.push(report(100 * index as usize)), index);
        }
        assert!(outbox.memory <= 1_000 && outbox.disk > 3_000, "{outbox:?}");
        for index in 1..=10 {
            let message = outbox.message(index).unwrap().unwrap();
            assert_eq!(
                (message.sequence, message.kind),
                (index, Some(report(100 * index as usize)))
            );
        }
        assert!(!outbox.is_full());
        outbox.push(report(2_000));
        assert!(outbox.is_full());
        outbox.acknowledge(4);
        assert_eq!(outbox.sequences().collect::<Vec<_>>(), (5..=11).collect::<Vec<_>>());
        assert!(outbox.message(4).unwrap().is_none() && outbox.message(12).unwrap().is_none());
        outbox.acknowledge(11);
        assert!(outbox.is_empty() && !outbox.is_full());
        assert_eq!((outbox.memory, outbox.disk), (0, 0));
        outbox.push(report(3_000));
        assert_eq!(outbox.message(12).unwrap().unwrap().kind, Some(report(3_000)));
        assert_eq!(
            std::fs::read_dir(folder.path().join("new")).unwrap().count(),
            0,
            "the file has no name"
        );
    }

    #[test]
    fn without_a_disk_memory_is_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "in the way").unwrap();
        let mut outbox = outbox(folder.path().join("file"));
        outbox.push(report(500));
        assert!(!outbox.is_full());
        outbox.push(report(600));
        assert!(outbox.is_full(), "the trainer waits");
        assert_eq!(outbox.message(2).unwrap().unwrap().kind, Some(report(600)));
        outbox.acknowledge(1);
        assert!(!outbox.is_full());
    }
}
