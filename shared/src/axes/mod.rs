//! The axes: everything that a trial may vary, in one table.
//!
//! A new scalar regulariser is a row of [`AXES`] and a term in the worker. The grid reader, the
//! names of cells, the columns of files and pages, and the reference of the grid file follow from
//! the row.

mod json;
mod kind;
mod table;

use std::{borrow::Cow, fmt, ops::Deref, sync::LazyLock};

pub use json::SpecError;
pub(crate) use kind::Field;
pub use kind::{Kind, Value};
pub use table::AXES;

use crate::trial::{Penalty, TrialSpec};

/// The table of a grid file in which a setting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `[grid]`, where a setting has a list of values.
    Grid {
        /// Rank among the nested loops over the grid; the lowest is outermost.
        nesting: u8,
    },
    Data,
    Classifier,
    Vae,
    Penalty,
    /// No table: another setting determines this one.
    Derived,
}

impl Section {
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

/// The role of a setting in a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It repeats a measurement.
    Seed,
    /// It is the number of training images.
    Size,
    /// It is the network, with the regularisers that are layers of it.
    Network,
    /// It is the weight of a regulariser; zero switches it off.
    Regulariser {
        /// Rank in the names of combinations; the highest comes first.
        order: u8,
    },
    /// It is none of these.
    Setting,
}

/// When the canonical JSON of a trial has a setting.
#[derive(Debug, Clone, Copy)]
pub enum Written {
    /// Whenever the trial has it.
    Always,
    /// Unless it has this value, which trials had before the setting was added.
    Unless(Value),
    /// As the functions decide.
    If {
        /// Whether the JSON of this trial has it.
        written: fn(&TrialSpec) -> bool,
        /// Turns the trial into one without the setting.
        absent: fn(&mut TrialSpec),
    },
}

/// Whether trials that differ in a setting may be lanes of one batched computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    Equal,
    Differ,
    /// They may if all their values are above zero.
    DifferAboveZero,
}

/// How the value of a setting is read from a [`TrialSpec`] and set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// It has a field of its own, unless the trial lacks the part with the field.
    Field { get: fn(&TrialSpec) -> Option<Value>, set: fn(&mut TrialSpec, Value) -> Option<()> },
    /// It is a number among the open values, which nothing but the table has to know.
    Open,
}

/// A row of [`AXES`].
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Key in grid files and column in files of results.
    pub name: &'static str,
    pub section: Section,
    /// Unique path in the canonical JSON, such as `penalty.lambda`.
    pub path: &'static str,
    /// Name for people, such as `weight decay`.
    pub title: &'static str,
    /// Part of a cell's name, with `{}` for the value, such as `wd {}`.
    pub label: &'static str,
    /// One sentence for the reference of the grid file.
    pub purpose: &'static str,
    pub kind: Kind,
    /// Whether a grid file must name a value.
    pub required: bool,
    /// Example in TOML, for messages; empty if the default is one.
    pub example: &'static str,
    /// Hint for a value that is out of bounds; empty if the example is hint enough.
    pub advice: &'static str,
    pub role: Role,
    pub lanes: Lanes,
    pub written: Written,
    /// Whether it has an effect on this trial.
    pub matters: fn(&TrialSpec) -> bool,
    pub(crate) access: Access,
}

/// A setting, as the number of its row in [`AXES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Axis(u8);

pub const SEED: Axis = Axis::at("seed");
pub const SUBSET_SIZE: Axis = Axis::at("subset_size");
pub const ARCHITECTURE: Axis = Axis::at("architecture");
pub const WEIGHT_DECAY: Axis = Axis::at("weight_decay");
pub const LEARNING_RATE: Axis = Axis::at("learning_rate");
pub const LAMBDA: Axis = Axis::at("penalty.lambda");
pub const DENSITY: Axis = Axis::at("penalty.density");
pub const PENALTY_SAMPLES: Axis = Axis::at("penalty.samples");
pub(crate) const VALIDATION: Axis = Axis::at("validation");
pub(crate) const EVALUATE_EVERY: Axis = Axis::at("classifier.evaluate_every");
pub(crate) const EPOCHS: Axis = Axis::at("classifier.epochs");
pub(crate) const RESTART_EVERY: Axis = Axis::at("classifier.restart_every");

/// The first columns in files of results, in the order that such files have always had.
#[rustfmt::skip]
const FIRST_COLUMNS: [Axis; 8] = [
    ARCHITECTURE, SUBSET_SIZE, SEED, LAMBDA, DENSITY, WEIGHT_DECAY, LEARNING_RATE, PENALTY_SAMPLES,
];

