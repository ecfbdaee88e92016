//! Everything that a trial may vary: one table, over which all that reads, names, writes or shows a setting iterates.
//!
//! A new scalar regulariser is a row of [`AXES`] and a term in the worker. The grid reader, the names of cells, the columns of
//! files, exports and pages, and the reference of the grid file follow from the row.

mod json;
mod kind;
mod table;

use std::{fmt, ops::Deref};

pub use json::SpecError;
pub use kind::{Kind, Value};
pub use table::AXES;

use crate::{
    numbers::{exact, short},
    trial::TrialSpec,
};

/// The table of a grid file in which a setting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `[grid]`, where a setting has a list of values.
    Grid {
        /// Its place among the nested loops over the grid, outermost first.
        nesting: u8,
    },
    /// `[data]`.
    Data,
    /// `[classifier]`.
    Classifier,
    /// `[vae]`.
    Vae,
    /// `[penalty]`.
    Penalty,
    /// None: another setting determines it.
    Derived,
}

impl Section {
    /// The name of the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grid { .. } => "grid",
            Self::Data => "data",
            Self::Classifier => "classifier",
            Self::Vae => "vae",
            Self::Penalty => "penalty",
            Self::Derived => "",
        }
    }
}

/// What a setting is in a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It repeats a measurement.
    Seed,
    /// The number of training images.
    Size,
    /// The network, with the regularisers that are layers of it.
    Network,
    /// The weight of a regulariser; zero switches it off.
    Regulariser {
        /// Names of combinations begin with the highest.
        order: u8,
    },
    /// Anything else.
    Setting,
}

/// When the canonical JSON of a trial has a setting.
#[derive(Debug, Clone, Copy)]
pub enum Written {
    /// Wherever the trial has it.
    Always,
    /// Unless it has this value, which is the one of all trials from before the setting was added.
    Unless(Value),
    /// As functions say.
    If {
        /// Whether this trial's JSON has it.
        written: fn(&TrialSpec) -> bool,
        /// Makes the trial what one without it is.
        absent: fn(&mut TrialSpec),
    },
}

/// Whether trials that differ in a setting may be lanes of one batched computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// They may not.
    Equal,
    /// They may.
    Differ,
    /// They may where all of them have more than zero.
    DifferAboveZero,
}

/// Where the value of a setting stands in a [`TrialSpec`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// In a field of its own.
    Field { get: fn(&TrialSpec) -> Option<Value>, set: fn(&mut TrialSpec, Value) },
    /// Among the values by axis: nothing but the table has to know of it.
    Open,
}

/// A row of [`AXES`].
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The key in grid files and the column in files of results.
    pub name: &'static str,
    /// Where a grid file has it.
    pub section: Section,
    /// Where it stands in a trial's canonical JSON, such as `penalty.lambda`. No two rows have one place.
    pub place: &'static str,
    /// For people, such as `weight decay`.
    pub title: &'static str,
    /// Its part of a cell's name, with `{}` for the value, such as `wd {}`.
    pub label: &'static str,
    /// One sentence for the reference of the grid file.
    pub purpose: &'static str,
    /// Its values.
    pub kind: Kind,
    /// The value where a grid file names none; `None` where it has to.
    pub default: Option<Value>,
    /// A value as a grid file has it, for messages.
    pub example: &'static str,
    /// What to do about a value that is out of bounds, where the example does not say it.
    pub advice: &'static str,
    /// What it is in a study.
    pub role: Role,
    /// Whether lanes may differ in it.
    pub lanes: Lanes,
    /// When the canonical JSON has it.
    pub written: Written,
    /// Whether it has an effect on a trial that has it.
    pub matters: fn(&TrialSpec) -> bool,
    pub(crate) access: Access,
}

/// A setting: one row of [`AXES`], by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Axis(u8);

