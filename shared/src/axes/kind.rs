//! Values of settings, and which of them are allowed.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Serialize, Serializer};

use crate::{numbers::Bounds, quote::quote};

/// One value of one setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count, a size or a seed.
    Whole(u64),
    /// A finite number.
    Real(f64),
    /// One of a few names.
    Name(&'static str),
}

impl Value {
    /// As a number; zero for a name.
    pub fn number(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Real(value) => value,
            Self::Name(_) => 0.0,
        }
    }

    /// A whole number that is in bounds.
    pub(crate) fn count(self) -> u32 {
        match self {
            Self::Whole(value) => u32::try_from(value).unwrap_or(u32::MAX),
            Self::Real(_) | Self::Name(_) => 0,
        }
    }

    /// The name; empty for a number.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name(name) => name,
            Self::Whole(_) | Self::Real(_) => "",
        }
    }

    /// As messages quote it.
    pub(crate) fn quoted(self) -> String {
        quote(&self.to_string())
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

/// In all its digits.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
            Self::Name(name) => f.pad(name),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(value) => serializer.serialize_u64(*value),
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

/// Which values a setting may have.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Whole numbers from one to another.
    Whole {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Numbers.
    Real(Bounds),
    /// One of these names.
    Choice(&'static [&'static str]),
    /// A data set, with what describes it. Its value is its name.
    Dataset,
}

impl Kind {
    pub(super) fn check(self, name: &'static str, value: Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Whole { min, max }, Value::Whole(number)) if (min..=max).contains(&number) => {
                Ok(value)
            }
            (Self::Whole { min, max }, Value::Whole(number)) => {
                Err(format!("{name} `{number}` is not in {min} to {max}"))
            }
            (Self::Real(bounds), Value::Real(number)) => {
                bounds.check(name, number).map(Value::Real).map_err(|error| error.to_string())
            }
            (Self::Choice(names), Value::Name(given)) if names.contains(&given) => Ok(value),
            _ => Err(format!("{name} {} is not {}", value.quoted(), self.wanted())),
        }
    }

    /// Some value, the same for all lanes that may differ.
    pub(crate) fn any(self) -> Value {
        match self {
            Self::Whole { .. } => Value::Whole(1),
            Self::Real(_) => Value::Real(1.0),
            Self::Choice(names) => Value::Name(names.first().copied().unwrap_or("")),
            Self::Dataset => Value::Name(""),
        }
    }

    /// What stands in a column where a trial has no value.
    pub fn nothing(self) -> Value {
        match self {
            Self::Whole { .. } => Value::Whole(0),
            Self::Real(_) => Value::Real(0.0),
            Self::Choice(_) | Self::Dataset => Value::Name("none"),
        }
    }

    /// What a value has to be, in a few words.
    pub fn wanted(self) -> String {
        match self {
            Self::Whole { min: 1, max } if max >= u32::MAX.into() => {
                "a whole number from 1".to_owned()
            }
            Self::Whole { min: 0, max } if max >= u32::MAX.into() => "a whole number".to_owned(),
            Self::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Self::Real(bounds) => format!("a number in {bounds}"),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::Dataset => "a data set".to_owned(),
        }
    }

    /// The value that an open axis keeps as this number.
    pub(super) fn value_of(self, number: f64) -> Value {
        match self {
            Self::Whole { .. } => Value::Whole(number as u64),
            Self::Real(_) => Value::Real(number),
            Self::Choice(names) => Value::Name(names.get(number as usize).copied().unwrap_or("")),
            Self::Dataset => Value::Name(""),
        }
    }

    pub(super) fn number_of(self, value: Value) -> f64 {
        match (self, value) {
            (Self::Choice(names), Value::Name(name)) => {
                names.iter().position(|known| *known == name).unwrap_or(0) as f64
            }
            _ => value.number(),
        }
    }
}
