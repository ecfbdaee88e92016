//! One axis of a grid: its name and its values. A range does not list them.

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
    /// Shared, since every `[[include]]` has the axes of `[grid]` that it does not name.
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

/// Bounds that follow from other sections of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// `None` where the file does not name a known data set.
    pub(super) dataset: Option<Dataset>,
    /// Largest batch that a subset must fill.
    pub(super) batch: u32,
}

impl Bounds {
    pub(super) const NONE: Self = Self { dataset: None, batch: 1 };
}

impl Span {
    pub(super) fn single(axis: Axis, value: Value) -> Self {
        Self { axis, offset: 0, values: Values::List([value].into()) }
    }

    /// Reads `[a, b]`, a single value, `{ count = n }` or `{ log10 = [a, b], count = n }`.
    pub(super) fn read(axis: Axis, item: &Item<'_>, bounds: &Bounds) -> Option<Self> {
        if let (axes::SEED, Ok(number)) = (axis, item.integer::<u64>("5")) {
            let hint = format!(
                "write `seed = [{number}]` for seed {number} alone, \
                 `seed = {{ count = {number} }}` for {number} seeds"
            );
            item.report(format!("`seed = {number}` may mean two things"), hint);
            return None;
        }
        let values =
            if item.is_table() { read_range(axis, item)? } else { read_list(axis, item, bounds)? };
        let span = Self { axis, offset: item.offset, values };
        // Ranges are monotone: if both ends are in bounds, the whole range is.
        if !span.is_list() {
            for end in [0, span.len() - 1] {
                item.findings.keep(check(axis, span.get(end), item, bounds))?;
            }
        }
        Some(span)
    }

    /// Whether its values are listed one by one.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.values, Values::List(_))
    }

    /// Refuses a list, read from `item`, that has a value twice.
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

    /// Whether some value fits. A range may be long but is monotone, so its ends decide.
    pub(super) fn any(&self, fits: impl Fn(&Value) -> bool) -> bool {
        match &self.values {
            Values::List(list) => list.iter().any(fits),
            _ => [0, self.len() - 1].map(|end| self.get(end)).iter().any(fits),
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
        let hint =
            format!("give it at least one value, as in `{} = {}`", axis.name, axis.example());
        item.report(format!("axis `{}` is empty", axis.name), hint);
        return None;
    }
    let values: Vec<_> = elements
        .iter()
        .map(|element| item.findings.keep(read_value(axis, element, bounds)))
        .collect();
    values.into_iter().collect::<Option<Arc<[_]>>>().map(Values::List)
}

/// Reads one value and checks it against the bounds of its axis.
pub(super) fn read_value(axis: Axis, item: &Item<'_>, bounds: &Bounds) -> Result<Value, Problem> {
    let example = axis.example();
    let value = match axis.kind {
        Kind::Whole { .. } => Value::Whole(item.integer(&example)?),
        Kind::Real(_) => Value::Real(item.number(&example)?),
        Kind::Choice(names) => Value::Name(item.choice(names, |name| name)?),
        Kind::Dataset => unreachable!("data sets have a reader of their own"),
    };
    check(axis, value, item, bounds)
}

/// Allowed values of each named axis.
pub(super) type Conditions = Vec<(Axis, HashSet<Value>)>;

/// Reads the values of those axes that the table names. Messages call the table `called`.
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
            item.report(format!("{called}: axis `{}` is empty", axis.name), hint);
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
            let hint = format!("write for example `{} = {}`", axis.name, axis.example());
            item.report(format!("axis `{}` cannot be such a range", axis.name), hint);
            None
        }
    };
    table.finish();
    let values = values?;
    match values {
        Values::Count { count: 0, .. } | Values::Log10 { count: 0, .. } => {
            item.report(format!("axis `{}` is empty: count `0`", axis.name), "count from 1");
            None
        }
        Values::Count { start, count }
            if start.checked_add(count).is_none_or(|end| end > MAX_SEED) =>
        {
            item.report(format!("seeds go beyond `{MAX_SEED}`"), "lower `start` or `count`");
            None
        }
        _ => Some(values),
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

/// The value of `item` in its normal form.
fn check(axis: Axis, value: Value, item: &Item<'_>, bounds: &Bounds) -> Result<Value, Problem> {
    if let (axes::SUBSET_SIZE, Value::Whole(size), Some(dataset)) = (axis, value, bounds.dataset) {
        let (batch, len) = (u64::from(bounds.batch), u64::from(dataset.sizes().train_images));
        if !(batch..=len).contains(&size) {
            return Err(item.problem(
                format!("{} `{size}` is not in {batch} to {len}", axis.name),
                format!("data set {dataset} has {len} training images, and a batch takes {batch}"),
            ));
        }
    }
    axis.check(value).map_err(|problem| match axis.advice {
        "" => {
            let hint = format!("write for example `{} = {}`", axis.name, axis.example());
            item.problem(problem, hint)
        }
        advice => item.problem(problem, advice),
    })
}
