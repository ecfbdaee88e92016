//! The list of all scenarios: a few faults of each in `make test`, the numbers of the promises in `make chaos`.

use super::coordinator;

/// What a scenario has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Faults that have happened.
    pub faults: u64,
    /// Results of trials that equal those of an undisturbed sweep.
    pub results: u64,
    /// Acknowledged reports that were looked up on the disk.
    pub acknowledged: u64,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        let Self { faults, results, acknowledged } = other;
        self.faults += faults;
        self.results += results;
        self.acknowledged += acknowledged;
    }
}

/// Why this machine cannot do it.
pub type Skipped = String;

/// Faults of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The promise that it tries.
    pub promise: &'static str,
    /// How many faults a quick try injects: of each kind, where there are several.
    pub few: u32,
    /// How many the promise asks for.
    pub many: u32,
    /// Injects so many. Panics when the promise is broken, or when a fault did not happen.
    pub run: fn(u32) -> Result<Tally, Skipped>,
}

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario { name: "coordinator-failpoints", promise: "P1", few: 2, many: 20, run: coordinator::at_failpoints },
    Scenario { name: "coordinator-kills", promise: "P1", few: 6, many: 200, run: coordinator::at_random },
];

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}
