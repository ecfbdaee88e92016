//! Which panels and lines a chart has: what there is, or an even choice of it with a note.

use swfn_shared::trial::Architecture;

use super::{
    panels::{COLUMNS, ROWS},
    theme::SERIES,
};
use crate::study::{Study, StudyCell};

/// Architectures beside each other, subset sizes above each other, the lines of each panel.
pub(super) struct Facets {
    pub(super) architectures: Vec<Architecture>,
    pub(super) sizes: Vec<u32>,
    /// Names of lines; what has the same name looks the same in each panel.
    pub(super) names: Vec<String>,
    /// What is left out of the rows, and of the lines.
    pub(super) rows_note: String,
    pub(super) lines_note: String,
}

impl Facets {
    /// `name`: of the line to which a cell belongs, if it belongs to one. `shown`: whether there is anything to show of it. Lines of cells of which
    /// there is nothing are counted, so that the others look the same in all charts.
    pub(super) fn new(
        study: &Study,
        name: impl Fn(&StudyCell) -> Option<String>,
        shown: impl Fn(&StudyCell) -> bool,
    ) -> Self {
        let mut architectures: Vec<Architecture> = Vec::new();
        let mut sizes: Vec<u32> = Vec::new();
        let mut names: Vec<(f64, String)> = Vec::new();
        for cell in &study.cells {
            let Some(name) = name(cell) else { continue };
            if !names.iter().any(|(_, other)| *other == name) {
                names.push((cell.spec.lambda(), name));
            }
            if !shown(cell) {
                continue;
            }
            if !architectures.contains(&cell.spec.architecture) {
                architectures.push(cell.spec.architecture);
            }
            if !sizes.contains(&cell.spec.subset_size) {
                sizes.push(cell.spec.subset_size);
            }
        }
        sizes.sort_unstable();
        names.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let (mut rows_note, mut lines_note) = (String::new(), String::new());
        architectures.truncate(COLUMNS);
        let sizes = chosen(sizes, ROWS, "subset sizes", &mut rows_note);
        let names = chosen_names(names, &mut lines_note);
        Self { architectures, sizes, names, rows_note, lines_note }
    }

    /// What is left out of a chart that has both.
    pub(super) fn note(&self) -> String {
        format!("{}{}", self.rows_note, self.lines_note)
    }

    /// The number of that line.
    pub(super) fn series(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }
}

/// As many names as there are colours. Names are of a lambda and of what else varies: of all of those the same lambdas, if there is room.
fn chosen_names(names: Vec<(f64, String)>, note: &mut String) -> Vec<String> {
    let mut lambdas: Vec<f64> = names.iter().map(|(lambda, _)| *lambda).collect();
    lambdas.dedup();
    let together = names.len().div_ceil(lambdas.len().max(1)).max(1);
    let room = SERIES / together;
    if names.len() <= SERIES || room < 2 {
        return chosen(names.into_iter().map(|(_, name)| name).collect(), SERIES, "lines", note);
    }
    let lambdas = chosen(lambdas, room, "values of lambda", note);
    let kept = names.into_iter().filter(|(lambda, _)| lambdas.contains(lambda));
    kept.map(|(_, name)| name).take(SERIES).collect()
}

/// At most so many of them, evenly spread, the first and the last included; the note says so.
pub(super) fn chosen<T>(all: Vec<T>, limit: usize, what: &str, note: &mut String) -> Vec<T> {
    let count = all.len();
    if count <= limit {
        return all;
    }
    note.push_str(&format!(" Shown are {limit} of {count} {what}, evenly chosen."));
    let wanted: Vec<usize> = (0..limit).map(|index| index * (count - 1) / (limit - 1).max(1)).collect();
    all.into_iter().enumerate().filter(|(index, _)| wanted.contains(index)).map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_many_as_there_is_room_for() {
        let names = |lambdas: usize, each: usize| -> Vec<(f64, String)> {
            let all = (0..lambdas * each).map(|index| (index / each, index % each));
            all.map(|(lambda, other)| (lambda as f64, format!("{lambda} {other}"))).collect()
        };
        let mut note = String::new();
        assert!(chosen_names(Vec::new(), &mut note).is_empty(), "a sweep without function norm");
        assert_eq!(chosen_names(names(2, 2), &mut note).len(), 4);
        assert_eq!(note, "");
        let few = chosen_names(names(10, 2), &mut note);
        assert!(few.len() <= SERIES && few.contains(&"0 1".to_owned()) && few.contains(&"9 0".to_owned()), "{few:?}");
        assert!(note.contains("values of lambda"), "{note}");
    }
}
