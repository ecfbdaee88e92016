//! How workers are named after their machine.

use sha2::{Digest as _, Sha256};

/// How the ids of workers begin: with the run of the coordinator that starts them, or with what tells this machine from all others.
pub(super) fn id_prefix(local_to: Option<&str>) -> String {
    local_to.map_or_else(machine, str::to_owned)
}

/// This machine in ids of workers.
pub(crate) fn machine() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    // Where it cannot be read, the name has to do.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    machine_of(&name.to_string_lossy(), boot.trim())
}

/// Its name, and a hash of all of its name and of when it was started: pods differ at the end of long names, and many machines are called
/// `localhost`.
pub(super) fn machine_of(name: &str, boot: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    // An id that begins with a dot is a local worker's.
    let shown: String = name.trim_start_matches('.').chars().map(allowed).take(26).collect();
    let hash = Sha256::digest(format!("{name}\n{boot}"));
    let hash: String = hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("{shown}-{hash}")
}
