//! What the command line says of a sweep.

use std::{path::PathBuf, str::FromStr};

use clap::Args;
use swfn_access::{AccessArguments, listen::discreet};
use swfn_dashboard::HttpArguments;
use swfn_report::Extent;
use swfn_shared::{address::Address, command_line, grid::DEFAULT_MAX_TRIALS, telemetry::LogFormat};

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
            Ok(0) => {
                Err("`0` workers would do nothing; leave the option out to start none".to_owned())
            }
            Ok(count) => Ok(Self::Count(count)),
            Err(_) if text == "auto" => Ok(Self::Auto),
            Err(_) => Err(format!("`{text}` is neither a number nor `auto`")),
        }
    }
}
