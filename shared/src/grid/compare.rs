//! `[[compare]]` and `[[claim]]`: the comparisons of cells, and what the user expects of them.
//! Nothing here changes a trial.

use std::collections::HashSet;

use super::{
    axis::{Bounds, Conditions, read_conditions, read_value},
    cells::{CellIndex, Cells, Changes, Contrast, list_values},
    error::Problem,
    findings::Findings,
    reader::{Item, Table},
};
use crate::{
    axes::{self, Axis},
    choice::choice,
    metrics::Outcome,
    quote::quote,
};

choice! {
    /// Which evaluation of a trial its accuracy is taken from.
    Selection {
        /// The last one.
        Final = "final",
        /// The one with the highest accuracy on the test images, which also judge it: it flatters.
        Best = "best",
        /// The one with the highest accuracy on the validation images.
        Validation = "validation",
    }
}

impl Selection {
    /// The accuracy that counts, 0 to 1; `None` where a trial was not evaluated so.
    #[must_use]
    pub fn accuracy(self, outcome: &Outcome) -> Option<f64> {
        match self {
            Self::Final => Some(outcome.final_test_accuracy),
            Self::Best => Some(outcome.best_test_accuracy),
            Self::Validation => outcome.validated_test_accuracy,
        }
    }
}

choice! {
    /// The claimed mean difference between a cell and its reference.
    Relation {
        /// It is above the margin.
        Better = "better",
        /// It is below minus the margin.
        Worse = "worse",
        /// It is above minus the margin.
        NotWorse = "not-worse",
        /// It is between minus the margin and the margin.
        Equal = "equal",
    }
}

/// A statement that the user made before the results: `[[claim]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The claim in words.
    pub text: String,
    /// The claimed relation of each contrast.
    pub relation: Relation,
    /// Margin in shares of the test images, from 0 to 1; zero unless given.
    pub margin: f64,
    /// Level of significance.
    pub alpha: f64,
    /// All must be as claimed; never empty.
    pub contrasts: Vec<Contrast>,
}

/// Largest number of contrasts that a file may name: a person reads them.
pub const MAX_CONTRASTS: usize = 10_000;

/// Longest text of a claim or name of a contrast, in characters.
const MAX_TEXT: usize = 500;

const AGAINST_HINT: &str = "name what the reference has instead, as in `against = { lambda = 0 }`";

/// The cells that a table names, before they are looked up.
#[derive(Debug)]
pub(super) struct Sides {
    /// The table in messages.
    table: String,
    offset: usize,
    conditions: Conditions,
    changes: Changes,
}

/// Reads the cells that the keys of a table name, and the changes of its key `against`.
fn read_sides(table: &mut Table<'_>, name: String, bounds: &Bounds) -> Option<Sides> {
    let against = table.need("against", "{ lambda = 0 }");
    if let Some(item) = table.take(axes::SEED.name) {
        item.report(
            format!("{name}: `seed` cannot choose cells"),
            "remove it: a cell is all its seeds, and they make the pairs",
        );
    }
    let conditions = read_conditions(table, &name, &Axis::in_grid()[1..], bounds);
    let changes = read_changes(&against?, &name, bounds)?;
    let is_complete = conditions.iter().all(|(_, values)| !values.is_empty());
    is_complete.then_some(Sides { table: name, offset: table.offset, conditions, changes })
}

/// Reads the values of the reference that differ.
fn read_changes(against: &Item<'_>, name: &str, bounds: &Bounds) -> Option<Changes> {
    if !against.is_table() {
        let problem = format!("{name}: against {} names no axis", against.shown());
        against.report(problem, AGAINST_HINT);
        return None;
    }
    let mut table = against.table()?;
    if table.is_empty() {
        table.report(format!("{name}: against names no axis"), AGAINST_HINT);
    }
    let mut changes = Changes::new();
    for &axis in Axis::in_grid() {
        let value = table.read(axis.name, |item| match axis {
            axes::SEED | axes::SUBSET_SIZE => Err(item.problem(
                format!("{name}: `{}` cannot differ between the sides", axis.name),
                "the trials of a pair have their subset and their seed in common",
            )),
            _ => read_value(axis, item, bounds),
        });
        changes.extend(value.map(|value| (axis, value)));
    }
    table.finish();
    (!changes.is_empty()).then_some(changes)
}

