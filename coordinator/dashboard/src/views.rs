//! The JSON of answers.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use swfn_report::{Answer, half_width};
use swfn_shared::{
    grid::Selection,
    ids::CellId,
    snapshot::{Counts, Snapshot},
    state::TrialState,
};
use swfn_store::{
    MeanPoint,
    live::{EventLine, Page, Point, TrialLine, TrialPage, WorkerLine},
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
    /// Whether a coordinator answers, and not a reader of its files.
    live: bool,
    /// Whether people may send commands.
    commands: bool,
    version: &'static str,
    #[serde(serialize_with = "by_state")]
    trials: Counts,
    finished: bool,
    /// `None` where only files are known.
    connected_workers: Option<usize>,
    /// Share of the arithmetic, running trials included, 0 to 1.
    share_done: f64,
    elapsed_seconds: f64,
    remaining_seconds: Option<f64>,
    succeeded_since_start: usize,
    best: Option<BestView>,
    /// When the files were last written, in seconds since 1970, where only files are known.
    changed: Option<f64>,
    /// When the report was written, if it has been.
    report: Option<f64>,
}

fn by_state<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
    let states = TrialState::ALL.iter().map(|state| (state.name(), counts.get(*state)));
    serializer.collect_map([("total", counts.total())].into_iter().chain(states))
}

#[derive(Debug, Serialize)]
struct BestView {
    cell: String,
    seeds: usize,
    /// Accuracy of the evaluation that `[select]` names.
    test_accuracy_mean: f64,
}

impl<'v> SweepView<'v> {
    pub(super) fn new(app: &'v App, snapshot: &Snapshot) -> Self {
        let (live, counts) = (app.queue.is_some(), snapshot.counts);
        // Without workers there is no end in sight.
        let ends = !counts.finished() && snapshot.workers > 0;
        let remaining = snapshot.remaining().filter(|_| ends);
        let best = snapshot.best.as_ref().map(|best| BestView {
            cell: best.spec.label(),
            seeds: best.seeds,
            test_accuracy_mean: best.mean,
        });
        let files: &[&str] = if live { &[] } else { &["sweep.sqlite", "sweep.sqlite-wal"] };
        Self {
            names: &app.names,
            live,
            commands: app.commander.is_some(),
            version: env!("CARGO_PKG_VERSION"),
            trials: counts,
            finished: counts.finished(),
            connected_workers: live.then_some(snapshot.workers),
            share_done: snapshot.share_done,
            elapsed_seconds: snapshot.elapsed.as_secs_f64(),
            remaining_seconds: remaining.map(|remaining| remaining.as_secs_f64()),
            succeeded_since_start: snapshot.succeeded_here,
            best,
            changed: app.written(files),
            report: app.written(&["report.html"]),
        }
    }
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(super) struct ListView<T> {
    pub(super) total: i64,
    #[serde(flatten)]
    pub(super) page: Page,
    pub(super) items: Vec<T>,
}

/// `/api/v1/answer`
#[derive(Debug, Serialize)]
pub(super) struct AnswerView<'s> {
    /// The evaluation of each trial that counts.
    pub(super) selection: Selection,
    /// The meanings of the short names of regularisers.
    pub(super) names: String,
    /// In the order in which the pivot numbers them.
    pub(super) cells: Vec<CellId>,
    #[serde(flatten)]
    pub(super) answer: &'s Answer,
}

/// A cell of `/api/v1/cells`
#[derive(Debug, Serialize)]
pub(super) struct CellView<'c, C> {
    pub(super) id: CellId,
    pub(super) axes: BTreeMap<&'c str, &'c str>,
    #[serde(flatten)]
    pub(super) cell: &'c C,
}

/// `/api/v1/cells`
#[derive(Debug, Serialize)]
pub(super) struct CellsView<T> {
    /// The evaluation of each trial that counts.
    pub(super) selection: Selection,
    /// The meanings of the columns, as under the terminal's table.
    pub(super) legend: String,
    #[serde(flatten)]
    pub(super) list: ListView<T>,
}

/// The largest whole number that browsers, and most readers of JSON, keep exactly.
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// A number, or beyond [`LARGEST_EXACT`] its digits as a text.
fn exact<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *number <= LARGEST_EXACT {
        serializer.serialize_u64(*number)
    } else {
        serializer.collect_str(number)
    }
}

