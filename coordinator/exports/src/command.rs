//! `swfn-coordinator export`: of a sweep that runs, or of one that is long over.

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

/// What is exported, and where to.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The run directory of a sweep; it may be running
    #[arg(value_name = "RUN_DIR")]
    run_dir: PathBuf,
    /// Form of the files; may be given several times [default: csv, unless --mlflow is given]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Vec<Format>,
    /// The trials of an earlier grid of the run directory, whose results were set aside: its number, or `all` trials
    #[arg(long, value_name = "N|all")]
    grid: Option<Earlier>,
    /// Folder for the files [default: RUN_DIR/export; with --grid RUN_DIR/grids/N]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Send trials to the MLflow server at this URL: each is a run of the experiment that is named after the sweep. What is there is brought
    /// up to date. The environment variables MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, let in
    #[arg(long, value_name = "URL")]
    mlflow: Option<String>,
    /// Name of MLflow's experiment [default: the name of the sweep]
    #[arg(long, value_name = "NAME", requires = "mlflow")]
    experiment: Option<String>,
}

/// Exports, and tells what.
pub fn run(arguments: &ExportArguments) -> anyhow::Result<String> {
    let database = arguments.run_dir.join("sweep.sqlite");
    if let Some(out) = &arguments.out {
        let same = out
            .canonicalize()
            .is_ok_and(|out| arguments.run_dir.canonicalize().is_ok_and(|run| run == out));
        ensure!(
            !same,
            problem!(
                "`{}` is the run directory, whose own result files would be overwritten",
                out.display();
                "name another folder with --out"
            )
        );
    }
    let mut told = String::new();
    let usual = || {
        arguments.grid.map_or_else(
            || arguments.run_dir.join("export"),
            |grid| grid.folder(&arguments.run_dir),
        )
    };
    let folder = arguments.out.clone().unwrap_or_else(usual);
    let chosen = grid_file::chosen(&arguments.run_dir, arguments.grid)?;
    let open = || -> anyhow::Result<Store> {
        let reader = Store::open_live(&database)?;
        chosen.iter().try_for_each(|chosen| reader.choose(chosen))?;
        Ok(reader)
    };
    let before = arguments.out.as_deref().map(ExistingFiles::of);
    let mut formats = arguments.format.clone();
    if formats.is_empty() && arguments.mlflow.is_none() {
        formats.push(Format::Csv);
    }
    let mut seen = BTreeSet::new();
    formats.retain(|format| seen.insert(*format));
    for format in formats {
        let names = match format {
            Format::Tensorboard => {
                tensorboard::write_once(open()?, &folder.join("tensorboard"))?;
                vec!["tensorboard".to_owned()]
            }
            Format::Csv | Format::Jsonl | Format::Parquet => {
                let reader = open()?;
                reader.hold_still()?;
                write(&reader, format, &folder)?
            }
        };
        for name in names {
            told += &format!("{}\n", folder.join(name).display());
        }
    }
    before.and_then(|before| before.replaced()).iter().for_each(|note| output::print_message(note));
    if let Some(url) = &arguments.mlflow {
        let reader = open()?;
        let name = match &arguments.experiment {
            Some(name) => name.clone(),
            None => mlflow::sweep_name(&arguments.run_dir)?,
        };
        told += &format!("{}\n", mlflow::upload(&reader, url, &name)?);
    }
    Ok(told)
}
