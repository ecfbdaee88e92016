//! What a sweep cost: the time for which devices held work, from the journal of leases.

use std::collections::BTreeMap;

use swfn_store::{LeaseSpan, covered};

/// Seconds of devices, and what came of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// Seconds for which devices held at least one trial, added up over devices; attempts that failed included.
    pub(crate) device_seconds: f64,
    /// Seconds for which any device did.
    pub(crate) busy_seconds: f64,
    pub(crate) devices: usize,
    pub(crate) attempts: usize,
}

impl Cost {
    pub(crate) fn of(spans: &[LeaseSpan]) -> Self {
        let mut of_worker: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for span in spans {
            of_worker.entry(&span.worker).or_default().push((span.from, span.to));
        }
        let all = spans.iter().map(|span| (span.from, span.to)).collect();
        Self {
            devices: of_worker.len(),
            attempts: spans.len(),
            device_seconds: of_worker.into_values().map(covered).sum(),
            busy_seconds: covered(all),
        }
    }

    /// Of several sweeps, one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            device_seconds: self.device_seconds + other.device_seconds,
            busy_seconds: self.busy_seconds + other.busy_seconds,
            devices: self.devices + other.devices,
            attempts: self.attempts + other.attempts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_side_by_side_take_the_time_of_one() {
        let span = |worker: &str, from, to| LeaseSpan { worker: worker.to_owned(), from, to };
        let spans = [
            span("a", 0.0, 10.0),
            span("a", 1.0, 10.0),
            span("b", 5.0, 15.0),
            span("a", 100.0, 110.0),
        ];
        let cost = Cost::of(&spans);
        assert_eq!(
            cost,
            Cost { device_seconds: 30.0, busy_seconds: 25.0, devices: 2, attempts: 4 }
        );
        assert_eq!(Cost::of(&[]), Cost::default());
    }
}
