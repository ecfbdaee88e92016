//! The network and the regulariser of a trial, with their names.
//!
//! A grid file has an architecture, a weight decay and a lambda. People compare regularisers on one
//! network, so tables, charts and files take these names from here.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

pub use crate::architecture::Switch;
use crate::{
    axes::{self, Axis, Role, WEIGHTS},
    numbers::{exact, short},
    trial::{Architecture, TrialSpec},
};

/// An architecture without dropout and batch norm.
pub type Network = Architecture;

/// Everything that regularises a network; `none` is a value, too.
///
/// The order is that of tables: none, weight decay, dropout, batch norm, the function norm by its
/// weight, combinations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regulariser {
    /// Dropout or batch norm.
    pub switch: Option<Switch>,
    /// The weight of each of [`Axis::regularisers`]; zero switches it off.
    weights: [f64; WEIGHTS],
}

impl Regulariser {
    /// The same with another weight of one axis; zero removes it.
    #[must_use]
    pub fn with(mut self, axis: Axis, weight: f64) -> Self {
        for (own, of) in self.weights.iter_mut().zip(Axis::regularisers()) {
            if *of == axis {
                *own = weight;
            }
        }
        self
    }

    /// The axes whose regularisers act, with their weights, in the order of names.
    pub fn weights(&self) -> impl Iterator<Item = (Axis, f64)> + '_ {
        Axis::regularisers().iter().copied().zip(self.weights).filter(|(_, weight)| *weight > 0.0)
    }

    /// The weight of an axis; zero if its regulariser does not act.
    pub fn weight(&self, axis: Axis) -> f64 {
        self.weights().find(|(of, _)| *of == axis).map_or(0.0, |(_, weight)| weight)
    }

    /// Number of regularisers that act together.
    pub fn parts(&self) -> usize {
        usize::from(self.switch.is_some()) + self.weights().count()
    }

    /// The weight of the function norm; zero without it.
    pub fn lambda(&self) -> f64 {
        self.weight(axes::LAMBDA)
    }

    fn named(&self, label: impl Fn(Axis, f64) -> String) -> String {
        let switch = self.switch.map(|switch| switch.name().to_owned());
        let weights = self.weights().map(|(axis, weight)| label(axis, weight));
        let parts: Vec<String> = switch.into_iter().chain(weights).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(" + ") }
    }
}

impl Eq for Regulariser {}

impl PartialOrd for Regulariser {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Regulariser {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rest = |of: &Self| of.weights.map(f64::to_bits);
        (self.parts().cmp(&other.parts()))
            .then_with(|| self.lambda().total_cmp(&other.lambda()))
            .then_with(|| self.switch.cmp(&other.switch))
            // Weights are not negative, so their bits have their order.
            .then_with(|| rest(self).cmp(&rest(other)))
    }
}

/// The exact name, for files: it depends on no other trial.
impl fmt::Display for Regulariser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.named(|axis, weight| axis.labelled(&exact(weight))))
    }
}

impl Serialize for Regulariser {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TrialSpec {
    /// The network that is trained.
    pub fn network(&self) -> Network {
        self.architecture.network()
    }

    /// Everything that regularises it.
    pub fn regulariser(&self) -> Regulariser {
        let mut weights = [0.0; WEIGHTS];
        for (weight, axis) in weights.iter_mut().zip(Axis::regularisers()) {
            *weight = axis.real(self);
        }
        Regulariser { switch: self.architecture.0.switch, weights }
    }

    /// The cell in a few words, which depend on no other cell. Default settings are left out.
    pub fn label(&self) -> String {
        let size = axes::SUBSET_SIZE.labelled(&self.subset_size.to_string());
        format!("{}, {size}, {}{}", self.network(), self.regulariser(), self.unusual())
    }

    /// The end of a label: settings other than network, size and regulariser that have no default
    /// value.
    pub fn unusual(&self) -> String {
        let settings = Axis::in_grid().iter().filter(|axis| axis.role == Role::Setting);
        let unusual = settings.filter_map(|axis| {
            let value = axis.value(self).filter(|value| Some(*value) != axis.default())?;
            Some(format!(", {}", axis.labelled(&value.exact())))
        });
        unusual.collect()
    }
}

/// Short names of the regularisers of one study, for people.
///
/// A number has three digits, unless two values of the study would then have one name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names {
    /// Whether the weights of each of [`Axis::regularisers`] need all digits.
    exact: [bool; WEIGHTS],
}

impl Names {
    /// Names that distinguish these regularisers.
    pub fn among(regularisers: impl IntoIterator<Item = Regulariser>) -> Self {
        let mut values: [BTreeSet<u64>; WEIGHTS] = [const { BTreeSet::new() }; WEIGHTS];
        for regulariser in regularisers {
            for (values, weight) in values.iter_mut().zip(regulariser.weights) {
                values.insert(weight.to_bits());
            }
        }
        let collide = |values: BTreeSet<u64>| {
            let names: BTreeSet<String> =
                values.iter().map(|bits| short(f64::from_bits(*bits))).collect();
            names.len() < values.len()
        };
        Self { exact: values.map(collide) }
    }

