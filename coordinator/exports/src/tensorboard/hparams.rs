//! Records for TensorBoard's HPARAMS tab: which settings and metrics there are, and for each trial
//! its settings, start and end. The tab shows trials that differ only in the seed as one group.

use prost::Message as _;
use serde_json::Value as Json;
use swfn_shared::metrics;

use super::{
    super::trial::Trial,
    event::{
        Event,
        messages::{
            Experiment, Hparams, Metric, MetricName, SessionEnd, SessionStart, Setting,
            SettingValue, hparams::Data, setting_value::Kind,
        },
    },
};

pub(super) const SESSION_END: &str = "_hparams_/session_end_info";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Success = 1,
    Failure = 2,
}

fn event(at: f64, tag: &str, data: Data) -> Event {
    Event::plugin(at, tag, "hparams", Hparams { version: 0, data: Some(data) }.encode_to_vec())
}

/// Names the settings that vary, with the kinds that `trial` has, and the metrics.
pub(super) fn experiment(trial: &Trial, varying: &[&str]) -> Event {
    let setting = |(name, value): &(&'static str, Json)| Setting {
        name: (*name).to_owned(),
        kind: if value.is_string() { 1 } else { 3 },
    };
    // The tab keeps this order: the sweep's main metric first.
    let order = [
        metrics::TEST_ACCURACY,
        metrics::TEST_LOSS,
        metrics::VALIDATION_ACCURACY,
        metrics::TRAIN_LOSS,
        metrics::TRAIN_FUNCTION_NORM,
    ];
    let metric = |tag: &str| Metric { name: Some(MetricName { tag: tag.to_owned() }) };
    let settings = axes(trial, varying).map(setting).collect();
    let metrics = order.map(metric).to_vec();
    event(0.0, "_hparams_/experiment", Data::Experiment(Experiment { settings, metrics }))
}

/// The axes that vary; any other would be a column with one value.
fn axes<'t>(
    trial: &'t Trial,
    varying: &'t [&str],
) -> impl Iterator<Item = &'t (&'static str, Json)> {
    trial.axes.iter().filter(|(name, _)| varying.contains(name))
}

pub(super) fn begin(trial: &Trial, varying: &[&str], at: f64) -> Event {
    let setting = |(name, value): &(&'static str, Json)| {
        let kind = match value {
            Json::String(text) => Kind::Text(text.clone()),
            number => Kind::Number(number.as_f64().unwrap_or_default()),
        };
        ((*name).to_owned(), SettingValue { kind: Some(kind) })
    };
    // With the beginning of the cell's id: earlier grids may have the same label.
    let cell = trial.cell.get(..4).unwrap_or(&trial.cell);
    let group = format!("{} ({cell})", trial.label);
    let settings = axes(trial, varying).map(setting).collect();
    event(
        at,
        "_hparams_/session_start_info",
        Data::SessionStart(SessionStart { settings, group, at }),
    )
}

pub(super) fn end(status: Status, at: f64) -> Event {
    event(at, SESSION_END, Data::SessionEnd(SessionEnd { status: status as i32, at }))
}
