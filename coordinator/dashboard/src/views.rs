//! The JSON that is answered.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use swfn_shared::{
    grid::Selection,
    ids::TrialId,
    metrics::Outcome,
    snapshot::{Running, Snapshot},
    treatment::{Names, Regulariser, network},
};
use swfn_store::live::{EventLine, Page, TrialLine, TrialPage, WorkerLine};

use super::routes::SweepNames;

/// `/api/v1/sweep`
#[derive(Debug, Serialize)]
pub(super) struct SweepView<'v> {
    #[serde(flatten)]
    names: &'v SweepNames,
    version: &'static str,
    trials: CountsView,
    finished: bool,
    connected_workers: usize,
    /// Of the arithmetic, running trials included, 0 to 1.
    share_done: f64,
    elapsed_seconds: f64,
    remaining_seconds: Option<f64>,
    succeeded_since_start: usize,
    best: Option<BestView>,
}

#[derive(Debug, Serialize)]
struct CountsView {
    total: usize,
    pending: usize,
    leased: usize,
    succeeded: usize,
    quarantined: usize,
}

#[derive(Debug, Serialize)]
struct BestView {
    cell: String,
    seeds: usize,
    /// Of the evaluation that counts, which `[select]` names.
    test_accuracy_mean: f64,
}

impl<'v> SweepView<'v> {
    pub(super) fn new(names: &'v SweepNames, snapshot: &Snapshot) -> Self {
        let counts = snapshot.counts;
        let seconds = |duration: Duration| duration.as_secs_f64();
        Self {
            names,
            version: env!("CARGO_PKG_VERSION"),
            trials: CountsView {
                total: counts.pending + counts.leased + counts.succeeded + counts.quarantined,
                pending: counts.pending,
                leased: counts.leased,
                succeeded: counts.succeeded,
                quarantined: counts.quarantined,
            },
            finished: counts.finished(),
            connected_workers: snapshot.workers,
            share_done: snapshot.share_done,
            elapsed_seconds: seconds(snapshot.elapsed),
            remaining_seconds: snapshot.remaining().filter(|_| !counts.finished()).map(seconds),
            succeeded_since_start: snapshot.succeeded_here,
            best: snapshot.best.as_ref().map(|best| BestView {
                cell: best.spec.label(),
                seeds: best.seeds,
                test_accuracy_mean: best.mean,
            }),
        }
    }
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(super) struct ListView<T> {
    total: i64,
    limit: u32,
    offset: u32,
    items: Vec<T>,
}

impl<T> ListView<T> {
    pub(super) fn new(page: Page, total: i64, items: Vec<T>) -> Self {
        Self { total, limit: page.limit, offset: page.offset, items }
    }
}

/// `/api/v1/cells`
#[derive(Debug, Serialize)]
pub(super) struct CellsView<T> {
    /// Which evaluation of each trial counts.
    pub(super) selection: Selection,
    /// What the columns are, as under the terminal's table.
    pub(super) legend: String,
    #[serde(flatten)]
    pub(super) list: ListView<T>,
}

/// The largest whole number of which browsers, and most readers of JSON, know the last digit.
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// A number, or beyond [`LARGEST_EXACT`] its digits as a text.
fn exact<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *number <= LARGEST_EXACT { serializer.serialize_u64(*number) } else { serializer.collect_str(number) }
}

/// The same of all whole numbers of a JSON text, which stays as it is otherwise.
fn exact_numbers(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut rest, mut in_string) = (json, false);
    while let Some(first) = rest.chars().next() {
        let is_number = !in_string && first.is_ascii_digit();
        let end = if is_number {
            rest.find(|c: char| !(c.is_ascii_digit() || ".eE+-".contains(c))).unwrap_or(rest.len())
        } else if in_string && first == '\\' {
            1 + rest[1..].chars().next().map_or(0, char::len_utf8)
        } else {
            in_string ^= first == '"';
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(end);
        match token.parse() {
            Ok(number) if is_number && LARGEST_EXACT < number => text += &format!("\"{number}\""),
            _ => text += token,
        }
        rest = behind;
    }
    text
}

/// A trial of `/api/v1/trials`
#[derive(Debug, Serialize)]
pub(super) struct TrialView {
    id: String,
    state: String,
    attempts: u32,
    architecture: String,
    network: String,
    regulariser: String,
    subset_size: u32,
    #[serde(serialize_with = "exact")]
    seed: u64,
    lambda: f64,
    density: String,
    weight_decay: f64,
    learning_rate: f64,
    penalty_samples: u32,
    /// Iterations in all, those of the VAE included, and how many are done.
    steps: i64,
    step: i64,
    /// Who trains it, or has.
    worker: Option<String>,
    outcome: Option<Outcome>,
    error: Option<String>,
}

