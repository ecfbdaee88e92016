//! The findings of the linter.

use std::fmt;

use super::rules::RULES;

/// A defect of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The rule, such as `request-limit`.
    pub rule: &'static str,
    /// Kind and name of the document, and the container if the finding is about one.
    pub place: String,
    /// The description of the defect.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.place, self.rule, self.problem)
    }
}

/// The findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding.
    pub(super) fn add(&mut self, rule: &'static str, place: &str, problem: impl Into<String>) {
        debug_assert!(RULES.contains(&rule), "`{rule}` is not among the rules");
        self.0.push(Finding { rule, place: place.to_owned(), problem: problem.into() });
    }

    /// Adds a finding unless `holds`.
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
