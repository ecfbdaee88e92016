//! One axis of a grid: its name and its values, which a range gives without listing them.

use std::{collections::HashSet, sync::Arc};

use super::{
    error::Problem,
    reader::{Item, Table},
};
use crate::{
    axes::{self, Axis, Kind, Value},
    dataset::Dataset,
};

#[derive(Debug, Clone)]
enum Values {
    /// Shared: every `[[include]]` has the axes of `[grid]` that it does not name.
    List(Arc<[Value]>),
    /// `start, start + 1, ...`
    Count { start: u64, count: u64 },
    /// `10^from ... 10^to`, equally spaced exponents.
    Log10 { from: f64, to: f64, count: u64 },
}

/// An axis with its values.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) axis: Axis,
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

impl Span {
    pub(super) fn single(axis: Axis, value: Value) -> Self {
        Self { axis, offset: 0, values: Values::List([value].into()) }
    }

    /// Reads `[a, b]`, a single value, `{ count = n }` or `{ log10 = [a, b], count = n }`.
    pub(super) fn read(axis: Axis, item: &Item<'_>, bounds: &Bounds) -> Option<Self> {
        if let (axes::SEED, Ok(number)) = (axis, item.integer::<u64>("5")) {
            // Nobody can tell the number of a seed from how many there are to be.
            let hint = format!(
                "write `seed = [{number}]` for seed {number} alone, `seed = {{ count = {number} }}` for {number} seeds"
            );
            item.findings.add(item.problem(format!("`seed = {number}` may mean two things"), hint));
            return None;
        }
        let values =
            if item.is_table() { read_range(axis, item)? } else { read_list(axis, item, bounds)? };
        let span = Self { axis, offset: item.offset, values };
        // Ranges are monotone: when both ends are in bounds, all of it is.
        if let Values::Count { .. } | Values::Log10 { .. } = span.values {
            for end in [0, span.len() - 1] {
                let checked = check(axis, span.get(end), bounds);
                item.findings
                    .keep(checked.map_err(|(problem, hint)| item.problem(problem, hint)))?;
            }
        }
        Some(span)
    }

