//! The axes of a sweep: in what its trials differ, with all values. They come from the settings of
//! the trials, not from a list.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use swfn_shared::{
    axes::{Axis as Setting, LAMBDA, Role, Section, Value},
    ids::CellId,
    treatment::Names,
    trial::{Architecture, TrialSpec},
};

/// Whether the page shows a setting as network or regulariser; filters may name it all the same.
fn is_behind(name: &str) -> bool {
    let axis = Setting::named("grid", name);
    axis.is_some_and(|axis| matches!(axis.role, Role::Network | Role::Regulariser { .. }))
}

/// More values than that are no choice for a list: of seeds there may be thousands.
const LISTED: usize = 200;

/// One axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Axis {
    /// What a request calls it.
    pub(crate) name: String,
    /// What people call it.
    title: String,
    /// Its values in their order; none of an axis that has too many to choose from.
    values: Vec<String>,
    /// Whether all values are numbers.
    numeric: bool,
}

impl Axis {
    pub(crate) fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether the trials differ in it.
    fn varies(&self) -> bool {
        self.values.len() > 1
    }
}

/// All axes but the seed, and where each cell lies on them.
#[derive(Debug, Default)]
pub(crate) struct Axes {
    axes: Vec<Axis>,
    seeds: Vec<u64>,
    /// In the order of the grid, with the place of the value on each axis; none where a cell has no
    /// such setting.
    cells: Vec<(CellId, Vec<Option<usize>>)>,
    places: HashMap<CellId, usize>,
}

impl Axes {
    pub(crate) fn of(specs: &[TrialSpec]) -> Self {
        let (mut firsts, mut places) = (Vec::new(), HashMap::new());
        let mut seeds = BTreeSet::new();
        for spec in specs {
            seeds.insert(spec.seed);
            places.entry(spec.cell()).or_insert_with_key(|cell| {
                firsts.push((*cell, spec));
                firsts.len() - 1
            });
        }
        let mut axes = Self { places, seeds: seeds.into_iter().collect(), ..Self::default() };
        axes.cells = firsts.iter().map(|(cell, _)| (*cell, Vec::new())).collect();
        let names = Names::among(firsts.iter().map(|(_, spec)| spec.regulariser()));
        let regularisers: BTreeSet<_> = firsts.iter().map(|(_, spec)| spec.regulariser()).collect();
        let regularisers =
            regularisers.into_iter().map(|regulariser| names.regulariser(regulariser)).collect();
        let specs: Vec<_> = firsts.iter().map(|(_, spec)| *spec).collect();
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
        let several = |path: &&String| {
            let values: HashSet<_> =
                settings.iter().filter_map(|settings| settings.get(*path)).collect();
            values.len() > 1
        };
        let varying: Vec<_> = paths.into_iter().filter(several).collect();
        for path in varying {
            axes.add(
                path,
                &title(path),
                settings.iter().map(|settings| settings.get(path).cloned()).collect(),
                None,
            );
        }
        axes
    }

