//! The list of all scenarios: a few faults of each in `make test`, the numbers of the promises in `make chaos`.

use std::{fmt, str::FromStr};

use rand_chacha::ChaCha8Rng;

use super::{
    clock, coordinator, cuts, drain, gone, locks, messages, network, poison, power, twice, workers,
    zombies,
};
use crate::proxy::mischief;

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

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, results, acknowledged } = self;
        write!(out, "{faults} {results} {acknowledged}")
    }
}

impl FromStr for Tally {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u64>> = text.split(' ').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some([faults, results, acknowledged]) => {
                Ok(Self { faults: *faults, results: *results, acknowledged: *acknowledged })
            }
            _ => Err(format!("`{text}` is not three numbers")),
        }
    }
}

/// Why this machine cannot do it.
pub type Skipped = String;

/// A part of a scenario: so many faults. Parts differ by their seeds, and each can be run again alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Of all that is random in it: the number of its first fault.
    pub seed: u32,
    /// How many faults: of each kind, where there are several.
    pub count: u32,
}

impl Part {
    /// What a quick try does.
    pub fn few(scenario: &Scenario) -> Self {
        Self { seed: 0, count: scenario.few }
    }

    /// Its random choices.
    pub fn random(self) -> ChaCha8Rng {
        mischief::random(self.seed.into())
    }

    /// Faults that are left to do.
    pub fn left(self, tally: &Tally) -> u64 {
        u64::from(self.count).saturating_sub(tally.faults)
    }
}

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
    /// How many of those are one part.
    pub part: u32,
    /// Injects so many. Panics when the promise is broken, or when a fault did not happen.
    pub run: fn(Part) -> Result<Tally, Skipped>,
}

/// Of a scenario: its name and promise, how many faults it has in a quick try, in all and in a part, and the function.
const fn scenario(
    name: &'static str,
    promise: &'static str,
    [few, many, part]: [u32; 3],
    run: fn(Part) -> Result<Tally, Skipped>,
) -> Scenario {
    Scenario { name, promise, few, many, part, run }
}

/// All of them.
pub const ALL: &[Scenario] = &[
    scenario("coordinator-failpoints", "P1", [1, 20, 1], coordinator::at_failpoints),
    scenario("coordinator-kills", "P1", [4, 200, 8], coordinator::at_random),
    scenario("power-cuts", "P1", [1, 20, 2], power::cuts),
    scenario("repeated-messages", "P2", [400, 5000, 840], messages::repeated),
    scenario("lost-reports", "P2", [4, 100, 20], messages::lost),
    scenario("zombies", "P3", [2, 50, 3], zombies::stopped),
    scenario("worker-failpoints", "P4", [1, 20, 1], workers::at_failpoints),
    scenario("worker-kills", "P4", [4, 50, 5], workers::at_random),
    scenario("aborting-trials", "P5", [2, 20, 2], poison::aborting),
    scenario("hoarding-trials", "P5", [2, 20, 2], poison::hoarding),
    scenario("hanging-trials", "P5", [1, 20, 1], poison::hanging),
    scenario("failing-trials", "P5", [2, 20, 2], poison::failing),
    scenario("diverging-trials", "P5", [1, 10, 1], poison::diverging),
    scenario("cut-connections", "P9", [6, 50, 8], cuts::of_connections),
    scenario("cut-networks", "P9", [2, 50, 5], network::of_networks),
    scenario("clock-jumps", "P10", [2, 20, 4], clock::jumps),
    scenario("lock-races", "P11", [5, 100, 10], locks::races),
    scenario("stops", "P12", [4, 50, 6], drain::asked_to_stop),
    scenario("second-signals", "P12", [3, 30, 3], twice::asked),
    scenario("gone-coordinators", "P12", [1, 10, 1], gone::for_good),
];

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}
