//! The axes of a sweep with all their values: the settings in which its trials differ.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use swfn_shared::{
    axes::{Axis as Setting, LAMBDA, Role, Section, Value},
    ids::CellId,
    treatment::Names,
    trial::TrialSpec,
};

/// Whether the page shows a setting as a part of network or regulariser. Filters may name it, too.
fn is_behind(name: &str) -> bool {
    let axis = Setting::named("grid", name);
    axis.is_some_and(|axis| matches!(axis.role, Role::Network | Role::Regulariser { .. }))
}

/// The most values that a list to choose from has: there may be thousands of seeds.
const LISTED: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Axis {
    /// The name in requests.
    pub(crate) name: String,
    /// The name for people.
    title: String,
    /// The values in their order; empty if there are too many to choose from.
    pub(crate) values: Vec<String>,
    numeric: bool,
}

/// All axes but the seed, and the position of each cell on them.
#[derive(Debug, Default)]
pub(crate) struct Axes {
    pub(crate) axes: Vec<Axis>,
    seeds: Vec<u64>,
    /// In the order of the grid, with the positions on each axis; `None` without that setting.
    cells: Vec<(CellId, Vec<Option<usize>>)>,
    positions: HashMap<CellId, usize>,
}

impl Axes {
    pub(crate) fn of(specs: &[TrialSpec]) -> Self {
        let seeds: BTreeSet<_> = specs.iter().map(|spec| spec.seed).collect();
        let mut axes = Self { seeds: seeds.into_iter().collect(), ..Self::default() };
        // The first trial of each cell.
        let mut firsts = Vec::new();
        for spec in specs {
            axes.positions.entry(spec.cell()).or_insert_with_key(|cell| {
                axes.cells.push((*cell, Vec::new()));
                firsts.push(spec);
                firsts.len() - 1
            });
        }
        let specs = firsts;
        let regularisers: BTreeSet<_> = specs.iter().map(|spec| spec.regulariser()).collect();
        let names = Names::among(specs.iter().map(|spec| spec.regulariser()));
        let regularisers =
            regularisers.into_iter().map(|regulariser| names.regulariser(regulariser)).collect();
        let each = |value: &dyn Fn(&TrialSpec) -> String| {
            specs.iter().map(|spec| Some(value(spec))).collect()
        };
        axes.add("network", "network", each(&|spec| spec.network().to_string()), None);
        axes.add("subset_size", "n", each(&|spec| spec.subset_size.to_string()), None);
        let of = |spec: &TrialSpec| names.regulariser(spec.regulariser());
        axes.add("regulariser", "regulariser", each(&of), Some(regularisers));
        axes.add("architecture", "architecture", each(&|spec| spec.architecture.to_string()), None);
        for axis in Setting::columns().filter(|axis| matches!(axis.role, Role::Regulariser { .. }))
        {
            axes.add(axis.name, &title(axis.path), each(&|spec| axis.column(spec).exact()), None);
        }
        let settings: Vec<_> = specs.iter().map(|spec| settings(spec)).collect();
        let paths: BTreeSet<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
        for path in paths {
            let values: Vec<_> =
                settings.iter().map(|settings| settings.get(path).cloned()).collect();
            if values.iter().flatten().collect::<HashSet<_>>().len() > 1 {
                axes.add(path, &title(path), values, None);
            }
        }
        axes
    }

    /// Adds an axis. By default, numbers are sorted, and other values keep the order of the cells.
    fn add(
        &mut self,
        name: &str,
        title: &str,
        of_cells: Vec<Option<String>>,
        order: Option<Vec<String>>,
    ) {
        let mut seen = HashSet::new();
        let mut values: Vec<String> =
            of_cells.iter().flatten().filter(|value| seen.insert(*value)).cloned().collect();
        let numeric = values.iter().all(|value| value.parse::<f64>().is_ok());
        if numeric {
            values.sort_by(|one, other| {
                let number = |text: &str| text.parse().unwrap_or(f64::NAN);
                number(one).total_cmp(&number(other))
            });
        }
        let values = order.unwrap_or(values);
        let positions: HashMap<&str, usize> =
            values.iter().enumerate().map(|(at, value)| (value.as_str(), at)).collect();
        for ((_, cell), value) in self.cells.iter_mut().zip(&of_cells) {
            cell.push(value.as_deref().and_then(|value| positions.get(value).copied()));
        }
        self.axes.push(Axis { name: name.to_owned(), title: title.to_owned(), values, numeric });
    }

