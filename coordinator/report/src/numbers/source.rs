//! Where a report comes from: one or several run directories. The trials of several are united by their ids.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure};
use swfn_shared::{
    grid::Grid,
    ids::{CellId, TrialId},
    problem,
    problem::OrProblem as _,
    trial::TrialSpec,
};
use swfn_store::{
    Chosen, CurveRow, CurveSums, MeanPoint, Store, TrialRow,
    grid_file::{self, Earlier},
};

use super::{cell::Cell, cost::Cost, verification::Verification};

/// Curves of cells, thinned.
pub(crate) type Curves = HashMap<CellId, Vec<MeanPoint>>;

/// A run directory, its grid and its store.
pub struct Run {
    pub path: PathBuf,
    /// How the report calls it.
    pub name: String,
    pub grid: Grid,
    /// The grid file, as it was last run.
    pub text: String,
    pub store: Store,
}

impl Run {
    /// A file that does not say how epochs go may be from before it could. Then the trials are those of what it meant.
    fn read_as_it_was_run(&mut self, rows: &HashMap<TrialId, TrialRow>) {
        let is_of = |grid: &Grid| grid.trials().any(|spec| rows.contains_key(&spec.id()));
        if rows.is_empty() || is_of(&self.grid) {
            return;
        }
        if let Ok(older) = Grid::parse_before_epochs("grid.toml", &self.text, u64::MAX)
            && is_of(&older)
        {
            self.grid = older;
        }
    }
}

/// All runs of a report, and the trials of all of them.
pub struct Sources {
    pub(crate) runs: Vec<Run>,
    /// Each once, in the order of the grids.
    pub(crate) trials: Vec<(TrialSpec, TrialRow)>,
    /// The run from which the row of a trial is.
    owners: HashMap<TrialId, usize>,
    pub(crate) verification: Verification,
    pub(crate) twice: Twice,
}

impl Sources {
    pub fn new(mut runs: Vec<Run>) -> anyhow::Result<Self> {
        let mut trials: Vec<(TrialSpec, TrialRow)> = Vec::new();
        let mut places: HashMap<TrialId, usize> = HashMap::new();
        let mut owners = HashMap::new();
        let mut twice = Twice::default();
        for (number, run) in runs.iter_mut().enumerate() {
            let mut rows: HashMap<_, _> =
                run.store.trials()?.into_iter().map(|row| (row.id, row)).collect();
            run.read_as_it_was_run(&rows);
            let known = rows.len();
            let before = trials.len();
            // In the order of the grid, whatever the order in which they came into the file.
            for spec in run.grid.trials() {
                let Some(row) = rows.remove(&spec.id()) else { continue };
                match places.get(&row.id) {
                    None => {
                        places.insert(row.id, trials.len());
                        owners.insert(row.id, number);
                        trials.push((spec, row));
                    }
                    Some(place) => {
                        let other = &mut trials[*place].1;
                        twice.count(other, &row);
                        // A result is worth more than none; of two results the first one counts.
                        if other.outcome.is_none() && row.outcome.is_some() {
                            owners.insert(row.id, number);
                            *other = row;
                        }
                    }
                }
            }
            ensure!(
                known == 0 || trials.len() > before || rows.len() < known,
                problem!(
                    "the trials in `{}` are not those of its grid.toml", run.name;
                    "another version of this program made them: make the report with that one, or \
                     run the sweep again with this one"
                )
            );
        }
        let verified = runs.iter().map(|run| Verification::of(&run.path, &trials));
        let verification =
            verified.reduce(|one, other| Ok(one?.and(other?))).transpose()?.unwrap_or_default();
        Ok(Self { runs, trials, owners, verification, twice })
    }