impl Sides {
    /// The pairs of cells and references.
    ///
    /// A cell without reference is an error if `all_need_references`, as for a claim, which is made
    /// about all its cells. Otherwise it is skipped, unless all are.
    fn pairs(
        &self,
        cells: &Cells,
        all_need_references: bool,
    ) -> Result<Vec<(CellIndex, CellIndex)>, Problem> {
        let Self { table, offset, conditions, changes } = self;
        let matching = cells.matching(conditions);
        if matching.is_empty() {
            let problem = format!("{table} matches no cell of the grid");
            let hint = "its values must stand together in [grid] or in an [[include]]; without the \
                        function norm there is neither density nor penalty_samples";
            return Err(Problem::at(*offset, problem, hint));
        }
        let changed = || list_values(changes.iter().copied(), " and ");
        let mut pairs = Vec::new();
        for cell in &matching {
            let before = pairs.len();
            pairs.extend(cells.changed(*cell, changes).map(|reference| (*cell, reference)));
            if all_need_references && pairs.len() == before && !cells.has(*cell, changes) {
                let problem = format!(
                    "{table} names a cell that has no reference in the grid, with {} instead: {}",
                    changed(),
                    cells.shown(*cell)
                );
                let hint = "name the cells that are meant, as in `subset_size = 300`, \
                            or add the reference to the grid";
                return Err(Problem::at(*offset, problem, hint));
            }
            if pairs.len() > MAX_CONTRASTS {
                break;
            }
        }
        if pairs.is_empty() {
            let problem = format!(
                "{table}: none of the {} cells that it matches has its reference, with {}, in the grid",
                matching.len(),
                changed()
            );
            let hint = "a reference has all other values of its cell: name in `against` each value that \
                        differs, or add the reference to the grid";
            return Err(Problem::at(*offset, problem, hint));
        }
        Ok(pairs)
    }
}

fn read_text(item: &Item<'_>, example: &str) -> Result<String, Problem> {
    let text = item.string(example)?;
    let is_too_long = text.chars().count() > MAX_TEXT;
    if text.trim().is_empty() || is_too_long || text.chars().any(char::is_control) {
        let (key, shown) = (&item.key, item.shown());
        return Err(item.problem(
            format!("{key} {shown} is empty, longer than {MAX_TEXT} characters or not one line"),
            format!("write for example `{key} = \"{example}\"`"),
        ));
    }
    Ok(text.to_owned())
}

/// A table in messages, with its name.
fn titled(table: &str, name: Option<&String>) -> String {
    name.map_or(table.to_owned(), |name| format!("{table} {}", quote(name)))
}

/// Reads a `[[compare]]`: its name, and its cells before they are looked up.
pub(super) fn read_compare(
    mut table: Table<'_>,
    bounds: &Bounds,
) -> Option<(Option<String>, Sides)> {
    let name = table.read("name", |item| read_text(item, "function norm"));
    let sides = read_sides(&mut table, titled("[[compare]]", name.as_ref()), bounds);
    table.finish();
    Some((name, sides?))
}

/// The contrasts of all `[[compare]]`, each once, in the order of the file.
pub(super) fn resolve_compares(
    tables: Vec<(Option<String>, Sides)>,
    cells: &Cells,
    findings: &Findings,
) -> Vec<Contrast> {
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for (name, sides) in tables.into_iter().take_while(|_| !findings.enough()) {
        let Some(pairs) = findings.keep(sides.pairs(cells, false)) else { continue };
        let before = all.len();
        let new = pairs.into_iter().filter(|pair| seen.insert(*pair));
        all.extend(new.map(|pair| cells.contrast(name.as_deref(), pair)));
        if all.len() == before {
            let problem =
                format!("{}: each of its pairs of cells stands in a table before it", sides.table);
            let hint = "remove it: a pair is compared once, under one name";
            findings.add(Problem::at(sides.offset, problem, hint));
        }
        findings.keep(refuse_too_many(all.len(), sides.offset));
    }
    all
}

