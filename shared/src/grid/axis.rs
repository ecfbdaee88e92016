//! One axis of a grid: its name and its values, which a range gives without listing them.

use std::{collections::HashSet, sync::Arc};

use super::{
    error::Problem,
    reader::{Item, Table},
};
use crate::{
    dataset::Dataset,
    numbers::{self, Lambda, LearningRate, NumberError},
    quote::quote,
    trial::{Architecture, Density, MAX_PENALTY_SAMPLES},
};

/// The axes, outermost first: seeds come first, so that every cell has one result before any has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AxisName {
    /// Seed of every random stream.
    Seed,
    /// Training images.
    SubsetSize,
    /// Classifier and switches.
    Architecture,
    /// Weight decay of SGD.
    WeightDecay,
    /// Step size of SGD.
    LearningRate,
    /// Density of the function norm.
    Density,
    /// Samples of the function norm per step.
    PenaltySamples,
    /// Weight of the function norm.
    Lambda,
}

impl AxisName {
    /// All axes, outermost first.
    pub const ALL: [Self; 8] = [
        Self::Seed,
        Self::SubsetSize,
        Self::Architecture,
        Self::WeightDecay,
        Self::LearningRate,
        Self::Density,
        Self::PenaltySamples,
        Self::Lambda,
    ];

    /// The key in grid files and the column in result files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::SubsetSize => "subset_size",
            Self::Architecture => "architecture",
            Self::WeightDecay => "weight_decay",
            Self::LearningRate => "learning_rate",
            Self::Density => "density",
            Self::PenaltySamples => "penalty_samples",
            Self::Lambda => "lambda",
        }
    }

    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Seed => "{ count = 10 }",
            Self::SubsetSize => "[100, 300]",
            Self::Architecture => "[\"net\", \"lenet\"]",
            Self::WeightDecay => "[0, 5e-4]",
            Self::LearningRate => "[0.01]",
            Self::Density => "[\"vae\"]",
            Self::PenaltySamples => "[20]",
            Self::Lambda => "[0, 0.1]",
        }
    }
}

/// One value of one axis, within the axis's bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum AxisValue {
    Whole(u64),
    Real(f64),
    Architecture(Architecture),
    Density(Density),
}

impl AxisValue {
    pub(super) fn bits(self) -> (u8, u64) {
        match self {
            Self::Whole(value) => (0, value),
            Self::Real(value) => (1, value.to_bits()),
            Self::Architecture(value) => (2, value.index() as u64),
            Self::Density(value) => (3, value as u64),
        }
    }

    pub(super) fn shown(self) -> String {
        match self {
            Self::Whole(value) => quote(&value.to_string()),
            Self::Real(value) => quote(&value.to_string()),
            Self::Architecture(value) => quote(value.name()),
            Self::Density(value) => quote(value.name()),
        }
    }
}

#[derive(Debug, Clone)]
enum Values {
    /// Shared: every `[[include]]` has the axes of `[grid]` that it does not name.
    List(Arc<[AxisValue]>),
    /// `start, start + 1, ...`
    Count { start: u64, count: u64 },
    /// `10^from ... 10^to`, equally spaced exponents.
    Log10 { from: f64, to: f64, count: u64 },
}

/// An axis with its values.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) name: AxisName,
    pub(super) offset: usize,
    values: Values,
}

/// Bounds that a whole grid shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// None where the file does not name one that is known.
    pub(super) dataset: Option<Dataset>,
    /// Largest batch that a subset must fill.
    pub(super) batch: u32,
}

impl Axis {
    pub(super) fn single(name: AxisName, value: AxisValue) -> Self {
        Self { name, offset: 0, values: Values::List([value].into()) }
    }

    /// Reads `[a, b]`, a single value, `{ count = n }` or `{ log10 = [a, b], count = n }`.
    pub(super) fn read(name: AxisName, item: &Item<'_>, bounds: &Bounds) -> Option<Self> {
        if let (AxisName::Seed, Ok(number)) = (name, item.integer::<u64>("5")) {
            // Nobody can tell the number of a seed from how many there are to be.
            let hint = format!(
                "write `seed = [{number}]` for seed {number} alone, `seed = {{ count = {number} }}` for {number} seeds"
            );
            item.findings.add(item.problem(format!("`seed = {number}` may mean two things"), hint));
            return None;
        }
        let values = if item.is_table() { read_range(name, item)? } else { read_list(name, item, bounds)? };
        let axis = Self { name, offset: item.offset, values };
        // Ranges are monotone: when both ends are in bounds, all of it is.
        if let Values::Count { .. } | Values::Log10 { .. } = axis.values {
            for end in [0, axis.len() - 1] {
                let checked = check(name, axis.get(end), bounds);
                item.findings.keep(checked.map_err(|(problem, hint)| item.problem(problem, hint)))?;
            }
        }
        Some(axis)
    }

