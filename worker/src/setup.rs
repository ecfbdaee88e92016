//! The setup that a supervisor passes to a device process, in a file that only its owner can read.
//! The process removes it after reading. A command line would be readable for all users of the
//! machine, and cannot hold all paths and texts.

use std::{fs, io::Write as _, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use swfn_session::Predecessor;
use swfn_shared::{ids::WorkerId, problem};
use tempfile::NamedTempFile;

/// The setup of a device process. `A`: the supervisor's arguments, whose type the command line
/// knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup<A> {
    pub(crate) arguments: A,
    pub(crate) device: String,
    pub(crate) worker: WorkerId,
    pub(crate) predecessor: Option<Predecessor>,
}

impl<A: Serialize + DeserializeOwned> Setup<A> {
    /// Writes the file, which is removed with the returned value.
    pub(crate) fn write(&self) -> anyhow::Result<NamedTempFile> {
        let write = || {
            let mut file = tempfile::Builder::new().prefix("swfn-").suffix(".json").tempfile()?;
            file.write_all(&serde_json::to_vec(self)?)?;
            anyhow::Ok(file)
        };
        write().map_err(|error| {
            anyhow::Error::from(problem!(
                "cannot write a file in `{}`: {error}", std::env::temp_dir().display();
                "check space and permissions, or set TMPDIR to another folder"
            ))
        })
    }

    /// Reads the file and removes it.
    pub(crate) fn take(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        fs::remove_file(path).with_context(|| format!("cannot remove `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("`{}` is no setup", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_setup_is_private_and_read_once() {
        let (end, log) = ("signal 9".to_owned(), "said\0 ä\n".to_owned());
        let predecessor = Predecessor { worker: "a:b".parse().unwrap(), end, log, innocent: true };
        let setup = Setup {
            arguments: serde_json::json!({ "lanes": 3 }),
            device: "cpu".to_owned(),
            worker: "a:c".parse().unwrap(),
            predecessor: Some(predecessor),
        };
        let file = setup.write().unwrap();
        assert_eq!(file.as_file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let read = Setup::<serde_json::Value>::take(file.path()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{setup:?}"));
        let again = Setup::<serde_json::Value>::take(file.path()).unwrap_err().to_string();
        assert!(again.starts_with("cannot read `"), "{again}");
        // An unread file is removed with its supervisor's handle.
        let path = setup.write().unwrap().path().to_owned();
        assert!(!path.exists());
        assert!(
            Setup::<u32>::take(setup.write().unwrap().path())
                .unwrap_err()
                .to_string()
                .contains("is no setup")
        );
    }
}
