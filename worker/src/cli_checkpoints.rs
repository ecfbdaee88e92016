//! The arguments about checkpoints, of supervisor and device processes alike.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use tracing::warn;

use crate::{
    cli::folder_argument,
    data::{self, LoadOptions},
    train::checkpoint::DEFAULT_SECONDS,
};

#[derive(Debug, Args)]
pub(crate) struct CheckpointArguments {
    /// Folder of checkpoints, from which interrupted trials go on, on any worker of the same kind of device that sees it
    /// [default: checkpoints in the cache folder]
    #[arg(long, value_name = "DIR", conflicts_with = "no_checkpoints")]
    checkpoint_dir: Option<PathBuf>,
    /// Train interrupted trials from their start
    #[arg(long)]
    no_checkpoints: bool,
    /// Seconds between two checkpoints of a trial, at least; 0: one at each report
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SECONDS)]
    checkpoint_seconds: u64,
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
        folder.map(|folder| (folder, Duration::from_secs(checkpoint_seconds)))
    }

    /// The same as arguments of a device process.
    pub(crate) fn to_arguments(&self) -> anyhow::Result<Vec<String>> {
        let mut arguments = folder_argument("--checkpoint-dir", self.checkpoint_dir.as_deref())?;
        arguments.extend(self.no_checkpoints.then(|| "--no-checkpoints".to_owned()));
        arguments.extend(["--checkpoint-seconds".to_owned(), self.checkpoint_seconds.to_string()]);
        Ok(arguments)
    }
}