    /// The axes in which trials differ, for people. The seed is the last.
    pub(crate) fn shown(&self) -> Vec<Axis> {
        let varies = |axis: &Axis| axis.values.len() > 1;
        let varying = self.axes.iter().filter(|axis| varies(axis) && !is_behind(&axis.name));
        let values = self.seeds.iter().take(LISTED + 1).map(ToString::to_string).collect();
        let (name, title) = ("seed".to_owned(), "seed".to_owned());
        let seed = Some(Axis { name, title, values, numeric: true }).filter(varies);
        let mut shown: Vec<_> = varying.cloned().chain(seed).collect();
        shown.iter_mut().filter(|axis| axis.values.len() > LISTED).for_each(|a| a.values.clear());
        shown
    }

    /// A cell's values by the names of the shown axes, without the seed.
    pub(crate) fn values_of(&self, cell: CellId) -> BTreeMap<&str, &str> {
        let Some(position) = self.positions.get(&cell) else { return BTreeMap::new() };
        let values = self.axes.iter().zip(&self.cells[*position].1);
        let shown = values.filter(|(axis, _)| !is_behind(&axis.name));
        let named = shown.filter_map(|(axis, value)| Some((&*axis.name, &*axis.values[(*value)?])));
        named.collect()
    }

    /// The cells in the order of the grid.
    pub(crate) fn cells(&self) -> impl Iterator<Item = CellId> + '_ {
        self.cells.iter().map(|(cell, _)| *cell)
    }

    pub(crate) fn has(&self, cell: CellId) -> bool {
        self.positions.contains_key(&cell)
    }

    /// The cells with these values (axis and position), and their positions on the axis of the
    /// order.
    pub(crate) fn choose(
        &self,
        wanted: &[(usize, usize)],
        order: Option<usize>,
    ) -> Vec<(CellId, usize)> {
        let fits = |values: &[Option<usize>]| {
            wanted.iter().all(|(axis, value)| values[*axis] == Some(*value))
        };
        // A cell without the setting stands behind those that have it.
        let position = |values: &[Option<usize>]| {
            order.map_or(0, |axis| values[axis].unwrap_or(usize::MAX >> 1))
        };
        let chosen = self.cells.iter().filter(|(_, values)| fits(values));
        chosen.map(|(cell, values)| (*cell, position(values))).collect()
    }
}

/// The settings of a trial by their paths, without those that are axes already.
fn settings(spec: &TrialSpec) -> BTreeMap<String, String> {
    let mut all = swfn_report::settings(spec);
    all.retain(|place, value| match Setting::by_path(place) {
        None => true,
        Some(axis) => {
            if let Some(real @ Value::Real(_)) = axis.value(spec) {
                *value = real.exact();
            }
            axis.role == Role::Setting && axis.section != Section::Derived
        }
    });
    all
}

/// The settings that are axes of a grid, for the page of a trial.
pub(crate) fn named(spec: &TrialSpec) -> Vec<(String, String)> {
    let shown = |axis: &Setting| matches!(axis.role, Role::Regulariser { .. } | Role::Setting);
    let named = Setting::columns().filter(shown);
    named.filter_map(|axis| Some((title(axis.path), axis.value(spec)?.exact()))).collect()
}

