//! The command line and the exit code.

use std::{path::PathBuf, process::ExitCode, str::FromStr};

use clap::{Args, Parser, Subcommand};
use swfn_access::{
    AccessArguments,
    certs::{self, CertsArguments},
    place::discreet,
};
use swfn_dashboard::HttpArguments;
use swfn_exports::ExportArguments;
use swfn_report::{Extent, ReportArguments};
use swfn_shared::{
    address::Address,
    command_line, faults,
    grid::DEFAULT_MAX_TRIALS,
    output,
    telemetry::{self, LogFormat},
};

use crate::{
    backup::{self, BackupArguments},
    check::{self, CheckArguments},
    logs::{self, LogsArguments},
    progress::{self, Terminal},
    retry::{Retry, RetryArguments},
    sweep::{self, Ending},
    view::{self, ViewArguments},
};

/// Runs a grid of trials on workers and tells which regulariser wins.
///
/// Exit codes: 0 all trials succeeded; 1 the sweep could not run; 2 wrong usage; 3 it finished and some trials failed;
/// 4 trials that `[run] verify` had trained a second time came to something else;
/// 130 interrupted (run the same command again to go on).
#[derive(Debug, Parser)]
#[command(name = "swfn-coordinator", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
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

/// How a sweep is run.
#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// The grid file; without it, the one that the run directory was last run with
    #[arg(long, value_name = "FILE")]
    pub(crate) grid: Option<PathBuf>,
    /// Where the sweep keeps what it does, and where it goes on when started again [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Address for workers; `:PORT` means all addresses of this machine [default: 127.0.0.1:7077, or any free port with --local-workers]
    #[arg(long, value_name = "HOST:PORT", value_parser = discreet::<Address>())]
    pub(crate) listen: Option<Address>,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    #[command(flatten)]
    pub(crate) http: HttpArguments,
    /// Tell gRPC health (grpc.health.v1) here, too, without TLS and token, whatever the address: for probes that know neither. The
    /// service `` is served while this program lives, `ready` while it can take results
    #[arg(long, value_name = "HOST:PORT", value_parser = discreet::<Address>())]
    pub(crate) health: Option<Address>,
    /// Start this many workers here, on GPUs if there are any (then at most one each), else on the CPU; `auto`: one per GPU or,
    /// without any, one per core
    #[arg(long, value_name = "N|auto")]
    pub(crate) local_workers: Option<LocalWorkers>,
    /// What people write for it
    #[arg(long, hide = true, value_parser = command_line::no_option("did you mean `--local-workers {}`?"))]
    workers: Option<String>,
    /// What people write for it
    #[arg(long, hide = true, value_parser = command_line::no_option("did you mean `--local-workers {}`? It takes GPUs first"))]
    gpus: Option<String>,
    /// Folder with the data set's files, for local workers [default: the user's cache folder, downloaded when missing]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Trials of one shape that each local worker trains side by side, 1 to 1024 [default: one on a CPU; on a GPU, as many as a
    /// short measurement finds best]
    #[arg(long, value_name = "N", requires = "local_workers", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) lanes: Option<u16>,
    /// Whether to end with the last trial and send all workers home, or to go on serving until interrupted and let them wait for more
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) exit_when_done: bool,
    /// Write event files for TensorBoard into the run directory while the sweep runs; `swfn-coordinator export` makes them later, too
    #[arg(long)]
    pub(crate) tensorboard: bool,
    /// What to write when the sweep ends; `swfn-coordinator report` writes all of it at any time
    #[arg(long, value_name = "EXTENT", value_enum, default_value_t)]
    pub(crate) report: Extent,
    /// Refuse larger grids
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_TRIALS)]
    pub(crate) max_trials: u64,
    /// Set results of the run directory aside that have no trial in common with the grid; an earlier grid's stay readable
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print what would run, what it costs and what will be compared, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Form of the log: text or json; the environment variable RUST_LOG filters it
    #[arg(long, value_name = "FORMAT", default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// How many workers to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalWorkers {
    Auto,
    Count(u32),
}

impl FromStr for LocalWorkers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("`0` workers would do nothing; leave the option out to start none".to_owned()),
            Ok(count) => Ok(Self::Count(count)),
            Err(_) if text == "auto" => Ok(Self::Auto),
            Err(_) => Err(format!("`{text}` is neither a number nor `auto`")),
        }
    }
}

const NO_GRID: &str =
    "name a grid file, as in `swfn-coordinator grid.toml`, or a sweep to go on with, as in `--run-dir runs/quick`";

/// Parses the command line, runs the sweep, returns the exit code.
pub fn main() -> ExitCode {
    let code = run();
    output::settle();
    code
}

fn run() -> ExitCode {
    let Arguments { command, file, sweep: arguments } = command_line::parse();
    faults::start();
    let (arguments, retry) = match command {
        None => (SweepArguments { grid: file.or(arguments.grid), ..arguments }, Retry::default()),
        Some(CommandLine::Retry(arguments)) => arguments.split(),
        Some(CommandLine::Report(arguments)) => return printed(swfn_report::run(&arguments, progress::width())),
        Some(CommandLine::Certs(arguments)) => return printed(certs::run(&arguments)),
        Some(CommandLine::Export(arguments)) => return printed(swfn_exports::run(&arguments)),
        Some(CommandLine::Backup(arguments)) => return printed(backup::run(&arguments)),
        Some(CommandLine::Check(arguments)) => return printed(check::run(&arguments)),
        Some(CommandLine::View(arguments)) => return printed(view::run(&arguments)),
        Some(CommandLine::Logs(arguments)) => return printed(logs::run(&arguments).map(|()| String::new())),
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
    output::say(&format!("error: {}", output::told(error.chain())));
    ExitCode::FAILURE
}
