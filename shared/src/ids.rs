//! Identities. A trial's id is a hash of all settings that determine its result, so that the same
//! point of a grid is the same trial.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::quote::quote;

/// Revision of the trainer. It is raised whenever the trainer computes something else for the same
/// settings: old results then belong to other trials.
pub const TRAINER_REVISION: u32 = 3;

/// Parses exactly `N` pairs of hexadecimal digits in lower case.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N
        || !digits.iter().all(|d| d.is_ascii_digit() || (b'a'..=b'f').contains(d))
    {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Why a text is not an id or a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {} is not {wanted}", quote(.text))]
pub struct IdError {
    kind: &'static str,
    text: String,
    wanted: &'static str,
}

impl IdError {
    fn new(kind: &'static str, text: &str, wanted: &'static str) -> Self {
        Self { kind, text: text.chars().take(80).collect(), wanted }
    }
}

/// A type of so many bytes that is written as hexadecimal digits.
macro_rules! hexadecimal {
    ($(#[$doc:meta])* $type:ident, $bytes:literal, $kind:literal, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type([u8; $bytes]);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                from_hex(text).map(Self).ok_or_else(|| IdError::new($kind, text, $wanted))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

macro_rules! hashed_id {
    ($(#[$doc:meta])* $type:ident, $domain:literal) => {
        hexadecimal!($(#[$doc])* $type, 16, "id", "32 hexadecimal digits");

        impl $type {
            /// The first 128 bits of the SHA-256 of the canonical text. The kind of id and the
            /// trainer's revision are part of it.
            pub(crate) fn of(canonical: &str) -> Self {
                let digest = Sha256::new()
                    .chain_update($domain)
                    .chain_update(TRAINER_REVISION.to_le_bytes())
                    .chain_update(canonical)
                    .finalize();
                let mut id = [0; 16];
                id.copy_from_slice(&digest[..16]);
                Self(id)
            }

            /// The first eight digits, for people.
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }
    };
}

hashed_id! {
    /// One point of a grid, seed included: the unit of scheduling and of results.
    TrialId, "swfn trial"
}
hashed_id! {
    /// All trials that differ only in the seed: the unit of aggregation.
    CellId, "swfn cell"
}
hashed_id! {
    /// All trials that can run as lanes of one computation, even if they begin at different times.
    ShapeId, "swfn shape"
}
hashed_id! {
    /// A random subset of a data set. VAEs are trained on it, and it pairs trials for comparison.
    SubsetId, "swfn subset"
}
hashed_id! {
    /// A VAE: its subset, its settings and the precision of its training.
    VaeId, "swfn vae"
}
hexadecimal! {
    /// SHA-256 over the files of a data set: training images, training labels, test images, test
    /// labels. It covers the hexadecimal SHA-256 of each file's content, joined by line feeds.
    DataDigest, 32, "digest", "64 hexadecimal digits in lower case"
}

impl DataDigest {
    /// The digest of files with these digests, each in hexadecimal.
    pub fn of<'f>(files: impl IntoIterator<Item = &'f str>) -> Self {
        Self::of_text(&files.into_iter().collect::<Vec<_>>().join("\n"))
    }

    /// The digest of a text that stands for the images.
    pub(crate) fn of_text(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

/// Number of times that a trial has been leased, from 1: the fencing token.
pub type Attempt = u32;

/// The right of one worker to run one attempt of one trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    pub trial: TrialId,
    pub attempt: Attempt,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.trial.short(), self.attempt)
    }
}

/// Name that a worker process gives itself: 1 to 64 letters, digits, `-`, `_`, `.` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct WorkerId(String);

impl FromStr for WorkerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for WorkerId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
            return Ok(Self(text));
        }
        Err(IdError::new("worker id", &text, "1 to 64 letters, digits, `-`, `_`, `.` or `:`"))
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One device of one machine, whichever process drives it. Workers that a user starts side by side
/// count as different devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerDevice {
    /// The machine's name in ids.
    pub host: String,
    /// The device, with a number where the machine has several of its kind.
    pub device: String,
}

impl From<&WorkerId> for WorkerDevice {
    /// An id is `HOST:DEVICE.SUPERVISOR:PROCESS`, or `.local:RUN:DEVICE:PROCESS`. The run changes
    /// with each coordinator.
    fn from(worker: &WorkerId) -> Self {
        let id = worker.to_string();
        let path = id.rsplit_once(':').map_or(id.as_str(), |(path, _)| path);
        let host = path.split(':').next().unwrap_or(path);
        let device = path.rsplit(':').next().unwrap_or(path);
        Self { host: host.to_owned(), device: device.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_and_refuse_others() {
        let id = TrialId::of("x");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id.to_string(), CellId::of("x").to_string());
        let (short, long) = (id.to_string()[1..].to_owned(), format!("{id}0"));
        let upper = id.to_string().to_uppercase();
        for wrong in ["", &short, &long, &upper, "+1234567890123456789012345678901", "äää"] {
            assert!(wrong.parse::<TrialId>().is_err(), "{wrong}");
        }
        let digest = DataDigest::of(["a", "b", "c", "d"]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!(id.to_string().parse::<DataDigest>().is_err());
        assert!("host-1:0".parse::<WorkerId>().is_ok());
        for wrong in ["", "a b", "a\n", &"x".repeat(65)] {
            assert!(wrong.parse::<WorkerId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn processes_of_one_device_are_one_device() {
        let device = |id: &str| WorkerDevice::from(&id.parse::<WorkerId>().unwrap());
        assert_eq!(device("h-1a:cuda1-0.3f2:00000001"), device("h-1a:cuda1-0.3f2:00000002"));
        assert_ne!(
            device("h-1a:cuda1-0.3f2:00000001"),
            device("h-1a:cuda1-0.3f3:00000001"),
            "started beside it"
        );
        assert_ne!(device("h-1a:cuda1-0:00000001"), device("h-1a:cuda0-0:00000001"));
        assert_ne!(device("h-1a:cpu-0:00000001"), device("h-1b:cpu-0:00000001"));
        assert_eq!(
            device(".local:77:cpu-1:1"),
            device(".local:78:cpu-1:2"),
            "the next coordinator's"
        );
        assert_ne!(device("w1"), device("w2"));
    }
}
