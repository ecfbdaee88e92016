//! The machine and the revision of a measurement, without which its numbers mean nothing.

use std::{fs, process::Command, thread, time::SystemTime};

use serde_json::{Value, json};
use swfn_tests::programs;

use crate::command;

/// A machine and a revision.
pub(crate) struct Machine {
    model: String,
    pub(crate) cores: usize,
    date: String,
    revision: String,
    /// The load average of the last minute. Above zero, the machine was not quiet.
    load: f64,
}

/// Describes this machine and the measured programs.
pub(crate) fn describe() -> anyhow::Result<Machine> {
    let field = |text: String, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| field(text, "model name"));
    let load = fs::read_to_string("/proc/loadavg").ok();
    let version =
        command::output(Command::new(programs::folder().join("swfn-worker")).arg("--version"))?;
    Ok(Machine {
        model: cpu.unwrap_or_else(|| "unknown".to_owned()),
        cores: thread::available_parallelism()?.get(),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        revision: version.trim().trim_start_matches("swfn-worker ").to_owned(),
        load: load.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(f64::NAN),
    })
}

impl Machine {
    pub(crate) fn line(&self) -> String {
        let Self { model, cores, date, revision, load } = self;
        format!("swfn {revision} on {cores} cores of {model}, {date}, load before it {load}")
    }

    pub(crate) fn to_json(&self) -> Value {
        let Self { model, cores, date, revision, load } = self;
        json!({ "cpu": model, "cores": cores, "date": date, "revision": revision, "load_before": load })
    }
}
