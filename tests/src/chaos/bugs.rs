//! Bugs that are planted in the programs under test, and which scenarios must notice them.

/// A bug, by what `SWFN_BUG` calls it, and scenarios of which each must notice it.
pub const ALL: &[(&str, &[&str])] = &[
    ("acknowledged-before-the-commit", &["coordinator-failpoints"]),
    ("no-fsync", &["power-cuts"]),
    ("no-fencing", &["zombies"]),
    ("leases-never-end", &["zombies"]),
    ("attempts-are-not-raised", &["worker-kills"]),
    ("revocations-are-ignored", &["zombies"]),
    ("repeated-rows-are-errors", &["repeated-messages"]),
    ("reports-are-not-sent-again", &["lost-reports"]),
    ("reports-end-with-the-stream", &["lost-reports"]),
    ("files-are-not-written-as-a-whole", &["worker-failpoints"]),
    ("trials-go-on-one-step-earlier", &["worker-kills"]),
    ("leases-by-the-wall-clock", &["clock-jumps"]),
    ("no-lock", &["lock-races"]),
    ("stop-is-ignored", &["stops"]),
    ("what-is-given-back-is-a-loss", &["stops"]),
    ("mates-are-to-blame", &["aborting-trials"]),
    ("losses-are-not-limited", &["aborting-trials"]),
    ("held-leases-are-not-named", &["cut-connections"]),
    ("second-signals-are-ignored", &["second-signals"]),
    ("nobody-gives-up", &["gone-coordinators"]),
];