    /// The short name of a regulariser.
    pub fn regulariser(self, regulariser: Regulariser) -> String {
        regulariser.named(|axis, weight| axis.labelled(&self.weight(axis, weight)))
    }

    /// A weight as it stands in that name.
    fn weight(self, axis: Axis, value: f64) -> String {
        let is_exact =
            Axis::regularisers().iter().zip(self.exact).any(|known| known == (&axis, true));
        if is_exact { exact(value) } else { short(value) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn regulariser(switch: Option<Switch>, lambda: f64, decay: f64) -> Regulariser {
        let none = Regulariser { switch, weights: [0.0; WEIGHTS] };
        none.with(axes::LAMBDA, lambda).with(axes::WEIGHT_DECAY, decay)
    }

    #[test]
    fn regularisers_have_names_and_an_order() {
        use Switch::{BatchNorm, Dropout};
        let in_order = [
            (regulariser(None, 0.0, 0.0), "none"),
            (regulariser(None, 0.0, 5e-4), "wd 5e-4"),
            (regulariser(None, 0.0, 0.01), "wd 0.01"),
            (regulariser(Some(Dropout), 0.0, 0.0), "dropout"),
            (regulariser(Some(BatchNorm), 0.0, 0.0), "bn"),
            (regulariser(None, 0.01, 0.0), "fn 0.01"),
            (regulariser(None, 0.1, 0.0), "fn 0.1"),
            (regulariser(Some(Dropout), 0.0, 5e-4), "dropout + wd 5e-4"),
            (regulariser(None, 0.1, 5e-4), "fn 0.1 + wd 5e-4"),
            (regulariser(Some(Dropout), 0.1, 0.0), "dropout + fn 0.1"),
            (regulariser(Some(BatchNorm), 0.1, 0.0), "bn + fn 0.1"),
            (regulariser(None, 1.0, 5e-4), "fn 1 + wd 5e-4"),
            (regulariser(Some(Dropout), 0.1, 5e-4), "dropout + fn 0.1 + wd 5e-4"),
        ];
        let names = Names::among(in_order.iter().map(|(regulariser, _)| *regulariser));
        for (regulariser, name) in in_order {
            assert_eq!(
                (regulariser.to_string().as_str(), names.regulariser(regulariser).as_str()),
                (name, name)
            );
            assert_eq!(serde_json::to_value(regulariser).unwrap(), name);
        }
        assert!(in_order.is_sorted_by(|one, other| one.0 < other.0), "{in_order:?}");
    }

    #[test]
    fn a_trial_has_network_and_regulariser() {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = [0]\nsubset_size = 100\n\
                    architecture = [\"lenet\", \"lenet+bn\"]\nlambda = [0, 0.1]\nweight_decay = [0, 5e-4]\n";
        let grid = crate::grid::Grid::parse("t", grid, crate::grid::DEFAULT_MAX_TRIALS).unwrap();
        let names: BTreeSet<String> =
            grid.trials().map(|spec| spec.regulariser().to_string()).collect();
        let some =
            ["none", "wd 5e-4", "bn", "fn 0.1", "bn + fn 0.1", "bn + wd 5e-4", "fn 0.1 + wd 5e-4"];
        assert!(some.iter().all(|name| names.contains(*name)) && names.len() == 8, "{names:?}");
        assert!(grid.trials().all(|spec| spec.network() == Network::LENET));
        assert_eq!(
            grid.trials().map(|spec| spec.label()).last().unwrap(),
            "lenet, n = 100, bn + fn 0.1 + wd 5e-4"
        );
    }

    #[test]
    fn numbers_are_short_only_while_they_differ() {
        let (one, other) = (regulariser(None, 0.031_622_776, 0.0), regulariser(None, 0.031_6, 0.0));
        assert_eq!(Names::among([one]).regulariser(one), "fn 0.0316");
        let both = Names::among([one, other]);
        assert_eq!(
            (both.regulariser(one).as_str(), both.regulariser(other).as_str()),
            ("fn 0.031622776", "fn 0.0316")
        );
        assert_eq!(one.to_string(), "fn 0.031622776");
    }

    proptest! {
        #[test]
        fn different_regularisers_never_share_a_name(lambdas in prop::collection::vec(0.0..2.0_f64, 2..6), digits in 1..6_i32) {
            let scale = 10_f64.powi(digits);
            let all: Vec<Regulariser> = lambdas
                .iter()
                .flat_map(|value| [regulariser(None, *value, 0.0), regulariser(None, 0.0, (value * scale).round() / scale)])
                .collect();
            let names = Names::among(all.iter().copied());
            for one in &all {
                for other in &all {
                    let same = one == other;
                    prop_assert_eq!(names.regulariser(*one) == names.regulariser(*other), same);
                    prop_assert_eq!(one.to_string() == other.to_string(), same);
                    prop_assert_eq!(one.cmp(other).is_eq(), same);
                }
            }
        }
    }
}
