//! Faults that tests inject. Builds with debug assertions contain them, and an environment variable
//! switches them on. A release contains none.
//!
//! `FAILPOINTS` has the syntax of the crate `fail`. `store/rows=3*off->return` kills the process
//! when it reaches that point for the fourth time; `store/rows=sleep(20)` delays it each time.
//! `SWFN_BUG` switches one planted bug on.

/// A named point where a test may kill or delay the process.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    fail::fail_point!(name, |_| on_purpose::die(name));
    let _ = name;
}

/// Whether this planted bug is on. The tests must notice each one.
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

/// Reads `FAILPOINTS`; called once when a program starts.
pub fn start() {
    #[cfg(debug_assertions)]
    // Dropping the scenario would switch all points off.
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

    /// Kills the process like `kill -9`.
    ///
    /// If `SWFN_FAULT_TOKENS` names a folder, a kill at `store/rows` removes a file there whose
    /// name begins with `store.rows`. Without such a file the process lives. So a test limits and
    /// counts the kills of processes that restart.
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