/// The title of a path: `learning rate` for `learning_rate`. Settings of the VAE say so, since the
/// classifier has iterations and batches, too.
fn title(place: &str) -> String {
    if place == LAMBDA.path {
        return "λ".to_owned();
    }
    let whose = if place.starts_with("penalty.vae.vae.") { "VAE " } else { "" };
    let path = place.strip_suffix(".name").unwrap_or(place);
    let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
    format!("{whose}{}", name.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use swfn_shared::grid::{DEFAULT_MAX_TRIALS, Grid};
    use swfn_store::samples::varied;

    use super::*;

    fn axes(grid: &str) -> Axes {
        let grid = format!("version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n{grid}");
        let specs: Vec<_> = Grid::parse("t", &grid, DEFAULT_MAX_TRIALS).unwrap().trials().collect();
        Axes::of(&specs)
    }

    #[test]
    fn varying_settings_are_axes() {
        let axes = axes(
            "[grid]\nseed = { count = 2 }\nsubset_size = [1000, 300]\narchitecture = [\"net\", \"net+dropout\"]\n\
             lambda = [0, 0.1]\nlearning_rate = [0.1, 1e-4, 0.02]\npenalty_samples = [10, 20]\n",
        );
        let shown: Vec<_> =
            axes.shown().iter().map(|axis| (axis.title.clone(), axis.values.join(" | "))).collect();
        let expected = [
            ("n", "300 | 1000"),
            ("regulariser", "none | dropout | fn 0.1 | dropout + fn 0.1"),
            ("learning rate", "1e-4 | 0.02 | 0.1"),
            ("samples", "10 | 20"),
            ("seed", "0 | 1"),
        ];
        assert_eq!(shown, expected.map(|(title, values)| (title.to_owned(), values.to_owned())));
        let place = |name: &str, value: &str| {
            let axis = axes.axes.iter().position(|axis| axis.name == name).unwrap();
            (axis, axes.axes[axis].values.iter().position(|of| of == value).unwrap())
        };
        let count = |wanted: &[(usize, usize)]| axes.choose(wanted, None).len();
        assert_eq!((axes.cells().count(), count(&[])), (2 * 3 * (2 + 2 * 2), 36));
        assert_eq!(count(&[place("lambda", "0")]), 12);
        assert_eq!(count(&[place("lambda", "0"), place("penalty.samples", "10")]), 0);
        assert_eq!(
            count(&[
                place("architecture", "net"),
                place("penalty.samples", "10"),
                place("subset_size", "300")
            ]),
            3
        );
        let by_rate = axes.choose(&[], Some(place("learning_rate", "0.1").0));
        let first = by_rate.iter().find(|(_, place)| *place == 0).unwrap().0;
        assert_eq!(axes.values_of(first)["learning_rate"], "1e-4");
    }

    /// A row of the table of axes is enough: nothing here knows its name.
    #[test]
    fn grid_axes_are_columns_and_filters() {
        for setting in Setting::in_grid() {
            let (grid, values) = varied(*setting);
            let specs: Vec<_> =
                Grid::parse("t", &grid, DEFAULT_MAX_TRIALS).unwrap().trials().collect();
            let axes = Axes::of(&specs);
            assert!(!axes.shown().is_empty(), "{setting:?}");
            let facts = named(&specs[0]);
            if setting.role == Role::Seed {
                continue;
            }
            let name = if setting.role == Role::Setting { setting.path } else { setting.name };
            let filter = axes.axes.iter().position(|axis| axis.name == name);
            let filter = filter.unwrap_or_else(|| panic!("{name} is no filter"));
            assert_eq!(axes.axes[filter].values, values.map(Value::exact));
            assert_eq!([0, 1].map(|value| axes.choose(&[(filter, value)], None).len()), [1, 1]);
            if matches!(setting.role, Role::Regulariser { .. } | Role::Setting) {
                assert!(facts.contains(&(title(setting.path), values[0].exact())), "{facts:?}");
            }
        }
    }

    #[test]
    fn many_seeds_are_not_listed() {
        let of = |seeds: usize| {
            let axes = axes(&format!(
                "[grid]\nseed = {{ count = {seeds} }}\nsubset_size = 100\narchitecture = \"net\"\nlambda = 0\n"
            ));
            axes.shown()
                .iter()
                .map(|axis| (axis.name.clone(), axis.values.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(1), []);
        assert_eq!(of(LISTED), [("seed".to_owned(), LISTED)]);
        assert_eq!(of(LISTED + 1), [("seed".to_owned(), 0)]);
    }
}
