//! Metrics for Prometheus: all counters, gauges and histograms, and their recorder. Nothing here
//! listens or waits. Without a recorder, as in most tests, counting does nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::OnceLock,
    time::Duration,
};

use ::metrics::{
    Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use swfn_shared::{
    event::Event, ids::WorkerId, metrics::Outcome, snapshot::Snapshot, state::TrialState, text,
    trial::TrialSpec,
};
use swfn_store::WorkerRow;

/// A metric: its name, and its description.
type Metric = (&'static str, &'static str);

const TRIALS: Metric = ("swfn_trials", "trials of the grid, by state");
const WORKERS: Metric = ("swfn_workers", "connected workers");
const SHARE_DONE: Metric =
    ("swfn_share_done", "share of the arithmetic of the sweep that is done, 0 to 1");
const LEASES: Metric = ("swfn_leases_total", "leases granted");
const LEASES_ENDED: Metric =
    ("swfn_leases_ended_total", "leases that ended; lost ones are those whose process ended");
const POINTS: Metric = ("swfn_points_total", "curve points that arrived");
const RESULTS: Metric = ("swfn_results_total", "results that arrived");
const WORKER_POINTS: Metric = ("swfn_worker_points_total", "curve points that arrived, by worker");
const WORKER_RESULTS: Metric = ("swfn_worker_results_total", "results that arrived, by worker");
const WORKER_ITERATIONS: Metric =
    ("swfn_worker_iterations_total", "iterations of trials with a result, by worker, with VAEs");
const TRIAL_SECONDS: Metric =
    ("swfn_trial_duration_seconds", "seconds of training of trials with a result");
const COMMIT_SECONDS: Metric =
    ("swfn_commit_duration_seconds", "seconds until a commit was on the disk");
const REQUESTS_WAITING: Metric =
    ("swfn_requests_waiting", "requests of workers that wait for the coordinator's core");
const REQUESTS_ROOM: Metric =
    ("swfn_requests_room", "requests that can wait before workers are held up");
const BUILD: Metric = ("swfn_build_info", "1, with the version of this program");

const GAUGES: [Metric; 6] = [TRIALS, WORKERS, SHARE_DONE, REQUESTS_WAITING, REQUESTS_ROOM, BUILD];
const COUNTERS: [Metric; 7] =
    [LEASES, LEASES_ENDED, POINTS, RESULTS, WORKER_POINTS, WORKER_RESULTS, WORKER_ITERATIONS];
const HISTOGRAMS: [Metric; 2] = [TRIAL_SECONDS, COMMIT_SECONDS];

const ENDS: [&str; 5] = ["succeeded", "failed", "expired", "lost", "released"];

/// The most workers with their own series. All others share one, whatever their names are.
const WORKER_SERIES: usize = 256;

/// The most bytes of a host's or a device's name in a label.
const LABEL: usize = 64;

const TRIAL_BUCKETS: [f64; 14] =
    [0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0];
const COMMIT_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Installs the recorder, once for the process. `None` if there is another one already.
pub fn install() -> Option<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let of = |(name, _): Metric| Matcher::Full(name.to_owned());
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(of(TRIAL_SECONDS), &TRIAL_BUCKETS)
                .and_then(|some| some.set_buckets_for_metric(of(COMMIT_SECONDS), &COMMIT_BUCKETS))
                .and_then(PrometheusBuilder::install_recorder)
                .ok()?;
            GAUGES.iter().for_each(|(name, text)| describe_gauge!(*name, *text));
            COUNTERS.iter().for_each(|(name, text)| describe_counter!(*name, *text));
            HISTOGRAMS.iter().for_each(|(name, text)| describe_histogram!(*name, *text));
            // Alerts on the first one need the zero before it.
            ENDS.iter().for_each(|how| counter!(LEASES_ENDED.0, "how" => *how).increment(0));
            [LEASES, POINTS, RESULTS].iter().for_each(|(name, _)| counter!(*name).increment(0));
            gauge!(BUILD.0, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            Some(handle)
        })
        .clone()
}

/// Sets the gauges. `waiting`: requests in the engine's queue, and the most that it takes.
pub fn show(snapshot: &Snapshot, waiting: (usize, usize)) {
    for state in TrialState::ALL {
        gauge!(TRIALS.0, "state" => state.name()).set(snapshot.counts.get(state) as f64);
    }
    gauge!(WORKERS.0).set(snapshot.workers as f64);
    gauge!(SHARE_DONE.0).set(snapshot.share_done);
    gauge!(REQUESTS_WAITING.0).set(waiting.0 as f64);
    gauge!(REQUESTS_ROOM.0).set(waiting.1 as f64);
}

