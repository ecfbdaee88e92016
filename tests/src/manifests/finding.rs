//! What the linter says.

use std::fmt;

use super::rules::RULES;

/// Something that would not work, or should not be so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The rule, such as `request-limit`.
    pub rule: &'static str,
    /// Kind and name of the document, and the container where it is about one.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.place, self.rule, self.problem)
    }
}

/// What the rules have found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one.
    pub(super) fn add(&mut self, rule: &'static str, place: &str, problem: impl Into<String>) {
        debug_assert!(RULES.contains(&rule), "`{rule}` is not among the rules");
        self.0.push(Finding { rule, place: place.to_owned(), problem: problem.into() });
    }

    /// Adds one where something does not hold.
    pub(super) fn ensure(
        &mut self,
        holds: bool,
        rule: &'static str,
        place: &str,
        problem: impl Into<String>,
    ) {
        if !holds {
            self.add(rule, place, problem);
        }
    }

    pub(super) fn into_sorted(mut self) -> Vec<Finding> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}
