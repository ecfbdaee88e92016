//! A walk over TOML that remembers where everything stands and refuses what nobody asked for.

use std::str::FromStr;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    error::Problem,
    findings::{Findings, Unknown, missing, nearest},
};
use crate::quote::quote;

/// Tables of one kind beyond which a file is refused: each exclude is held against each point.
const MAX_TABLES: usize = 1_000;

/// Unknown keys of one table that are told of, at most.
const MAX_UNKNOWN: usize = 20;

/// One TOML value that knows the name of its key.
#[derive(Debug, Clone)]
pub(super) struct Item<'t> {
    pub(super) key: String,
    /// Where the value begins.
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
        name: &str,
        offset: usize,
        table: &'t DeTable<'t>,
        findings: &'t Findings,
    ) -> Self {
        let item = |key: &str, at, value| item(key, at, value, findings);
        let items =
            table.iter().map(|(key, value)| item(key.get_ref(), key.span().start, value)).collect();
        Self {
            name: name.to_owned(),
            offset,
            findings,
            items,
            known: Vec::new(),
            is_section: false,
        }
    }

    /// Whether no key is left that nobody took.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
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
            let problem = missing(key, &self.name);
            self.findings.add(Problem::at(
                self.offset,
                problem,
                format!("add `{key} = {example}`"),
            ));
        }
        item
    }

    /// Takes a key and parses it; `default` where it is missing or wrong.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Item<'t>) -> Result<T, Problem>,
    ) -> T {
        self.take(key).and_then(|item| self.findings.keep(parse(&item))).unwrap_or(default)
    }

    /// The section under that key; one without keys where it is missing or no table.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let table = self.take(key).and_then(|item| item.table());
        let name = format!("[{key}]");
        let (offset, findings) = (self.offset, self.findings);
        let empty = || Self {
            name,
            offset,
            findings,
            items: Vec::new(),
            known: Vec::new(),
            is_section: true,
        };
        table.map_or_else(empty, |table| Self { is_section: true, ..table })
    }

    /// The same for a section that must be there.
    pub(super) fn needed_section(&mut self, key: &'static str, example: &str) -> Option<Self> {
        let table = self.need(key, example)?.table()?;
        Some(Self { is_section: true, ..table })
    }

    /// Refuses keys that nobody took.
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

fn item<'t>(
    key: &str,
    key_offset: usize,
    value: &'t Spanned<DeValue<'t>>,
    findings: &'t Findings,
) -> Item<'t> {
    Item {
        key: key.to_owned(),
        offset: value.span().start,
        findings,
        key_offset,
        value: value.get_ref(),
    }
}

impl<'t> Item<'t> {
    /// A problem with this value.
    pub(super) fn problem(&self, problem: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem::at(self.offset, problem, hint)
    }

    fn mismatch(&self, wanted: &str, example: &str) -> Problem {
        if let DeValue::String(text) = self.value
            && text.trim().parse::<f64>().is_ok()
        {
            let problem = format!("{} {} is text, not a number", self.key, self.shown());
            return self.problem(problem, format!("take the quotes away: {}", quote(text.trim())));
        }
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
        let parsed = parsed.ok_or_else(|| self.mismatch("a number", example))?;
        // What is smaller than the smallest number is read as zero, which means something else.
        let vanished = |text: &str| {
            text.split(['e', 'E'])
                .next()
                .is_some_and(|digits| digits.contains(|c: char| ('1'..='9').contains(&c)))
        };
        match self.value {
            DeValue::Float(number) if parsed == 0.0 && vanished(number.as_str()) => {
                let problem =
                    format!("{} {} is too small to be told from zero", self.key, self.shown());
                Err(self.problem(problem, "write 0, or a number from 1e-300"))
            }
            _ => Ok(parsed),
        }
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
        let example = all.first().copied().map_or("", name);
        let given = self.string(example)?;
        let names = || all.iter().copied().map(name);
        let unknown = || {
            let meant = nearest(given, names()).map(|name| format!("did you mean `{name}`? "));
            let hint = format!(
                "{}one of {}",
                meant.unwrap_or_default(),
                names().collect::<Vec<_>>().join(", ")
            );
            self.problem(format!("{} {} is unknown", self.key, self.shown()), hint)
        };
        all.iter().copied().find(|choice| name(*choice) == given).ok_or_else(unknown)
    }

    /// The elements of a list; a single value counts as a list of one.
    pub(super) fn elements(&self) -> Vec<Self> {
        let element = |value| item(&self.key, self.key_offset, value, self.findings);
        match self.value {
            DeValue::Array(array) => array.iter().map(element).collect(),
            _ => vec![self.clone()],
        }
    }

    /// Whether the value is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// The table under this key.
    pub(super) fn table(&self) -> Option<Table<'t>> {
        let name = format!("[{}]", self.key);
        match self.value {
            DeValue::Table(table) => Some(Table::new(&name, self.offset, table, self.findings)),
            _ => {
                let problem = format!("{} {} is not a table", self.key, self.shown());
                let hint = format!("write `{name}` on a line of its own, then its keys");
                self.findings.add(self.problem(problem, hint));
                None
            }
        }
    }

    /// The tables under this key, written `[[key]]`.
    pub(super) fn tables(&self) -> Vec<Table<'t>> {
        let name = format!("[[{}]]", self.key);
        let refuse = |offset| {
            let hint = format!("write `{name}` on a line of its own, then its keys");
            self.findings.add(Problem::at(
                offset,
                format!("{} is not a list of tables", self.key),
                hint,
            ));
        };
        let DeValue::Array(array) = self.value else {
            refuse(self.offset);
            return Vec::new();
        };
        if array.len() > MAX_TABLES {
            let problem = format!("`{}` tables {name} are more than {MAX_TABLES}", array.len());
            self.findings.add(Problem::at(
                self.offset,
                problem,
                "lists of values say more in one table",
            ));
            return Vec::new();
        }
        let table = |value: &'t Spanned<DeValue<'t>>| match value.get_ref() {
            DeValue::Table(table) => {
                Some(Table::new(&name, value.span().start, table, self.findings))
            }
            _ => {
                refuse(value.span().start);
                None
            }
        };
        array.iter().filter_map(table).collect()
    }
}