/// Seed of every random stream.
pub const SEED: Axis = Axis::at("seed");
/// Training images.
pub const SUBSET_SIZE: Axis = Axis::at("subset_size");
/// Network and switches.
pub const ARCHITECTURE: Axis = Axis::at("architecture");
/// Weight decay of SGD.
pub const WEIGHT_DECAY: Axis = Axis::at("weight_decay");
/// Step size of SGD.
pub const LEARNING_RATE: Axis = Axis::at("learning_rate");
/// Weight of the function norm.
pub const LAMBDA: Axis = Axis::at("penalty.lambda");
/// What the function norm is sampled from.
pub const DENSITY: Axis = Axis::at("penalty.density");
/// Validation images.
pub(crate) const VALIDATION: Axis = Axis::at("validation");
/// Steps between two evaluations.
pub(crate) const EVALUATE_EVERY: Axis = Axis::at("classifier.evaluate_every");
/// Epochs.
pub(crate) const EPOCHS: Axis = Axis::at("classifier.epochs");
/// Steps of epochs that restart.
pub(crate) const RESTART_EVERY: Axis = Axis::at("classifier.restart_every");
/// Samples of the function norm per step.
pub const PENALTY_SAMPLES: Axis = Axis::at("penalty.samples");

/// The order in which files of results have had these from the beginning.
const FIRST_COLUMNS: [Axis; 8] = [
    ARCHITECTURE,
    SUBSET_SIZE,
    SEED,
    LAMBDA,
    DENSITY,
    WEIGHT_DECAY,
    LEARNING_RATE,
    PENALTY_SAMPLES,
];

impl Axis {
    /// All of them, in the order of the canonical JSON.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        (0..AXES.len() as u8).map(Self)
    }

    /// The axis of that place in the canonical JSON. In a constant, a place that is none does not compile.
    pub const fn at(place: &str) -> Self {
        let mut number = 0;
        while number < AXES.len() {
            if same(AXES[number].place, place) {
                return Self(number as u8);
            }
            number += 1;
        }
        panic!("no row of AXES has this place")
    }

    /// The axis that a grid file calls so in that table.
    pub fn named(section: &str, name: &str) -> Option<Self> {
        Self::all().find(|axis| axis.section.name() == section && axis.name == name)
    }

    /// The axes of `[grid]`, outermost first.
    pub fn of_grid() -> &'static [Self] {
        &GRID
    }

    /// The axes of `[grid]` as columns of results: first those that files have had from the beginning.
    pub fn columns() -> impl Iterator<Item = Self> + Clone {
        let others = GRID.iter().filter(|axis| !FIRST_COLUMNS.contains(axis));
        FIRST_COLUMNS.iter().chain(others).copied()
    }

    /// Name and value of each column that a cell has, the seed left out.
    pub fn columns_of(spec: &TrialSpec) -> impl Iterator<Item = (&'static str, Value)> + '_ {
        Self::columns()
            .filter(|axis| axis.role != Role::Seed)
            .map(|axis| (axis.name, axis.column(spec)))
    }

    /// The axis of that place in the canonical JSON, if it is one.
    pub fn of_place(place: &str) -> Option<Self> {
        Self::all().find(|axis| axis.place == place)
    }

    /// The axes that weigh regularisers, in the order of names.
    pub fn regularisers() -> &'static [Self] {
        &REGULARISERS
    }

    /// The settings of another table of the grid file.
    pub fn of_section(section: Section) -> impl Iterator<Item = Self> {
        Self::all().filter(move |axis| axis.section == section)
    }

    /// Its place among [`Self::of_grid`]; behind them for another.
    pub(crate) fn nesting(self) -> usize {
        GRID.iter().position(|axis| *axis == self).unwrap_or(GRID_AXES)
    }

    /// A number that stands for a value, another one for each.
    pub(crate) fn code(self, value: Value) -> u64 {
        match value {
            Value::Whole(value) => value,
            Value::Real(value) => value.to_bits(),
            Value::Name(_) => self.kind.number_of(value) as u64,
        }
    }

    /// The value of a trial; none where the trial does not have it, or it has no effect there.
    pub fn value(self, spec: &TrialSpec) -> Option<Value> {
        if (self.matters)(spec) { self.raw(spec) } else { None }
    }

    /// The value in a column of results: where a trial has none, zero or `none`.
    pub fn column(self, spec: &TrialSpec) -> Value {
        self.value(spec).unwrap_or(self.kind.nothing())
    }

    /// The number of a trial; zero where the trial has none.
    pub fn real(self, spec: &TrialSpec) -> f64 {
        self.raw(spec).map_or(0.0, Value::number)
    }

    /// What a trial has, whether it has an effect or not.
    pub(crate) fn raw(self, spec: &TrialSpec) -> Option<Value> {
        match self.access {
            Access::Field { get, .. } => get(spec),
            Access::Open => Some(self.kind.value_of(spec.open.0[self.slot()])),
        }
    }

    /// Gives a trial that value, which is in bounds. A trial that has no use for it stays as it is.
    pub fn set(self, spec: &mut TrialSpec, value: Value) {
        match self.access {
            Access::Field { set, .. } => set(spec, value),
            Access::Open if (self.matters)(spec) => {
                spec.open.0[self.slot()] = self.kind.number_of(value)
            }
            Access::Open => {}
        }
    }

    /// The value in its normal form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(self, value: Value) -> Result<Value, String> {
        self.kind.check(self.name, value)
    }

    /// Whether the value means that a regulariser is off.
    pub fn is_off(self, value: Value) -> bool {
        matches!(self.role, Role::Regulariser { .. }) && value.number() == 0.0
    }

    /// A value, as it is written, as part of a cell's name.
    pub fn labelled(self, value: &str) -> String {
        self.label.replace("{}", value)
    }

    /// The label without its value, such as `wd`.
    pub fn symbol(self) -> String {
        self.labelled("").trim().to_owned()
    }

    /// How people find it in a grid file: `[vae] hidden`.
    pub fn in_file(self) -> String {
        match self.section {
            Section::Derived => self.title.to_owned(),
            section => format!("[{}] {}", section.name(), self.name),
        }
    }

    /// Its place among the open values.
    fn slot(self) -> usize {
        AXES[..usize::from(self.0)].iter().filter(|row| matches!(row.access, Access::Open)).count()
    }
}

