//! Errors that the user can mend, with a hint.
//!
//! An error type that programs distinguish by its kind has its [`Problem`] as its source. Terminal,
//! page and streams find problems in the chain of an error, and show the first hint.

use std::{error::Error, fmt, path::Path};

/// An error with a hint. [`problem!`](crate::problem!) makes one.
#[derive(Debug)]
pub struct Problem {
    /// The error; names the offending value and its place.
    pub what: String,
    /// The remedy, as an imperative.
    pub hint: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem that no other error caused.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), cause: None }
    }

    /// A file cannot be written, or a folder not created.
    pub fn unwritable(path: &Path) -> Self {
        Self::new(format!("cannot write `{}`", path.display()), "check disk space and permissions")
    }

    /// Adds the error that caused the problem.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }
}

/// The problem, and the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\nhint: {}", self.what, self.hint)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Equality of the texts; causes do not count.
impl PartialEq for Problem {
    fn eq(&self, other: &Self) -> bool {
        (&self.what, &self.hint) == (&other.what, &other.hint)
    }
}

/// Makes a [`Problem`] of two formats with their arguments: the problem, a semicolon, the hint.
#[macro_export]
macro_rules! problem {
    ($what:literal $(, $of_what:expr)*; $hint:literal $(, $of_hint:expr)* $(,)?) => {
        $crate::problem::Problem::new(format!($what $(, $of_what)*), format!($hint $(, $of_hint)*))
    };
}

/// Turns an error, or a missing value, into a problem.
pub trait OrProblem<T> {
    /// The value, or the problem with the error as its cause.
    fn or_problem(self, problem: impl FnOnce() -> Problem) -> Result<T, Problem>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrProblem<T> for Result<T, E> {
    fn or_problem(self, problem: impl FnOnce() -> Problem) -> Result<T, Problem> {
        self.map_err(|error| problem().because(error))
    }
}

impl<T> OrProblem<T> for Option<T> {
    fn or_problem(self, problem: impl FnOnce() -> Problem) -> Result<T, Problem> {
        self.ok_or_else(problem)
    }
}

/// The texts of an error and its causes, outermost first, and the first hint.
pub fn describe(error: &(dyn Error + 'static)) -> (String, Option<String>) {
    let mut texts = Vec::new();
    let mut hint = None;
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        if let Some(problem) = error.downcast_ref::<Problem>() {
            texts.push(problem.what.clone());
            hint = hint.or_else(|| Some(problem.hint.clone()));
            continue;
        }
        // An error whose source is a problem with the same text is its kind.
        let text = error.to_string();
        if !next.is_some_and(|source| source.is::<Problem>() && source.to_string() == text) {
            texts.push(text);
        }
    }
    (texts.join(": "), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Kind {
        #[error("{0}")]
        Other(#[source] Problem),
        #[error("the page")]
        Context(#[source] Problem),
    }

    #[test]
    fn the_first_hint_follows_all_causes() {
        let name = "x";
        let inner = Kind::Other(problem!("no such file `{name}`, {}", 1; "look in {}", "here"));
        assert_eq!(inner.to_string(), "no such file `x`, 1\nhint: look in here");
        assert_eq!(
            describe(&inner),
            ("no such file `x`, 1".to_owned(), Some("look in here".to_owned()))
        );
        let outer = Err::<(), _>(inner)
            .or_problem(|| problem!("cannot read `{name}`"; "name another"))
            .unwrap_err();
        let text = "cannot read `x`: no such file `x`, 1".to_owned();
        assert_eq!(describe(&outer), (text, Some("name another".to_owned())));
        let context = Kind::Context(problem!("no room"; "make some"));
        assert_eq!(
            describe(&context),
            ("the page: no room".to_owned(), Some("make some".to_owned()))
        );
        assert_eq!(describe(&fmt::Error), (fmt::Error.to_string(), None));
    }
}
