//! The command line and the exit code.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use swfn_access::certs::{self, CertsArguments};
use swfn_exports::ExportArguments;
use swfn_report::ReportArguments;
use swfn_shared::{command_line, faults, output, person::Retry, telemetry};

use crate::{
    arguments::SweepArguments,
    backup, check,
    logs::{self, LogsArguments},
    progress::{self, Terminal},
    retry::RetryArguments,
    sweep::{self, SweepEnd},
    view::{self, ViewArguments},
};

/// Runs a grid of trials on workers and reports which regulariser wins.
///
/// Exit codes: 0 all trials succeeded; 1 the sweep could not run; 2 wrong usage; 3 the sweep ended
/// and some trials failed; 4 a second training (`[run] verify`) had other results; 130 interrupted
/// (run the same command again to resume).
#[derive(Debug, Parser)]
#[command(
    name = "swfn-coordinator",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  swfn-coordinator grid.toml --dry-run
  swfn-coordinator grid.toml --local-workers auto
  swfn-coordinator --run-dir runs/quick"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<CommandLine>,
    /// Run this grid file
    #[arg(value_name = "GRID", conflicts_with = "grid")]
    file: Option<PathBuf>,
    #[command(flatten)]
    sweep: SweepArguments,
}

#[derive(Debug, Subcommand)]
enum CommandLine {
    /// Retry failed trials, and resume the sweep
    #[command(after_help = "Examples:
  swfn-coordinator retry runs/quick --failed --local-workers auto
  swfn-coordinator retry runs/quick --trial 3f2a --local-workers 1")]
    Retry(Box<RetryArguments>),
    /// Write tables, charts and report again, for one sweep or for several together
    #[command(after_help = "Examples:
  swfn-coordinator report runs/quick
  swfn-coordinator report runs/a runs/b --out runs/united
  swfn-coordinator report runs/quick --grid 1")]
    Report(ReportArguments),
    /// Create a CA, certificates and a token for a small cluster
    #[command(after_help = "Examples:
  swfn-coordinator certs --out pki --hosts gpu1.example,10.0.0.5 --workers 4
  swfn-coordinator certs --out new --hosts gpu1.example --authority pki")]
    Certs(CertsArguments),
    /// Export results for other tools: CSV, JSON lines, Parquet, TensorBoard, MLflow
    #[command(after_help = "Examples:
  swfn-coordinator export runs/quick --format parquet
  swfn-coordinator export runs/quick --format csv --format tensorboard --out results
  swfn-coordinator export runs/quick --mlflow http://127.0.0.1:5000")]
    Export(ExportArguments),
    /// Copy a run directory, also while its sweep runs
    #[command(after_help = "Examples:
  swfn-coordinator backup runs/quick backups/quick")]
    Backup {
        /// Run directory of the sweep, which may be running
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
        /// New folder for the copy
        #[arg(value_name = "COPY")]
        copy: PathBuf,
    },
    /// Check the results of a run directory against their checksums
    #[command(after_help = "Examples:
  swfn-coordinator check runs/quick")]
    Check {
        /// Run directory of the sweep, which may be running
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
    },
    /// Print the logs of a trial's attempts, and how each attempt ended
    #[command(after_help = "Examples:
  swfn-coordinator logs 3f2a
  swfn-coordinator logs runs/quick 3f2a --follow")]
    Logs(LogsArguments),
    /// Show the page of a sweep that has ended, or runs elsewhere, until Ctrl-C
    #[command(after_help = "Examples:
  swfn-coordinator view runs/quick
  swfn-coordinator view runs/quick --http 127.0.0.1:8080")]
    View(ViewArguments),
}

const NO_GRID: &str = "name a grid file, as in `swfn-coordinator grid.toml`, or a sweep to resume, \
                       as in `--run-dir runs/quick`";

/// Parses the command line, runs the sweep, returns the exit code.
pub fn main() -> ExitCode {
    let code = run();
    output::settle();
    code
}

