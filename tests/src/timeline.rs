//! The time of a sweep by activity, from its local workers' log: lines of JSON, written with
//! `swfn_worker=debug`.
//!
//! A trial logs `reported` at each report of its losses, and `trial done` with its seconds. So it
//! began that many seconds before. The time from the last report of a training loss to the report
//! of test results is that of an evaluation.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::Value;

/// The times of a trial that one worker trained from its start to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialTimes {
    /// The worker's id.
    pub worker: String,
    /// The end of its training.
    pub done: SystemTime,
    /// Seconds of its VAE; zero if one was in the cache.
    pub vae: f64,
    /// Seconds of its classifier, evaluations included.
    pub classifier: f64,
    /// Seconds of its evaluations.
    pub evaluation: f64,
}

/// Worker seconds by activity.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shares {
    /// From the start of the coordinator to each worker's first trial.
    pub start: f64,
    /// Training of VAEs.
    pub vae: f64,
    /// Steps of classifiers.
    pub training: f64,
    /// Passes over the test images.
    pub evaluation: f64,
    /// Between two trials of a worker.
    pub between: f64,
    /// From each worker's last trial to the end of the coordinator.
    pub end: f64,
}

/// Reads the time of a log line.
pub fn time(line: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(line.get("timestamp")?.as_str()?).ok()
}

/// Finds the first line whose message begins with `message`.
pub fn first<'a>(log: &'a [Value], message: &str, metric: Option<&str>) -> Option<&'a Value> {
    let text = |line: &'a Value, key| line.get(key).and_then(Value::as_str);
    log.iter().find(|line| {
        text(line, "message").is_some_and(|text| text.starts_with(message))
            && metric.is_none_or(|metric| text(line, "metric") == Some(metric))
    })
}

/// Reads the lines of a log that are JSON.
pub fn lines(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns the seconds from one moment to a later one.
pub fn seconds(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64()
}

/// Joins the workers' log with the lines of `trials.jsonl`. Returns `None` if a trial is not in
/// both.
pub fn trials(log: &[Value], results: &[Value]) -> Option<Vec<TrialTimes>> {
    let mut ends = BTreeMap::new();
    // For each trial: the time of the last training loss, and the sum of evaluations.
    let mut running: BTreeMap<&str, (Option<SystemTime>, f64)> = BTreeMap::new();
    for line in log {
        let Some(trial) =
            line.pointer("/span/lease").and_then(Value::as_str).and_then(|id| id.split('/').next())
        else {
            continue;
        };
        let (at, (last, evaluation)) = (time(line)?, running.entry(trial).or_default());
        match (line.get("message")?.as_str()?, line.get("metric").and_then(Value::as_str)) {
            ("reported", Some("train/loss")) => *last = Some(at),
            ("reported", Some("test/accuracy")) => {
                *evaluation += last.map_or(0.0, |last| seconds(last, at))
            }
            ("trial done", _) => drop(ends.insert(trial, (at, *evaluation))),
            _ => {}
        }
    }
    let times = |result: &Value| {
        let id = result.get("trial")?.as_str()?;
        let (_, (done, evaluation)) = ends.iter().find(|(short, _)| id.starts_with(**short))?;
        Some(TrialTimes {
            worker: result.pointer("/worker/id")?.as_str()?.to_owned(),
            done: *done,
            vae: result.pointer("/outcome/vae_seconds")?.as_f64()?,
            classifier: result.pointer("/outcome/classifier_seconds")?.as_f64()?,
            evaluation: *evaluation,
        })
    };
    results.iter().map(times).collect()
}

/// Adds up the time of all workers that trained, between the coordinator's start and its end. The
/// shares leave nothing out.
pub fn shares(start: SystemTime, end: SystemTime, trials: &[TrialTimes]) -> Shares {
    let mut shares = Shares::default();
    let mut free: BTreeMap<&str, SystemTime> = BTreeMap::new();
    let mut ordered = Vec::from_iter(trials);
    ordered.sort_by_key(|trial| trial.done);
    for TrialTimes { worker, done, vae, classifier, evaluation } in ordered {
        let first = !free.contains_key(worker.as_str());
        let since = free.insert(worker, *done).unwrap_or(start);
        let waited = seconds(since, *done) - vae - classifier;
        *(if first { &mut shares.start } else { &mut shares.between }) += waited;
        shares.vae += vae;
        shares.training += classifier - evaluation;
        shares.evaluation += evaluation;
    }
    shares.end = free.values().map(|last| seconds(*last, end)).sum();
    shares
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    fn line(seconds: f64, trial: &str, rest: &str) -> String {
        let time = humantime::format_rfc3339_micros(at(seconds));
        format!(r#"{{"timestamp":"{time}","span":{{"lease":"{trial}/1"}},{rest}}}"#)
    }

    #[test]
    fn all_time_of_all_workers_is_accounted_for() {
        let reported = |metric: &str| format!(r#""message":"reported","metric":"{metric}""#);
        let done = r#""message":"trial done""#;
        let log = [
            "torn {".to_owned(),
            line(3.0, "aa", &reported("vae/loss")),
            line(4.0, "aa", &reported("train/loss")),
            line(4.5, "bb", &reported("train/loss")),
            line(5.0, "aa", &reported("test/accuracy")),
            line(6.0, "aa", &reported("train/loss")),
            line(6.5, "aa", &reported("test/accuracy")),
            line(6.5, "aa", done),
            line(7.5, "cc", &reported("train/loss")),
            line(8.0, "cc", &reported("test/accuracy")),
            line(8.0, "cc", done),
            line(9.0, "bb", &reported("test/accuracy")),
            line(9.0, "bb", done),
        ];
        let result = |trial: &str, worker: &str, vae: f64, classifier: f64| {
            let outcome =
                serde_json::json!({ "vae_seconds": vae, "classifier_seconds": classifier });
            serde_json::json!({ "trial": format!("{trial}0123"), "worker": { "id": worker }, "outcome": outcome })
        };
        let results = [
            result("aa", "x", 2.0, 3.5),
            result("bb", "y", 0.0, 7.0),
            result("cc", "x", 0.0, 1.25),
        ];
        let trials = trials(&lines(&log.join("\n")), &results).unwrap();
        let shares = shares(at(0.0), at(10.0), &trials);
        let expected = Shares {
            start: 1.0 + 2.0,
            vae: 2.0,
            training: 2.0 + 2.5 + 0.75,
            evaluation: 1.5 + 4.5 + 0.5,
            between: 0.25,
            end: 3.0,
        };
        assert_eq!(shares, expected);
        let Shares { start, vae, training, evaluation, between, end } = shares;
        assert_eq!(start + vae + training + evaluation + between + end, 20.0);
    }

    #[test]
    fn a_trial_without_log_lines_has_no_times() {
        assert_eq!(trials(&[], &[serde_json::json!({ "trial": "aa" })]), None);
    }
}