/// Does the same with all whole numbers of a JSON text, which stays as it is otherwise.
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
    /// Its worker is known while it runs, too.
    #[serde(flatten)]
    line: TrialLine,
    /// Its values on the axes of the sweep, without the seed.
    axes: BTreeMap<&'v str, &'v str>,
    network: &'v str,
    regulariser: &'v str,
    #[serde(serialize_with = "exact")]
    seed: u64,
    /// All iterations, those of the VAE included, and the number that is done.
    steps: u64,
    step: u64,
}

impl<'v> TrialView<'v> {
    pub(super) fn new(mut line: TrialLine, axes: &'v Axes, snapshot: &Snapshot) -> Self {
        let axes = axes.values_of(line.cell);
        let running = snapshot.running.iter().find(|running| running.trial == line.id);
        let (done, steps) = (line.outcome.is_some(), line.spec.steps());
        line.worker = line.worker.or_else(|| running.map(|running| running.worker.to_string()));
        Self {
            network: axes.get("network").copied().unwrap_or_default(),
            regulariser: axes.get("regulariser").copied().unwrap_or_default(),
            axes,
            seed: line.spec.seed,
            steps,
            step: if done { steps } else { running.map_or(0, |running| steps.min(running.step)) },
            line,
        }
    }
}

/// `/api/v1/trials/{id}`
#[derive(Debug, Serialize)]
pub(super) struct TrialDetails<'v> {
    #[serde(flatten)]
    trial: TrialView<'v>,
    settings: Box<RawValue>,
    /// The settings that are axes of a grid, for people.
    named: Vec<(String, String)>,
    log: Option<String>,
    /// Newest first.
    events: Vec<EventLine>,
    files: Vec<&'static str>,
    logs: Vec<u32>,
}

impl<'v> TrialDetails<'v> {
    pub(super) fn new(
        page: TrialPage,
        app: &'v App,
        snapshot: &Snapshot,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            settings: RawValue::from_string(exact_numbers(&page.line.spec.to_json()))?,
            named: axes::named(&page.line.spec),
            // An earlier failure does not matter once the trial has succeeded.
            log: page.log.filter(|_| page.line.outcome.is_none()),
            files: files::left_by(&app.place.path, page.line.id),
            logs: files::logs_of(&app.place.path, page.line.id, page.line.attempts),
            trial: TrialView::new(page.line, &app.axes, snapshot),
            events: page.events,
        })
    }
}

/// `/api/v1/curves`
#[derive(Debug, Serialize)]
pub(super) struct CurvesView {
    metric: &'static str,
    curves: BTreeMap<CellId, Vec<MeanView>>,
}

#[derive(Debug, Serialize)]
struct MeanView {
    #[serde(flatten)]
    point: MeanPoint,
    /// Half the width of the 95 % interval; unknown for one seed.
    confidence_95: Option<f64>,
}

impl CurvesView {
    pub(super) fn new(metric: &'static str, curves: HashMap<CellId, Vec<MeanPoint>>) -> Self {
        let mean = |point: MeanPoint| {
            let half = half_width(point.n, point.standard_deviation);
            MeanView { point, confidence_95: half.filter(|half| *half > 0.0) }
        };
        let curves = curves.into_iter();
        let curves = curves.map(|(cell, points)| (cell, points.into_iter().map(mean).collect()));
        Self { metric, curves: curves.collect() }
    }
}

/// `/api/v1/trials/{id}/points`
#[derive(Debug, Serialize)]
pub(super) struct PointsView {
    pub(super) attempt: u32,
    #[serde(flatten)]
    pub(super) list: ListView<Point>,
}

/// A worker of `/api/v1/workers`
#[derive(Debug, Serialize)]
pub(super) struct WorkerView {
    #[serde(flatten)]
    line: WorkerLine,
    connected: bool,
    running: usize,
}

impl WorkerView {
    pub(super) fn new(line: WorkerLine, snapshot: &Snapshot) -> Self {
        let connected = snapshot.connected.contains(&line.id);
        let running = snapshot.running.iter().filter(|running| running.worker == line.id).count();
        Self { line, connected, running }
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
