//! One trial without a coordinator: the same computation, its points and outcome as JSON lines on standard output.

use std::{io::Write as _, ops::ControlFlow, path::Path};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use swfn_shared::{
    grid::{DEFAULT_MAX_TRIALS, Grid, MAX_FILE_BYTES},
    metrics::MetricPoint,
    trial::TrialSpec,
};

use crate::{
    data::{self, LoadOptions},
    device,
    train::{report::Observer, trainer::Trainer},
};

/// The only trial of a grid file, or the one whose id begins with `id`.
pub(crate) fn choose(file: &Path, id: Option<&str>) -> anyhow::Result<TrialSpec> {
    let shown = file.display();
    let size = std::fs::metadata(file).with_context(|| format!("cannot read `{shown}`\nhint: name a grid file"))?.len();
    ensure!(size <= MAX_FILE_BYTES, "`{shown}` is larger than {} MiB\nhint: name a grid file", MAX_FILE_BYTES >> 20);
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read `{shown}`\nhint: name a grid file"))?;
    let grid = Grid::parse(&shown.to_string(), &text, DEFAULT_MAX_TRIALS)?;
    let wanted = |spec: &TrialSpec| id.is_none_or(|id| spec.id().to_string().starts_with(id));
    let mut found = grid.trials().filter(wanted);
    match (found.next(), found.next(), id) {
        (Some(spec), None, _) => Ok(spec),
        (Some(_), Some(_), None) => {
            bail!(
                "`{shown}` has more than one trial\nhint: choose one with --trial ID; ids stand in trials.csv of the run directory"
            )
        }
        (Some(_), Some(_), Some(id)) => {
            bail!("more than one trial of `{shown}` begins with `{id}`\nhint: give more digits")
        }
        (None, _, id) => {
            bail!("no trial of `{shown}` begins with `{}`\nhint: ids stand in trials.csv", id.unwrap_or_default())
        }
    }
}

/// Trains the trial on the device and prints what it says.
pub(crate) fn train(spec: &TrialSpec, device: &str, data: &LoadOptions) -> anyhow::Result<()> {
    let device = device::open(device)?;
    device::use_one_thread();
    let mut trainer = Trainer::new(device);
    trainer.load(spec.dataset, data::load(&data::Source::from(spec.dataset), data)?)?;
    print(&json!({ "trial": spec.id().to_string(), "steps": spec.steps() }));
    let outcome = trainer.run(spec, &mut Printer)?;
    print(&json!({
        "final_test_accuracy": outcome.final_test_accuracy,
        "best_test_accuracy": outcome.best_test_accuracy,
        "final_test_loss": outcome.final_test_loss,
        "vae_seconds": outcome.vae_seconds,
        "classifier_seconds": outcome.classifier_seconds,
    }));
    Ok(())
}

/// A reader that has closed its end is not an error.
fn print(line: &serde_json::Value) {
    writeln!(std::io::stdout(), "{line}").ok();
}

struct Printer;

impl Observer for Printer {
    fn points(&mut self, _: u64, points: &[MetricPoint]) -> ControlFlow<()> {
        for point in points {
            print(&json!({ "metric": point.metric, "step": point.step, "value": point.value }));
        }
        ControlFlow::Continue(())
    }
}
