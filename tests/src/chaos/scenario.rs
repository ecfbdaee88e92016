//! The list of all scenarios: a few faults of each in `make test`, the full numbers in `make
//! chaos`.

use std::{fmt, str::FromStr};

use rand_chacha::ChaCha8Rng;

use super::{
    clock, coordinator, cuts, drain, gone, locks, messages, network, poison, power, twice, workers,
    zombies,
};
use crate::proxy::mischief;

/// The counts of a finished scenario.
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
    /// Adds another tally.
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

/// The reason why this machine cannot run a scenario.
pub type Skipped = String;

/// A part of a scenario. Parts differ by their seeds, and each can be run again alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The seed of all random choices: the number of the part's first fault.
    pub seed: u32,
    /// The number of faults, or of faults of each kind where there are several.
    pub count: u32,
}

impl Part {
    /// Returns the part that a quick try runs.
    pub fn few(scenario: &Scenario) -> Self {
        Self { seed: 0, count: scenario.few }
    }

    /// Starts the part's random numbers.
    pub fn random(self) -> ChaCha8Rng {
        mischief::random(self.seed.into())
    }

    /// Returns the number of faults that are left to inject.
    pub fn left(self, tally: &Tally) -> u64 {
        u64::from(self.count).saturating_sub(tally.faults)
    }
}

/// A kind of fault, with its numbers and its function.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The scenario's name.
    pub name: &'static str,
    /// The promise under test.
    pub promise: &'static str,
    /// Faults in a quick try, of each kind where there are several.
    pub few: u32,
    /// Faults that the promise asks for.
    pub many: u32,
    /// Faults in one part.
    pub part: u32,
    /// Injects the faults. Panics if the promise is broken or a fault did not happen.
    pub run: fn(Part) -> Result<Tally, Skipped>,
}

/// Makes a scenario from its name, its promise, its numbers of faults (quick, in all, per part) and
/// its function.
const fn scenario(
    name: &'static str,
    promise: &'static str,
    [few, many, part]: [u32; 3],
    run: fn(Part) -> Result<Tally, Skipped>,
) -> Scenario {
    Scenario { name, promise, few, many, part, run }
}

/// All scenarios.
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
    scenario("cut-connections", "P9", [6, 50, 8], cuts::cut_connections),
    scenario("cut-networks", "P9", [2, 50, 5], network::cut_networks),
    scenario("clock-jumps", "P10", [2, 20, 4], clock::jumps),
    scenario("lock-races", "P11", [5, 100, 10], locks::races),
    scenario("stops", "P12", [4, 50, 6], drain::ask_to_stop),
    scenario("second-signals", "P12", [3, 30, 3], twice::ask_twice),
    scenario("gone-coordinators", "P12", [1, 10, 1], gone::lose_coordinators),
];

/// Finds the scenario of that name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}
