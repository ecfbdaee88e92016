//! The command line: the supervisor by default; inspection, samples, draining and a single trial as
//! subcommands.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::ensure;
use clap::{Args, Parser, Subcommand};
use swfn_session::drain_workers;
use swfn_shared::{
    catalogue::Origin,
    command_line,
    dataset::{Dataset, IDX, UnknownDataset},
    faults, output, problem,
    problem::Problem,
    telemetry::{self, LogFormat},
};

use crate::{
    arguments::{AccessArguments, SharedArguments},
    data::{self, LoadOptions},
    devices, process,
    setup::Setup,
    single::{self, TrainArguments},
    supervisor::{self, INTERRUPTED, Supervisor},
};

/// Train the trials of a coordinator, one process per device
///
/// Exit codes: 0 all trials are done, or the worker was stopped in order; 1 a device failed for
/// good; 2 wrong usage; 69 no coordinator for too long; 75 its time was up; 130 stopped twice, at
/// once.
#[derive(Debug, Parser)]
#[command(
    name = "swfn-worker",
    version = env!("SWFN_VERSION"),
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  swfn-worker --coordinator head:7077
  swfn-worker --coordinator https://head:7077 --tls-ca ca.pem
  swfn-worker --devices cuda:0,cuda:1 --lanes 32 --exit-when-idle 600"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<CommandLine>,
    #[command(flatten)]
    supervisor: SupervisorArguments,
}

