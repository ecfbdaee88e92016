//! The command line and the exit code.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use swfn_access::certs::{self, CertsArguments};
use swfn_exports::ExportArguments;
use swfn_report::ReportArguments;
use swfn_shared::{command_line, faults, output, person::Retry, telemetry};

use crate::{
    arguments::SweepArguments,
    backup::{self, BackupArguments},
    check::{self, CheckArguments},
    logs::{self, LogsArguments},
    progress::{self, Terminal},
    retry::RetryArguments,
    sweep::{self, Ending},
    view::{self, ViewArguments},
};

/// Runs a grid of trials on workers and tells which regulariser wins.
///
/// Exit codes: 0 all trials succeeded; 1 the sweep could not run; 2 wrong usage; 3 it finished and some trials failed;
/// 4 trials that `[run] verify` had trained a second time came to something else;
/// 130 interrupted (run the same command again to go on).
#[derive(Debug, Parser)]
#[command(
    name = "swfn-coordinator",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<CommandLine>,
    /// The grid file
    #[arg(value_name = "GRID", conflicts_with = "grid")]
    file: Option<PathBuf>,
    #[command(flatten)]
    sweep: SweepArguments,
}

/// What else this program does.
#[derive(Debug, Subcommand)]
enum CommandLine {
    /// Try failed trials again, and go on with the sweep
    Retry(Box<RetryArguments>),
    /// Make the tables, charts and the report again, of a finished or a running sweep, or of several together
    Report(ReportArguments),
    /// Make an authority, certificates and a token for a small cluster
    Certs(CertsArguments),
    /// Write the results for other tools: CSV, JSON lines, Parquet, TensorBoard, MLflow
    Export(ExportArguments),
    /// Copy a run directory as a whole, also while its sweep goes on
    Backup(BackupArguments),
    /// Check that the results of a run directory are those that were written
    Check(CheckArguments),
    /// Show the log of a trial, attempt by attempt, and how each ended
    Logs(LogsArguments),
    /// Show the page of a run that is over, or runs elsewhere, until Ctrl-C
    View(ViewArguments),
}

const NO_GRID: &str = "name a grid file, as in `swfn-coordinator grid.toml`, or a sweep to go on with, as in `--run-dir runs/quick`";

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
            return printed(swfn_report::run(&arguments, progress::width()));
        }
        Some(CommandLine::Certs(arguments)) => return printed(certs::run(&arguments)),
        Some(CommandLine::Export(arguments)) => return printed(swfn_exports::run(&arguments)),
        Some(CommandLine::Backup(arguments)) => return printed(backup::run(&arguments)),
        Some(CommandLine::Check(arguments)) => return printed(check::run(&arguments)),
        Some(CommandLine::View(arguments)) => return printed(view::run(&arguments)),
        Some(CommandLine::Logs(arguments)) => {
            return printed(logs::run(&arguments).map(|()| String::new()));
        }
    };
    if arguments.grid.is_none() && arguments.run_dir.is_none() {
        output::say(&format!("error: {NO_GRID}\n\nFor more information, try '--help'."));
        return ExitCode::from(2);
    }
    let terminal = Terminal::new();
    // Under live progress the coming and going of workers would only be noise.
    // Of a chart's drawing there is nothing to say: a line of one point is none.
    let filter = if terminal.is_live() { "warn,usvg=error" } else { "info,usvg=error" };
    telemetry::init(arguments.log_format, filter);
    match sweep::run(&arguments, &retry, &terminal) {
        Ok(Ending::AllSucceeded) => ExitCode::SUCCESS,
        Ok(Ending::SomeFailed) => ExitCode::from(3),
        Ok(Ending::Disagreement) => ExitCode::from(4),
        Ok(Ending::Terminated) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => ExitCode::from(130),
        Err(error) => complain(error),
    }
}

/// For what is no sweep: shows what came of it.
fn printed(result: anyhow::Result<String>) -> ExitCode {
    let result = result.and_then(|text| Ok(output::print(&text)?));
    result.map_or_else(complain, |()| ExitCode::SUCCESS)
}

fn complain(error: anyhow::Error) -> ExitCode {
    output::say(&format!("error: {}", output::told(error.as_ref())));
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
            axis.default.map_or("–".to_owned(), |value: Value| format!("`{value}`"))
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
        check_page("grid.md", Some("axes"), &settings(Axis::of_grid().iter().copied()));
        for section in [Section::Data, Section::Classifier, Section::Vae, Section::Penalty] {
            check_page("grid.md", Some(section.name()), &settings(Axis::of_section(section)));
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
