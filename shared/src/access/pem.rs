//! Certificates and keys in PEM files, checked before use: an error names the wrong file.

use std::{fmt, fs, os::unix::fs::PermissionsExt as _, path::Path};

use rustls::{
    InconsistentKeys, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use tracing::warn;

use crate::{files, problem, problem::Problem};

/// Largest file with certificates.
const MAX_BYTES: u64 = 1 << 20;

/// Certificates of trusted authorities.
#[derive(Debug, Clone)]
pub struct Authorities {
    pub pem: String,
    pub roots: RootCertStore,
}

impl Authorities {
    /// Reads the file that an option names.
    ///
    /// # Errors
    /// The file has no certificates, or wrong ones.
    pub fn read(path: &Path, option: &'static str) -> Result<Self, Problem> {
        let pem = read(path, option)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&pem, path, option)? {
            let wrong =
                |error: rustls::Error| content(path, option, CERTIFICATE, &error.to_string());
            roots.add(certificate).map_err(wrong)?;
        }
        Ok(Self { pem, roots })
    }
}

/// A certificate and its private key, as PEM. `Debug` does not show the key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, and those of the authorities between it and the root.
    pub certificate: String,
    /// The private key: a secret.
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity(hidden)")
    }
}

impl Identity {
    /// Reads the files of `--tls-cert` and `--tls-key`. Warns of a key that all users can read.
    ///
    /// # Errors
    /// The files have other contents, or do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Problem> {
        let chain_text = read(certificate, CERTIFICATE_OPTION)?;
        let chain = certificates(&chain_text, certificate, CERTIFICATE_OPTION)?;
        let key_text = read(key, KEY_OPTION)?;
        warn_if_readable(key, "private key");
        // The parser's error may quote the key.
        let no_key = |_| content(key, KEY_OPTION, "private key", "it cannot be parsed");
        let private = PrivateKeyDer::from_pem_slice(key_text.as_bytes()).map_err(no_key)?;
        match CertifiedKey::from_der(chain, private, &ring::default_provider()) {
            Ok(_) => Ok(Self { certificate: chain_text, key: key_text }),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let (certificate, key) = (certificate.display(), key.display());
                Err(problem!(
                    "the certificate `{certificate}` does not belong to the key `{key}`";
                    "name two files that were made together"
                ))
            }
            Err(error @ rustls::Error::InvalidCertificate(_)) => {
                Err(content(certificate, CERTIFICATE_OPTION, CERTIFICATE, &error.to_string()))
            }
            Err(error) => Err(content(key, KEY_OPTION, "usable private key", &error.to_string())),
        }
    }
}

const CERTIFICATE: &str = "certificate";
const CERTIFICATE_OPTION: &str = "--tls-cert";
const KEY_OPTION: &str = "--tls-key";

fn content(path: &Path, option: &str, what: &str, problem: &str) -> Problem {
    problem!(
        "`{}` holds no {what}: {problem}", path.display();
        "name a PEM file with {option}; `swfn-coordinator certs` makes some"
    )
}

fn read(path: &Path, option: &'static str) -> Result<String, Problem> {
    files::read_small(path, MAX_BYTES).map_err(
        |error| problem!("cannot read `{}`: {error}", path.display(); "check the file of {option}"),
    )
}

fn certificates(
    text: &str,
    path: &Path,
    option: &'static str,
) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let read = read.map_err(|error| content(path, option, CERTIFICATE, &error.to_string()))?;
    if read.is_empty() {
        return Err(content(path, option, CERTIFICATE, "there is no PEM section of that kind"));
    }
    Ok(read)
}

/// Warns of a secret that all users of this machine can read.
pub(super) fn warn_if_readable(path: &Path, what: &str) {
    if let Some(mode) = world_readable(path) {
        let shown = path.display();
        warn!(
            "all users of this machine can read the {what} `{shown}` (mode {mode:o})\nhint: chmod 600"
        );
    }
}

/// The permissions of a file, if they let all users read it.
fn world_readable(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o004 != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn errors_name_the_wrong_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let signed = CertificateParams::new(vec!["host".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap()
            .pem();
        let (certificate, key_pem) =
            (write("c.pem", &signed), write("k.pem", &key.serialize_pem()));
        let strange = write("strange.pem", &other.serialize_pem());
        let broken =
            write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let missing = folder.path().join("missing.pem");

        let identity = Identity::read(&certificate, &key_pem).unwrap();
        assert_eq!((&*identity.certificate, &*identity.key), (&*signed, &*key.serialize_pem()));
        assert_eq!(format!("{identity:?}"), "Identity(hidden)");
        assert_eq!(Authorities::read(&certificate, "--tls-ca").unwrap().pem, signed);

        let refused = |certificate: &Path, key: &Path, at_fault: &Path, expected: &str| {
            let text = Identity::read(certificate, key).unwrap_err().to_string();
            assert!(text.contains(&format!("`{}`", at_fault.display())), "{text}");
            assert!(text.contains(expected) && text.contains("\nhint: "), "{text}");
        };
        refused(&certificate, &strange, &strange, "does not belong to the key");
        refused(&certificate, &certificate, &certificate, "holds no private key");
        refused(&key_pem, &key_pem, &key_pem, "holds no certificate: there is no PEM section");
        refused(&broken, &key_pem, &broken, "holds no certificate: invalid peer certificate");
        refused(&missing, &key_pem, &missing, "check the file of --tls-cert");
        refused(&certificate, &missing, &missing, "check the file of --tls-key");
        for (path, expected) in
            [(&key_pem, "no PEM section"), (&broken, "BadEncoding"), (&missing, "of --tls-ca")]
        {
            let text = Authorities::read(path, "--tls-ca").unwrap_err().to_string();
            assert!(
                text.contains(&format!("`{}`", path.display())) && text.contains(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn files_that_others_may_read_are_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, expected) in
            [(0o600, None), (0o640, None), (0o644, Some(0o644)), (0o604, Some(0o604))]
        {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(world_readable(file.path()), expected);
        }
    }
}
