//! The mistakes in a grid file: all of them, each with its place and a hint.

use std::fmt;

/// A grid file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GridError {
    /// The file, as the user named it.
    pub file: String,
    /// At least one mistake, in the order of the file.
    pub mistakes: Vec<Mistake>,
    /// Whether there are more mistakes than those.
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line and column, from 1, where the problem has a place.
    pub place: Option<(usize, usize)>,
    /// The problem; names the offending value.
    pub problem: String,
    /// The remedy, as an imperative.
    pub hint: String,
}

impl fmt::Display for GridError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Mistake { place, problem, hint }) in self.mistakes.iter().enumerate() {
            let line = if number == 0 { "" } else { "\n" };
            write!(f, "{line}{}", self.file)?;
            if let Some((line, column)) = place {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {problem}\nhint: {hint}")?;
        }
        if self.more { write!(f, "\nand there are more mistakes after these") } else { Ok(()) }
    }
}

impl std::error::Error for GridError {}

/// A mistake before the file's name and the line are known.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// Byte offset in the text, where the problem has a place.
    pub(super) offset: Option<usize>,
    pub(super) problem: String,
    pub(super) hint: String,
}

impl Problem {
    pub(super) fn at(offset: usize, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { offset: Some(offset), ..Self::somewhere(problem, hint) }
    }

    pub(super) fn somewhere(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { offset: None, problem: problem.into(), hint: hint.into() }
    }

    pub(super) fn locate(self, text: &str) -> Mistake {
        let place = self.offset.map(|offset| {
            let before = &text.as_bytes()[..offset.min(text.len())];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
        });
        Mistake { place, problem: self.problem, hint: self.hint }
    }
}
