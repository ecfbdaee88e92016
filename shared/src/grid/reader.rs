//! A walk over TOML that knows the place of everything, and refuses keys that nothing reads.

use std::str::FromStr;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    error::Problem,
    findings::{Findings, Unknown, missing, nearest},
};
use crate::quote::quote;

/// Largest number of tables of one kind: each exclude is compared with each point.
const MAX_TABLES: usize = 1_000;

/// Largest number of unknown keys of one table that are reported.
const MAX_UNKNOWN: usize = 20;

/// One TOML value that knows the name of its key.
#[derive(Debug, Clone)]
pub(super) struct Item<'t> {
    pub(super) key: String,
    /// Byte offset of the value.
    pub(super) offset: usize,
    pub(super) findings: &'t Findings,
    key_offset: usize,
    value: &'t DeValue<'t>,
}

/// A table whose keys must all be taken.
#[derive(Debug)]
pub(super) struct Table<'t> {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) findings: &'t Findings,
    items: Vec<Item<'t>>,
    known: Vec<&'static str>,
    is_section: bool,
}

impl<'t> Table<'t> {
    pub(super) fn new(
        name: String,
        offset: usize,
        table: &'t DeTable<'t>,
        findings: &'t Findings,
    ) -> Self {
        let items = table
            .iter()
            .map(|(key, value)| Item::new(key.get_ref(), key.span().start, value, findings))
            .collect();
        Self { name, offset, findings, items, known: Vec::new(), is_section: false }
    }

    /// Whether all keys have been taken.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a problem with this table to the findings.
    pub(super) fn report(&self, problem: impl Into<String>, hint: impl Into<String>) {
        self.findings.add(Problem::at(self.offset, problem, hint));
    }

    /// The value of a key, which stays in the table.
    pub(super) fn peek(&self, key: &str) -> Option<Item<'t>> {
        self.items.iter().find(|item| item.key == key).cloned()
    }

    /// Takes a key that may be missing.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'t>> {
        self.known.push(key);
        let position = self.items.iter().position(|item| item.key == key)?;
        Some(self.items.remove(position))
    }

    /// Takes a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, example: &str) -> Option<Item<'t>> {
        let item = self.take(key);
        if item.is_none() {
            self.report(missing(key, &self.name), format!("add `{key} = {example}`"));
        }
        item
    }

    /// Takes a key and parses it; `None` where it is missing or wrong.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Item<'t>) -> Result<T, Problem>,
    ) -> Option<T> {
        self.take(key).and_then(|item| self.findings.keep(parse(&item)))
    }

    /// Takes a key and parses it; `default` where it is missing or wrong.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Item<'t>) -> Result<T, Problem>,
    ) -> T {
        self.read(key, parse).unwrap_or(default)
    }

    /// The section under a key; an empty one where it is missing or not a table.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let (offset, findings) = (self.offset, self.findings);
        let (items, known) = Default::default();
        let empty =
            || Self { name: format!("[{key}]"), offset, findings, items, known, is_section: true };
        self.take(key).and_then(|item| item.section()).unwrap_or_else(empty)
    }

    /// The section under a key, which must be there.
    pub(super) fn needed_section(&mut self, key: &'static str, example: &str) -> Option<Self> {
        self.need(key, example)?.section()
    }

    /// Refuses keys that have not been taken.
    pub(super) fn finish(self) {
        let Self { name, findings, mut items, known, is_section, .. } = self;
        if is_section {
            findings.add_section(&name, &known);
        }
        items.sort_by_key(|item| item.key_offset);
        for item in items.into_iter().take(MAX_UNKNOWN) {
            let number = item.integer("5").ok();
            let (offset, table, known) = (item.key_offset, name.clone(), known.clone());
            findings.add_unknown(Unknown { offset, key: item.key, number, table, known });
        }
    }
}

impl<'t> Item<'t> {
    fn new(
        key: &str,
        key_offset: usize,
        value: &'t Spanned<DeValue<'t>>,
        findings: &'t Findings,
    ) -> Self {
        let (offset, value) = (value.span().start, value.get_ref());
        Self { key: key.to_owned(), offset, findings, key_offset, value }
    }

    pub(super) fn problem(&self, problem: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem::at(self.offset, problem, hint)
    }

    /// Adds a problem with this value to the findings.
    pub(super) fn report(&self, problem: impl Into<String>, hint: impl Into<String>) {
        self.findings.add(self.problem(problem, hint));
    }

