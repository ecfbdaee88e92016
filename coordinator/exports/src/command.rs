//! `swfn-coordinator export`, for a sweep that runs or has ended.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::ensure;
use clap::Args;
use swfn_shared::{output, problem};
use swfn_store::{
    Store,
    grid_file::{self, Earlier},
    run_dir::ExistingFiles,
};

use super::{
    mlflow, tensorboard,
    write::{Format, write},
};

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Run directory of the sweep, which may be running
    #[arg(value_name = "RUN_DIR")]
    run_dir: PathBuf,
    /// Write files in this format; may be repeated [default: csv, unless --mlflow is given]
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = "Output")]
    format: Vec<Format>,
    /// Write the files into this folder [default: RUN_DIR/export; with --grid RUN_DIR/grids/N]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Export an earlier grid of the run directory, by its number, or `all` trials [default: the
    /// present grid]
    ///
    /// An earlier grid has results that were set aside, since the present one lacks them
    #[arg(long, value_name = "N|all", help_heading = "Output")]
    grid: Option<Earlier>,
    /// Create or update a run for each trial on the MLflow server at this URL.
    ///
    /// Credentials are read from the environment variables MLFLOW_TRACKING_TOKEN, or
    /// MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD
    #[arg(long, value_name = "URL", help_heading = "MLflow")]
    mlflow: Option<String>,
    /// Use this experiment of MLflow [default: the name of the sweep]
    #[arg(long, value_name = "NAME", requires = "mlflow", help_heading = "MLflow")]
    experiment: Option<String>,
}

/// Exports; returns the names of the files and a summary of the upload.
pub fn run(arguments: &ExportArguments) -> anyhow::Result<String> {
    let ExportArguments { run_dir, out, grid, .. } = arguments;
    if let Some(out) = out {
        let is_run_dir =
            out.canonicalize().is_ok_and(|out| run_dir.canonicalize().is_ok_and(|run| run == out));
        ensure!(
            !is_run_dir,
            problem!(
                "`{}` is the run directory, whose own result files would be overwritten",
                out.display();
                "name another folder with --out"
            )
        );
    }
    let usual = || grid.map_or_else(|| run_dir.join("export"), |grid| grid.folder(run_dir));
    let folder = out.clone().unwrap_or_else(usual);
    let chosen = grid_file::chosen(run_dir, *grid)?;
    let open = || -> anyhow::Result<Store> {
        let reader = Store::open_live(&run_dir.join("sweep.sqlite"))?;
        chosen.iter().try_for_each(|chosen| reader.choose(chosen))?;
        Ok(reader)
    };
    let before = out.as_deref().map(ExistingFiles::of);
    let mut formats = arguments.format.clone();
    if formats.is_empty() && arguments.mlflow.is_none() {
        formats.push(Format::Csv);
    }
    let mut seen = BTreeSet::new();
    formats.retain(|format| seen.insert(*format));
    let mut text = String::new();
    for format in formats {
        let reader = open()?;
        let names = if format == Format::Tensorboard {
            tensorboard::write_once(reader, &folder.join("tensorboard"))?;
            vec!["tensorboard".to_owned()]
        } else {
            reader.hold_still()?;
            write(&reader, format, &folder)?
        };
        for name in names {
            text += &format!("{}\n", folder.join(name).display());
        }
    }
    before.and_then(|before| before.replaced()).iter().for_each(|note| output::print_message(note));
    if let Some(url) = &arguments.mlflow {
        let name = match &arguments.experiment {
            Some(name) => name.clone(),
            None => mlflow::sweep_name(run_dir)?,
        };
        text += &format!("{}\n", mlflow::upload(&open()?, url, &name)?);
    }
    Ok(text)
}
