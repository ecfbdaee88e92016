//! What goes wrong, and what a person can do about it.
//!
//! [`Problem`] is the error of whatever a person can mend. An error type that programs tell apart by its kind has its problem as
//! its source. Terminal, page and streams find problems in the chain of an error, and show the first hint.

use std::{error::Error, fmt, path::Path};

/// What is wrong, and what to do. [`problem!`](crate::problem!) makes one.
#[derive(Debug)]
pub struct Problem {
    /// What is wrong; names the offending value and its place.
    pub what: String,
    /// What a person can do.
    pub hint: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem without a cause of its own.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), cause: None }
    }

    /// That a file cannot be written, or a folder made.
    pub fn unwritable(path: &Path) -> Self {
        Self::new(format!("cannot write `{}`", path.display()), "check disk space and permissions")
    }

    /// The same, which another error led to.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }
}

/// What is wrong, and in a line of its own the hint.
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

/// Equal for people: causes do not count.
impl PartialEq for Problem {
    fn eq(&self, other: &Self) -> bool {
        (&self.what, &self.hint) == (&other.what, &other.hint)
    }
}

/// A [`Problem`] of two formats with their arguments: what is wrong, and after a semicolon the hint.
#[macro_export]
macro_rules! problem {
    ($what:literal $(, $of_what:expr)*; $hint:literal $(, $of_hint:expr)* $(,)?) => {
        $crate::problem::Problem::new(format!($what $(, $of_what)*), format!($hint $(, $of_hint)*))
    };
}

/// Gives an error, or the lack of a value, the problem that it led to.
pub trait OrProblem<T> {
    /// The value, or that problem with the error as its cause.
    ///
    /// # Errors
    /// There is no value.
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

/// What happened, from the outermost error to its cause, and the first hint, if there is any.
pub fn told(error: &(dyn Error + 'static)) -> (String, Option<String>) {
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
        // The kind of a problem says what the problem says.
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
    fn the_first_hint_is_told_after_all_that_happened() {
        let name = "x";
        let inner = Kind::Other(problem!("no such file `{name}`, {}", 1; "look in {}", "here"));
        assert_eq!(inner.to_string(), "no such file `x`, 1\nhint: look in here");
        assert_eq!(
            told(&inner),
            ("no such file `x`, 1".to_owned(), Some("look in here".to_owned()))
        );
        let outer = Err::<(), _>(inner)
            .or_problem(|| problem!("cannot read `{name}`"; "name another"))
            .unwrap_err();
        let text = "cannot read `x`: no such file `x`, 1".to_owned();
        assert_eq!(told(&outer), (text, Some("name another".to_owned())));
        let context = Kind::Context(problem!("no room"; "make some"));
        assert_eq!(told(&context), ("the page: no room".to_owned(), Some("make some".to_owned())));
        assert_eq!(told(&fmt::Error), (fmt::Error.to_string(), None));
    }
}
