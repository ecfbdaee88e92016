//! The mistakes that are found while a grid file is read. Reading goes on, so that one run reports
//! all of them.

use std::cell::{Cell, RefCell};

use super::error::{GridError, Problem};
use crate::{axes, quote::quote};

/// Largest number of mistakes in a message: more would scroll away.
const SHOWN: usize = 10;

/// Largest number of mistakes that are kept: a file may be made to have many.
const KEPT: usize = 1_000;

/// Words that people write for a key, and the key.
const ALIASES: [(&str, &str); 9] = [
    ("lr", "learning_rate"),
    ("wd", "weight_decay"),
    ("n", "subset_size"),
    ("model", "architecture"),
    ("network", "architecture"),
    ("networks", "architecture"),
    ("seeds", "seed"),
    ("steps", "iterations"),
    ("regulariser", "lambda"),
];

/// A key that its table does not know.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) offset: usize,
    pub(super) key: String,
    /// The value, if it is a whole number.
    pub(super) number: Option<u64>,
    /// The table in messages.
    pub(super) table: String,
    pub(super) known: Vec<&'static str>,
}

impl Unknown {
    /// The key of the same table that the user probably meant.
    fn meant(&self) -> Option<&'static str> {
        alias(&self.key)
            .filter(|key| self.known.contains(key))
            .or_else(|| nearest(&self.key, self.known.iter().copied()))
    }
}

fn alias(written: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(written)).map(|(_, key)| *key)
}

/// The problem of a table that lacks a key.
pub(super) fn missing(key: &str, table: &str) -> String {
    format!("`{key}` is missing in {table}")
}

/// The mistakes so far. An unknown key is explained at the end, when the keys of all sections are
/// known.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    unknown: RefCell<Vec<Unknown>>,
    /// The name of each section in brackets, and its keys.
    sections: RefCell<Vec<(String, Vec<&'static str>)>>,
    more: Cell<bool>,
}

impl Findings {
    pub(super) fn add(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < KEPT { problems.push(problem) } else { self.more.set(true) }
    }

    /// The value; a problem joins the others.
    pub(super) fn keep<T>(&self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.add(problem)).ok()
    }

    pub(super) fn add_unknown(&self, unknown: Unknown) {
        let mut all = self.unknown.borrow_mut();
        if all.len() < KEPT { all.push(unknown) } else { self.more.set(true) }
    }

    /// Adds a section and the keys that it knows.
    pub(super) fn add_section(&self, name: &str, keys: &[&'static str]) {
        self.sections.borrow_mut().push((name.to_owned(), keys.to_vec()));
    }

    /// Whether there are no mistakes so far.
    pub(super) fn none(&self) -> bool {
        self.problems.borrow().is_empty() && self.unknown.borrow().is_empty()
    }

    /// Whether there are more than a message lists. Looking for others would only take time.
    pub(super) fn enough(&self) -> bool {
        self.problems.borrow().len() > SHOWN
    }

    /// The error with all mistakes in the order of the file; those without a place come last.
    pub(super) fn into_error(self, file: &str, text: &str) -> GridError {
        let (sections, unknown) = (self.sections.into_inner(), self.unknown.into_inner());
        let mut problems = self.problems.into_inner();
        for unknown in &unknown {
            // A typing mistake in a key is one mistake, not also a missing key.
            let lacks = unknown.meant().map(|key| missing(key, &unknown.table));
            problems.retain(|problem| Some(&problem.problem) != lacks.as_ref());
            problems.push(explain(unknown, &sections));
        }
        problems.sort_by_key(|problem| problem.offset.unwrap_or(usize::MAX));
        let more = problems.len() > SHOWN || self.more.get();
        problems.truncate(SHOWN);
        let mistakes = problems.into_iter().map(|problem| problem.locate(text)).collect();
        GridError { file: file.to_owned(), mistakes, more }
    }
}

/// Explains an unknown key by what the user may have meant.
fn explain(unknown: &Unknown, sections: &[(String, Vec<&'static str>)]) -> Problem {
    let Unknown { offset, key, number, table, known } = unknown;
    let here = || format!("known here: {}", known.join(", "));
    let elsewhere = |key: &str| {
        let with = sections.iter().filter(|(name, keys)| name != table && keys.contains(&key));
        let mut names: Vec<_> = with.map(|(name, _)| name.as_str()).collect();
        names.sort_by_key(|name| *name != "[grid]");
        names.join(" or ")
    };
    let all = || sections.iter().flat_map(|(_, keys)| keys.iter().copied());
    let other = || {
        let meant = alias(key).or_else(|| nearest(key, all()))?;
        Some((meant, elsewhere(meant))).filter(|(_, place)| !place.is_empty())
    };
    let hint = match (key.as_str(), elsewhere(key), unknown.meant()) {
        ("dropout", ..) if known.contains(&axes::ARCHITECTURE.name) => {
            "dropout is the architecture `net+dropout`; its rate is `dropout` in [classifier]"
                .to_owned()
        }
        (_, place, _) if !place.is_empty() => format!("it belongs in {place}"),
        (.., Some(meant)) => match number.filter(|_| meant == axes::SEED.name) {
            Some(count) => format!("did you mean `seed = {{ count = {count} }}`?"),
            None => format!("did you mean `{meant}`? {}", here()),
        },
        _ => other()
            .map_or_else(here, |(meant, place)| format!("did you mean `{meant}` in {place}?")),
    };
    Problem::at(*offset, format!("key {} is unknown in {table}", quote(key)), hint)
}

/// The name that is written almost so: with one letter in four wrong, or in another case.
pub(super) fn nearest<'c>(
    written: &str,
    all: impl Iterator<Item = &'c str> + Clone,
) -> Option<&'c str> {
    // No name is as long.
    if written.len() > 40 {
        return None;
    }
    let written = written.to_lowercase().replace(['-', ' '], "_");
    let distance = |name: &str| strsim::osa_distance(&written, &name.replace('-', "_"));
    let most = (written.chars().count() / 4).max(1);
    let near = all.clone().map(|name| (distance(name), name)).filter(|(distance, name)| {
        // A name of two letters with one wrong letter is not similar.
        *distance <= most && *distance < name.len().min(written.len())
    });
    let near = near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name);
    near.or_else(|| {
        // `margin` begins one name: `margin_points`.
        let begins = |name: &&str| written.len() > 3 && name.starts_with(&written);
        let mut longer = all.clone().filter(begins);
        longer.next().filter(|_| longer.next().is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_other_names() {
        let keys = || ["seed", "lambda", "subset_size", "iterations", "lenet+bn"].into_iter();
        let cases = [
            ("lamda", Some("lambda")),
            ("lambdas", Some("lambda")),
            ("subset", Some("subset_size")),
            ("sub", None),
            ("Seed", Some("seed")),
            ("sede", Some("seed")),
            ("subset-size", Some("subset_size")),
            ("iteratons", Some("iterations")),
            ("lenet-bn", Some("lenet+bn")),
            ("momentum", None),
            ("", None),
            ("s", None),
        ];
        for (written, meant) in cases {
            assert_eq!(nearest(written, keys()), meant, "{written}");
        }
        assert_eq!(nearest(&"l".repeat(1000), keys()), None);
    }
}