impl Axis {
    /// All axes, in the order of the canonical JSON.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        (0..AXES.len() as u8).map(Self)
    }

    /// The axis with this path in the canonical JSON. In a constant, a wrong path does not compile.
    pub const fn at(path: &str) -> Self {
        let mut number = 0;
        while number < AXES.len() {
            if is_equal(AXES[number].path, path) {
                return Self(number as u8);
            }
            number += 1;
        }
        panic!("no row of AXES has this path")
    }

    /// The axis with this path in the canonical JSON, if there is one.
    pub fn by_path(path: &str) -> Option<Self> {
        Self::all().find(|axis| axis.path == path)
    }

    /// The axes of `[grid]`, outermost first.
    pub fn in_grid() -> &'static [Self] {
        &GRID
    }

    /// The settings of another table of the grid file.
    pub fn in_section(section: Section) -> impl Iterator<Item = Self> {
        Self::all().filter(move |axis| axis.section == section)
    }

    /// The axes of `[grid]` as columns of results.
    pub fn columns() -> impl Iterator<Item = Self> + Clone {
        let others = GRID.iter().filter(|axis| !FIRST_COLUMNS.contains(axis));
        FIRST_COLUMNS.iter().chain(others).copied()
    }

    /// Name and value of each column of a cell; a cell has no seed.
    pub fn cell_columns(spec: &TrialSpec) -> impl Iterator<Item = (&'static str, Value)> + '_ {
        Self::columns()
            .filter(|axis| axis.role != Role::Seed)
            .map(|axis| (axis.name, axis.column(spec)))
    }

    /// The axes that weigh regularisers, in the order of names.
    pub fn regularisers() -> &'static [Self] {
        &REGULARISERS
    }

    /// Position in [`Self::in_grid`]; an axis of another table has none and comes after all.
    pub(crate) fn nesting(self) -> usize {
        GRID.iter().position(|axis| *axis == self).unwrap_or(GRID_AXES)
    }

    /// A number that stands for a value, another one for each.
    pub(crate) fn code(self, value: Value) -> u64 {
        match value {
            Value::Whole(value) => value,
            Value::Real(value) => value.to_bits(),
            Value::Name(name) => match self.kind {
                Kind::Choice(names) => {
                    names.iter().position(|known| *known == name).unwrap_or(0) as u64
                }
                _ => 0,
            },
        }
    }

    /// The value of a trial, unless the trial has none or it has no effect there.
    pub fn value(self, spec: &TrialSpec) -> Option<Value> {
        if (self.matters)(spec) { self.raw(spec) } else { None }
    }

    /// The value in a column of results; zero or `none` where a trial has no value.
    pub fn column(self, spec: &TrialSpec) -> Value {
        self.value(spec).unwrap_or(self.kind.nothing())
    }

    /// The number of a trial; zero where the trial has none.
    pub fn real(self, spec: &TrialSpec) -> f64 {
        self.raw(spec).map_or(0.0, Value::number)
    }

    /// The value of a trial, even one without effect.
    pub(crate) fn raw(self, spec: &TrialSpec) -> Option<Value> {
        match self.access {
            Access::Field { get, .. } => get(spec),
            Access::Open => Some(Value::Real(spec.open.0[self.slot()])),
        }
    }

    /// Gives a trial a value, which is in bounds. A trial that has no use for it stays as it is.
    pub fn set(self, spec: &mut TrialSpec, value: Value) {
        match self.access {
            Access::Field { set, .. } => set(spec, value).unwrap_or_default(),
            Access::Open if (self.matters)(spec) => spec.open.0[self.slot()] = value.number(),
            Access::Open => {}
        }
    }

    /// The value in its normal form.
    ///
    /// # Errors
    /// The value is not allowed; the text says why.
    pub fn check(self, value: Value) -> Result<Value, String> {
        self.kind.check(self.name, value)
    }

    /// The value where a grid file names none: the published one.
    pub fn default(self) -> Option<Value> {
        let with_norm = TrialSpec { penalty: Some(Penalty::PUBLISHED), ..TrialSpec::PUBLISHED };
        if self.required { None } else { self.raw(&with_norm) }
    }

    /// An example value in TOML.
    pub(crate) fn example(self) -> Cow<'static, str> {
        match (self.example, self.default()) {
            ("", Some(Value::Name(name))) => format!("\"{name}\"").into(),
            ("", Some(default)) => default.to_string().into(),
            (example, _) => example.into(),
        }
    }

    /// The part of a cell's name with this value, such as `wd 5e-4`.
    pub fn labelled(self, value: &str) -> String {
        self.label.replace("{}", value)
    }

    /// The label without its value, such as `wd`.
    pub fn symbol(self) -> String {
        self.labelled("").trim().to_owned()
    }

    /// Table and key in a grid file, for people: `[vae] hidden`.
    pub fn in_file(self) -> String {
        match self.section {
            Section::Derived => self.title.to_owned(),
            section => format!("[{}] {}", section.name(), self.name),
        }
    }

    /// Position among the open values.
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
        f.write_str(self.path)
    }
}

/// The values of the axes that have no field of their own, as numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenValues([f64; OPEN]);

impl OpenValues {
    /// The values of all trials from before there were these axes.
    pub(crate) const NONE: Self = Self([0.0; OPEN]);
}

/// The number of rows whose field has this form.
macro_rules! count {
    ($field:ident: $form:pat) => {{
        let (mut count, mut number) = (0, 0);
        while number < AXES.len() {
            if matches!(AXES[number].$field, $form) {
                count += 1;
            }
            number += 1;
        }
        count
    }};
}

const OPEN: usize = count!(access: Access::Open);
/// Number of axes in `[grid]`.
pub(crate) const GRID_AXES: usize = count!(section: Section::Grid { .. });
/// Number of regularisers that have a weight.
pub(crate) const WEIGHTS: usize = count!(role: Role::Regulariser { .. });

static GRID: LazyLock<Vec<Axis>> = LazyLock::new(|| {
    ranked(|row| if let Section::Grid { nesting } = row.section { Some(nesting) } else { None })
});
static REGULARISERS: LazyLock<Vec<Axis>> = LazyLock::new(|| {
    ranked(|row| if let Role::Regulariser { order } = row.role { Some(!order) } else { None })
});

/// The axes that have a rank, the lowest first; equal ranks in the order of the table.
fn ranked(rank: fn(&Row) -> Option<u8>) -> Vec<Axis> {
    let mut axes: Vec<_> = Axis::all().filter(|axis| rank(axis).is_some()).collect();
    axes.sort_by_key(|axis| rank(axis));
    axes
}

const fn is_equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
