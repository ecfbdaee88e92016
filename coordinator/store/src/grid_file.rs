//! Reads grid files, which may be anything, and finds the earlier grids of a run directory.

use std::{
    fs,
    io::Read as _,
    iter,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{anyhow, bail, ensure};
use swfn_shared::{
    grid::{Grid, MAX_FILE_BYTES},
    problem,
    problem::OrProblem as _,
};

use super::{read_only::Chosen, run_dir::GRIDS};

/// An earlier grid of a run directory, instead of the one that was run last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// The one of that number.
    Number(u32),
    /// All of them, the last one included.
    All,
}

impl Earlier {
    /// The folder for its results, in its run directory.
    pub fn folder(self, run: &Path) -> PathBuf {
        run.join(GRIDS).join(match self {
            Self::Number(number) => number.to_string(),
            Self::All => "all".to_owned(),
        })
    }
}

impl FromStr for Earlier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) if text == "all" => Ok(Self::All),
            Err(_) => Err(format!("`{text}` is neither the number of an earlier grid nor `all`")),
        }
    }
}

/// The earlier grids of a run directory by their numbers.
pub fn earlier(run: &Path) -> Vec<(u32, PathBuf)> {
    let entries =
        fs::read_dir(run.join(GRIDS)).into_iter().flatten().flatten().map(|entry| entry.path());
    let numbered = entries.filter_map(|path| {
        Some((path.file_name()?.to_str()?.strip_suffix(".toml")?.parse().ok()?, path))
    });
    let mut grids: Vec<_> = numbered.collect();
    grids.sort();
    grids
}

/// The files of the chosen grids: the one that was run last by default.
pub fn files(run: &Path, which: Option<Earlier>) -> anyhow::Result<Vec<PathBuf>> {
    let earlier = earlier(run);
    let last = run.join("grid.toml");
    match which {
        None => Ok(vec![last]),
        Some(Earlier::All) => {
            Ok(iter::once(last).chain(earlier.into_iter().map(|(_, path)| path)).collect())
        }
        Some(Earlier::Number(wanted)) => {
            if let Some((_, path)) = earlier.iter().find(|(number, _)| *number == wanted) {
                return Ok(vec![path.clone()]);
            }
            let numbers: Vec<_> = earlier.iter().map(|(number, _)| number.to_string()).collect();
            let has = match numbers.is_empty() {
                true => "it has none: no results were set aside".to_owned(),
                false => format!("it has {}, or `all`", numbers.join(", ")),
            };
            bail!(problem!("`{}` has no earlier grid `{wanted}`", run.display(); "{has}"))
        }
    }
}

/// The trials of the chosen grids; `None` for the one that was run last.
pub fn chosen(run: &Path, which: Option<Earlier>) -> anyhow::Result<Option<Chosen>> {
    let Some(Earlier::Number(_)) = which else { return Ok(which.map(|_| Chosen::All)) };
    let mut trials = Vec::new();
    for file in files(run, which)? {
        // No limit: it was run before.
        let grid = Grid::parse(&file.display().to_string(), &read(&file)?, u64::MAX)?;
        trials.extend(grid.trials().map(|trial| trial.id()));
    }
    Ok(Some(Chosen::Only(trials)))
}

/// The text of a grid file, which is at most 1 MiB of UTF-8.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let file = fs::File::open(path).or_problem(
        || problem!("cannot read the grid file `{shown}`"; "examples stand in coordinator/grids"),
    )?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| {
        anyhow!(problem!("cannot read `{shown}`: {error}"; "name the grid file itself with --grid"))
    })?;
    ensure!(
        bytes.len() as u64 <= MAX_FILE_BYTES,
        problem!(
            "`{shown}` is larger than {} MiB", MAX_FILE_BYTES >> 20;
            "a grid file is a small TOML file; is this another one?"
        )
    );
    String::from_utf8(bytes).map_err(|error| {
        anyhow!(problem!(
            "`{shown}` is not UTF-8 text: byte {} begins no character",
            error.utf8_error().valid_up_to();
            "a grid file is TOML, which is UTF-8"
        ))
    })
}