    /// `order`: of the values, if it is not theirs as numbers or that of the cells.
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
        let places: HashMap<&str, usize> =
            values.iter().enumerate().map(|(at, value)| (value.as_str(), at)).collect();
        for ((_, cell), value) in self.cells.iter_mut().zip(&of_cells) {
            cell.push(value.as_deref().and_then(|value| places.get(value).copied()));
        }
        self.axes.push(Axis { name: name.to_owned(), title: title.to_owned(), values, numeric });
    }

    pub(crate) fn all(&self) -> &[Axis] {
        &self.axes
    }

    /// Those in which trials differ, for people: the seed is the last.
    pub(crate) fn shown(&self) -> Vec<Axis> {
        let varying = self.axes.iter().filter(|axis| axis.varies() && !is_behind(&axis.name));
        let seeds: Vec<String> =
            self.seeds.iter().take(LISTED + 1).map(ToString::to_string).collect();
        let seed = Axis {
            name: "seed".to_owned(),
            title: "seed".to_owned(),
            values: seeds,
            numeric: true,
        };
        let seed = Some(seed).filter(Axis::varies);
        let bounded = |axis: Axis| {
            if axis.values.len() > LISTED { Axis { values: Vec::new(), ..axis } } else { axis }
        };
        varying.cloned().chain(seed).map(bounded).collect()
    }

    /// A cell's values on the axes that are shown, but for the seed, by their names.
    pub(crate) fn values_of(&self, cell: CellId) -> BTreeMap<&str, &str> {
        let Some((_, values)) = self.places.get(&cell).and_then(|place| self.cells.get(*place))
        else {
            return BTreeMap::new();
        };
        let shown = self.axes.iter().zip(values).filter(|(axis, _)| !is_behind(&axis.name));
        shown
            .filter_map(|(axis, value)| {
                Some((axis.name.as_str(), axis.values.get((*value)?)?.as_str()))
            })
            .collect()
    }

    /// The cells in the order of the grid.
    pub(crate) fn cells(&self) -> impl Iterator<Item = CellId> + '_ {
        self.cells.iter().map(|(cell, _)| *cell)
    }

    pub(crate) fn has(&self, cell: CellId) -> bool {
        self.places.contains_key(&cell)
    }

    /// The cells that have these values, each an axis and a place on it, with their places on the
    /// axis of the order.
    pub(crate) fn choose(
        &self,
        wanted: &[(usize, usize)],
        order: Option<usize>,
    ) -> Vec<(CellId, usize)> {
        let fits = |values: &[Option<usize>]| {
            wanted.iter().all(|(axis, value)| values[*axis] == Some(*value))
        };
        let chosen = self.cells.iter().filter(|(_, values)| fits(values));
        // A cell without such a setting stands behind those that have it.
        let place = |values: &[Option<usize>]| {
            order.map_or(0, |axis| values[axis].unwrap_or(usize::MAX >> 1))
        };
        chosen.map(|(cell, values)| (*cell, place(values))).collect()
    }
}

/// The settings of a trial by the path that leads to them, without those that are axes already.
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

/// What the axes of a grid vary, for the page of a trial.
pub(crate) fn named(spec: &TrialSpec) -> Vec<(String, String)> {
    let shown = |axis: &Setting| matches!(axis.role, Role::Regulariser { .. } | Role::Setting);
    let named = Setting::columns().filter(shown);
    named.filter_map(|axis| Some((title(axis.path), axis.value(spec)?.exact()))).collect()
}

/// `learning rate` for `learning_rate`. The classifier has iterations and batches, too.
fn title(place: &str) -> String {
    if place == LAMBDA.path {
        return "λ".to_owned();
    }
    let whose = if place.starts_with("penalty.vae.vae.") { "VAE " } else { "" };
    let name = place
        .strip_suffix(".name")
        .unwrap_or(place)
        .rsplit('.')
        .next()
        .unwrap_or(place)
        .replace('_', " ");
    format!("{whose}{name}")
}

/// The names of all architectures, for whoever asks for one that this sweep lacks.
pub(crate) fn architectures(specs: &[TrialSpec]) -> Vec<Architecture> {
    let used: HashSet<&str> = specs.iter().map(|spec| spec.architecture.name()).collect();
    Architecture::ALL
        .iter()
        .copied()
        .filter(|architecture| used.contains(architecture.name()))
        .collect()
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
    fn what_varies_is_an_axis_whatever_it_is() {
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
            let axis = axes.all().iter().position(|axis| axis.name == name).unwrap();
            (axis, axes.all()[axis].values.iter().position(|of| of == value).unwrap())
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
    fn every_axis_of_a_grid_is_a_column_and_a_filter() {
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
            let filter = axes.all().iter().position(|axis| axis.name == name);
            let filter = filter.unwrap_or_else(|| panic!("{name} is no filter"));
            assert_eq!(axes.all()[filter].values, values.map(Value::exact));
            assert_eq!([0, 1].map(|value| axes.choose(&[(filter, value)], None).len()), [1, 1]);
            if matches!(setting.role, Role::Regulariser { .. } | Role::Setting) {
                assert!(facts.contains(&(title(setting.path), values[0].exact())), "{facts:?}");
            }
        }
    }

    #[test]
    fn of_many_seeds_none_is_listed() {
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
