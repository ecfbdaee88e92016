//! The JSON that is answered.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use swfn_report::{Answer, Summary, half_width, names};
use swfn_shared::{
    axes::Axis,
    grid::Selection,
    ids::{CellId, TrialId},
    metrics::Outcome,
    snapshot::{Running, Snapshot},
    state::TrialState,
    trial::TrialSpec,
};
use swfn_store::{
    MeanPoint,
    live::{EventLine, Page, TrialLine, TrialPage, WorkerLine},
};

use super::{
    app::{App, SweepNames},
    axes::{self, Axes},
    files,
};

/// `/api/v1/sweep`
#[derive(Debug, Serialize)]
pub(super) struct SweepView<'v> {
    #[serde(flatten)]
    names: &'v SweepNames,
    version: &'static str,
    trials: CountsView,
    finished: bool,
    /// None of files, which do not say.
    connected_workers: Option<usize>,
    /// Of the arithmetic, running trials included, 0 to 1.
    share_done: f64,
    elapsed_seconds: f64,
    remaining_seconds: Option<f64>,
    succeeded_since_start: usize,
    best: Option<BestView>,
    /// When something was last written, in seconds since 1970; of files alone.
    changed: Option<f64>,
    /// When the report was written, if it has been.
    report: Option<f64>,
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
    pub(super) fn new(app: &'v App, snapshot: &Snapshot) -> Self {
        let (names, counts) = (&app.names, snapshot.counts);
        let seconds = |duration: Duration| duration.as_secs_f64();
        Self {
            names,
            version: env!("CARGO_PKG_VERSION"),
            trials: CountsView {
                total: counts.total(),
                pending: counts.pending,
                leased: counts.leased,
                succeeded: counts.succeeded,
                quarantined: counts.quarantined,
            },
            finished: counts.finished(),
            connected_workers: names.live.then_some(snapshot.workers),
            share_done: snapshot.share_done,
            elapsed_seconds: seconds(snapshot.elapsed),
            // Without workers there is no end in sight.
            remaining_seconds: snapshot
                .remaining()
                .filter(|_| !counts.finished() && snapshot.workers > 0)
                .map(seconds),
            succeeded_since_start: snapshot.succeeded_here,
            best: snapshot.best.as_ref().map(|best| BestView {
                cell: best.spec.label(),
                seeds: best.seeds,
                test_accuracy_mean: best.mean,
            }),
            changed: (!names.live)
                .then(|| app.written(&["sweep.sqlite", "sweep.sqlite-wal"]))
                .flatten(),
            report: app.written(&["report.html"]),
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

/// `/api/v1/answer`
#[derive(Debug, Serialize)]
pub(super) struct AnswerView<'s> {
    /// Which evaluation of each trial counts.
    selection: Selection,
    /// What the short names of regularisers mean.
    names: String,
    /// The ids of the cells, in the order that the pivot counts them in.
    cells: Vec<String>,
    #[serde(flatten)]
    answer: &'s Answer,
}

impl<'s> AnswerView<'s> {
    pub(super) fn new(axes: &Axes, summary: &'s Summary) -> Self {
        let cells = axes.cells().map(|cell| cell.to_string()).collect();
        Self { selection: summary.selection, names: names(summary), cells, answer: &summary.answer }
    }
}

/// A cell of `/api/v1/cells`
#[derive(Debug, Serialize)]
pub(super) struct CellView<'c, C> {
    pub(super) id: String,
    pub(super) axes: BTreeMap<&'c str, &'c str>,
    #[serde(flatten)]
    pub(super) cell: &'c C,
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
    if *number <= LARGEST_EXACT {
        serializer.serialize_u64(*number)
    } else {
        serializer.collect_str(number)
    }
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
pub(super) struct TrialView<'v> {
    id: String,
    cell: String,
    /// Its values on the axes of the sweep, but for the seed.
    axes: BTreeMap<&'v str, &'v str>,
    state: TrialState,
    attempts: u32,
    /// Its cell, axis by axis.
    #[serde(flatten, serialize_with = "by_axis")]
    spec: TrialSpec,
    network: &'v str,
    regulariser: &'v str,
    #[serde(serialize_with = "exact")]
    seed: u64,
    /// Iterations in all, those of the VAE included, and how many are done.
    steps: u64,
    step: u64,
    /// Who trains it, or has.
    worker: Option<String>,
    outcome: Option<Outcome>,
    error: Option<String>,
}