/// Counts an event. `in_time`: it follows from the clock alone.
pub fn count(event: &Event, in_time: bool) {
    let how = match event {
        Event::Leased { .. } => {
            counter!(LEASES.0).increment(1);
            return;
        }
        Event::Succeeded { .. } => "succeeded",
        Event::Failed { .. } => "failed",
        Event::Lost { .. } if in_time => "expired",
        Event::Lost { .. } => "lost",
        Event::Released { .. } => "released",
        Event::WorkerJoined { .. }
        | Event::WorkerHeard { .. }
        | Event::WorkerAsked { .. }
        | Event::WorkerLeft { .. }
        | Event::Progressed { .. }
        | Event::ByPerson { .. } => return,
    };
    counter!(LEASES_ENDED.0, "how" => how).increment(1);
}

pub fn committed(took: Duration) {
    histogram!(COMMIT_SECONDS.0).record(took);
}

#[derive(Debug, Default)]
pub struct Meters {
    workers: HashMap<WorkerId, Series>,
    names: HashSet<String>,
}

#[derive(Debug)]
struct Series {
    points: Counter,
    results: Counter,
    iterations: Counter,
}

impl Series {
    fn new(worker: String) -> Self {
        Self {
            points: counter!(WORKER_POINTS.0, "worker" => worker.clone()),
            results: counter!(WORKER_RESULTS.0, "worker" => worker.clone()),
            iterations: counter!(WORKER_ITERATIONS.0, "worker" => worker),
        }
    }
}

impl Meters {
    /// Adds a worker. Its series have the names of its host and device, since processes change.
    pub fn join(&mut self, worker: &WorkerRow) {
        let [host, device] = [&worker.host, &worker.device].map(|t| text::beginning(t, LABEL));
        let name = format!("{host}/{device}");
        let known = self.names.contains(&name)
            || self.names.len() < WORKER_SERIES && self.names.insert(name.clone());
        let name = if known { name } else { "others".to_owned() };
        self.workers.insert(worker.id.clone(), Series::new(name));
    }

    /// Removes a worker whose stream has ended.
    pub fn leave(&mut self, worker: &WorkerId) {
        self.workers.remove(worker);
    }

    pub fn points(&self, worker: &WorkerId, count: usize) {
        counter!(POINTS.0).increment(count as u64);
        if let Some(series) = self.workers.get(worker) {
            series.points.increment(count as u64);
        }
    }

    pub fn result(&self, worker: &WorkerId, spec: &TrialSpec, outcome: &Outcome) {
        counter!(RESULTS.0).increment(1);
        histogram!(TRIAL_SECONDS.0).record(outcome.vae_seconds + outcome.classifier_seconds);
        if let Some(series) = self.workers.get(worker) {
            series.results.increment(1);
            series.iterations.increment(spec.steps());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_series_is_bounded() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            let mut meters = Meters::default();
            for number in 0..2 * WORKER_SERIES {
                let id: WorkerId = format!("w{number}").parse().unwrap();
                let worker = WorkerRow {
                    id: id.clone(),
                    host: format!("host \"{number}\"\n"),
                    device: "cpu".into(),
                    model: String::new(),
                    threads: None,
                    cuda: None,
                    software: String::new(),
                    libtorch: String::new(),
                    certificate: None,
                };
                meters.join(&worker);
                meters.join(&worker);
                meters.points(&id, 3);
                meters.leave(&id);
                meters.points(&id, 1);
            }
            assert!(meters.workers.is_empty());
        });
        let text = handle.render();
        let lines: Vec<_> =
            text.lines().filter(|line| line.starts_with("swfn_worker_points_total{")).collect();
        assert_eq!(lines.len(), WORKER_SERIES + 1, "{text}");
        assert!(
            lines.contains(&"swfn_worker_points_total{worker=\"host \\\"7\\\"\\n/cpu\"} 3"),
            "{lines:?}"
        );
        assert!(
            lines.contains(
                &format!("swfn_worker_points_total{{worker=\"others\"}} {}", 3 * WORKER_SERIES)
                    .as_str()
            )
        );
        assert!(text.contains(&format!("swfn_points_total {}", 8 * WORKER_SERIES)), "{text}");
    }
}
