//! What a device process is told by its supervisor: one file for its owner alone, which the process removes when it has
//! read it. Command lines are for all users of a machine to read, and cannot hold all paths and texts.

use std::{fs, io::Write as _, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use swfn_session::Predecessor;
use swfn_shared::ids::WorkerId;
use tempfile::NamedTempFile;

/// What a device process needs. `A`: the arguments of the supervisor, which only the command line understands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup<A> {
    pub(crate) arguments: A,
    pub(crate) device: String,
    pub(crate) worker: WorkerId,
    pub(crate) predecessor: Option<Predecessor>,
}

impl<A: Serialize> Setup<A> {
    /// Writes the file. It is gone with what is returned, if nobody has removed it before.
    pub(crate) fn write(&self) -> anyhow::Result<NamedTempFile> {
        let write = || {
            let mut file = tempfile::Builder::new().prefix("swfn-").suffix(".json").tempfile()?;
            file.write_all(&serde_json::to_vec(self)?)?;
            anyhow::Ok(file)
        };
        let hint = "hint: check space and permissions; TMPDIR names another folder";
        write().with_context(|| {
            format!("cannot write a file in `{}`\n{hint}", std::env::temp_dir().display())
        })
    }
}

impl<A: DeserializeOwned> Setup<A> {
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
    fn a_setup_is_for_its_owner_alone_and_read_once() {
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
        // One that was never read is gone with its supervisor's interest in it.
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
