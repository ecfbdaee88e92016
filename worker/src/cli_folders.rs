//! The arguments about the folders in which device processes keep VAEs and checkpoints.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    data::{self, LoadOptions},
    trial::checkpoint::DEFAULT_SECONDS,
};

#[derive(Debug, Args, Serialize, Deserialize)]
pub(crate) struct VaeCacheArguments {
    /// Folder of trained VAEs, which workers that share it train once; on this machine or on a shared file system, at most
    /// 2 GiB [default: vaes in the cache folder]
    #[arg(long, value_name = "DIR", conflicts_with = "no_vae_cache")]
    vae_cache: Option<PathBuf>,
    /// Neither read trained VAEs from a folder nor keep them in one
    #[arg(long)]
    no_vae_cache: bool,
}

impl VaeCacheArguments {
    /// Where a device process keeps VAEs, if anywhere.
    pub(crate) fn folder(self, data: &LoadOptions) -> Option<PathBuf> {
        let Self { vae_cache, no_vae_cache } = self;
        if no_vae_cache {
            return None;
        }
        vae_cache.or_else(|| match data::cache_dir(data) {
            Ok(folder) => Some(folder.join("vaes")),
            Err(error) => {
                warn!("trained VAEs are not kept on disk: {error}");
                None
            }
        })
    }
}

#[derive(Debug, Args, Serialize, Deserialize)]
pub(crate) struct CheckpointArguments {
    /// Folder of checkpoints, from which interrupted trials go on, on any worker of the same kind of device that sees it
    /// [default: checkpoints in the cache folder]
    #[arg(long, value_name = "DIR", conflicts_with = "no_checkpoints")]
    checkpoint_dir: Option<PathBuf>,
    /// Train interrupted trials from their start
    #[arg(long)]
    no_checkpoints: bool,
    /// Seconds between two checkpoints of a trial, at least; 0: one at each report [default: 30]
    #[arg(long, value_name = "N", conflicts_with = "no_checkpoints")]
    checkpoint_seconds: Option<u64>,
}

impl CheckpointArguments {
    /// Where a device process keeps checkpoints, if anywhere, and how often it writes them.
    pub(crate) fn setting(self, data: &LoadOptions) -> Option<(PathBuf, Duration)> {
        let Self { checkpoint_dir, no_checkpoints, checkpoint_seconds } = self;
        if no_checkpoints {
            return None;
        }
        let folder = checkpoint_dir.or_else(|| match data::cache_dir(data) {
            Ok(folder) => Some(folder.join("checkpoints")),
            Err(error) => {
                warn!("there are no checkpoints: {error}");
                None
            }
        });
        folder.map(|folder| {
            (folder, Duration::from_secs(checkpoint_seconds.unwrap_or(DEFAULT_SECONDS)))
        })
    }
}