impl<'v> TrialView<'v> {
    pub(super) fn new(line: TrialLine, axes: &'v Axes, snapshot: &Snapshot) -> Self {
        let axes = axes.values_of(line.cell);
        let running = running(snapshot, line.id);
        let (done, steps) = (line.outcome.is_some(), line.spec.steps());
        Self {
            id: line.id.to_string(),
            cell: line.cell.to_string(),
            state: line.state,
            attempts: line.attempts,
            network: axes.get("network").copied().unwrap_or_default(),
            regulariser: axes.get("regulariser").copied().unwrap_or_default(),
            axes,
            spec: line.spec,
            seed: line.spec.seed,
            steps,
            step: if done { steps } else { running.map_or(0, |running| steps.min(running.step)) },
            worker: line.worker.or_else(|| running.map(|running| running.worker.to_string())),
            outcome: line.outcome,
            error: line.error,
        }
    }
}

fn by_axis<S: Serializer>(spec: &TrialSpec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Axis::cell_columns(spec))
}

fn running(snapshot: &Snapshot, id: TrialId) -> Option<&Running> {
    snapshot.running.iter().find(|running| running.trial == id)
}

/// `/api/v1/trials/{id}`
#[derive(Debug, Serialize)]
pub(super) struct TrialDetails<'v> {
    #[serde(flatten)]
    trial: TrialView<'v>,
    settings: Box<RawValue>,
    /// Those that the axes of a grid vary, for people.
    named: Vec<(String, String)>,
    log: Option<String>,
    /// Newest first.
    events: Vec<EventView>,
    /// The files that it has left.
    files: Vec<&'static str>,
    /// The attempts that have a log.
    logs: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct EventView {
    at: f64,
    attempt: u32,
    kind: String,
    worker: Option<String>,
    error: Option<String>,
}

impl<'v> TrialDetails<'v> {
    pub(super) fn new(
        page: TrialPage,
        app: &'v App,
        snapshot: &Snapshot,
    ) -> Result<Self, serde_json::Error> {
        let event = |EventLine { at, attempt, kind, worker, error }| EventView {
            at,
            attempt,
            kind,
            worker,
            error,
        };
        Ok(Self {
            settings: RawValue::from_string(exact_numbers(&page.line.spec.to_json()))?,
            named: axes::named(&page.line.spec),
            // What failed before does not matter once the trial has succeeded.
            log: page.log.filter(|_| page.line.outcome.is_none()),
            files: files::left_by(app.place.path(), page.line.id),
            logs: files::logs_of(app.place.path(), page.line.id, page.line.attempts),
            trial: TrialView::new(page.line, &app.axes, snapshot),
            events: page.events.into_iter().map(event).collect(),
        })
    }
}

/// `/api/v1/curves`
#[derive(Debug, Serialize)]
pub(super) struct CurvesView {
    metric: &'static str,
    /// By the id of the cell.
    curves: BTreeMap<String, Vec<MeanView>>,
}

#[derive(Debug, Serialize)]
struct MeanView {
    step: u64,
    n: usize,
    mean: f64,
    /// Half the width of the 95 % interval; unknown of one seed.
    confidence_95: Option<f64>,
}

impl CurvesView {
    pub(super) fn new(metric: &'static str, curves: HashMap<CellId, Vec<MeanPoint>>) -> Self {
        let mean = |MeanPoint { step, n, mean, standard_deviation }| {
            let confidence_95 = half_width(n, standard_deviation).filter(|half| *half > 0.0);
            MeanView { step, n, mean, confidence_95 }
        };
        let curve = |(cell, points): (CellId, Vec<_>)| {
            (cell.to_string(), points.into_iter().map(mean).collect())
        };
        Self { metric, curves: curves.into_iter().map(curve).collect() }
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
        let WorkerLine { id, host, device, model, threads, software, joined, succeeded, seconds } =
            line;
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
