//! Counts of one simulation or of many, and the trace of one.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use super::message::Millis;

/// All that can go wrong or that a person can do; what is not seen in many seeds is not tested.
pub(super) const FAULTS: [&str; 33] = [
    "clock leapt",
    "commits slow",
    "coordinator asked to stop while its disk was full",
    "coordinator ended after its answers",
    "coordinator found its disk full",
    "coordinator killed",
    "coordinator killed after a commit, before its answers",
    "coordinator killed amid its answers",
    "coordinator killed before a commit",
    "coordinator killed while its disk was full",
    "coordinator stopped",
    "message doubled",
    "message lost",
    "message overtaken",
    "stream cut",
    "stream full",
    "trainer broken",
    "trainer stands still",
    "trial hung",
    "trial killed its worker",
    "trial put back by a person",
    "trial put back while the coordinator runs",
    "worker asked to leave",
    "worker cut off",
    "worker ended since its trainer hung",
    "worker killed",
    "worker killed, successor names it",
    "worker left since it idled",
    "worker left when its time was up",
    "worker spoke of a lease of another",
    "worker stopped",
    "worker stopped beyond its lease",
    "worker told to leave by a person",
];

/// Counts by kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) seeds: u64,
    /// The trace, by virtual time.
    pub(super) happenings: u64,
    /// Durable events that were committed.
    pub(super) journal: u64,
    pub(super) results: u64,
    pub(super) quarantined: u64,
    /// Reports that came again or too late, by the reaction to them.
    pub(super) refused: BTreeMap<&'static str, u64>,
    /// Leases that workers named when they came back, by what they were told.
    pub(super) named: BTreeMap<&'static str, u64>,
    pub(super) faults: BTreeMap<&'static str, u64>,
    pub(super) virtual_hours: f64,
}

impl Tally {
    pub(super) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub(super) fn answer(&mut self, kind: &'static str) {
        *self.named.entry(kind).or_default() += 1;
    }

    pub(super) fn refuse(&mut self, kind: &'static str) {
        *self.refused.entry(kind).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            seeds,
            happenings,
            journal,
            results,
            quarantined,
            refused,
            named,
            faults,
            virtual_hours,
        } = other;
        self.seeds += seeds;
        self.happenings += happenings;
        self.journal += journal;
        self.results += results;
        self.quarantined += quarantined;
        self.virtual_hours += virtual_hours;
        for (mine, theirs) in
            [(&mut self.refused, refused), (&mut self.named, named), (&mut self.faults, faults)]
        {
            for (kind, count) in theirs {
                *mine.entry(kind).or_default() += count;
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seeds,
            happenings,
            journal,
            results,
            quarantined,
            refused,
            named,
            faults,
            virtual_hours,
        } = self;
        writeln!(f, "{seeds:>12} seeds, {virtual_hours:.0} hours of virtual time")?;
        writeln!(f, "{happenings:>12} happenings")?;
        writeln!(f, "{journal:>12} events in journals")?;
        writeln!(f, "{results:>12} results")?;
        writeln!(f, "{quarantined:>12} trials quarantined")?;
        writeln!(f, "{:>12} messages about leases refused", refused.values().sum::<u64>())?;
        refused.iter().try_for_each(|(kind, count)| writeln!(f, "{count:>16} {kind}"))?;
        writeln!(f, "{:>12} leases named on return", named.values().sum::<u64>())?;
        named.iter().try_for_each(|(kind, count)| writeln!(f, "{count:>16} {kind}"))?;
        writeln!(f, "{:>12} faults", faults.values().sum::<u64>())?;
        faults.iter().try_for_each(|(kind, count)| writeln!(f, "{count:>16} {kind}"))
    }
}

/// A trace for people.
#[derive(Debug)]
pub(super) enum Trace {
    Off,
    /// On standard error, at once.
    Printed,
    /// The last lines.
    Kept(VecDeque<String>),
}

/// Lines of a trace that are kept.
const KEPT: usize = 80;

impl Trace {
    /// `line` is only called if it is wanted.
    pub(super) fn say(&mut self, now: Millis, line: impl FnOnce() -> String) {
        let text = |line: String| format!("{:>9.3} {line}", now as f64 / 1e3);
        match self {
            Self::Off => {}
            Self::Printed => eprintln!("{}", text(line())),
            Self::Kept(lines) => {
                lines.truncate(KEPT - 1);
                lines.push_front(text(line()));
            }
        }
    }
}
