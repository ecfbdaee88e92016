//! Identities. A trial's is a hash of everything that determines its result, so that the same point is the same trial.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::quote::quote;

/// Raised whenever the trainer computes something else for the same specification: old results then count as other trials.
pub const TRAINER_REVISION: u32 = 3;

/// The bytes of exactly `N` pairs of hexadecimal digits in lower case.
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

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("id {} is not 32 hexadecimal digits", quote(.0))]
pub struct IdError(String);

macro_rules! hashed_id {
    ($(#[$doc:meta])* $type:ident, $domain:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type([u8; 16]);

        impl $type {
            /// The first 128 bits of the SHA-256 of the canonical text. The kind of id and the trainer's revision are part of it.
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
                from_hex(text).map(Self).ok_or_else(|| IdError(text.chars().take(64).collect()))
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
    /// Trials of equal shape can run as lanes of one batched computation, which may begin and end at different times.
    ShapeId, "swfn shape"
}
hashed_id! {
    /// A random subset of a data set: what a VAE is trained on, and what pairs trials for comparison.
    SubsetId, "swfn subset"
}
hashed_id! {
    /// A VAE: its subset, its settings and the precision of its training.
    VaeId, "swfn vae"
}

/// SHA-256 over the files of a data set. Of each file, in the order training images, training labels, test images,
/// test labels, the SHA-256 of its uncompressed content, in hexadecimal; of these four, with a line feed between them, the SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataDigest([u8; 32]);

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("digest {} is not 64 hexadecimal digits in lower case", quote(.0))]
pub struct DataDigestError(String);

impl DataDigest {
    /// That of files with these digests, each in hexadecimal.
    pub fn of<'f>(files: impl IntoIterator<Item = &'f str>) -> Self {
        Self::of_text(&files.into_iter().collect::<Vec<_>>().join("\n"))
    }

    /// That of what a text stands for.
    pub(crate) fn of_text(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl FromStr for DataDigest {
    type Err = DataDigestError;

    fn from_str(text: &str) -> Result<Self, DataDigestError> {
        from_hex(text).map(Self).ok_or_else(|| DataDigestError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataDigest({self})")
    }
}

impl Serialize for DataDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Number of times that a trial has been leased, from 1: the fencing token.
pub type Attempt = u32;

/// The right of one worker to run one attempt of one trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    /// The trial.
    pub trial: TrialId,
    /// Its attempt.
    pub attempt: Attempt,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.trial.short(), self.attempt)
    }
}

/// One worker process, named by itself: 1 to 64 letters, digits, `-`, `_`, `.` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct WorkerId(String);

/// A text that cannot name a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker id {} is not 1 to 64 letters, digits, `-`, `_`, `.` or `:`", quote(.0))]
pub struct WorkerIdError(String);

impl FromStr for WorkerId {
    type Err = WorkerIdError;

    fn from_str(text: &str) -> Result<Self, WorkerIdError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WorkerIdError(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for WorkerId {
    type Error = WorkerIdError;

    fn try_from(text: String) -> Result<Self, WorkerIdError> {
        text.parse()
    }
}

impl From<WorkerId> for String {
    fn from(WorkerId(text): WorkerId) -> Self {
        text
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One device of one machine, whatever process drives it. Workers that somebody starts beside each other have places of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The machine's name in ids.
    pub host: String,
    /// Its device, with a number where the machine has several of its kind.
    pub device: String,
}

impl From<&WorkerId> for Place {
    /// An id is `HOST:DEVICE.SUPERVISOR:PROCESS`, or `.local:RUN:DEVICE:PROCESS`, where the run changes with each coordinator.
    fn from(worker: &WorkerId) -> Self {
        let id = worker.to_string();
        let place = id.rsplit_once(':').map_or(id.as_str(), |(place, _)| place);
        let host = place.split(':').next().unwrap_or(place);
        let device = place.rsplit(':').next().unwrap_or(place);
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
    fn processes_of_one_device_share_a_place() {
        let place = |id: &str| Place::from(&id.parse::<WorkerId>().unwrap());
        assert_eq!(place("h-1a:cuda1-0.3f2:00000001"), place("h-1a:cuda1-0.3f2:00000002"));
        assert_ne!(
            place("h-1a:cuda1-0.3f2:00000001"),
            place("h-1a:cuda1-0.3f3:00000001"),
            "started beside it"
        );
        assert_ne!(place("h-1a:cuda1-0:00000001"), place("h-1a:cuda0-0:00000001"));
        assert_ne!(place("h-1a:cpu-0:00000001"), place("h-1b:cpu-0:00000001"));
        assert_eq!(
            place(".local:77:cpu-1:1"),
            place(".local:78:cpu-1:2"),
            "the next coordinator's"
        );
        assert_ne!(place("w1"), place("w2"));
    }
}
