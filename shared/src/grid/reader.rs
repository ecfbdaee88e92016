//! A walk over TOML that remembers where everything stands and refuses what nobody asked for.

use std::str::FromStr;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use crate::quote::quote;

/// Tables of one kind beyond which a file is refused: each exclude is held against each point.
const MAX_TABLES: usize = 1_000;

/// One TOML value that knows the name of its key.
#[derive(Debug)]
pub(super) struct Item<'t> {
    pub(super) key: String,
    /// Where the value begins.
    pub(super) offset: usize,
    key_offset: usize,
    value: &'t DeValue<'t>,
}

/// A table whose keys must all be taken.
#[derive(Debug)]
pub(super) struct Table<'t> {
    name: String,
    pub(super) offset: usize,
    items: Vec<Item<'t>>,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    pub(super) fn new(name: &str, offset: usize, table: &'t DeTable<'t>) -> Self {
        let items = table.iter().map(|(key, value)| item(key.get_ref(), key.span().start, value)).collect();
        Self { name: name.to_owned(), offset, items, known: Vec::new() }
    }

    /// Takes a key that may be missing.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'t>> {
        self.known.push(key);
        let position = self.items.iter().position(|item| item.key == key)?;
        Some(self.items.remove(position))
    }

    /// Takes a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, example: &str) -> Result<Item<'t>, Problem> {
        let (offset, name) = (self.offset, self.name.clone());
        self.take(key).ok_or_else(|| {
            Problem::at(offset, format!("`{key}` is missing in {name}"), format!("add `{key} = {example}`"))
        })
    }

    /// Takes a key and parses it; `default` where it is missing.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Item<'t>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.take(key).map_or(Ok(default), |item| parse(&item))
    }

    /// Refuses keys that nobody took.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.items.into_iter().min_by_key(|item| item.offset) {
            None => Ok(()),
            Some(item) => Err(Problem::at(
                item.key_offset,
                format!("key {} is unknown in {}", quote(&item.key), self.name),
                format!("known here: {}", self.known.join(", ")),
            )),
        }
    }
}

fn item<'t>(key: &str, key_offset: usize, value: &'t Spanned<DeValue<'t>>) -> Item<'t> {
    Item { key: key.to_owned(), offset: value.span().start, key_offset, value: value.get_ref() }
}

impl<'t> Item<'t> {
    /// A problem with this value.
    pub(super) fn problem(&self, problem: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem::at(self.offset, problem, hint)
    }

    fn mismatch(&self, wanted: &str, example: &str) -> Problem {
        self.problem(
            format!("{} {} is not {wanted}", self.key, self.shown()),
            format!("write for example `{} = {example}`", self.key),
        )
    }

    /// The value as the user would recognise it.
    pub(super) fn shown(&self) -> String {
        match self.value {
            DeValue::String(text) => quote(text),
            DeValue::Integer(number) => quote(number.as_str()),
            DeValue::Float(number) => quote(number.as_str()),
            DeValue::Boolean(value) => quote(&value.to_string()),
            DeValue::Datetime(value) => quote(&value.to_string()),
            DeValue::Array(_) => "(a list)".to_owned(),
            DeValue::Table(_) => "(a table)".to_owned(),
        }
    }

    pub(super) fn string(&self, example: &str) -> Result<&'t str, Problem> {
        match self.value {
            DeValue::String(text) => Ok(text.as_ref()),
            _ => Err(self.mismatch("a string", &format!("\"{example}\""))),
        }
    }

    /// A whole number that `T` can hold.
    pub(super) fn integer<T: FromStr>(&self, example: &str) -> Result<T, Problem> {
        let DeValue::Integer(number) = self.value else {
            return Err(self.mismatch("a whole number", example));
        };
        let wanted = || self.mismatch("a whole number in the allowed range", example);
        let value = i128::from_str_radix(number.as_str(), number.radix()).map_err(|_| wanted())?;
        value.to_string().parse().map_err(|_| wanted())
    }

    /// A whole number from 1.
    pub(super) fn count(&self, example: &str) -> Result<u32, Problem> {
        match self.integer::<u32>(example)? {
            0 => Err(self.mismatch("above zero", example)),
            count => Ok(count),
        }
    }

    /// A number, whole or not; bounds are the caller's.
    pub(super) fn number(&self, example: &str) -> Result<f64, Problem> {
        let parsed = match self.value {
            DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Integer(number) => {
                i128::from_str_radix(number.as_str(), number.radix()).ok().map(|value| value as f64)
            }
            _ => None,
        };
        parsed.ok_or_else(|| self.mismatch("a number", example))
    }

    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.mismatch("true or false", "true")),
        }
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str) -> Result<T, Problem> {
        let example = all.first().copied().map_or("", name);
        let given = self.string(example)?;
        let names = || all.iter().copied().map(name).collect::<Vec<_>>().join(", ");
        let unknown =
            || self.problem(format!("{} {} is unknown", self.key, self.shown()), format!("one of {}", names()));
        all.iter().copied().find(|choice| name(*choice) == given).ok_or_else(unknown)
    }

    /// The elements of a list; a single value counts as a list of one.
    pub(super) fn elements(&self) -> Vec<Item<'t>> {
        match self.value {
            DeValue::Array(array) => array.iter().map(|value| item(&self.key, self.key_offset, value)).collect(),
            _ => vec![Item { key: self.key.clone(), ..*self }],
        }
    }

    /// Whether the value is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// The table under this key.
    pub(super) fn table(&self) -> Result<Table<'t>, Problem> {
        match self.value {
            DeValue::Table(table) => Ok(Table::new(&format!("[{}]", self.key), self.offset, table)),
            _ => Err(self.problem(
                format!("{} {} is not a table", self.key, self.shown()),
                format!("write `[{}]` on a line of its own, then its keys", self.key),
            )),
        }
    }

    /// The tables under this key, written `[[key]]`.
    pub(super) fn tables(&self) -> Result<Vec<Table<'t>>, Problem> {
        let wanted = |offset| {
            Problem::at(
                offset,
                format!("{} is not a list of tables", self.key),
                format!("write `[[{}]]` on a line of its own, then its keys", self.key),
            )
        };
        let DeValue::Array(array) = self.value else {
            return Err(wanted(self.offset));
        };
        if array.len() > MAX_TABLES {
            let problem = format!("`{}` tables [[{}]] are more than {MAX_TABLES}", array.len(), self.key);
            return Err(Problem::at(self.offset, problem, "lists of values say more in one table"));
        }
        let table = |value: &'t Spanned<DeValue<'t>>| match value.get_ref() {
            DeValue::Table(table) => Ok(Table::new(&format!("[[{}]]", self.key), value.span().start, table)),
            _ => Err(wanted(value.span().start)),
        };
        array.iter().map(table).collect()
    }
}
