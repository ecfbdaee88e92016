//! Reports that wait for their acknowledgement: a few in memory, the rest in a file.
//!
//! A coordinator may be away for hours, and trials leave files of many megabytes behind. What does not fit into memory goes into an unnamed
//! temporary file, which is gone with the process: after that, reports would be of leases that are over.

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
#[derive(Debug, Clone)]
pub struct OutboxLimits {
    /// In memory; beyond it, in the file.
    pub memory: usize,
    /// In the file; beyond it, the outbox is full.
    pub disk: u64,
    /// Folder of the file.
    pub folder: PathBuf,
}

impl OutboxLimits {
    /// As much as a worker may keep, in this folder.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { memory: 8 << 20, disk: 4 << 30, folder }
    }
}

/// Reports beyond which the outbox is full, however small they are.
const MANY: usize = 100_000;

#[derive(Debug)]
enum Place {
    Memory(Box<Kind>),
    Disk { offset: u64 },
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// Of its encoding.
    bytes: usize,
    place: Place,
}

/// The reports, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Outbox {
    limits: OutboxLimits,
    entries: VecDeque<Entry>,
    next: u64,
    /// Bytes in memory, bytes of the file, and reports that wait in it.
    memory: usize,
    disk: u64,
    in_file: usize,
    file: Option<File>,
    /// The file cannot be written: all goes into memory, and that is bounded by holding up the trainer.
    broken: bool,
}

impl Outbox {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            next: 1,
            memory: 0,
            disk: 0,
            in_file: 0,
            file: None,
            broken: false,
        }
    }

    /// Keeps a report; returns its number.
    pub(crate) fn push(&mut self, kind: Kind) -> u64 {
        let sequence = self.next;
        self.next += 1;
        let message = v1::WorkerMessage { sequence, kind: Some(kind) };
        let bytes = message.encoded_len();
        let on_disk = self.memory + bytes > self.limits.memory && !self.broken;
        let stored = if on_disk { self.store(&message) } else { None };
        let place = match (stored, message.kind) {
            (Some(offset), _) => Place::Disk { offset },
            (None, Some(kind)) => {
                self.memory += bytes;
                Place::Memory(Box::new(kind))
            }
            (None, None) => unreachable!("it was put there above"),
        };
        self.entries.push_back(Entry { sequence, bytes, place });
        sequence
    }

    fn store(&mut self, message: &v1::WorkerMessage) -> Option<u64> {
        let (offset, bytes) = (self.disk, message.encode_to_vec());
        let mut store = || -> io::Result<()> {
            if self.file.is_none() {
                std::fs::create_dir_all(&self.limits.folder)?;
                self.file = Some(tempfile::tempfile_in(&self.limits.folder)?);
            }
            let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&bytes)
        };
        match store() {
            Ok(()) => {
                self.disk += bytes.len() as u64;
                self.in_file += 1;
                Some(offset)
            }
            Err(error) => {
                let folder = self.limits.folder.display();
                warn!(
                    "reports that wait for the coordinator cannot be kept in `{folder}`: {error}; training waits when memory for them is full"
                );
                self.broken = true;
                None
            }
        }
    }

    /// The numbers of all reports, in order.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| entry.sequence)
    }

    /// The report of that number; `None` if it has been acknowledged.
    pub(crate) fn message(&mut self, sequence: u64) -> io::Result<Option<v1::WorkerMessage>> {
        let Some(first) = self.entries.front().map(|entry| entry.sequence) else { return Ok(None) };
        let index = sequence.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        let Some(entry) = index.and_then(|index| self.entries.get(index)) else { return Ok(None) };
        match &entry.place {
            Place::Memory(kind) => {
                Ok(Some(v1::WorkerMessage { sequence, kind: Some(*kind.clone()) }))
            }
            Place::Disk { offset } => {
                let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
                let mut bytes = vec![0; entry.bytes];
                file.seek(SeekFrom::Start(*offset))?;
                file.read_exact(&mut bytes)?;
                let message =
                    v1::WorkerMessage::decode(bytes.as_slice()).map_err(io::Error::other)?;
                Ok(Some(message).filter(|message| message.sequence == sequence))
            }
        }
    }

    /// Forgets all reports up to that number.
    pub(crate) fn acknowledge(&mut self, through: u64) {
        while self.entries.front().is_some_and(|entry| entry.sequence <= through) {
            match self.entries.pop_front() {
                Some(Entry { bytes, place: Place::Memory(_), .. }) => self.memory -= bytes,
                Some(Entry { place: Place::Disk { .. }, .. }) => self.in_file -= 1,
                None => {}
            }
        }
        if self.disk > 0 && self.in_file == 0 {
            self.disk = 0;
            self.broken = self.file.as_mut().is_some_and(|file| file.set_len(0).is_err());
        }
    }

    /// Whether nothing more should be put in.
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
    fn what_memory_cannot_hold_comes_back_from_the_disk() {
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
    fn without_a_disk_memory_is_the_limit_and_nothing_is_lost() {
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