impl TrialView {
    /// `names`: of the regularisers of the sweep.
    pub(super) fn new(line: TrialLine, names: Names, snapshot: &Snapshot) -> Self {
        let regulariser = Regulariser::of(&line.architecture, line.lambda, line.weight_decay);
        let running = running(snapshot, line.id);
        let done = line.outcome.is_some();
        Self {
            id: line.id.to_string(),
            state: line.state,
            attempts: line.attempts,
            network: network(&line.architecture).to_owned(),
            regulariser: names.regulariser(regulariser),
            architecture: line.architecture,
            subset_size: line.subset_size,
            // The file's integers are signed.
            seed: line.seed as u64,
            lambda: line.lambda,
            density: line.density,
            weight_decay: line.weight_decay,
            learning_rate: line.learning_rate,
            penalty_samples: line.penalty_samples,
            steps: line.steps,
            step: if done { line.steps } else { running.map_or(0, |running| line.steps.min(running.step as i64)) },
            worker: line.worker.or_else(|| running.map(|running| running.worker.to_string())),
            outcome: line.outcome,
            error: line.error,
        }
    }
}

fn running(snapshot: &Snapshot, id: TrialId) -> Option<&Running> {
    snapshot.running.iter().find(|running| running.trial == id)
}

/// `/api/v1/trials/{id}`
#[derive(Debug, Serialize)]
pub(super) struct TrialDetails {
    #[serde(flatten)]
    trial: TrialView,
    settings: Box<RawValue>,
    log: Option<String>,
    /// Newest first.
    events: Vec<EventView>,
}

#[derive(Debug, Serialize)]
struct EventView {
    at: f64,
    attempt: u32,
    kind: String,
    worker: Option<String>,
    error: Option<String>,
}

impl TrialDetails {
    pub(super) fn new(page: TrialPage, names: Names, snapshot: &Snapshot) -> Result<Self, serde_json::Error> {
        let event = |EventLine { at, attempt, kind, worker, error }| EventView { at, attempt, kind, worker, error };
        Ok(Self {
            settings: RawValue::from_string(exact_numbers(&page.spec))?,
            // What failed before does not matter once the trial has succeeded.
            log: page.log.filter(|_| page.line.outcome.is_none()),
            trial: TrialView::new(page.line, names, snapshot),
            events: page.events.into_iter().map(event).collect(),
        })
    }
}

/// `/api/v1/trials/{id}/points`
#[derive(Debug, Serialize)]
pub(super) struct PointsView {
    pub(super) attempt: u32,
    #[serde(flatten)]
    pub(super) list: ListView<PointView>,
}

#[derive(Debug, Serialize)]
pub(super) struct PointView {
    pub(super) metric: String,
    pub(super) step: i64,
    pub(super) value: f64,
}

/// A worker of `/api/v1/workers`
#[derive(Debug, Serialize)]
pub(super) struct WorkerView {
    id: String,
    host: String,
    device: String,
    model: String,
    threads: Option<u32>,
    software: String,
    joined: f64,
    connected: bool,
    running: usize,
    succeeded: i64,
    seconds: f64,
}

impl WorkerView {
    pub(super) fn new(line: WorkerLine, snapshot: &Snapshot) -> Self {
        let WorkerLine { id, host, device, model, threads, software, joined, succeeded, seconds } = line;
        Self {
            connected: snapshot.connected.contains(&id),
            running: snapshot.running.iter().filter(|running| running.worker == id).count(),
            id: id.to_string(),
            host,
            device,
            model,
            threads,
            software,
            joined,
            succeeded,
            seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_readers_would_round_are_texts() {
        let json = r#"{"seed":9007199254740993,"least":9007199254740992,"small":9007199254740991,"a\"1":[18446744073709551615,0.1,1e300,1e21],
                       "text":"9007199254740993 \\","below":-3}"#;
        let expected = r#"{"seed":"9007199254740993","least":"9007199254740992","small":9007199254740991,"a\"1":["18446744073709551615",0.1,1e300,1e21],
                       "text":"9007199254740993 \\","below":-3}"#;
        assert_eq!(exact_numbers(json), expected);
        assert_eq!(exact_numbers("\"ä\\ö"), "\"ä\\ö");
        #[derive(Serialize)]
        struct Of(#[serde(serialize_with = "exact")] u64);
        let shown = |seed| serde_json::to_string(&Of(seed)).unwrap();
        assert_eq!(
            (shown(LARGEST_EXACT), shown(LARGEST_EXACT + 2)),
            ("9007199254740991".into(), "\"9007199254740993\"".into())
        );
    }
}
