//! One program holds all targets of a crate, since linking takes most of the time of a build.

use std::{env, sync::OnceLock};

use crate::Target;

/// The environment variable that names the target.
const VARIABLE: &str = "SWFN_FUZZ_TARGET";

/// Returns the target that `SWFN_FUZZ_TARGET` names.
///
/// # Panics
/// If there is no such target.
pub fn chosen(targets: &[Target]) -> fn(&[u8]) {
    static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = env::var(VARIABLE).unwrap_or_default();
        let found = targets.iter().find(|(known, _)| *known == name);
        let known: Vec<_> = targets.iter().map(|(known, _)| *known).collect();
        found
            .unwrap_or_else(|| {
                panic!(
                    "target `{name}` is unknown\nhint: {VARIABLE} is one of {}",
                    known.join(", ")
                )
            })
            .1
    })
}
