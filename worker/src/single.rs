//! One trial without a coordinator: the same computation, its points and outcome as JSON lines on standard output.

use std::{
    fs,
    io::{self, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    grid::{DEFAULT_MAX_TRIALS, Grid, MAX_FILE_BYTES},
    metrics::MetricPoint,
    trial::TrialSpec,
};

use crate::{
    data::{self, LoadOptions},
    device::{self, DeviceInfo},
    train::{checkpoint::Checkpoints, report::Observer, trainer::Trainer},
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

/// How to train it.
pub(crate) struct Options {
    pub(crate) device: String,
    pub(crate) data: LoadOptions,
    /// Folder for all that the trial leaves behind.
    pub(crate) artifacts: Option<PathBuf>,
    /// Folder of checkpoints, and the time between two.
    pub(crate) checkpoints: Option<(PathBuf, Duration)>,
}

/// Trains the trial on the device and prints what it says, at the end where its result comes from.
pub(crate) fn train(spec: &TrialSpec, options: &Options) -> anyhow::Result<()> {
    let device = device::open(&options.device)?;
    device::use_one_thread();
    let open = |(folder, every): &(PathBuf, Duration)| {
        Checkpoints::open(folder, device, *every).with_context(|| {
            format!("cannot make the folder `{}`\nhint: choose another with --checkpoint-dir", folder.display())
        })
    };
    let checkpoints = options.checkpoints.as_ref().map(open).transpose()?;
    let mut trainer = Trainer::new(device).with_checkpoints(checkpoints.clone());
    let source = data::Source::from(spec.dataset);
    trainer.load(spec.dataset, data::load(&source, &options.data)?)?;
    print(&json!({ "trial": spec.id().to_string(), "steps": spec.steps() }));
    let wanted = if options.artifacts.is_some() { Artifacts::ALL } else { Artifacts::default() };
    let (outcome, artifacts) = trainer.run_for(spec, wanted, &mut Printer)?;
    if let Some(folder) = &options.artifacts {
        write(folder, &artifacts).with_context(|| {
            format!("cannot write into `{}`\nhint: check disk space and permissions", folder.display())
        })?;
    }
    print(&serde_json::to_value(outcome)?);
    let DeviceInfo { name, model, threads, cuda } = device::describe(device);
    print(&json!({
        "device": name,
        "model": model,
        "threads": threads,
        "software": env!("SWFN_VERSION"),
        "libtorch": device::TORCH_VERSION,
        "cuda": cuda,
        "dataset_digest": source.digest(),
        "settings": spec,
    }));
    if let Some(checkpoints) = checkpoints {
        checkpoints.remove(spec.id());
    }
    Ok(())
}

fn write(folder: &Path, artifacts: &[Artifact]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    artifacts.iter().try_for_each(|artifact| fs::write(folder.join(artifact.name), &artifact.content))
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
