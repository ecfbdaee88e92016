//! What a study is about: the network of a trial, and what regularises it.
//!
//! A grid file has an architecture, a weight decay and a lambda. People compare regularisers on one network, so tables, charts and
//! files take these names from here.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

pub use crate::architecture::Switch;
use crate::{
    numbers::{Lambda, WeightDecay, short},
    trial::{Architecture, TrialSpec},
};

/// An architecture without dropout and batch norm.
pub type Network = Architecture;

/// All that regularises a network; nothing at all is a value, too.
///
/// They are ordered as tables list them: none, weight decay, dropout, batch norm, the function norm by its weight, combinations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regulariser {
    /// Dropout or batch norm.
    pub switch: Option<Switch>,
    /// Weight of the function norm.
    pub function_norm: Option<Lambda>,
    /// Weight decay above zero.
    pub weight_decay: Option<WeightDecay>,
}

impl Regulariser {
    /// That of an architecture by its name, with these weights; zero is none.
    pub fn of(architecture: &str, lambda: f64, weight_decay: f64) -> Self {
        Self {
            switch: Architecture::by_name(architecture).and_then(Architecture::switch),
            function_norm: Lambda::new(lambda).ok().filter(|lambda| lambda.get() > 0.0),
            weight_decay: WeightDecay::new(weight_decay).ok().filter(|decay| decay.get() > 0.0),
        }
    }

    /// How many regularisers act together.
    pub fn parts(&self) -> usize {
        let parts = [self.switch.is_some(), self.function_norm.is_some(), self.weight_decay.is_some()];
        parts.into_iter().filter(|part| *part).count()
    }

    /// The weight of the function norm; zero without it.
    pub fn lambda(&self) -> f64 {
        self.function_norm.map_or(0.0, Lambda::get)
    }

    /// The weight decay; zero without it.
    pub fn decay(&self) -> f64 {
        self.weight_decay.map_or(0.0, WeightDecay::get)
    }

    fn named(&self, lambda: impl Fn(f64) -> String, decay: impl Fn(f64) -> String) -> String {
        let switch = self.switch.map(|switch| switch.name().to_owned());
        let norm = self.function_norm.map(|weight| format!("fn {}", lambda(weight.get())));
        let decay = self.weight_decay.map(|weight| format!("wd {}", decay(weight.get())));
        let parts: Vec<String> = [switch, norm, decay].into_iter().flatten().collect();
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
        let coarse = |of: &Self| (of.parts(), of.switch);
        (self.parts().cmp(&other.parts()))
            .then_with(|| self.lambda().total_cmp(&other.lambda()))
            .then_with(|| coarse(self).cmp(&coarse(other)))
            .then_with(|| self.decay().total_cmp(&other.decay()))
    }
}

/// The exact name, for files: it depends on no other trial.
impl fmt::Display for Regulariser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.named(exact, exact))
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

    /// What regularises it.
    pub fn regulariser(&self) -> Regulariser {
        Regulariser {
            switch: self.architecture.switch(),
            function_norm: self.penalty.map(|penalty| penalty.lambda),
            weight_decay: (self.weight_decay.get() > 0.0).then_some(self.weight_decay),
        }
    }
}

impl TrialSpec {
    /// Its cell in a few words, whatever other cells there are: what is as usual is left out.
    pub fn label(&self) -> String {
        self.point().label()
    }

    /// Its cell as files have it.
    pub fn point(&self) -> Point<'static> {
        Point {
            architecture: self.architecture.name(),
            subset_size: self.subset_size,
            lambda: self.lambda(),
            weight_decay: self.weight_decay.get(),
            learning_rate: self.learning_rate.get(),
            samples: self.penalty_samples(),
            density: self.density(),
        }
    }
}

/// The name of the network of an architecture, by the name of that.
pub fn network(architecture: &str) -> &str {
    Architecture::by_name(architecture).map_or(architecture, |known| known.network().name())
}

/// A cell as files have it: the axes of grid files, where what is not there is zero or `none`.
#[derive(Debug, Clone, Copy)]
pub struct Point<'p> {
    /// Name of the architecture.
    pub architecture: &'p str,
    /// Training images.
    pub subset_size: u32,
    /// Weight of the function norm.
    pub lambda: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Step size of SGD.
    pub learning_rate: f64,
    /// Samples of the function norm.
    pub samples: u32,
    /// Name of the density that they come from.
    pub density: &'p str,
}

