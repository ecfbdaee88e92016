//! Bugs planted in the programs under test, the scenarios that must notice each, and the expected
//! messages.

/// A planted bug.
#[derive(Debug)]
pub struct Bug {
    /// The bug's name in `SWFN_BUG`.
    pub name: &'static str,
    /// The scenarios that must notice the bug.
    pub noticed_by: &'static str,
    /// Parts of the messages by which the bug shows. A failure without any of them has another
    /// cause.
    pub messages: &'static [&'static str],
}

const fn bug(
    name: &'static str,
    noticed_by: &'static str,
    messages: &'static [&'static str],
) -> Bug {
    Bug { name, noticed_by, messages }
}

/// All planted bugs. `FAULTS.md` has the same table.
pub const ALL: &[Bug] = &[
    bug("acknowledged-before-the-commit", "coordinator-failpoints", &["acknowledged and lost"]),
    bug("no-fsync", "power-cuts", &["acknowledged and lost: all"]),
    bug("no-fencing", "zombies", &["was not revoked"]),
    bug("leases-never-end", "zombies", &["whose holder is stopped, does not end"]),
    bug("attempts-are-not-raised", "worker-kills", &["attempts are numbered"]),
    bug("revocations-are-ignored", "zombies", &["was not revoked"]),
    bug("repeated-rows-are-errors", "repeated-messages", &["UNIQUE constraint failed"]),
    bug("reports-are-not-sent-again", "lost-reports", &["reports are not sent again"]),
    bug("reports-end-with-the-stream", "lost-reports", &["reports are not sent again"]),
    bug(
        "files-are-not-written-as-a-whole",
        "worker-failpoints",
        &["a kill leaves no damaged checkpoint"],
    ),
    bug("trials-go-on-one-step-earlier", "worker-kills", &["they differ first in"]),
    bug("leases-by-the-wall-clock", "clock-jumps", &["costs no attempt"]),
    bug("no-lock", "lock-races", &["are at work in one run directory"]),
    bug(
        "stop-is-ignored",
        "stops",
        // A worker that ignores a signal finishes its trial, is killed with it, or holds it on.
        &[
            "a stopping process returns its leases",
            "stopped in a trial returned it",
            "a returned lease is not lost",
        ],
    ),
    bug("what-is-given-back-is-a-loss", "stops", &["a returned lease is not lost"]),
    bug("mates-are-to-blame", "aborting-trials", &["an innocent trial is quarantined"]),
    bug(
        "losses-are-not-limited",
        "aborting-trials",
        &["a trial that ends its worker is tried for the"],
    ),
    bug("held-leases-are-not-named", "cut-connections", &["costs no attempt"]),
    bug("second-signals-are-ignored", "second-signals", &["that was asked twice waits for its"]),
    bug("nobody-gives-up", "gone-coordinators", &["still waits for its coordinator"]),
];

/// Finds the bug of that name.
pub fn named(name: &str) -> Option<&'static Bug> {
    ALL.iter().find(|bug| bug.name == name)
}

#[cfg(test)]
mod tests {
    use super::{super::scenario, *};

    #[test]
    fn the_documents_table_is_this_one() {
        let (_, table) = include_str!("../../FAULTS.md")
            .split_once("| bug | noticed by | by what |\n|---|---|---|\n")
            .unwrap();
        let row = |Bug { name, noticed_by, messages }: &Bug| {
            format!("| {name} | {noticed_by} | {} |", messages.join(" / "))
        };
        let rows: Vec<_> = ALL.iter().map(row).collect();
        assert_eq!(table.lines().collect::<Vec<_>>(), rows);
        assert!(ALL.iter().all(|bug| scenario::named(bug.noticed_by).is_some()));
    }
}
