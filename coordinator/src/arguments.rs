//! The options of a sweep.

use std::{path::PathBuf, str::FromStr};

use clap::Args;
use swfn_access::{AccessArguments, listen::Discreet};
use swfn_dashboard::HttpArguments;
use swfn_report::Extent;
use swfn_shared::{
    address::Address, command_line::no_option, grid::DEFAULT_MAX_TRIALS, telemetry::LogFormat,
};

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// Run this grid file [default: the one that the run directory was last run with]
    #[arg(long, value_name = "FILE", help_heading = "Sweep")]
    pub(crate) grid: Option<PathBuf>,
    /// Keep results, and the state to resume from, in this folder [default: runs/NAME]
    #[arg(long, value_name = "DIR", help_heading = "Sweep")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Print what would run, its cost and the comparisons, and exit
    #[arg(long, help_heading = "Sweep")]
    pub(crate) dry_run: bool,
    /// Set aside the results of another grid in the run directory.
    ///
    /// Without it, a grid that shares no trial with the results is refused. `report --grid N` still
    /// shows them
    #[arg(long, help_heading = "Sweep")]
    pub(crate) replace: bool,
    /// Exit after the last trial, or serve until interrupted.
    ///
    /// With `true`, all workers are told to leave. With `false`, they wait for more
    #[arg(
        long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
        num_args = 0..=1, default_missing_value = "true", help_heading = "Sweep"
    )]
    pub(crate) exit_when_done: bool,
    /// Refuse grids with more trials
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_TRIALS, help_heading = "Sweep", hide_short_help = true)]
    pub(crate) max_trials: u64,
    /// Start this many workers on this machine, on its GPUs if it has any [default: none]
    ///
    /// On GPUs, at most one worker runs on each. `auto` starts one per GPU or, without any, one per
    /// core
    #[arg(long, value_name = "N|auto", help_heading = "Local workers")]
    pub(crate) local_workers: Option<LocalWorkers>,
    /// Train so many trials of one shape side by side on each local worker, 1 to 1024 [default: one
    /// on a CPU; on a GPU, as many as a short measurement finds best]
    #[arg(
        long, value_name = "N", requires = "local_workers", help_heading = "Local workers",
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub(crate) lanes: Option<u16>,
    /// Read the data set's files from this folder [default: the user's cache folder, downloaded if
    /// missing]
    #[arg(long, value_name = "DIR", help_heading = "Local workers")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A name that people expect; the error names the right one
    #[arg(long, hide = true, value_parser = no_option("did you mean `--local-workers {}`?"))]
    workers: Option<String>,
    /// A name that people expect; the error names the right one
    #[arg(
        long, hide = true,
        value_parser = no_option("did you mean `--local-workers {}`? It takes GPUs first")
    )]
    gpus: Option<String>,
    /// Listen for workers at this address; `:PORT` means all addresses of this machine [default:
    /// 127.0.0.1:7077, or any free port with --local-workers]
    #[arg(
        long, value_name = "HOST:PORT", value_parser = Discreet(str::parse::<Address>),
        help_heading = "Network"
    )]
    pub(crate) listen: Option<Address>,
    /// Also serve gRPC health here, without TLS or a token, for probes [default: only on --listen]
    ///
    /// The protocol is grpc.health.v1. The service `` is served while this program runs, and
    /// `ready` while it can take results
    #[arg(
        long, value_name = "HOST:PORT", value_parser = Discreet(str::parse::<Address>),
        help_heading = "Network", hide_short_help = true
    )]
    pub(crate) health: Option<Address>,
    #[command(flatten, next_help_heading = "Security")]
    pub(crate) access: AccessArguments,
    #[command(flatten, next_help_heading = "Page")]
    pub(crate) http: HttpArguments,
    /// Write this much when the sweep ends; `swfn-coordinator report` writes all of it at any time
    #[arg(long, value_name = "EXTENT", value_enum, default_value_t, help_heading = "Output")]
    pub(crate) report: Extent,
    /// Write event files for TensorBoard into the run directory while the sweep runs.
    ///
    /// `swfn-coordinator export` can write them later, too
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub(crate) tensorboard: bool,
    /// Log in this format, text or json; the environment variable RUST_LOG filters it
    #[arg(
        long,
        value_name = "FORMAT",
        default_value_t,
        help_heading = "Output",
        hide_short_help = true
    )]
    pub(crate) log_format: LogFormat,
}

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