    /// Whether its values are listed one by one.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.values, Values::List(_))
    }

    /// Refuses a list, read from `item`, in which a value stands twice.
    pub(super) fn refuse_repeats(&self, item: &Item<'_>) -> Result<(), Problem> {
        let Values::List(values) = &self.values else { return Ok(()) };
        let mut seen = HashSet::new();
        match values.iter().zip(item.elements()).find(|(value, _)| !seen.insert(value.bits())) {
            None => Ok(()),
            Some((value, element)) => {
                let problem = format!("{} {} stands twice", self.name.name(), value.shown());
                Err(element.problem(problem, "remove one of them"))
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        match &self.values {
            Values::List(list) => list.len() as u64,
            Values::Count { count, .. } | Values::Log10 { count, .. } => *count,
        }
    }

    /// Whether some value fits. Of a range, which is monotone and may be long, the ends are asked.
    pub(super) fn any(&self, fits: impl Fn(&AxisValue) -> bool) -> bool {
        match &self.values {
            Values::List(list) => list.iter().any(fits),
            Values::Count { .. } | Values::Log10 { .. } => {
                [0, self.len() - 1].map(|end| self.get(end)).iter().any(fits)
            }
        }
    }

    /// The value at `index`, which is below [`Self::len`].
    pub(super) fn get(&self, index: u64) -> AxisValue {
        match &self.values {
            Values::List(list) => list[index as usize],
            Values::Count { start, .. } => AxisValue::Whole(start + index),
            Values::Log10 { from, to, count } => {
                let share = if *count == 1 { 0.0 } else { index as f64 / (*count - 1) as f64 };
                let exact = 10f64.powf(from + (to - from) * share);
                // Twelve digits, so that 10^-3 is 0.001 on every platform.
                AxisValue::Real(format!("{exact:.11e}").parse().unwrap_or(exact))
            }
        }
    }
}

fn read_list(name: AxisName, item: &Item<'_>, bounds: &Bounds) -> Option<Values> {
    let elements = item.elements();
    if elements.is_empty() {
        let hint = format!("give it at least one value, as in `{} = {}`", name.name(), name.example());
        item.findings.add(item.problem(format!("axis `{}` is empty", name.name()), hint));
        return None;
    }
    let values: Vec<_> = elements.iter().map(|element| item.findings.keep(read_value(name, element, bounds))).collect();
    values.into_iter().collect::<Option<Arc<[_]>>>().map(Values::List)
}

/// One value, checked against the bounds of its axis.
pub(super) fn read_value(name: AxisName, item: &Item<'_>, bounds: &Bounds) -> Result<AxisValue, Problem> {
    let example = name.example();
    let value = match name {
        AxisName::Seed | AxisName::SubsetSize | AxisName::PenaltySamples => AxisValue::Whole(item.integer(example)?),
        AxisName::WeightDecay | AxisName::LearningRate | AxisName::Lambda => AxisValue::Real(item.number(example)?),
        AxisName::Density => AxisValue::Density(item.choice(Density::ALL, Density::name)?),
        AxisName::Architecture => AxisValue::Architecture(item.choice(Architecture::ALL, Architecture::name)?),
    };
    check(name, value, bounds).map_err(|(problem, hint)| item.problem(problem, hint))
}

/// Of each named axis, the values by their bits.
pub(super) type Conditions = Vec<(AxisName, HashSet<(u8, u64)>)>;

/// The values that must be had, on each of these axes that the table names. `called`: the table in messages.
pub(super) fn read_conditions(table: &mut Table<'_>, called: &str, axes: &[AxisName], bounds: &Bounds) -> Conditions {
    let mut conditions = Conditions::new();
    for name in axes {
        let Some(item) = table.take(name.name()) else { continue };
        let elements = item.elements();
        if elements.is_empty() {
            let hint = format!("name a value, as in `{} = ...`, or remove the line", name.name());
            item.findings.add(item.problem(format!("{called}: axis `{}` is empty", name.name()), hint));
        }
        let values = elements.iter().filter_map(|element| item.findings.keep(read_value(*name, element, bounds)));
        conditions.push((*name, values.map(AxisValue::bits).collect()));
    }
    conditions
}

fn read_range(name: AxisName, item: &Item<'_>) -> Option<Values> {
    let findings = item.findings;
    let mut table = item.table()?;
    let count = table.need("count", "10").and_then(|count| findings.keep(count.integer::<u64>("10")));
    let values = match (name, table.take("log10")) {
        (AxisName::Lambda | AxisName::WeightDecay | AxisName::LearningRate, Some(ends)) => {
            let ends = findings.keep(read_exponents(name, &ends));
            count.zip(ends).map(|(count, [from, to])| Values::Log10 { from, to, count })
        }
        (AxisName::Seed, None) => {
            let start: u64 = table.get("start", 0, |start| start.integer("0"));
            count.map(|count| Values::Count { start, count })
        }
        _ => {
            let hint = format!("write for example `{} = {}`", name.name(), name.example());
            findings.add(item.problem(format!("axis `{}` cannot be such a range", name.name()), hint));
            None
        }
    };
    table.finish();
    match values? {
        Values::Count { count: 0, .. } | Values::Log10 { count: 0, .. } => {
            findings.add(item.problem(format!("axis `{}` is empty: count `0`", name.name()), "count from 1"));
            None
        }
        Values::Count { start, count } if start.checked_add(count).is_none_or(|end| end > MAX_SEED) => {
            findings.add(item.problem(format!("seeds go beyond `{MAX_SEED}`"), "lower `start` or `count`"));
            None
        }
        values => Some(values),
    }
}

fn read_exponents(name: AxisName, ends: &Item<'_>) -> Result<[f64; 2], Problem> {
    let numbers = ends.elements().iter().map(|end| end.number("-3")).collect::<Result<Vec<_>, _>>()?;
    match numbers[..] {
        [from, to] if from.is_finite() && to.is_finite() && from != to => Ok([from, to]),
        _ => {
            let problem = format!("log10 of axis `{}` is not two different finite exponents", name.name());
            Err(ends.problem(problem, "write `log10 = [-3, 0]` for 0.001 to 1"))
        }
    }
}

/// Seeds fit the signed integers of TOML and SQLite.
const MAX_SEED: u64 = i64::MAX as u64;

/// The value in its normal form, or what is wrong with it and what to do.
fn check(name: AxisName, value: AxisValue, bounds: &Bounds) -> Result<AxisValue, (String, String)> {
    let real = |checked: Result<f64, NumberError>| {
        checked
            .map(AxisValue::Real)
            .map_err(|error| (error.to_string(), format!("write for example `{} = {}`", name.name(), name.example())))
    };
    let whole = |value: u64, from: u64, to: u64, why: String| {
        if (from..=to).contains(&value) {
            Ok(AxisValue::Whole(value))
        } else {
            Err((format!("{} `{value}` is not in {from} to {to}", name.name()), why))
        }
    };
    match (name, value) {
        (AxisName::Lambda, AxisValue::Real(v)) => real(Lambda::new(v).map(Lambda::get)),
        (AxisName::WeightDecay, AxisValue::Real(v)) => real(numbers::Bounds::FROM_ZERO.check("weight_decay", v)),
        (AxisName::LearningRate, AxisValue::Real(v)) => real(LearningRate::new(v).map(LearningRate::get)),
        (AxisName::Seed, AxisValue::Whole(v)) => whole(v, 0, MAX_SEED, "choose a smaller seed".to_owned()),
        (AxisName::PenaltySamples, AxisValue::Whole(v)) => whole(
            v,
            1,
            MAX_PENALTY_SAMPLES.into(),
            "20 as published; lambda = 0 switches the function norm off".to_owned(),
        ),
        (AxisName::SubsetSize, AxisValue::Whole(v)) => {
            let Some(dataset) = bounds.dataset else { return Ok(value) };
            let (batch, len) = (u64::from(bounds.batch), u64::from(dataset.train_len()));
            let why = format!("data set {dataset} has {len} training images, and a batch takes {batch}");
            whole(v, batch, len, why)
        }
        (AxisName::Architecture, AxisValue::Architecture(_)) | (AxisName::Density, AxisValue::Density(_)) => Ok(value),
        (_, other) => Err((format!("{} {} has the wrong type", name.name(), other.shown()), name.example().to_owned())),
    }
}
