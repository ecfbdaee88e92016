//! The event file of one attempt: found again as it was left, its torn end cut off, and added to.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::{
    super::trial::Trial,
    event::{Event, What, unframe},
    hparams::{self, SESSION_END},
};

/// Bytes that are read at once when a file is found again; a record of ours is far smaller.
const CHUNK: usize = 1 << 20;

/// An event file. It is open only while it is written: there may be thousands of trials at a time.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    /// Of all that counts; what stands beyond it was torn off.
    length: u64,
    /// The last step of each curve.
    steps: HashMap<String, i64>,
    /// Whether it says how the trial ended.
    ended: bool,
}

impl EventFile {
    /// The file of an attempt that began at that time, in seconds since 1970; it is made if it is not there. What other attempts left in the
    /// folder is removed.
    pub(super) fn open(
        root: &Path,
        trial: &Trial,
        varying: &[&str],
        attempt: i64,
        began: f64,
    ) -> io::Result<Self> {
        let folder = root.join(trial.name());
        fs::create_dir_all(&folder)?;
        // TensorBoard reads the files of a folder in the order of their names.
        let name = format!("events.out.tfevents.{:010}.swfn.{attempt:05}", began.max(0.0) as u64);
        for entry in fs::read_dir(&folder)?.flatten() {
            let other = entry.file_name();
            let other = other.to_string_lossy();
            if other.starts_with("events.out.tfevents.")
                && other.contains(".swfn.")
                && other != name
            {
                fs::remove_file(entry.path())?;
            }
        }
        let mut file =
            Self { path: folder.join(name), length: 0, steps: HashMap::new(), ended: false };
        file.find()?;
        if file.length == 0 {
            file.add(
                [Event::first(began), Event::anew(began), hparams::begin(trial, varying, began)]
                    .into_iter(),
            )?;
        }
        Ok(file)
    }

    /// Reads what is there, up to the first record that is not whole.
    fn find(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            file.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)?;
            let mut place = 0;
            while let Some((event, length)) = unframe(&bytes[place..]) {
                place += length;
                self.note(&event);
            }
            self.length += place as u64;
            bytes.drain(..place);
            // At the end of the file, or before a record that cannot be whole.
            if bytes.len() + place == before || bytes.len() >= 2 * CHUNK {
                return Ok(());
            }
        }
    }

    fn note(&mut self, event: &Event) {
        if let Some(What::Summary(summary)) = &event.what {
            for value in &summary.value {
                self.ended |= value.tag == SESSION_END;
                if value.simple_value.is_some() {
                    self.steps.insert(value.tag.clone(), event.step);
                }
            }
        }
    }

    /// The last step of a curve.
    pub(super) fn last_step(&self, tag: &str) -> Option<i64> {
        self.steps.get(tag).copied()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Adds records. After an error the file counts as it was before.
    pub(super) fn add(&mut self, events: impl Iterator<Item = Event> + Clone) -> io::Result<()> {
        let mut bytes = Vec::new();
        events.clone().for_each(|event| event.frame(&mut bytes));
        if bytes.is_empty() {
            return Ok(());
        }
        let mut file = File::options().create(true).truncate(false).write(true).open(&self.path)?;
        file.set_len(self.length)?;
        file.seek(SeekFrom::Start(self.length))?;
        file.write_all(&bytes)?;
        self.length += bytes.len() as u64;
        events.for_each(|event| self.note(&event));
        Ok(())
    }
}