    /// Mean curves of a metric, for those cells.
    pub(crate) fn curves<'c>(
        &self,
        metric: &str,
        cells: impl Iterator<Item = &'c Cell>,
    ) -> anyhow::Result<Curves> {
        let mut wanted: BTreeMap<usize, Vec<TrialId>> = BTreeMap::new();
        for cell in cells {
            for trial in &cell.trials {
                wanted.entry(self.owners[trial]).or_default().push(*trial);
            }
        }
        let stores = || wanted.iter().map(|(run, trials)| (&self.runs[*run].store, trials));
        let mut last = 0;
        for (store, trials) in stores() {
            last = store.last_step(metric, trials)?.max(last);
        }
        let mut sums = CurveSums::default();
        for (store, trials) in stores() {
            store.add_curves(metric, trials, last, &mut sums)?;
        }
        Ok(sums.curves())
    }

    /// Hands the points of all trials that have succeeded to `each`.
    pub fn points(
        &self,
        mut each: impl FnMut(CurveRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.runs.iter().enumerate().try_for_each(|(number, run)| {
            let of_run = |row: CurveRow| {
                if self.owners.get(&row.id) == Some(&number) { each(row) } else { Ok(()) }
            };
            run.store.curves(of_run)
        })
    }

    /// What all runs cost.
    pub(crate) fn cost(&self) -> anyhow::Result<Cost> {
        self.runs.iter().try_fold(Cost::default(), |cost, run| {
            Ok(cost.and(Cost::of(&run.store.lease_spans()?)))
        })
    }

    /// Where a trial that has succeeded left a file of that name.
    pub fn artifact(&self, trial: TrialId, name: &str) -> Option<PathBuf> {
        let run = &self.runs[*self.owners.get(&trial)?];
        Some(run.path.join("artifacts").join(trial.to_string()).join(name))
            .filter(|path| path.is_file())
    }
}

/// Opens run directories to read them, whoever else has them open.
pub(crate) fn open(paths: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    let mut seen = BTreeSet::new();
    let mut runs = Vec::new();
    for path in paths {
        // The same folder twice would count nothing twice, but looks like a mistake.
        let place = path.canonicalize().unwrap_or_else(|_| path.clone());
        ensure!(
            seen.insert(place),
            problem!("`{}` is named twice", path.display(); "name each run directory once")
        );
        runs.push(open_one(path)?);
    }
    Ok(runs)
}

/// Opens one run directory for each of the grids that are meant; a trial belongs to the first grid that has it.
pub(crate) fn open_grids(path: &Path, which: Option<Earlier>) -> anyhow::Result<Vec<Run>> {
    let mut seen = HashSet::new();
    let runs = grid_file::files(path, which)?.into_iter().map(|file| {
        let run = open_with(path, &file)?;
        let trials = run.grid.trials().map(|trial| trial.id()).filter(|id| seen.insert(*id));
        run.store.choose(&Chosen::Only(trials.collect()))?;
        Ok(Run { name: file.display().to_string(), ..run })
    });
    runs.collect()
}

fn open_one(path: &Path) -> anyhow::Result<Run> {
    open_with(path, &path.join("grid.toml"))
}

/// A run directory with the grid of that file.
fn open_with(path: &Path, file: &Path) -> anyhow::Result<Run> {
    let shown = path.display();
    let database = path.join("sweep.sqlite");
    if !database.is_file() {
        let problem =
            if path.is_dir() { "it has no sweep.sqlite" } else { "there is no such folder" };
        bail!(problem!(
            "`{shown}` is no run directory: {problem}";
            "name the folder that a sweep made, runs/NAME by default"
        ));
    }
    let store = Store::open_to_read(&database)?;
    let text = grid_file::read(file).or_problem(
        || problem!("`{shown}` lacks its grid"; "copy the grid file there, as grid.toml"),
    )?;
    // What was run was not too large to run.
    let grid = Grid::parse(&file.display().to_string(), &text, u64::MAX)?;
    Ok(Run { path: path.to_owned(), name: shown.to_string(), grid, text, store })
}

/// Trials of which several runs have a result.
#[derive(Default)]
pub(crate) struct Twice {
    pub(crate) count: usize,
    pub(crate) differing: usize,
    /// Between accuracies after the last iteration.
    pub(crate) largest: f64,
}

impl Twice {
    fn count(&mut self, one: &TrialRow, other: &TrialRow) {
        let (Some(one), Some(other)) = (&one.outcome, &other.outcome) else { return };
        self.count += 1;
        let difference = (one.final_test_accuracy - other.final_test_accuracy).abs();
        self.differing += usize::from(difference > 0.0);
        self.largest = self.largest.max(difference);
    }
}