#[derive(Debug, Subcommand)]
enum CommandLine {
    /// Check a data set of your own and print its [data] table for grid files
    #[command(after_help = "\
Examples:
  swfn-worker inspect digits/
  swfn-worker inspect digits/ >> grid.toml")]
    Inspect {
        /// Folder with the four IDX files
        ///
        /// They are train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        /// t10k-labels-idx1-ubyte, each plain or with .gz. The names that Kaggle, torchvision and
        /// EMNIST use are found, too.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Draw a contact sheet of a data set's training images
    #[command(after_help = "\
Examples:
  swfn-worker samples --dataset mnist --out mnist.png
  swfn-worker samples --dataset idx --data-dir digits/ --out digits.png
  swfn-worker samples --dataset synthetic --seed 3 --out synthetic.png")]
    Samples(SamplesArguments),
    /// Ask workers to finish their trials and exit
    #[command(after_help = "\
Examples:
  swfn-worker drain
  swfn-worker drain --now node1 node2
  swfn-worker drain --coordinator head:7077 node1")]
    Drain(DrainArguments),
    /// Train one trial without a coordinator and print its results as JSON lines
    #[command(after_help = "\
Examples:
  swfn-worker train --spec one.toml
  swfn-worker train --spec grid.toml --trial 3f9a --artifacts out/
  swfn-worker train --spec one.toml --device cuda:0 --checkpoint-dir saved/")]
    Train(TrainArguments),
    /// Run one device process; started by the supervisor
    #[command(hide = true)]
    Device {
        /// File with the setup, which the supervisor has written; it is removed
        #[arg(long, value_name = "FILE")]
        setup: PathBuf,
    },
}

#[derive(Debug, Args)]
struct SupervisorArguments {
    /// Train on these devices: auto, cpu, cpu:4, cuda, or a list such as cuda:0,cuda:1
    ///
    /// `auto` takes all GPUs or, without any, one process per core; `auto:2` at most two of them.
    /// `cpu:4` starts four processes of one thread, `cuda` takes all GPUs. CUDA_VISIBLE_DEVICES is
    /// honoured.
    #[arg(long, value_name = "LIST", default_value = "auto", help_heading = "Devices")]
    devices: String,
    #[command(flatten)]
    shared: SharedArguments,
    /// Set by the coordinator that starts this worker
    #[arg(long, hide = true)]
    local_to: Option<String>,
}

#[derive(Debug, Args)]
struct DrainArguments {
    /// Drain workers with these ids, or beginnings of ids, such as host names [default: all on this
    /// machine]
    #[arg(value_name = "WORKER")]
    workers: Vec<String>,
    /// Return unfinished trials at once, for other workers to resume
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    access: AccessArguments,
}

/// A named data set; `None`: the files in the user's folder.
type Sampled = Option<Dataset>;

fn sampled(name: &str) -> Result<Sampled, UnknownDataset> {
    if name == IDX { Ok(None) } else { name.parse().map(Some) }
}

#[derive(Debug, Args)]
struct SamplesArguments {
    /// Data set: synthetic, mnist, fashion-mnist, kmnist, or idx (your own, in --data-dir)
    #[arg(long, value_name = "NAME", value_parser = sampled)]
    dataset: Sampled,
    /// PNG file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Number of images, from the first [default: 200, or all if there are fewer]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Images in a row
    #[arg(long, value_name = "N", default_value_t = 20)]
    columns: usize,
    /// Seed of the synthetic digits
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    data: LoadOptions,
}

/// Parses the command line and runs the command; returns the exit code.
pub fn main() -> ExitCode {
    let arguments: Arguments = command_line::parse();
    faults::start();
    // A supervisor always reads the errors of a device process, whose last lines must not wait in a
    // queue.
    if !matches!(arguments.command, Some(CommandLine::Device { .. })) {
        output::start_plain();
    }
    let result = match arguments.command {
        Some(CommandLine::Inspect { folder }) => inspect(&folder),
        Some(CommandLine::Samples(samples)) => samples_sheet(samples),
        Some(CommandLine::Drain(arguments)) => drain(arguments),
        Some(CommandLine::Train(arguments)) => train_one(&arguments),
        Some(CommandLine::Device { setup }) => device_process(&setup),
        None => supervise(arguments.supervisor),
    };
    let code = result.unwrap_or_else(|error| {
        output::print_message(&format!("error: {}", output::describe_error(error.as_ref())));
        ExitCode::FAILURE
    });
    output::settle();
    code
}

fn supervise(arguments: SupervisorArguments) -> anyhow::Result<ExitCode> {
    let SupervisorArguments { devices, shared, local_to } = arguments;
    telemetry::init(shared.log_format, "info");
    // Here too, so that a mistake is reported at once, and once.
    let coordinator = shared.access.address()?.shown();
    let devices = devices::resolve(&devices)?;
    let not_utf8 = |error| {
        problem!(
            "cannot pass the arguments on to device processes: {error}";
            "rename folders and files whose names are not UTF-8"
        )
    };
    let arguments = serde_json::to_value(&shared).map_err(not_utf8)?;
    Supervisor { devices, arguments, local_to, coordinator }.run()
}

fn device_process(setup: &Path) -> anyhow::Result<ExitCode> {
    let setup = Setup::<SharedArguments>::take(setup)?;
    telemetry::init(setup.arguments.log_format, "info");
    process::run(setup)
}

fn drain(arguments: DrainArguments) -> anyhow::Result<ExitCode> {
    let DrainArguments { mut workers, now, access } = arguments;
    let address = access.address()?;
    if workers.is_empty() {
        workers.push(format!("{}:", supervisor::machine()));
    }
    let asked = drain_workers(&address, workers, now)?;
    let how = if now { "returns its trials" } else { "finishes its trials first" };
    let line = |worker| format!("asked {worker} to leave; it {how}\n");
    output::print(&asked.iter().map(line).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

fn train_one(arguments: &TrainArguments) -> anyhow::Result<ExitCode> {
    telemetry::init(LogFormat::Text, "info");
    if single::train(arguments)? {
        return Ok(ExitCode::SUCCESS);
    }
    let hint = match arguments.checkpoint_dir {
        Some(_) => "run the same command again to resume",
        None => "set --checkpoint-dir to be able to resume",
    };
    output::print_message(&format!("interrupted\nhint: {hint}"));
    Ok(ExitCode::from(INTERRUPTED))
}

/// Prints the table on standard output, and notes on standard error.
fn inspect(folder: &Path) -> anyhow::Result<ExitCode> {
    let data::Inspection { description, train_counts, test_counts, .. } = data::inspect(folder)?;
    output::print(&description.to_toml())?;
    let mut present: Vec<_> = train_counts.iter().filter(|count| **count > 0).collect();
    present.sort();
    let range = match (present.first(), present.last()) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
        (least, _) => least.map_or_else(String::new, ToString::to_string),
    };
    output::print_message(&format!(
        "note: {} classes have {range} training images each",
        present.len()
    ));
    for (counts, part) in [(&train_counts, "training"), (&test_counts, "test")] {
        let missing: Vec<_> =
            (0..counts.len()).filter(|class| counts[*class] == 0).map(|c| c.to_string()).collect();
        if missing.is_empty() {
            continue;
        }
        let hint = match missing == ["0"] {
            true => "\nhint: labels count from 0: subtract 1 from each if yours begin at 1",
            false => "",
        };
        let missing = missing.join(", ");
        output::print_message(&format!(
            "note: these classes have no {part} images: {missing}{hint}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn samples_sheet(arguments: SamplesArguments) -> anyhow::Result<ExitCode> {
    let SamplesArguments { dataset, out, count, columns, seed, data } = arguments;
    let name = dataset.as_ref().map_or(IDX, Dataset::name);
    let images = match dataset {
        None => data::inspect(&data.data_dir.ok_or_else(data::no_folder)?)?.data,
        Some(Dataset::Named { entry, .. }) if matches!(entry.origin, Origin::Generated { .. }) => {
            data::load(&Dataset::Named { entry, seed }, &data)?
        }
        Some(named) => data::load(&named, &data)?,
    };
    let len = images.train.len();
    let count = count.unwrap_or(len.min(200));
    ensure!((1..=len).contains(&count), "--count `{count}` is not in 1 to {len}");
    let drawn = images.train.gather(&(0..count).collect::<Vec<_>>());
    let png = data::sheet(&drawn.images, drawn.shape, columns)?;
    std::fs::write(&out, png).map_err(|error| Problem::unwritable(&out).because(error))?;
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
