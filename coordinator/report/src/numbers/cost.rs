//! The cost of a sweep: the time for which devices held trials, from the journal of leases.

use std::collections::BTreeMap;

use swfn_store::{LeaseSpan, covered};

/// Seconds of devices, and their attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// Seconds for which devices held trials, added up over devices. Failed attempts count.
    pub(crate) device_seconds: f64,
    /// Seconds for which any device held a trial.
    pub(crate) busy_seconds: f64,
    pub(crate) devices: usize,
    pub(crate) attempts: usize,
}

impl Cost {
    /// Adds the leases of a run. Runs follow each other, and their devices differ.
    pub(crate) fn add(&mut self, spans: &[LeaseSpan]) {
        let mut by_worker: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for span in spans {
            by_worker.entry(&span.worker).or_default().push((span.from, span.to));
        }
        self.busy_seconds += covered(spans.iter().map(|span| (span.from, span.to)).collect());
        self.attempts += spans.len();
        self.devices += by_worker.len();
        self.device_seconds += by_worker.into_values().map(covered).sum::<f64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_trials_count_once() {
        let span = |worker: &str, from, to| LeaseSpan { worker: worker.to_owned(), from, to };
        let spans = [
            span("a", 0.0, 10.0),
            span("a", 1.0, 10.0),
            span("b", 5.0, 15.0),
            span("a", 100.0, 110.0),
        ];
        let mut cost = Cost::default();
        cost.add(&[]);
        cost.add(&spans);
        assert_eq!(
            cost,
            Cost { device_seconds: 30.0, busy_seconds: 25.0, devices: 2, attempts: 4 }
        );
    }
}
