//! Faults on purpose, for the tests of what must survive them. Builds with debug assertions contain them, and they do nothing
//! without their environment variable. A release contains none of them.
//!
//! `FAILPOINTS` says what happens at which point, in the words of the crate `fail`: `store/rows=3*off->return` kills the
//! process when it comes there for the fourth time, `store/rows=sleep(20)` holds it up each time. `SWFN_BUG` switches one
//! planted bug on.

/// A named place where a test may kill the process or hold it up.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    fail::fail_point!(name, |_| on_purpose::die(name));
    let _ = name;
}

/// Whether the process is to have this bug: the tests must notice each.
#[inline]
pub fn bug(name: &str) -> bool {
    #[cfg(debug_assertions)]
    return on_purpose::bug().is_some_and(|bug| bug == name);
    #[cfg(not(debug_assertions))]
    {
        let _ = name;
        false
    }
}

/// Reads `FAILPOINTS`. Called once, by a program that begins.
pub fn start() {
    #[cfg(debug_assertions)]
    // Its end would switch all points off.
    std::mem::forget(fail::FailScenario::setup());
}

#[cfg(debug_assertions)]
mod on_purpose {
    use std::{env, fs, sync::OnceLock};

    use nix::sys::signal::{Signal, raise};

    pub(super) fn bug() -> Option<&'static str> {
        static BUG: OnceLock<Option<String>> = OnceLock::new();
        BUG.get_or_init(|| env::var("SWFN_BUG").ok()).as_deref()
    }

    /// Kills the process like `kill -9`. If `SWFN_FAULT_TOKENS` names a folder, a death at `store/rows` costs a file there whose
    /// name begins with `store.rows`, and without one the process lives: so a test limits and counts the deaths of processes
    /// that are started again and again.
    pub(super) fn die(point: &str) {
        if let Some(folder) = env::var_os("SWFN_FAULT_TOKENS") {
            let name = point.replace('/', ".");
            let tokens = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut tokens =
                tokens.filter(|token| token.file_name().to_string_lossy().starts_with(&name));
            if !tokens.any(|token| fs::remove_file(token.path()).is_ok()) {
                return;
            }
        }
        raise(Signal::SIGKILL).ok();
    }
}
