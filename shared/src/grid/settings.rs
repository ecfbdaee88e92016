//! The sections `[classifier]`, `[vae]`, `[penalty]`, `[artifacts]` and `[run]`.

use super::{
    axis::{Bounds, read_value},
    error::Problem,
    reader::{Item, Table},
};
use crate::{
    artifacts::Artifacts,
    axes::{Axis, EPOCHS, EVALUATE_EVERY, RESTART_EVERY, Section},
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
    /// Longest time of a trial in minutes; unless given, the times of other trials decide.
    pub trial_minutes: Option<u32>,
    /// Number of trials that another worker trains again and must reproduce.
    pub verify: u32,
}

/// Reads a section of settings; those that it does not name stay as they are.
pub(super) fn read_section(mut table: Table<'_>, section: Section, base: &mut TrialSpec) {
    read_settings(&mut table, Axis::in_section(section), base);
    table.finish();
}

pub(super) fn read_settings(
    table: &mut Table<'_>,
    axes: impl Iterator<Item = Axis>,
    base: &mut TrialSpec,
) {
    for axis in axes {
        if let Some(value) = table.read(axis.name, |item| read_value(axis, item, &Bounds::NONE)) {
            axis.set(base, value);
        }
    }
}

/// Reads `[classifier]`. `unnamed` gives the epochs where the file does not, from the steps between
/// two evaluations.
pub(super) fn read_classifier(
    mut table: Table<'_>,
    base: &mut TrialSpec,
    unnamed: fn(u32) -> Epochs,
) {
    let of_epochs = [EPOCHS, RESTART_EVERY];
    let axes = Axis::in_section(Section::Classifier).filter(|axis| !of_epochs.contains(axis));
    let named = table.peek(EVALUATE_EVERY.name);
    read_settings(&mut table, axes, base);
    let (iterations, evaluate_every) = (base.classifier.iterations, base.classifier.evaluate_every);
    // The default may be beyond: a file that does not name it keeps the ids of its trials.
    if let Some(item) = named
        && evaluate_every > iterations
        && item.integer("1000").is_ok_and(|every: u32| every == evaluate_every)
    {
        item.report(
            format!("evaluate_every `{evaluate_every}` is beyond the {iterations} iterations"),
            format!("at most {iterations}, which is one evaluation at the end"),
        );
    }
    let (epochs, every) = (table.take(EPOCHS.name), table.take(RESTART_EVERY.name));
    let epochs = table.findings.keep(read_epochs(epochs, every, evaluate_every)).flatten();
    base.classifier.epochs = epochs.unwrap_or_else(|| unnamed(evaluate_every));
    table.finish();
}

/// The epochs; `None` where the file does not name them.
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
        (Some(true), Some(epochs), None) => {
            let hint = format!(
                "add `restart_every = {evaluate_every}` for a fresh epoch after each evaluation"
            );
            Err(epochs.problem("epochs `restart` lack their length", hint))
        }
        (_, _, Some(every)) => Err(every.problem(
            format!("restart_every {} has no effect: epochs do not restart", every.shown()),
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
    let at_least = |item: &Item<'_>, least: u32, why: &str| match item.count("900")? {
        seconds if seconds >= least => Ok(seconds),
        seconds => Err(item.problem(format!("{} `{seconds}` is below {least}", item.key), why)),
    };
    let max_failures = table.get("max_failures", 3, |item| item.count("3"));
    let max_losses = table.get("max_losses", 10, |item| item.count("10"));
    let beats = "workers report once a second at most, and some reports may get lost";
    let lease_seconds =
        table.get("lease_seconds", 60, |item| at_least(item, MIN_LEASE_SECONDS, beats));
    let expiry = "set at least lease_seconds: a lease cannot stand still before it could expire";
    let run = RunSettings {
        max_failures,
        max_losses,
        lease_seconds,
        stall_seconds: table.get("stall_seconds", lease_seconds.max(900), |item| {
            at_least(item, lease_seconds, expiry)
        }),
        trial_minutes: table.read("trial_minutes", |item| item.count("90")),
        verify: table.get("verify", 0, |item| item.integer("5")),
    };
    table.finish();
    run
}
