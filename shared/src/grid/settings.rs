//! The sections `[classifier]`, `[vae]`, `[penalty]`, `[artifacts]` and `[run]`. Defaults are the published values.

use super::{
    axis::advice,
    error::Problem,
    reader::{Item, Table},
};
use crate::{
    artifacts::Artifacts,
    axes::{Axis, EPOCHS, EVALUATE_EVERY, Kind, RESTART_EVERY, Section, Value},
    trial::{Epochs, TrialSpec},
};

/// The shortest lease: four heartbeats.
pub const MIN_LEASE_SECONDS: u32 = 4;

/// How the coordinator treats the trials: `[run]`. Nothing here changes a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSettings {
    /// Failures of its own after which a trial is quarantined.
    pub max_failures: u32,
    /// Lost leases (worker killed, connection gone) after which a trial is quarantined.
    pub max_losses: u32,
    /// Seconds after which a lease that nothing renews expires.
    pub lease_seconds: u32,
    /// Seconds after which a lease whose step stands still expires, renewed or not.
    pub stall_seconds: u32,
    /// Minutes that a trial may take at most; by what others took, if it is not said.
    pub trial_minutes: Option<u32>,
    /// Trials that are trained a second time, on another worker, and must come to the same.
    pub verify: u32,
}

/// The settings of a section; those that it does not name stay as they are.
pub(super) fn read_section(mut table: Table<'_>, section: Section, base: &mut TrialSpec) {
    for axis in Axis::of_section(section) {
        if let Some(value) =
            table.take(axis.name).and_then(|item| table.findings.keep(read_setting(axis, &item)))
        {
            axis.set(base, value);
        }
    }
    table.finish();
}

/// One value, checked against the bounds of its axis.
pub(super) fn read_setting(axis: Axis, item: &Item<'_>) -> Result<Value, Problem> {
    match axis.kind {
        Kind::Whole { min: 1, max } => match item.count(axis.example)?.into() {
            count if count <= max => Ok(Value::Whole(count)),
            count => {
                Err(item.problem(format!("{} `{count}` is above {max}", axis.name), axis.advice))
            }
        },
        Kind::Whole { .. } => {
            item.integer::<u32>(axis.example).map(|value| Value::Whole(value.into()))
        }
        Kind::Choice(names) => item.choice(names, |name| name).map(Value::Name),
        Kind::Real(_) | Kind::Dataset => {
            let value = axis.check(Value::Real(item.number(axis.example)?));
            value.map_err(|problem| item.problem(problem, advice(axis)))
        }
    }
}

/// `unsaid`: the epochs where the file does not say, from the steps between two evaluations.
pub(super) fn read_classifier(
    mut table: Table<'_>,
    base: &mut TrialSpec,
    unsaid: fn(u32) -> Epochs,
) {
    let with_epochs = [EPOCHS, RESTART_EVERY];
    for axis in Axis::of_section(Section::Classifier).filter(|axis| !with_epochs.contains(axis)) {
        let Some(item) = table.take(axis.name) else { continue };
        let iterations = base.classifier.iterations;
        let value = read_setting(axis, &item).and_then(|value| match value {
            Value::Whole(every) if axis == EVALUATE_EVERY && every > iterations.into() => {
                let problem =
                    format!("evaluate_every `{every}` is beyond the {iterations} iterations");
                Err(item.problem(
                    problem,
                    format!("at most {iterations}, which is one evaluation at the end"),
                ))
            }
            value => Ok(value),
        });
        if let Some(value) = table.findings.keep(value) {
            axis.set(base, value);
        }
    }
    let evaluate_every = base.classifier.evaluate_every;
    let epochs =
        read_epochs(table.take(EPOCHS.name), table.take(RESTART_EVERY.name), evaluate_every);
    base.classifier.epochs =
        table.findings.keep(epochs).flatten().unwrap_or_else(|| unsaid(evaluate_every));
    table.finish();
}

/// None where the file does not say.
fn read_epochs(
    epochs: Option<Item<'_>>,
    every: Option<Item<'_>>,
    evaluate_every: u32,
) -> Result<Option<Epochs>, Problem> {
    let restart = match &epochs {
        Some(item) => Some(item.choice(Epochs::NAMES, |name| name)? == Epochs::RESTART),
        None => None,
    };
    match (restart, epochs, every) {
        (Some(true), _, Some(every)) => Ok(Some(Epochs::Restart { every: every.count("1000")? })),
        (Some(true), Some(epochs), None) => Err(epochs.problem(
            "epochs `restart` lack their length",
            format!(
                "add `restart_every = {evaluate_every}` for a fresh epoch after each evaluation"
            ),
        )),
        (_, _, Some(every)) => Err(every.problem(
            format!("restart_every {} is of no use: epochs do not restart", every.shown()),
            "add `epochs = \"restart\"`, or remove restart_every",
        )),
        (restart, _, None) => Ok(restart.map(|_| Epochs::Continuous)),
    }
}

pub(super) fn read_artifacts(mut table: Table<'_>) -> Artifacts {
    let artifacts = Artifacts {
        weights: table.get("weights", false, Item::boolean),
        vae_sheet: table.get("vae_sheet", false, Item::boolean),
        confusion: table.get("confusion", false, Item::boolean),
    };
    table.finish();
    artifacts
}

pub(super) fn read_run(mut table: Table<'_>) -> RunSettings {
    let mut run = RunSettings {
        max_failures: 3,
        max_losses: 10,
        lease_seconds: 60,
        stall_seconds: 900,
        trial_minutes: None,
        verify: 0,
    };
    run.max_failures = table.get("max_failures", run.max_failures, |item| item.count("3"));
    run.max_losses = table.get("max_losses", run.max_losses, |item| item.count("10"));
    let at_least = |item: &Item<'_>, least: u32, why: &str| match item.count("900")? {
        seconds if seconds >= least => Ok(seconds),
        seconds => Err(item.problem(format!("{} `{seconds}` is below {least}", item.key), why)),
    };
    let beats = "workers report once a second at most, and some beats may get lost";
    run.lease_seconds = table
        .get("lease_seconds", run.lease_seconds, |item| at_least(item, MIN_LEASE_SECONDS, beats));
    let lease = run.lease_seconds;
    run.stall_seconds = table.get("stall_seconds", run.stall_seconds.max(lease), |item| {
        at_least(
            item,
            lease,
            "a lease cannot stand still before it could expire: at least lease_seconds",
        )
    });
    run.trial_minutes =
        table.get("trial_minutes", run.trial_minutes, |item| item.count("90").map(Some));
    run.verify = table.get("verify", run.verify, |item| item.integer("5"));
    table.finish();
    run
}
