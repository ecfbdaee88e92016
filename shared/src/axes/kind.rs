//! Values of settings, and which of them are allowed.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use serde::Serialize;

use crate::{
    dataset::Dataset,
    numbers::{Bounds, exact, short},
    quote::quote,
};

/// One value of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A count, a size or a seed.
    Whole(u64),
    /// A finite number.
    Real(f64),
    /// One of a few names.
    Name(&'static str),
}

impl Value {
    /// The value as a number; zero for a name.
    pub fn number(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Real(value) => value,
            Self::Name(_) => 0.0,
        }
    }

    /// The name; empty for a number.
    pub fn name(self) -> &'static str {
        if let Self::Name(name) = self { name } else { "" }
    }

    /// The value in backticks, for messages.
    pub(crate) fn quoted(self) -> String {
        quote(&self.to_string())
    }

    /// A number in three digits, for people.
    pub fn short(self) -> String {
        if let Self::Real(value) = self { short(value) } else { self.to_string() }
    }

    /// A number in all its digits; very small and very large ones have an exponent.
    pub fn exact(self) -> String {
        if let Self::Real(value) = self { exact(value) } else { self.to_string() }
    }
}

/// A field of a trial that holds the value of an axis.
pub(crate) trait Field {
    fn value(&self) -> Value;

    /// Takes a value that is in bounds; `None` if it is none of this field.
    fn assign(&mut self, value: Value) -> Option<()>;
}

macro_rules! number_field {
    ($type:ident, $variant:ident) => {
        impl Field for $type {
            fn value(&self) -> Value {
                Value::$variant((*self).into())
            }

            fn assign(&mut self, value: Value) -> Option<()> {
                let Value::$variant(value) = value else { return None };
                *self = value as Self;
                Some(())
            }
        }
    };
}

number_field!(u32, Whole);
number_field!(u64, Whole);
number_field!(f64, Real);

impl Field for Dataset {
    fn value(&self) -> Value {
        Value::Name(self.name())
    }

    /// A name alone does not make a data set.
    fn assign(&mut self, _: Value) -> Option<()> {
        None
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Whole(value) => value.hash(state),
            Self::Real(value) => value.to_bits().hash(state),
            Self::Name(name) => name.hash(state),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(other),
            (Self::Name(one), Self::Name(other)) => one.cmp(other),
            (Self::Name(_), _) => Ordering::Greater,
            (_, Self::Name(_)) => Ordering::Less,
            _ => self.number().total_cmp(&other.number()),
        }
    }
}

/// The value with all its digits.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
            Self::Name(name) => f.pad(name),
        }
    }
}

/// The values that a setting may have.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Whole numbers from `min` to `max`.
    Whole {
        min: u64,
        max: u64,
    },
    Real(Bounds),
    Choice(&'static [&'static str]),
    /// A data set and its description. The value is its name.
    Dataset,
}

impl Kind {
    pub(super) fn check(self, name: &'static str, value: Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Whole { max, .. }, Value::Whole(number)) if number > max => {
                Err(format!("{name} `{number}` is above {max}"))
            }
            (Self::Whole { min, .. }, Value::Whole(number)) if number >= min => Ok(value),
            (Self::Real(bounds), Value::Real(number)) => {
                bounds.check(name, number).map(Value::Real)
            }
            (Self::Choice(names), Value::Name(given)) if names.contains(&given) => Ok(value),
            _ => Err(format!("{name} {} is not {}", value.quoted(), self.wanted())),
        }
    }

    /// An arbitrary value, which stands for all others where lanes may differ.
    pub(crate) fn any(self) -> Value {
        match self {
            Self::Whole { .. } => Value::Whole(1),
            Self::Real(_) => Value::Real(1.0),
            Self::Choice(names) => Value::Name(names.first().copied().unwrap_or("")),
            Self::Dataset => Value::Name(""),
        }
    }

    /// The value in a column of results where a trial has none.
    pub fn nothing(self) -> Value {
        match self {
            Self::Whole { .. } => Value::Whole(0),
            Self::Real(_) => Value::Real(0.0),
            Self::Choice(_) | Self::Dataset => Value::Name("none"),
        }
    }

    /// The allowed values in a few words.
    pub fn wanted(self) -> String {
        const COUNTS: u64 = u32::MAX as u64;
        match self {
            Self::Whole { min: 1, max: COUNTS.. } => "a whole number from 1".to_owned(),
            Self::Whole { min: 0, max: COUNTS.. } => "a whole number".to_owned(),
            Self::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Self::Real(bounds) => format!("a number in {bounds}"),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::Dataset => "a data set".to_owned(),
        }
    }
}
