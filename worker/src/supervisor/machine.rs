//! The name of this machine in the ids of workers.

use sha2::{Digest as _, Sha256};

use crate::data::hex;

/// The beginning of the ids of this machine's workers.
pub(crate) fn machine() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    machine_of(&name.to_string_lossy(), boot.trim())
}

/// The machine's name, and a hash of the name and the time of its start: pods differ at the end of
/// long names, and many machines are called `localhost`.
pub(super) fn machine_of(name: &str, boot: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    // Ids of a coordinator's local workers begin with a dot.
    let shown: String = name.trim_start_matches('.').chars().map(allowed).take(26).collect();
    let hash = Sha256::digest(format!("{name}\n{boot}"));
    format!("{shown}-{}", hex(&hash[..5]))
}
