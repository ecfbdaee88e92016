//! What the HPARAMS tab of TensorBoard reads (tensorboard/plugins/hparams/{plugin_data,api}.proto): which settings and metrics there are, and
//! of each trial its settings, its beginning and its end. Trials that differ only in the seed are one group there, with mean metrics.

use std::collections::HashMap;

use prost::{Message, Oneof};
use serde_json::Value as Json;
use swfn_shared::metrics;

use super::{super::trial::Trial, event::Event};

const PLUGIN: &str = "hparams";
const EXPERIMENT: &str = "_hparams_/experiment";
const SESSION_START: &str = "_hparams_/session_start_info";
pub(super) const SESSION_END: &str = "_hparams_/session_end_info";

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Success = 1,
    Failure = 2,
}

#[derive(Clone, PartialEq, Message)]
struct PluginData {
    #[prost(int32, tag = "1")]
    version: i32,
    #[prost(oneof = "Data", tags = "2, 3, 4")]
    data: Option<Data>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Data {
    #[prost(message, tag = "2")]
    Experiment(Experiment),
    #[prost(message, tag = "3")]
    SessionStart(SessionStart),
    #[prost(message, tag = "4")]
    SessionEnd(SessionEnd),
}

#[derive(Clone, PartialEq, Message)]
struct Experiment {
    #[prost(message, repeated, tag = "4")]
    settings: Vec<Setting>,
    #[prost(message, repeated, tag = "5")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Setting {
    #[prost(string, tag = "1")]
    name: String,
    /// 1: text, 3: number.
    #[prost(int32, tag = "4")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, optional, tag = "1")]
    name: Option<MetricName>,
}

#[derive(Clone, PartialEq, Message)]
struct MetricName {
    #[prost(string, tag = "2")]
    tag: String,
}

#[derive(Clone, PartialEq, Message)]
struct SessionStart {
    #[prost(map = "string, message", tag = "1")]
    settings: HashMap<String, Value>,
    #[prost(string, tag = "4")]
    group: String,
    #[prost(double, tag = "5")]
    at: f64,
}

/// google.protobuf.Value.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(oneof = "ValueKind", tags = "2, 3")]
    kind: Option<ValueKind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum ValueKind {
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
}

#[derive(Clone, PartialEq, Message)]
struct SessionEnd {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(double, tag = "2")]
    at: f64,
}

fn event(at: f64, tag: &str, data: Data) -> Event {
    Event::plugin(at, tag, PLUGIN, PluginData { version: 0, data: Some(data) }.encode_to_vec())
}

/// Which settings vary, by the example of a trial, and which metrics there are.
pub(super) fn experiment(trial: &Trial, varying: &[&str]) -> Event {
    let setting = |(name, value): &(&'static str, Json)| Setting {
        name: (*name).to_owned(),
        kind: if value.is_string() { 1 } else { 3 },
    };
    // What a sweep is about comes first.
    let order = [
        metrics::TEST_ACCURACY,
        metrics::TEST_LOSS,
        metrics::VALIDATION_ACCURACY,
        metrics::TRAIN_LOSS,
        metrics::TRAIN_FUNCTION_NORM,
    ];
    let metric = |tag: &str| Metric { name: Some(MetricName { tag: tag.to_owned() }) };
    let settings = axes(trial, varying).map(setting).collect();
    event(
        0.0,
        EXPERIMENT,
        Data::Experiment(Experiment { settings, metrics: order.map(metric).to_vec() }),
    )
}

/// What never varies would only be a column of one value.
fn axes<'t>(
    trial: &'t Trial,
    varying: &'t [&str],
) -> impl Iterator<Item = &'t (&'static str, Json)> {
    trial.axes.iter().filter(|(name, _)| varying.contains(name))
}

/// A trial begins.
pub(super) fn begin(trial: &Trial, varying: &[&str], at: f64) -> Event {
    let value = |value: &Json| match value {
        Json::String(text) => ValueKind::Text(text.clone()),
        number => ValueKind::Number(number.as_f64().unwrap_or_default()),
    };
    let setting = |(name, json): &(&'static str, Json)| {
        ((*name).to_owned(), Value { kind: Some(value(json)) })
    };
    let settings = axes(trial, varying).map(setting).collect();
    event(
        at,
        SESSION_START,
        Data::SessionStart(SessionStart { settings, group: trial.group(), at }),
    )
}

/// A trial ends.
pub(super) fn end(status: Status, at: f64) -> Event {
    event(at, SESSION_END, Data::SessionEnd(SessionEnd { status: status as i32, at }))
}