impl Deref for Axis {
    type Target = Row;

    fn deref(&self) -> &Row {
        &AXES[usize::from(self.0)]
    }
}

impl fmt::Debug for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place)
    }
}

/// The values of the axes that have no field of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenValues([f64; OPEN]);

impl OpenValues {
    /// What all trials had before there were these axes.
    pub(crate) const NONE: Self = Self([0.0; OPEN]);
}

impl Value {
    /// A number in three digits, for people.
    pub fn short(self) -> String {
        match self {
            Self::Real(value) => short(value),
            other => other.to_string(),
        }
    }

    /// A number in all its digits, those of very small and very large ones with an exponent.
    pub fn exact(self) -> String {
        match self {
            Self::Real(value) => exact(value),
            other => other.to_string(),
        }
    }
}

const OPEN: usize = count(Which::Open);
/// How many axes `[grid]` has.
pub(crate) const GRID_AXES: usize = count(Which::Grid);
/// How many regularisers have a weight.
pub(crate) const WEIGHTS: usize = count(Which::Regularisers);

static GRID: [Axis; GRID_AXES] = ranked(Which::Grid);
static REGULARISERS: [Axis; WEIGHTS] = ranked(Which::Regularisers);

#[derive(Clone, Copy)]
enum Which {
    Open,
    Grid,
    Regularisers,
}

/// The rank of a row among those of a kind, the lowest first; none if it is of another kind.
const fn rank(row: &Row, which: Which) -> Option<u8> {
    match (which, row.access, row.section, row.role) {
        (Which::Open, Access::Open, ..) => Some(0),
        (Which::Grid, _, Section::Grid { nesting }, _) => Some(nesting),
        (Which::Regularisers, _, _, Role::Regulariser { order }) => Some(u8::MAX - order),
        _ => None,
    }
}

const fn count(which: Which) -> usize {
    let (mut count, mut number) = (0, 0);
    while number < AXES.len() {
        if rank(&AXES[number], which).is_some() {
            count += 1;
        }
        number += 1;
    }
    count
}

/// The axes of a kind by rank; of equal ones in the order of the table.
const fn ranked<const N: usize>(which: Which) -> [Axis; N] {
    let mut ranked = [Axis(0); N];
    let (mut found, mut next) = (0, 0_u16);
    while next <= u8::MAX as u16 {
        let mut number = 0;
        while number < AXES.len() {
            if let Some(rank) = rank(&AXES[number], which)
                && rank as u16 == next
            {
                ranked[found] = Axis(number as u8);
                found += 1;
            }
            number += 1;
        }
        next += 1;
    }
    ranked
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
