//! The list of all scenarios: a few faults of each in `make test`, the numbers of the promises in `make chaos`.

use super::{clock, coordinator, cuts, drain, locks, messages, network, poison, power, workers, zombies};

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
    Scenario { name: "coordinator-failpoints", promise: "P1", few: 1, many: 20, run: coordinator::at_failpoints },
    Scenario { name: "coordinator-kills", promise: "P1", few: 4, many: 200, run: coordinator::at_random },
    Scenario { name: "power-cuts", promise: "P1", few: 1, many: 20, run: power::cuts },
    Scenario { name: "repeated-messages", promise: "P2", few: 400, many: 5000, run: messages::repeated },
    Scenario { name: "lost-reports", promise: "P2", few: 4, many: 100, run: messages::lost },
    Scenario { name: "zombies", promise: "P3", few: 2, many: 50, run: zombies::stopped },
    Scenario { name: "worker-failpoints", promise: "P4", few: 1, many: 20, run: workers::at_failpoints },
    Scenario { name: "worker-kills", promise: "P4", few: 4, many: 50, run: workers::at_random },
    Scenario { name: "aborting-trials", promise: "P5", few: 2, many: 20, run: poison::aborting },
    Scenario { name: "hoarding-trials", promise: "P5", few: 2, many: 20, run: poison::hoarding },
    Scenario { name: "hanging-trials", promise: "P5", few: 1, many: 20, run: poison::hanging },
    Scenario { name: "failing-trials", promise: "P5", few: 2, many: 20, run: poison::failing },
    Scenario { name: "diverging-trials", promise: "P5", few: 1, many: 10, run: poison::diverging },
    Scenario { name: "cut-connections", promise: "P9", few: 6, many: 50, run: cuts::of_connections },
    Scenario { name: "cut-networks", promise: "P9", few: 2, many: 50, run: network::of_networks },
    Scenario { name: "clock-jumps", promise: "P10", few: 2, many: 20, run: clock::jumps },
    Scenario { name: "lock-races", promise: "P11", few: 5, many: 100, run: locks::races },
    Scenario { name: "stops", promise: "P12", few: 4, many: 50, run: drain::asked_to_stop },
    Scenario { name: "second-signals", promise: "P12", few: 1, many: 10, run: drain::asked_twice },
];

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}
