//! The command line: the supervisor by default, a device process or a sheet of samples as subcommands.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};
use swfn_session::{StayLimits, drain_workers};
use swfn_shared::{
    catalogue::Origin,
    command_line,
    dataset::{Dataset, IDX, UnknownDataset},
    faults, output,
    telemetry::{self, LogFormat},
};

use crate::{
    cli_access::AccessArguments,
    cli_folders::{CheckpointArguments, VaeCacheArguments},
    data::{self, DataError, LoadOptions},
    devices, process,
    setup::Setup,
    single,
    supervisor::{self, INTERRUPTED, Supervisor},
    trial::checkpoint::DEFAULT_SECONDS,
};

/// Trains the trials that a coordinator hands out, one process per device.
///
/// Exit codes: 0 nothing is left to do, or stopped in order; 1 a device was given up; 2 wrong usage; 69 there was no coordinator for too
/// long; 75 its time was up, and there may be more to do; 130 asked to stop twice, and ended at once.
#[derive(Debug, Parser)]
#[command(name = "swfn-worker", version = env!("SWFN_VERSION"), args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<CommandLine>,
    #[command(flatten)]
    supervisor: SupervisorArguments,
}

#[derive(Debug, Subcommand)]
enum CommandLine {
    /// Check the IDX files of a data set of your own and print its [data] table for grid files
    Inspect(InspectArguments),
    /// Draw a contact sheet of a data set's training images
    Samples(SamplesArguments),
    /// Tell workers, this machine's if no others are named, to finish the trials that they hold and to leave
    Drain(DrainArguments),
    /// Train one trial without a coordinator and print its points and its outcome as JSON lines
    Train(TrainArguments),
    /// One device process; started by the supervisor
    #[command(hide = true)]
    Device(DeviceArguments),
}

/// What all processes of a supervisor share.
#[derive(Debug, Args, Serialize, Deserialize)]
struct Common {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    vae_cache: VaeCacheArguments,
    #[command(flatten)]
    checkpoints: CheckpointArguments,
    /// Trials of one shape that each device trains side by side, 1 to 1024 [default: one on a CPU; on a GPU, as many as a short
    /// measurement finds best]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    lanes: Option<u16>,
    /// Without a coordinator for so long, end with exit code 69; what it has not acknowledged is kept until then. 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    give_up_after: u64,
    /// When this machine is taken away, in seconds since 1970: a trial that would not end by then is not begun, what is held is given back
    /// 20 seconds before, and the exit code is 75
    #[arg(long, value_name = "SECONDS")]
    end_at: Option<u64>,
    /// Without a trial for so long, end with exit code 0 [default: wait for the end of the sweep]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    exit_when_idle: Option<u64>,
    /// Form of the log: text or json; the environment variable RUST_LOG filters it
    #[arg(long, value_name = "FORMAT", default_value_t)]
    log_format: LogFormat,
}

impl Common {
    fn limits(&self) -> StayLimits {
        let left = |end_at| {
            Duration::from_secs(end_at).saturating_sub(UNIX_EPOCH.elapsed().unwrap_or_default())
        };
        // Beyond what the clock can tell it is no limit.
        let end = self.end_at.and_then(|end_at| Instant::now().checked_add(left(end_at)));
        StayLimits { end, idle: self.exit_when_idle.map(Duration::from_secs) }
    }
}

#[derive(Debug, Args, Serialize, Deserialize)]
struct DataArguments {
    /// Folder with the data set's files, in DIR/NAME or DIR [default: the user's cache folder, downloaded when missing; idx has none]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where downloads, trained VAEs and checkpoints are kept [default: $SWFN_CACHE, or swfn in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Never download
    #[arg(long)]
    offline: bool,
}

impl DataArguments {
    fn options(self) -> LoadOptions {
        let Self { data_dir, cache_dir, offline } = self;
        LoadOptions { data_dir, cache_dir, offline, mirrors: Vec::new(), progress: true }
    }
}

#[derive(Debug, Args)]
struct SupervisorArguments {
    #[command(flatten)]
    common: Common,
    /// Devices, separated by commas: cpu, cpu:4 (four processes of one thread), cuda (all GPUs), cuda:0,cuda:1; auto: all GPUs or,
    /// without any, one process per core; auto:2: at most two of them. CUDA_VISIBLE_DEVICES is honoured
    #[arg(long, value_name = "LIST", default_value = "auto")]
    devices: String,
    /// Set by the coordinator that starts this worker
    #[arg(long, hide = true)]
    local_to: Option<String>,
}

