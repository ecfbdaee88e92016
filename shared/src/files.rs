//! Files in folders that others may write to. Planted links are not followed, and reading a secret
//! never waits for another process.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::{libc, unistd::Uid};

/// Options that refuse a link, for a file that stays open under a name that others can foresee.
pub fn options() -> OpenOptions {
    let mut options = File::options();
    options.custom_flags(libc::O_NOFOLLOW);
    options
}

/// Creates a new file. An old one is removed first; of a link, the link and not its target.
///
/// # Errors
/// The folder cannot be written, or another process creates the same file at the same time.
pub fn create(path: &Path) -> io::Result<File> {
    create_with(path, 0o666)
}

/// [`create`] with these permissions, which the umask may reduce.
pub fn create_with(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().write(true).create_new(true).mode(mode).open(path)
}

/// Reads a secret or a certificate: a regular file of at most `most` bytes.
///
/// # Errors
/// The file is missing, is larger, is not text, or is a pipe or device that might block.
pub fn read_small(path: &Path, most: u64) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    // A file may grow, and files of /proc have no size.
    file.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        let problem = format!("it has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

/// The reason why others can change the content of a folder, if they can.
pub fn open_to_others(folder: &Path) -> Option<String> {
    let metadata = fs::metadata(folder).ok()?;
    let (owner, mode, me) = (metadata.uid(), metadata.mode() & 0o7777, Uid::effective().as_raw());
    if owner != me && owner != 0 && me != 0 {
        return Some(format!("user {owner} owns it"));
    }
    (mode & 0o002 != 0)
        .then(|| format!("all users of this machine can write to it (mode {mode:o})"))
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(options().append(true).create(true).open(&link).is_err());
        create(&link).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
    }

    #[test]
    fn secrets_are_small_regular_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "123456").unwrap();
        assert_eq!(read_small(&path, 6).unwrap(), "123456");
        assert_eq!(read_small(&path, 5).unwrap_err().to_string(), "it has more than 5 bytes");
        assert_eq!(
            read_small(Path::new("/dev/zero"), 5).unwrap_err().to_string(),
            "it is not a regular file"
        );
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(read_small(&pipe, 5).unwrap_err().to_string(), "it is not a regular file");
    }

    #[test]
    fn folders_that_others_can_write_to_are_known() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open_to_others(folder.path()), None);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(open_to_others(folder.path()).unwrap().contains("(mode 777)"));
    }
}
