//! What is counted, for Prometheus: the names of all counters, gauges and histograms, and the recorder that keeps them. Nothing here
//! listens or waits; without a recorder, as in most tests, counting does nothing.

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

const TRIALS: &str = "swfn_trials";
const WORKERS: &str = "swfn_workers";
const SHARE_DONE: &str = "swfn_share_done";
const LEASES: &str = "swfn_leases_total";
const LEASES_ENDED: &str = "swfn_leases_ended_total";
const POINTS: &str = "swfn_points_total";
const RESULTS: &str = "swfn_results_total";
const WORKER_POINTS: &str = "swfn_worker_points_total";
const WORKER_RESULTS: &str = "swfn_worker_results_total";
const WORKER_ITERATIONS: &str = "swfn_worker_iterations_total";
const TRIAL_SECONDS: &str = "swfn_trial_duration_seconds";
const COMMIT_SECONDS: &str = "swfn_commit_duration_seconds";
const REQUESTS_WAITING: &str = "swfn_requests_waiting";
const REQUESTS_ROOM: &str = "swfn_requests_room";
const BUILD: &str = "swfn_build_info";

/// How leases end.
const ENDS: [&str; 5] = ["succeeded", "failed", "expired", "lost", "released"];

/// Workers that have series of their own; all beyond them share one, so that their number is bounded whatever workers call themselves.
const WORKER_SERIES: usize = 256;

/// The series of the workers that have none of their own.
const OTHERS: &str = "others";

/// Bytes of a host's or a device's name in a label.
const LABEL: usize = 64;

const TRIAL_BUCKETS: [f64; 14] =
    [0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0];
const COMMIT_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Starts to keep what is counted, once for the whole process. `None`: somebody else keeps it already.
pub fn install() -> Option<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let buckets = |builder: PrometheusBuilder, name: &str, values: &[f64]| {
                builder
                    .set_buckets_for_metric(Matcher::Full(name.to_owned()), values)
                    .expect("there are buckets")
            };
            let builder = buckets(PrometheusBuilder::new(), TRIAL_SECONDS, &TRIAL_BUCKETS);
            let handle =
                buckets(builder, COMMIT_SECONDS, &COMMIT_BUCKETS).install_recorder().ok()?;
            describe();
            // Who watches for the first one needs the zero before it.
            ENDS.iter().for_each(|how| counter!(LEASES_ENDED, "how" => *how).increment(0));
            [LEASES, POINTS, RESULTS].iter().for_each(|name| counter!(*name).increment(0));
            gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            Some(handle)
        })
        .clone()
}

fn describe() {
    describe_gauge!(TRIALS, "trials of the grid, by state");
    describe_gauge!(WORKERS, "connected workers");
    describe_gauge!(SHARE_DONE, "share of the arithmetic of the sweep that is done, 0 to 1");
    describe_counter!(LEASES, "leases granted");
    describe_counter!(
        LEASES_ENDED,
        "leases that ended: succeeded, failed, expired, lost (their process ended) or released"
    );
    describe_counter!(POINTS, "curve points that arrived");
    describe_counter!(RESULTS, "results that arrived");
    describe_counter!(WORKER_POINTS, "curve points that arrived, by worker");
    describe_counter!(WORKER_RESULTS, "results that arrived, by worker");
    describe_counter!(
        WORKER_ITERATIONS,
        "iterations of the trials that ended with a result, by worker, those of VAEs included"
    );
    describe_histogram!(
        TRIAL_SECONDS,
        "seconds of training of the trials that ended with a result"
    );
    describe_histogram!(COMMIT_SECONDS, "seconds that writing took, until it was on the disk");
    describe_gauge!(REQUESTS_WAITING, "requests of workers that wait for the coordinator's core");
    describe_gauge!(REQUESTS_ROOM, "requests that can wait before workers are held up");
    describe_gauge!(BUILD, "1, with the version of this program");
}

/// Sets the gauges. `waiting`: requests in the actor's queue, and how many it takes.
pub fn show(snapshot: &Snapshot, waiting: (usize, usize)) {
    for state in TrialState::ALL {
        gauge!(TRIALS, "state" => state.name()).set(snapshot.counts.get(state) as f64);
    }
    gauge!(WORKERS).set(snapshot.workers as f64);
    gauge!(SHARE_DONE).set(snapshot.share_done);
    gauge!(REQUESTS_WAITING).set(waiting.0 as f64);
    gauge!(REQUESTS_ROOM).set(waiting.1 as f64);
}

/// Counts an event. `in_time`: it follows from the passing of time alone.
pub fn count(event: &Event, in_time: bool) {
    let how = match event {
        Event::Leased { .. } => {
            counter!(LEASES).increment(1);
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
    counter!(LEASES_ENDED, "how" => how).increment(1);
}

/// Counts a commit.
pub fn committed(took: Duration) {
    histogram!(COMMIT_SECONDS).record(took);
}

/// What is counted of each worker.
#[derive(Debug, Default)]
pub struct Meters {
    workers: HashMap<WorkerId, Series>,
    names: HashSet<String>,
}

struct Series {
    points: Counter,
    results: Counter,
    iterations: Counter,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Series")
    }
}

impl Series {
    fn new(worker: String) -> Self {
        Self {
            points: counter!(WORKER_POINTS, "worker" => worker.clone()),
            results: counter!(WORKER_RESULTS, "worker" => worker.clone()),
            iterations: counter!(WORKER_ITERATIONS, "worker" => worker),
        }
    }
}

impl Meters {
    /// A worker has joined. Its series are those of its host and device: processes come and go.
    pub fn join(&mut self, worker: &WorkerRow) {
        let name = format!(
            "{}/{}",
            text::beginning(&worker.host, LABEL),
            text::beginning(&worker.device, LABEL)
        );
        let known = self.names.contains(&name)
            || self.names.len() < WORKER_SERIES && self.names.insert(name.clone());
        let name = if known { name } else { OTHERS.to_owned() };
        self.workers.insert(worker.id.clone(), Series::new(name));
    }

    /// Its stream has ended.
    pub fn leave(&mut self, worker: &WorkerId) {
        self.workers.remove(worker);
    }

    /// So many points came from it.
    pub fn points(&self, worker: &WorkerId, count: usize) {
        counter!(POINTS).increment(count as u64);
        if let Some(series) = self.workers.get(worker) {
            series.points.increment(count as u64);
        }
    }

    /// A result came from it.
    pub fn result(&self, worker: &WorkerId, spec: &TrialSpec, outcome: &Outcome) {
        counter!(RESULTS).increment(1);
        histogram!(TRIAL_SECONDS).record(outcome.vae_seconds + outcome.classifier_seconds);
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