#[derive(Debug, Args)]
struct DeviceArguments {
    /// What to do, as the supervisor has written it; the file is removed
    #[arg(long, value_name = "FILE")]
    setup: PathBuf,
}

#[derive(Debug, Args)]
struct DrainArguments {
    /// Ids of workers, or how they begin; they begin with the name of their machine
    #[arg(value_name = "WORKER")]
    workers: Vec<String>,
    /// Take back at once what they hold, for others to train; checkpoints stay
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    access: AccessArguments,
}

#[derive(Debug, Args)]
struct TrainArguments {
    /// A grid file; of one trial, unless --trial chooses one
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// Id of the trial, or how it begins; the trials.csv of a run directory has them
    #[arg(long, value_name = "ID")]
    trial: Option<String>,
    /// cpu, cuda:0, ...
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
    /// Folder for what the trial leaves behind: weights, a sheet of its VAE, the confusion matrix [default: nowhere]
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Folder of checkpoints, from which the trial goes on when it is started again [default: none]
    #[arg(long, value_name = "DIR")]
    checkpoint_dir: Option<PathBuf>,
    /// Seconds between two checkpoints, at least; 0: one at each report [default: 30]
    #[arg(long, value_name = "N", requires = "checkpoint_dir")]
    checkpoint_seconds: Option<u64>,
    #[command(flatten)]
    data: DataArguments,
}

#[derive(Debug, Args)]
struct InspectArguments {
    /// Folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain
    /// or with .gz, or under the names that Kaggle, torchvision and EMNIST give them
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// A data set that needs no grid: one that its name tells, or whatever lies in the user's folder.
#[derive(Debug, Clone)]
enum Sampled {
    Named(Dataset),
    Own,
}

impl Sampled {
    fn name(&self) -> &'static str {
        match self {
            Self::Named(dataset) => dataset.name(),
            Self::Own => IDX,
        }
    }
}

impl FromStr for Sampled {
    type Err = UnknownDataset;

    fn from_str(name: &str) -> Result<Self, UnknownDataset> {
        if name == IDX { Ok(Self::Own) } else { name.parse().map(Self::Named) }
    }
}

#[derive(Debug, Args)]
struct SamplesArguments {
    /// synthetic, mnist, fashion-mnist, kmnist, or idx: your own, in the folder --data-dir
    #[arg(long, value_name = "NAME")]
    dataset: Sampled,
    /// The PNG file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Number of images, from the first [default: 200, or all of fewer]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Images in a row
    #[arg(long, value_name = "N", default_value_t = 20)]
    columns: usize,
    /// Seed of the generator of the synthetic digits
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    data: DataArguments,
}

/// Parses the command line, does what it says, returns the exit code.
pub fn main() -> ExitCode {
    let arguments: Arguments = command_line::parse();
    faults::start();
    // A device process's standard error is a pipe that its supervisor reads all the time, and its last words must not wait in a queue.
    if !matches!(arguments.command, Some(CommandLine::Device(_))) {
        output::start_plain();
    }
    let result = match arguments.command {
        Some(CommandLine::Inspect(arguments)) => inspect(&arguments.folder),
        Some(CommandLine::Samples(samples)) => samples_sheet(samples),
        Some(CommandLine::Drain(arguments)) => drain(arguments),
        Some(CommandLine::Train(arguments)) => train_one(arguments),
        Some(CommandLine::Device(device)) => device_process(&device),
        None => supervise(arguments.supervisor),
    };
    let code = result.unwrap_or_else(|error| {
        output::print_message(&format!("error: {}", output::describe_error(error.as_ref())));
        ExitCode::FAILURE
    });
    output::settle();
    code
}

fn start_log(format: LogFormat) {
    telemetry::init(format, "info");
}

fn supervise(arguments: SupervisorArguments) -> anyhow::Result<ExitCode> {
    let SupervisorArguments { common, devices, local_to } = arguments;
    start_log(common.log_format);
    // Here too, so that a mistake is told once, and at once.
    let coordinator = common.access.address()?.shown();
    let devices = devices::resolve(&devices)?;
    let arguments = serde_json::to_value(&common)
        .context("device processes cannot be told their arguments\nhint: give folders and files names of UTF-8")?;
    Supervisor { devices, arguments, local_to, coordinator }.run()
}

