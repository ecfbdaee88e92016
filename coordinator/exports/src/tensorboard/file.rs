//! The event file of one attempt: reopened where it ended, cut after its last whole record, and
//! appended to.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::{
    super::trial::Trial,
    event::{Event, What, unframe},
    hparams::{self, SESSION_END},
};

/// An event file. It is open only during a write, since thousands of trials may run at a time.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    /// Bytes of whole records; bytes beyond them are torn.
    length: u64,
    /// The last step of each curve, by its tag.
    pub(super) steps: HashMap<String, i64>,
    /// Whether the record of the trial's end is there.
    pub(super) has_ended: bool,
}

impl EventFile {
    /// Opens or creates the file of an attempt that began at that time, in seconds since 1970.
    /// Files of other attempts in the folder are removed.
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
            let other = entry.file_name().to_string_lossy().into_owned();
            let is_ours = other.starts_with("events.out.tfevents.") && other.contains(".swfn.");
            if is_ours && other != name {
                fs::remove_file(entry.path())?;
            }
        }
        let path = folder.join(name);
        let mut file = Self { path, length: 0, steps: HashMap::new(), has_ended: false };
        file.read()?;
        if file.length == 0 {
            let begin = hparams::begin(trial, varying, began);
            file.append(&[Event::first(began), Event::restart(began), begin])?;
        }
        Ok(file)
    }

    /// Reads the existing file up to the first record that is not whole.
    fn read(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        while let Some((event, length)) = unframe(&mut file)? {
            self.length += length;
            self.note(&event);
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        let Some(What::Summary(summary)) = &event.what else { return };
        for value in &summary.value {
            self.has_ended |= value.tag == SESSION_END;
            if value.simple_value.is_some() {
                self.steps.insert(value.tag.clone(), event.step);
            }
        }
    }

    /// Appends records. After an error the next call overwrites what was written in part.
    pub(super) fn append(&mut self, events: &[Event]) -> io::Result<()> {
        let mut bytes = Vec::new();
        events.iter().for_each(|event| event.frame(&mut bytes));
        if bytes.is_empty() {
            return Ok(());
        }
        let mut file = File::options().create(true).truncate(false).write(true).open(&self.path)?;
        file.set_len(self.length)?;
        file.seek(SeekFrom::Start(self.length))?;
        file.write_all(&bytes)?;
        self.length += bytes.len() as u64;
        events.iter().for_each(|event| self.note(event));
        Ok(())
    }
}