    /// Whether its values are listed one by one.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.values, Values::List(_))
    }

    /// Refuses a list, read from `item`, in which a value stands twice.
    pub(super) fn refuse_repeats(&self, item: &Item<'_>) -> Result<(), Problem> {
        let Values::List(values) = &self.values else { return Ok(()) };
        let mut seen = HashSet::new();
        match values.iter().zip(item.elements()).find(|(value, _)| !seen.insert(**value)) {
            None => Ok(()),
            Some((value, element)) => {
                let problem = format!("{} {} stands twice", self.axis.name, value.quoted());
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
    pub(super) fn any(&self, fits: impl Fn(&Value) -> bool) -> bool {
        match &self.values {
            Values::List(list) => list.iter().any(fits),
            Values::Count { .. } | Values::Log10 { .. } => {
                [0, self.len() - 1].map(|end| self.get(end)).iter().any(fits)
            }
        }
    }

    /// The value at `index`, which is below [`Self::len`].
    pub(super) fn get(&self, index: u64) -> Value {
        match &self.values {
            Values::List(list) => list[index as usize],
            Values::Count { start, .. } => Value::Whole(start + index),
            Values::Log10 { from, to, count } => {
                let share = if *count == 1 { 0.0 } else { index as f64 / (*count - 1) as f64 };
                let exact = 10f64.powf(from + (to - from) * share);
                // Twelve digits, so that 10^-3 is 0.001 on every platform.
                Value::Real(format!("{exact:.11e}").parse().unwrap_or(exact))
            }
        }
    }
}

fn read_list(axis: Axis, item: &Item<'_>, bounds: &Bounds) -> Option<Values> {
    let elements = item.elements();
    if elements.is_empty() {
        let hint = format!("give it at least one value, as in `{} = {}`", axis.name, axis.example);
        item.findings.add(item.problem(format!("axis `{}` is empty", axis.name), hint));
        return None;
    }
    let values: Vec<_> = elements
        .iter()
        .map(|element| item.findings.keep(read_value(axis, element, bounds)))
        .collect();
    values.into_iter().collect::<Option<Arc<[_]>>>().map(Values::List)
}

/// One value, checked against the bounds of its axis.
pub(super) fn read_value(axis: Axis, item: &Item<'_>, bounds: &Bounds) -> Result<Value, Problem> {
    let value = match axis.kind {
        Kind::Whole { .. } => Value::Whole(item.integer(axis.example)?),
        Kind::Real(_) => Value::Real(item.number(axis.example)?),
        Kind::Choice(names) => Value::Name(item.choice(names, |name| name)?),
        Kind::Dataset => unreachable!("data sets are no axis of [grid]"),
    };
    check(axis, value, bounds).map_err(|(problem, hint)| item.problem(problem, hint))
}

/// Of each named axis, the values.
pub(super) type Conditions = Vec<(Axis, HashSet<Value>)>;

/// The values that must be had, on each of these axes that the table names. `called`: the table in messages.
pub(super) fn read_conditions(
    table: &mut Table<'_>,
    called: &str,
    axes: &[Axis],
    bounds: &Bounds,
) -> Conditions {
    let mut conditions = Conditions::new();
    for axis in axes {
        let Some(item) = table.take(axis.name) else { continue };
        let elements = item.elements();
        if elements.is_empty() {
            let hint = format!("name a value, as in `{} = ...`, or remove the line", axis.name);
            item.findings
                .add(item.problem(format!("{called}: axis `{}` is empty", axis.name), hint));
        }
        let values = elements
            .iter()
            .filter_map(|element| item.findings.keep(read_value(*axis, element, bounds)));
        conditions.push((*axis, values.collect()));
    }
    conditions
}

fn read_range(axis: Axis, item: &Item<'_>) -> Option<Values> {
    let findings = item.findings;
    let mut table = item.table()?;
    let count =
        table.need("count", "10").and_then(|count| findings.keep(count.integer::<u64>("10")));
    let values = match (axis.kind, table.take("log10")) {
        (Kind::Real(_), Some(ends)) => {
            let ends = findings.keep(read_exponents(axis, &ends));
            count.zip(ends).map(|(count, [from, to])| Values::Log10 { from, to, count })
        }
        (_, None) if axis == axes::SEED => {
            let start: u64 = table.get("start", 0, |start| start.integer("0"));
            count.map(|count| Values::Count { start, count })
        }
        _ => {
            let hint = format!("write for example `{} = {}`", axis.name, axis.example);
            findings
                .add(item.problem(format!("axis `{}` cannot be such a range", axis.name), hint));
            None
        }
    };
    table.finish();
    match values? {
        Values::Count { count: 0, .. } | Values::Log10 { count: 0, .. } => {
            findings.add(
                item.problem(format!("axis `{}` is empty: count `0`", axis.name), "count from 1"),
            );
            None
        }
        Values::Count { start, count }
            if start.checked_add(count).is_none_or(|end| end > MAX_SEED) =>
        {
            findings.add(
                item.problem(format!("seeds go beyond `{MAX_SEED}`"), "lower `start` or `count`"),
            );
            None
        }
        values => Some(values),
    }
}

fn read_exponents(axis: Axis, ends: &Item<'_>) -> Result<[f64; 2], Problem> {
    let numbers =
        ends.elements().iter().map(|end| end.number("-3")).collect::<Result<Vec<_>, _>>()?;
    match numbers[..] {
        [from, to] if from.is_finite() && to.is_finite() && from != to => Ok([from, to]),
        _ => {
            let problem =
                format!("log10 of axis `{}` is not two different finite exponents", axis.name);
            Err(ends.problem(problem, "write `log10 = [-3, 0]` for 0.001 to 1"))
        }
    }
}

const MAX_SEED: u64 = i64::MAX as u64;

/// The value in its normal form, or what is wrong with it and what to do.
fn check(axis: Axis, value: Value, bounds: &Bounds) -> Result<Value, (String, String)> {
    if let (axes::SUBSET_SIZE, Value::Whole(size), Some(dataset)) = (axis, value, bounds.dataset) {
        let (batch, len) = (u64::from(bounds.batch), u64::from(dataset.sizes().train_images));
        if !(batch..=len).contains(&size) {
            let why =
                format!("data set {dataset} has {len} training images, and a batch takes {batch}");
            return Err((format!("{} `{size}` is not in {batch} to {len}", axis.name), why));
        }
    }
    axis.check(value).map_err(|problem| (problem, advice(axis)))
}

/// What to do about a value that is out of bounds.
pub(super) fn advice(axis: Axis) -> String {
    match axis.advice {
        "" => format!("write for example `{} = {}`", axis.name, axis.example),
        advice => advice.to_owned(),
    }
}