/// Reads a `[[claim]]`: the claim without its contrasts, and its cells before they are looked up.
pub(super) fn read_claim(mut table: Table<'_>, bounds: &Bounds) -> Option<(Claim, Sides)> {
    let findings = table.findings;
    let text = table.need("text", "\"the function norm helps\"");
    let text = text.and_then(|item| findings.keep(read_text(&item, "the function norm helps")));
    let called = titled("[[claim]]", text.as_ref());
    let is = table.need("is", "\"better\"");
    let relation =
        is.as_ref().and_then(|is| findings.keep(is.choice(Relation::ALL, Relation::name)));
    let margin = table.take("margin_points");
    if let (None, Some(Relation::NotWorse | Relation::Equal), Some(is)) = (&margin, relation, &is) {
        let hint = "add how many percentage points do not matter, as in `margin_points = 0.5`";
        is.report(format!("{called}: {} needs a margin", is.shown()), hint);
    }
    let points = "percentage points of accuracy";
    let margin = margin
        .map_or(Some(0.0), |item| findings.keep(read_below(&item, 100.0, "0.5", points)))
        .map(|points| points / 100.0);
    let risk = "how often a false claim may be held";
    let alpha = table.get("alpha", 0.05, |item| read_below(item, 0.5, "0.05", risk));
    let sides = read_sides(&mut table, called, bounds);
    table.finish();
    let (text, relation, margin) = (text?, relation?, margin?);
    Some((Claim { text, relation, margin, alpha, contrasts: Vec::new() }, sides?))
}

/// All `[[claim]]` with their contrasts.
pub(super) fn resolve_claims(
    tables: Vec<(Claim, Sides)>,
    cells: &Cells,
    findings: &Findings,
) -> Vec<Claim> {
    let (mut claims, mut count) = (Vec::new(), 0);
    for (mut claim, sides) in tables.into_iter().take_while(|_| !findings.enough()) {
        let Some(pairs) = findings.keep(sides.pairs(cells, true)) else { continue };
        claim.contrasts = pairs.into_iter().map(|pair| cells.contrast(None, pair)).collect();
        count += claim.contrasts.len();
        findings.keep(refuse_too_many(count, sides.offset));
        claims.push(claim);
    }
    claims
}

fn refuse_too_many(count: usize, offset: usize) -> Result<(), Problem> {
    if count <= MAX_CONTRASTS {
        return Ok(());
    }
    let problem = format!("more than {MAX_CONTRASTS} pairs of cells up to this table");
    Err(Problem::at(offset, problem, "name fewer cells, as in `subset_size = 300`"))
}

/// Reads a number above zero and below `most`.
fn read_below(item: &Item<'_>, most: f64, example: &str, hint: &str) -> Result<f64, Problem> {
    let (key, number) = (&item.key, item.number(example)?);
    if number > 0.0 && number < most {
        return Ok(number);
    }
    let hint = format!("give {hint}, as in `{key} = {example}`");
    Err(item.problem(format!("{key} `{number}` is not between 0 and {most}"), hint))
}

/// Reads `[select]`, for trials with so many validation images.
pub(super) fn read_select(mut table: Table<'_>, validation: u32) -> Selection {
    let selection = table.get("by", Selection::Final, |item| {
        let selection = item.choice(Selection::ALL, Selection::name)?;
        if selection == Selection::Validation && validation == 0 {
            let hint = "add for example `validation = 1000` to [data]; \
                        trials with another number are other trials";
            let problem = "by `validation`: the trials have no validation images";
            return Err(item.problem(problem, hint));
        }
        Ok(selection)
    });
    table.finish();
    selection
}