fn run() -> ExitCode {
    let Arguments { command, file, sweep: mut arguments } = command_line::parse();
    faults::start();
    let (arguments, retry) = match command {
        None => {
            arguments.grid = file.or(arguments.grid);
            (arguments, Retry::default())
        }
        Some(CommandLine::Retry(arguments)) => arguments.split(),
        Some(CommandLine::Report(arguments)) => {
            return print(swfn_report::run(&arguments, progress::width()));
        }
        Some(CommandLine::Certs(arguments)) => return print(certs::run(&arguments)),
        Some(CommandLine::Export(arguments)) => return print(swfn_exports::run(&arguments)),
        Some(CommandLine::Backup { run, copy }) => return print(backup::run(&run, &copy)),
        Some(CommandLine::Check { run }) => return print(check::run(&run)),
        Some(CommandLine::View(arguments)) => return print(view::run(&arguments)),
        Some(CommandLine::Logs(arguments)) => {
            return print(logs::run(&arguments).map(|()| String::new()));
        }
    };
    if arguments.grid.is_none() && arguments.run_dir.is_none() {
        output::print_message(&format!("error: {NO_GRID}\n\nFor more information, try '--help'."));
        return ExitCode::from(2);
    }
    let terminal = Terminal::new();
    // Live progress shows the workers. usvg warns of lines with one point, which charts may have.
    let filter = if terminal.is_live() { "warn,usvg=error" } else { "info,usvg=error" };
    telemetry::init(arguments.log_format, filter);
    match sweep::run(&arguments, &retry, &terminal) {
        Ok(SweepEnd::AllSucceeded | SweepEnd::Terminated) => ExitCode::SUCCESS,
        Ok(SweepEnd::SomeFailed) => ExitCode::from(3),
        Ok(SweepEnd::Disagreement) => ExitCode::from(4),
        Ok(SweepEnd::Interrupted) => ExitCode::from(130),
        Err(error) => print_error(error),
    }
}

fn print(text: anyhow::Result<String>) -> ExitCode {
    let printed = text.and_then(|text| Ok(output::print(&text)?));
    printed.map_or_else(print_error, |()| ExitCode::SUCCESS)
}

fn print_error(error: anyhow::Error) -> ExitCode {
    output::print_message(&format!("error: {}", output::describe_error(error.as_ref())));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use swfn_shared::{
        architecture::Architecture,
        axes::{Axis, Section, Value},
        catalogue::{CATALOGUE, Entry},
        dataset::Sizes,
    };

    use super::Arguments;
    use crate::generated::{check_page, options};

    /// The rows of a table of settings.
    fn settings(axes: impl Iterator<Item = Axis>) -> String {
        let default = |axis: &Axis| {
            axis.default().map_or("–".to_owned(), |value: Value| format!("`{value}`"))
        };
        let row = |axis: Axis| {
            format!(
                "| `{}` | {} | {} | {} |\n",
                axis.name,
                axis.purpose,
                axis.kind.wanted(),
                default(&axis)
            )
        };
        format!(
            "| key | meaning | value | default |\n|---|---|---|---|\n{}",
            axes.map(row).collect::<String>()
        )
    }

    #[test]
    fn the_reference_of_settings_is_current() {
        check_page("grid.md", Some("axes"), &settings(Axis::in_grid().iter().copied()));
        for section in [Section::Data, Section::Classifier, Section::Vae, Section::Penalty] {
            check_page("grid.md", Some(section.name()), &settings(Axis::in_section(section)));
        }
    }

    #[test]
    fn the_reference_of_networks_is_current() {
        let row = |known: &Architecture| format!("| `{}` | {} |\n", known.name(), known.about());
        let rows: String = Architecture::ALL.iter().map(row).collect();
        check_page(
            "grid.md",
            Some("networks"),
            &format!("| architecture | layers |\n|---|---|\n{rows}"),
        );
    }

    #[test]
    fn the_reference_of_data_sets_is_current() {
        let row = |known: &&Entry| {
            let Sizes { image, classes, train_images, test_images } = known.sizes;
            format!(
                "| `{}` | {}, {} x {} | {classes} | {train_images} | {test_images} | {} |\n",
                known.name, known.title, image.height, image.width, known.source
            )
        };
        let rows: String = CATALOGUE.iter().map(row).collect();
        let head = "| `dataset` | images | classes | training | test | source and licence |\n";
        check_page(
            "own-data.md",
            Some("datasets"),
            &format!("{head}|---|---|---|---|---|---|\n{rows}"),
        );
    }

    #[test]
    fn the_reference_of_options_is_current() {
        check_page("swfn-coordinator.md", None, &options(Arguments::command()));
    }
}