fn device_process(arguments: &DeviceArguments) -> anyhow::Result<ExitCode> {
    let Setup { arguments: common, device, worker, predecessor } =
        Setup::<Common>::take(&arguments.setup)?;
    start_log(common.log_format);
    let address = common.access.address()?;
    let limits = common.limits();
    let data = common.data.options();
    let vae_cache = common.vae_cache.folder(&data);
    let checkpoints = common.checkpoints.setting(&data);
    let lanes = common.lanes.map(usize::from);
    let patience =
        Some(common.give_up_after).filter(|seconds| *seconds > 0).map(Duration::from_secs);
    process::run(process::Setup {
        address,
        device,
        worker,
        predecessor,
        data,
        vae_cache,
        checkpoints,
        lanes,
        patience,
        limits,
    })
}

fn drain(arguments: DrainArguments) -> anyhow::Result<ExitCode> {
    let DrainArguments { mut workers, now, access } = arguments;
    let address = access.address()?;
    if workers.is_empty() {
        workers.push(format!("{}:", supervisor::machine()));
    }
    let told = drain_workers(&address, workers, now)?;
    let how =
        if now { "gives back what it holds" } else { "finishes the trials that it holds first" };
    let line = |worker| {
        format!(
            "asked {worker} to leave; it {how}
"
        )
    };
    output::print(&told.iter().map(line).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

fn train_one(arguments: TrainArguments) -> anyhow::Result<ExitCode> {
    let TrainArguments { spec, trial, device, artifacts, checkpoint_dir, checkpoint_seconds, data } =
        arguments;
    start_log(LogFormat::Text);
    let spec = single::choose(&spec, trial.as_deref())?;
    let every = Duration::from_secs(checkpoint_seconds.unwrap_or(DEFAULT_SECONDS));
    let checkpoints = checkpoint_dir.map(|folder| (folder, every));
    let saved = checkpoints.is_some();
    match single::train(
        &spec,
        &single::Options { device, data: data.options(), artifacts, checkpoints },
    )? {
        single::Ending::Done => Ok(ExitCode::SUCCESS),
        single::Ending::Interrupted => {
            let hint = if saved {
                "the same command goes on"
            } else {
                "--checkpoint-dir would have kept what was done"
            };
            output::print_message(&format!("interrupted\nhint: {hint}"));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// The table on standard output, what a person should know besides on standard error.
fn inspect(folder: &Path) -> anyhow::Result<ExitCode> {
    let data::Inspection { description, train_counts, test_counts, .. } = data::inspect(folder)?;
    output::print(&description.to_toml())?;
    let there = || train_counts.iter().filter(|count| **count > 0);
    let (least, most) = (there().min().unwrap_or(&0), there().max().unwrap_or(&0));
    let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
    output::print_message(&format!(
        "note: {} classes have {range} training images each",
        there().count()
    ));
    for (counts, part) in [(&train_counts, "training"), (&test_counts, "test")] {
        let missing: Vec<_> =
            (0..counts.len()).filter(|class| counts[*class] == 0).map(|c| c.to_string()).collect();
        if !missing.is_empty() {
            let from_one = if missing == ["0"] {
                "; labels count from 0, so take 1 from each if yours begin at 1"
            } else {
                ""
            };
            output::print_message(&format!(
                "note: there are no {part} images of these classes: {}{from_one}",
                missing.join(", ")
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn samples_sheet(arguments: SamplesArguments) -> anyhow::Result<ExitCode> {
    let SamplesArguments { dataset, out, count, columns, seed, data } = arguments;
    let (name, options) = (dataset.name(), data.options());
    let images = match dataset {
        Sampled::Own => data::inspect(&options.data_dir.ok_or(DataError::NoFolder)?)?.data,
        Sampled::Named(Dataset::Named { entry, .. })
            if matches!(entry.origin, Origin::Generated { .. }) =>
        {
            data::load(&Dataset::Named { entry, seed }, &options)?
        }
        Sampled::Named(named) => data::load(&named, &options)?,
    };
    let len = images.train.len();
    let count = count.unwrap_or(len.min(200));
    ensure!((1..=len).contains(&count), "--count `{count}` is not in 1 to {len}");
    let drawn = images.train.gather(&(0..count).collect::<Vec<_>>());
    let png = data::sheet(&drawn.images, drawn.shape, columns)?;
    std::fs::write(&out, png).with_context(|| format!("cannot write `{}`", out.display()))?;
    output::print(&format!("{count} images of {name} in `{}`\n", out.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;
    use crate::generated::{check_page, options};

    #[test]
    fn the_reference_of_options_is_current() {
        check_page("swfn-worker.md", None, &options(Arguments::command()));
    }
}
