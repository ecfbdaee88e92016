//! Trains one trial without a coordinator. Its points and outcome are JSON lines on standard
//! output.

use std::{
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{bail, ensure};
use clap::Args;
use serde_json::json;
use swfn_proto::v1;
use swfn_shared::{
    artifacts::{self, Artifact, Artifacts},
    grid::{DEFAULT_MAX_TRIALS, Grid, MAX_FILE_BYTES},
    metrics::MetricPoint,
    output, problem,
    problem::{OrProblem as _, Problem},
    signals,
    trial::TrialSpec,
};

use crate::{
    data::{self, LoadOptions},
    device, store_file,
    supervisor::INTERRUPTED,
    train::trainer::{Options, Trainer},
    trial::{
        checkpoint::{Checkpoints, DEFAULT_SECONDS},
        report::{Observer, Stop, TrainError},
    },
};

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// Take the trial from this grid file
    #[arg(long, value_name = "FILE", help_heading = "Trial")]
    pub(crate) spec: PathBuf,
    /// Train the trial with this id, or beginning of an id [default: the grid's only trial]
    ///
    /// The ids stand in trials.csv of the run directory.
    #[arg(long, value_name = "ID", help_heading = "Trial")]
    pub(crate) trial: Option<String>,
    /// Train on this device: cpu, or a GPU such as cuda:0
    #[arg(long, value_name = "NAME", default_value = "cpu", help_heading = "Trial")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) data: LoadOptions,
    /// Write weights, samples of the VAE and the confusion matrix into this folder [default: none]
    #[arg(long, value_name = "DIR", help_heading = "Folders")]
    pub(crate) artifacts: Option<PathBuf>,
    /// Keep checkpoints in this folder, and resume from there [default: none]
    #[arg(long, value_name = "DIR", help_heading = "Folders")]
    pub(crate) checkpoint_dir: Option<PathBuf>,
    /// Wait so long between two checkpoints; 0: at each report [default: 30]
    #[arg(long, value_name = "SECONDS", requires = "checkpoint_dir", help_heading = "Folders")]
    pub(crate) checkpoint_seconds: Option<u64>,
}

/// The only trial of a grid file, or the one whose id begins with `id`.
fn choose(file: &Path, id: Option<&str>) -> anyhow::Result<TrialSpec> {
    let shown = file.display();
    let unreadable = |error| problem!("cannot read `{shown}`: {error}"; "name a grid file");
    let size = fs::metadata(file).map_err(unreadable)?.len();
    ensure!(
        size <= MAX_FILE_BYTES,
        problem!("`{shown}` is larger than {} MiB", MAX_FILE_BYTES >> 20; "name a grid file")
    );
    let text = fs::read_to_string(file).map_err(unreadable)?;
    let grid = Grid::parse(&shown.to_string(), &text, DEFAULT_MAX_TRIALS)?;
    let prefix = id.unwrap_or_default();
    let mut found = grid.trials().filter(|spec| spec.id().to_string().starts_with(prefix));
    match (found.next(), found.next(), id) {
        (Some(spec), None, _) => Ok(spec),
        (Some(_), Some(_), None) => bail!(problem!(
            "`{shown}` has more than one trial";
            "choose one with --trial ID; ids stand in trials.csv of the run directory"
        )),
        (Some(_), Some(_), Some(id)) => bail!(problem!(
            "more than one trial of `{shown}` begins with `{id}`"; "give more digits"
        )),
        (None, _, _) => bail!(problem!(
            "no trial of `{shown}` begins with `{prefix}`";
            "take an id from trials.csv of the run directory"
        )),
    }
}

/// Trains the trial and prints its points, its outcome and at last how the result was made. Returns
/// false if a signal interrupted it; it resumes from its checkpoint, if it has one.
pub(crate) fn train(arguments: &TrainArguments) -> anyhow::Result<bool> {
    let spec = &choose(&arguments.spec, arguments.trial.as_deref())?;
    let device = device::open(&arguments.device)?;
    device::use_one_thread();
    let every = arguments.checkpoint_seconds.unwrap_or(DEFAULT_SECONDS);
    let open = |folder: &PathBuf| {
        let hint = "choose another with --checkpoint-dir";
        Checkpoints::open(folder, device, Duration::from_secs(every))
            .map_err(|error| unwritable("make", folder, &error, hint))
    };
    let checkpoints = arguments.checkpoint_dir.as_ref().map(open).transpose()?;
    if let Some(folder) = &arguments.artifacts {
        // Checked before the training, not after it.
        let cannot =
            |error| unwritable("write into", folder, &error, "choose another with --artifacts");
        fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)).map_err(cannot)?;
    }
    let options =
        Options { lanes: Some(1), checkpoints: checkpoints.clone(), ..Options::default() };
    let mut trainer = Trainer::new(device, options);
    trainer.load(spec.dataset, data::load(&spec.dataset, &arguments.data)?)?;
    print(&json!({ "trial": spec.id().to_string(), "steps": spec.steps() }))?;
    let wanted = if arguments.artifacts.is_some() { artifacts::ALL } else { Artifacts::default() };
    let mut printer = Printer { stop: stop_on_signal()?, failed: None };
    let result = trainer.run_for(spec, wanted, &mut printer);
    if let Some(error) = printer.failed {
        return Err(error.into());
    }
    if result == Err(TrainError::Cancelled) {
        return Ok(false);
    }
    let (outcome, artifacts) = result?;
    print(&serde_json::to_value(outcome)?)?;
    let v1::Device { name, model, threads, cuda_version } = device::describe(device);
    print(&json!({
        "device": name,
        "model": model,
        "threads": threads,
        "software": env!("SWFN_VERSION"),
        "libtorch": crate::libtorch::TORCH_VERSION,
        "cuda": cuda_version,
        "dataset_digest": spec.dataset.digest().to_string(),
        "settings": spec,
    }))?;
    if let Some(folder) = &arguments.artifacts {
        for Artifact { name, content } in artifacts {
            let path = folder.join(name);
            store_file::write(folder, name, &path, &content)
                .or_problem(|| Problem::unwritable(&path))?;
        }
    }
    if let Some(checkpoints) = checkpoints {
        checkpoints.remove(spec.id());
    }
    Ok(true)
}

fn unwritable(what: &str, folder: &Path, error: &io::Error, hint: &str) -> Problem {
    problem!("cannot {what} the folder `{}`: {error}", folder.display(); "{hint}")
}

/// A flag that Ctrl-C and SIGTERM set. A second signal ends the process at once.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let wait = move || {
        runtime.block_on(async {
            let Ok(mut stops) = signals::stops(true) else { return };
            while stops.recv().await.is_some() {
                if stopped.swap(true, Ordering::Relaxed) {
                    output::exit(INTERRUPTED.into());
                }
            }
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(stop)
}

fn print(line: &serde_json::Value) -> io::Result<()> {
    output::print(&format!("{line}\n"))
}

/// Prints points. Stops the trial after a signal, or when nothing can be printed.
struct Printer {
    stop: Arc<AtomicBool>,
    failed: Option<io::Error>,
}

impl Observer for Printer {
    fn points(&mut self, _: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        let line = |point: &MetricPoint| json!({ "metric": point.metric, "step": point.step, "value": point.value });
        self.failed = points.iter().try_for_each(|point| print(&line(point))).err();
        if self.failed.is_some() || self.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(Stop::GiveBack)
        } else {
            ControlFlow::Continue(())
        }
    }
}
