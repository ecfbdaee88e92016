//! The arguments that a supervisor shares with its device processes: connection, data, folders,
//! limits.

use std::{
    path::PathBuf,
    time::{Duration, Instant, UNIX_EPOCH},
};

use clap::Args;
use serde::{Deserialize, Serialize};
use swfn_session::{Access, Address, StayLimits};
use swfn_shared::{
    access::{Authorities, Identity, Token, pair},
    telemetry::LogFormat,
};
use tracing::warn;

use crate::{
    data::{self, LoadOptions},
    trial::checkpoint::DEFAULT_SECONDS,
};

#[derive(Debug, Args, Serialize, Deserialize)]
pub(crate) struct SharedArguments {
    /// Train so many trials of one shape side by side per device [default: 1 on a CPU, measured on
    /// a GPU]
    ///
    /// The number is from 1 to 1024. On a GPU a short measurement finds the one with the highest
    /// throughput.
    #[arg(
        long, value_name = "N", help_heading = "Devices",
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub(crate) lanes: Option<u16>,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    #[command(flatten)]
    pub(crate) data: LoadOptions,
    #[command(flatten)]
    pub(crate) folders: FolderArguments,
    /// Exit after so many seconds without a coordinator; 0: never
    ///
    /// The exit code is 69. Results that are not acknowledged are kept until then.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, help_heading = "Limits")]
    pub(crate) give_up_after: u64,
    /// Exit after so many seconds without a trial [default: wait for the end of the sweep]
    #[arg(
        long, value_name = "SECONDS", help_heading = "Limits",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) exit_when_idle: Option<u64>,
    /// Exit by this time, in seconds since 1970 [default: none]
    ///
    /// Trials that would not end by then are not begun. Leases are returned 20 seconds before, and
    /// the exit code is 75.
    #[arg(long, value_name = "SECONDS", help_heading = "Limits")]
    pub(crate) end_at: Option<u64>,
    /// Log in this format, text or json
    ///
    /// The environment variable RUST_LOG filters it.
    #[arg(long, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    pub(crate) log_format: LogFormat,
}

impl SharedArguments {
    /// Time without a coordinator after which the process ends; `None`: never.
    pub(crate) fn patience(&self) -> Option<Duration> {
        Some(self.give_up_after).filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    /// When the process ends by itself. A time beyond the clock's range is no limit.
    pub(crate) fn stay_limits(&self) -> StayLimits {
        let end = self.end_at.and_then(|end_at| {
            let now = UNIX_EPOCH.elapsed().unwrap_or_default();
            Instant::now().checked_add(Duration::from_secs(end_at).saturating_sub(now))
        });
        StayLimits { end, idle: self.exit_when_idle.map(Duration::from_secs) }
    }
}

/// The token's file or variable is read by each device process.
#[derive(Debug, Args, Serialize, Deserialize)]
pub(crate) struct AccessArguments {
    /// Connect to the coordinator at this address, such as host:7077 or https://host:7077
    #[arg(
        long,
        help_heading = "Connection",
        value_name = "URL",
        env = "SWFN_COORDINATOR",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7077"
    )]
    coordinator: String,
    /// Show the coordinator the token in this file [default: the environment variable SWFN_TOKEN]
    #[arg(
        long,
        value_name = "FILE",
        env = "SWFN_TOKEN_FILE",
        help_heading = "Security",
        hide_short_help = true
    )]
    token_file: Option<PathBuf>,
    /// Trust a coordinator whose certificate the CAs in this PEM file signed; https:// needs them
    #[arg(
        long,
        value_name = "FILE",
        env = "SWFN_TLS_CA",
        help_heading = "Security",
        hide_short_help = true
    )]
    tls_ca: Option<PathBuf>,
    /// Present this certificate (PEM), if the coordinator requires one
    #[arg(
        long,
        value_name = "FILE",
        env = "SWFN_TLS_CERT",
        help_heading = "Security",
        hide_short_help = true
    )]
    tls_cert: Option<PathBuf>,
    /// Read the private key of the certificate from this PEM file
    #[arg(
        long,
        value_name = "FILE",
        env = "SWFN_TLS_KEY",
        help_heading = "Security",
        hide_short_help = true
    )]
    tls_key: Option<PathBuf>,
}

impl AccessArguments {
    /// The coordinator's address, with certificates and token read from their files.
    pub(crate) fn address(&self) -> anyhow::Result<Address> {
        let authorities =
            self.tls_ca.as_deref().map(|path| Authorities::read(path, "--tls-ca")).transpose()?;
        let files = pair(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        let identity =
            files.map(|(certificate, key)| Identity::read(certificate, key)).transpose()?;
        let token = Token::find(self.token_file.as_deref())?;
        Address::new(&self.coordinator, Access { authorities, identity, token })
    }
}

#[derive(Debug, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Folders")]
pub(crate) struct FolderArguments {
    /// Keep trained VAEs in this folder [default: vaes in the cache folder]
    ///
    /// Workers that share it train each VAE once. It may be on a shared file system, and holds at
    /// most 2 GiB.
    #[arg(long, value_name = "DIR", conflicts_with = "no_vae_cache")]
    vae_cache: Option<PathBuf>,
    /// Neither read nor write trained VAEs
    #[arg(long)]
    no_vae_cache: bool,
    /// Keep checkpoints in this folder [default: checkpoints in the cache folder]
    ///
    /// Interrupted trials resume from it, on any worker that sees it and has the same kind of
    /// device.
    #[arg(long, value_name = "DIR", conflicts_with = "no_checkpoints")]
    checkpoint_dir: Option<PathBuf>,
    /// Train interrupted trials from their start
    #[arg(long)]
    no_checkpoints: bool,
    /// Wait so long between two checkpoints of a trial; 0: at each report [default: 30]
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_checkpoints")]
    checkpoint_seconds: Option<u64>,
}

impl FolderArguments {
    /// The folder of trained VAEs, if there is one.
    pub(crate) fn vae_cache(&self, data: &LoadOptions) -> Option<PathBuf> {
        folder(self.vae_cache.as_ref(), self.no_vae_cache, data, "vaes")
    }

    /// The folder of checkpoints, if there is one, and the shortest time between two of a trial.
    pub(crate) fn checkpoints(&self, data: &LoadOptions) -> Option<(PathBuf, Duration)> {
        let every = Duration::from_secs(self.checkpoint_seconds.unwrap_or(DEFAULT_SECONDS));
        let folder =
            folder(self.checkpoint_dir.as_ref(), self.no_checkpoints, data, "checkpoints")?;
        Some((folder, every))
    }
}

fn folder(
    chosen: Option<&PathBuf>,
    is_off: bool,
    data: &LoadOptions,
    name: &str,
) -> Option<PathBuf> {
    let in_cache = || match data::cache_dir(data) {
        Ok(folder) => Some(folder.join(name)),
        Err(problem) => {
            warn!("no {name} are kept: {problem}");
            None
        }
    };
    if is_off { None } else { chosen.cloned().or_else(in_cache) }
}