    fn mismatch(&self, wanted: &str, example: &str) -> Problem {
        let (key, shown) = (&self.key, self.shown());
        if let DeValue::String(text) = self.value
            && text.trim().parse::<f64>().is_ok()
        {
            let hint = format!("take the quotes away: {}", quote(text.trim()));
            return self.problem(format!("{key} {shown} is text, not a number"), hint);
        }
        let hint = format!("write for example `{key} = {example}`");
        self.problem(format!("{key} {shown} is not {wanted}"), hint)
    }

    /// The value as the user wrote it, for messages.
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

    /// A number, whole or not, without bounds.
    pub(super) fn number(&self, example: &str) -> Result<f64, Problem> {
        let number = match self.value {
            DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Integer(number) => {
                i128::from_str_radix(number.as_str(), number.radix()).ok().map(|value| value as f64)
            }
            _ => None,
        };
        let number = number.ok_or_else(|| self.mismatch("a number", example))?;
        if let DeValue::Float(written) = self.value
            && number == 0.0
            && written
                .as_str()
                .split(['e', 'E'])
                .next()
                .is_some_and(|digits| digits.contains(|c: char| ('1'..='9').contains(&c)))
        {
            // It would be read as zero, which often has another meaning.
            let problem =
                format!("{} {} is too small to be told from zero", self.key, self.shown());
            return Err(self.problem(problem, "write 0, or a number from 1e-300"));
        }
        Ok(number)
    }

    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.mismatch("true or false", "true")),
        }
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(
        &self,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<T, Problem> {
        let names = || all.iter().copied().map(name);
        let given = self.string(names().next().unwrap_or_default())?;
        let unknown = || {
            let meant = nearest(given, names()).map(|name| format!("did you mean `{name}`? "));
            let one_of = names().collect::<Vec<_>>().join(", ");
            let hint = format!("{}one of {one_of}", meant.unwrap_or_default());
            self.problem(format!("{} {} is unknown", self.key, self.shown()), hint)
        };
        all.iter().copied().find(|choice| name(*choice) == given).ok_or_else(unknown)
    }

    /// The elements of a list; a single value counts as a list of one.
    pub(super) fn elements(&self) -> Vec<Self> {
        let element = |value| Self::new(&self.key, self.key_offset, value, self.findings);
        match self.value {
            DeValue::Array(array) => array.iter().map(element).collect(),
            _ => vec![self.clone()],
        }
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// The table under this key, as in `seed = { count = 5 }`.
    pub(super) fn table(&self) -> Option<Table<'t>> {
        self.table_named(format!("`{}`", self.key))
    }

    fn table_named(&self, name: String) -> Option<Table<'t>> {
        if let DeValue::Table(table) = self.value {
            return Some(Table::new(name, self.offset, table, self.findings));
        }
        let problem = format!("{} {} is not a table", self.key, self.shown());
        self.report(problem, format!("write `[{}]` on a line of its own, then its keys", self.key));
        None
    }

    /// The table under this key, as a section of the file.
    fn section(&self) -> Option<Table<'t>> {
        Some(Table { is_section: true, ..self.table_named(format!("[{}]", self.key))? })
    }

    /// The tables under this key, written `[[key]]`.
    pub(super) fn tables(&self) -> Vec<Table<'t>> {
        let (name, findings) = (format!("[[{}]]", self.key), self.findings);
        let array = match self.value {
            DeValue::Array(array) if array.len() <= MAX_TABLES => &array[..],
            DeValue::Array(array) => {
                let problem = format!("`{}` tables {name} are more than {MAX_TABLES}", array.len());
                self.report(problem, "write lists of values in one table");
                &[]
            }
            _ => {
                self.not_tables(self.offset);
                &[]
            }
        };
        let table = |value: &'t Spanned<DeValue<'t>>| match (value.get_ref(), value.span().start) {
            (DeValue::Table(table), offset) => {
                Some(Table::new(name.clone(), offset, table, findings))
            }
            (_, offset) => {
                self.not_tables(offset);
                None
            }
        };
        array.iter().filter_map(table).collect()
    }

    fn not_tables(&self, offset: usize) {
        let key = &self.key;
        let hint = format!("write `[[{key}]]` on a line of its own, then its keys");
        self.findings.add(Problem::at(offset, format!("{key} is not a list of tables"), hint));
    }
}