impl Point<'_> {
    /// The cell in a few words: what is as usual is left out.
    pub fn label(&self) -> String {
        let regulariser = Regulariser::of(self.architecture, self.lambda, self.weight_decay);
        format!("{}, n = {}, {regulariser}{}", network(self.architecture), self.subset_size, self.unusual())
    }

    /// What is not as usual beside network, size and regulariser: the end of a label.
    pub fn unusual(&self) -> String {
        const USUAL_RATE: f64 = 0.01;
        const USUAL_SAMPLES: [u32; 2] = [0, 20];
        const USUAL_DENSITIES: [&str; 2] = ["none", "vae"];
        let mut label = String::new();
        if self.learning_rate != USUAL_RATE {
            label += &format!(", lr {}", exact(self.learning_rate));
        }
        if !USUAL_SAMPLES.contains(&self.samples) {
            label += &format!(", {} samples", self.samples);
        }
        if !USUAL_DENSITIES.contains(&self.density) {
            label += &format!(", on {}", self.density);
        }
        label
    }
}

/// Short names of the regularisers of one study, for people.
///
/// A number has three digits, unless two values of the study would then have one name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names {
    exact_lambda: bool,
    exact_decay: bool,
}

impl Names {
    /// Names that tell these apart.
    pub fn among(regularisers: impl IntoIterator<Item = Regulariser>) -> Self {
        let (mut lambdas, mut decays) = (BTreeSet::new(), BTreeSet::new());
        for regulariser in regularisers {
            lambdas.insert(regulariser.lambda().to_bits());
            decays.insert(regulariser.decay().to_bits());
        }
        let collide = |values: &BTreeSet<u64>| {
            let names: BTreeSet<String> = values.iter().map(|bits| short(f64::from_bits(*bits))).collect();
            names.len() < values.len()
        };
        Self { exact_lambda: collide(&lambdas), exact_decay: collide(&decays) }
    }

    /// The short name of one of them.
    pub fn regulariser(self, regulariser: Regulariser) -> String {
        regulariser
            .named(|value| self.lambda(value), |value| if self.exact_decay { exact(value) } else { short(value) })
    }

    /// A weight of the function norm, as it stands in that name.
    pub fn lambda(self, value: f64) -> String {
        if self.exact_lambda { exact(value) } else { short(value) }
    }
}

/// A number in three digits if it has no more, else in all of them.
fn exact(value: f64) -> String {
    let few = short(value);
    match value {
        _ if few.parse() == Ok(value) => few,
        0.001..1e5 => value.to_string(),
        _ => format!("{value:e}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn regulariser(switch: Option<Switch>, lambda: f64, decay: f64) -> Regulariser {
        let function_norm = (lambda > 0.0).then(|| Lambda::new(lambda).unwrap());
        let weight_decay = (decay > 0.0).then(|| WeightDecay::new(decay).unwrap());
        Regulariser { switch, function_norm, weight_decay }
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
            assert_eq!((regulariser.to_string().as_str(), names.regulariser(regulariser).as_str()), (name, name));
            assert_eq!(serde_json::to_value(regulariser).unwrap(), name);
        }
        assert!(in_order.is_sorted_by(|one, other| one.0 < other.0), "{in_order:?}");
    }

    #[test]
    fn a_trial_has_both() {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = [0]\nsubset_size = 100\n\
                    architecture = [\"lenet\", \"lenet+bn\"]\nlambda = [0, 0.1]\nweight_decay = [0, 5e-4]\n";
        let grid = crate::grid::Grid::parse("t", grid, crate::grid::DEFAULT_MAX_TRIALS).unwrap();
        let names: BTreeSet<String> = grid.trials().map(|spec| spec.regulariser().to_string()).collect();
        let some = ["none", "wd 5e-4", "bn", "fn 0.1", "bn + fn 0.1", "bn + wd 5e-4", "fn 0.1 + wd 5e-4"];
        assert!(some.iter().all(|name| names.contains(*name)) && names.len() == 8, "{names:?}");
        assert!(grid.trials().all(|spec| spec.network() == Network::LENET));
        assert_eq!(grid.trials().map(|spec| spec.label()).last().unwrap(), "lenet, n = 100, bn + fn 0.1 + wd 5e-4");
    }

    #[test]
    fn numbers_are_short_only_while_they_differ() {
        let (one, other) = (regulariser(None, 0.031_622_776, 0.0), regulariser(None, 0.031_6, 0.0));
        assert_eq!(Names::among([one]).regulariser(one), "fn 0.0316");
        let both = Names::among([one, other]);
        assert_eq!((both.regulariser(one).as_str(), both.regulariser(other).as_str()), ("fn 0.031622776", "fn 0.0316"));
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
