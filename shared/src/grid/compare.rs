//! `[[compare]]` and `[[claim]]`: which cells are compared with which, and what is expected of it. Nothing here changes a trial.

use std::collections::HashSet;

use super::{
    axis::{Bounds, Conditions, read_conditions, read_value},
    cells::{Cells, Changes, Place},
    error::Problem,
    findings::Findings,
    reader::{Item, Table},
};
use crate::{
    axes::{self, Axis},
    choice::choice,
    ids::CellId,
    metrics::Outcome,
    quote::quote,
};

choice! {
    /// Which evaluation of a trial its accuracy is taken from.
    Selection {
        /// The last one.
        Final = "final",
        /// The one with the highest accuracy on the test images: chosen on what it is judged by, so it flatters.
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
    /// What a claim says of the mean difference between a cell and its reference.
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

/// Two cells of the grid whose trials of one seed make a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contrast {
    /// What the grid file calls it, if it has a name for it.
    pub name: Option<String>,
    /// The cell that is judged.
    pub cell: CellId,
    /// What it is held against: another cell of the same subset size.
    pub reference: CellId,
}

/// What somebody expects: `[[claim]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// In words.
    pub text: String,
    /// Of each of the contrasts.
    pub relation: Relation,
    /// In shares of the test images, from 0 to 1; zero unless given.
    pub margin: f64,
    /// Level of significance.
    pub alpha: f64,
    /// All must be as claimed; never empty.
    pub contrasts: Vec<Contrast>,
}

/// Contrasts that a file may name: a person reads them.
pub const MAX_CONTRASTS: usize = 10_000;

/// Longest text of a claim or name of a contrast, in characters.
const MAX_TEXT: usize = 500;

const AGAINST_HINT: &str = "name what the reference has instead, as in `against = { lambda = 0 }`";

/// What a table says about the cells, before they are looked up.
#[derive(Debug)]
struct Sides {
    /// How messages call the table.
    table: String,
    offset: usize,
    conditions: Conditions,
    changes: Changes,
}

/// The cells that stand in a table's own keys, against the same ones with the changes of its key `against`.
fn read_sides(table: &mut Table<'_>, name: String, bounds: &Bounds) -> Option<Sides> {
    let (offset, findings) = (table.offset, table.findings);
    let against = table.need("against", "{ lambda = 0 }");
    if let Some(item) = table.take(axes::SEED.name) {
        let problem = format!("{name}: `seed` cannot choose cells");
        findings.add(
            item.problem(problem, "remove it: a cell is all its seeds, and they make the pairs"),
        );
    }
    let conditions = read_conditions(table, &name, &Axis::of_grid()[1..], bounds);
    let changes = read_changes(&against?, &name, bounds)?;
    if conditions.iter().any(|(_, values)| values.is_empty()) {
        return None;
    }
    Some(Sides { table: name, offset, conditions, changes })
}

/// What the reference has instead.
fn read_changes(against: &Item<'_>, name: &str, bounds: &Bounds) -> Option<Changes> {
    let findings = against.findings;
    let mut table = match against.is_table() {
        true => against.table()?,
        false => {
            let problem = format!("{name}: against {} names no axis", against.shown());
            findings.add(against.problem(problem, AGAINST_HINT));
            return None;
        }
    };
    if table.is_empty() {
        findings.add(Problem::at(
            table.offset,
            format!("{name}: against names no axis"),
            AGAINST_HINT,
        ));
    }
    let mut changes = Changes::new();
    for &axis in Axis::of_grid() {
        let Some(item) = table.take(axis.name) else { continue };
        if let axes::SEED | axes::SUBSET_SIZE = axis {
            let problem = format!("{name}: `{}` cannot differ between the sides", axis.name);
            let hint = "the trials of a pair have their subset and their seed in common";
            findings.add(item.problem(problem, hint));
        } else {
            changes
                .extend(findings.keep(read_value(axis, &item, bounds)).map(|value| (axis, value)));
        }
    }
    table.finish();
    (!changes.is_empty()).then_some(changes)
}

/// Whether a cell that a table matches may lack its reference.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lacking {
    /// It is no comparison.
    LeftOut,
    /// What is claimed is claimed of all cells, and none may be passed over in silence.
    Refused,
}

impl Sides {
    fn pairs(&self, cells: &Cells, lacking: Lacking) -> Result<Vec<(Place, Place)>, Problem> {
        let matching = cells.matching(&self.conditions);
        if matching.is_empty() {
            let problem = format!("{} matches no cell of the grid", self.table);
            let hint = "its values must stand together in [grid] or in an [[include]]; without the function norm there is neither density nor \
                        penalty_samples";
            return Err(Problem::at(self.offset, problem, hint));
        }
        let changes = || {
            let changes = self
                .changes
                .iter()
                .map(|(axis, value)| format!("{} {}", axis.name, value.quoted()));
            changes.collect::<Vec<_>>().join(" and ")
        };
        let mut pairs = Vec::new();
        for cell in &matching {
            let before = pairs.len();
            pairs.extend(cells.changed(*cell, &self.changes).map(|reference| (*cell, reference)));
            if lacking == Lacking::Refused
                && pairs.len() == before
                && !cells.has(*cell, &self.changes)
            {
                let problem = format!(
                    "{} speaks of a cell that has no reference in the grid, with {} instead: {}",
                    self.table,
                    changes(),
                    cells.shown(*cell)
                );
                let hint = "name the cells that are meant, as in `subset_size = 300`, or add the reference to the grid";
                return Err(Problem::at(self.offset, problem, hint));
            }
            if pairs.len() > MAX_CONTRASTS {
                break;
            }
        }
        if pairs.is_empty() {
            let problem = format!(
                "{}: of the {} cells that it matches none has its reference, with {}, in the grid",
                self.table,
                matching.len(),
                changes()
            );
            return Err(Problem::at(
                self.offset,
                problem,
                "add the reference to the grid, or compare with another one",
            ));
        }
        Ok(pairs)
    }
}

fn read_text(item: &Item<'_>, example: &str) -> Result<String, Problem> {
    let text = item.string(example)?;
    if text.trim().is_empty()
        || text.chars().count() > MAX_TEXT
        || text.chars().any(char::is_control)
    {
        let problem = format!(
            "{} {} is empty, longer than {MAX_TEXT} characters or not one line",
            item.key,
            item.shown()
        );
        return Err(
            item.problem(problem, format!("write for example `{} = \"{example}\"`", item.key))
        );
    }
    Ok(text.to_owned())
}

/// Turns places into contrasts, each pair of cells once.
fn contrasts(
    name: Option<&str>,
    pairs: Vec<(Place, Place)>,
    seen: &mut HashSet<(Place, Place)>,
    id: &impl Fn(Place) -> CellId,
) -> Vec<Contrast> {
    let new = pairs.into_iter().filter(|pair| seen.insert(*pair));
    new.map(|(cell, reference)| Contrast {
        name: name.map(str::to_owned),
        cell: id(cell),
        reference: id(reference),
    })
    .collect()
}

/// A `[[compare]]`, before its cells are looked up.
#[derive(Debug)]
pub(super) struct CompareTable {
    name: Option<String>,
    sides: Sides,
}

pub(super) fn read_compare(mut table: Table<'_>, bounds: &Bounds) -> Option<CompareTable> {
    let findings = table.findings;
    let name = table.take("name").and_then(|item| findings.keep(read_text(&item, "function norm")));
    let called = name
        .as_deref()
        .map_or("[[compare]]".to_owned(), |name| format!("[[compare]] {}", quote(name)));
    let sides = read_sides(&mut table, called, bounds);
    table.finish();
    Some(CompareTable { name, sides: sides? })
}

/// The contrasts of all `[[compare]]`, each once, in the order of the file.
pub(super) fn resolve_compares(
    tables: Vec<CompareTable>,
    cells: &Cells,
    id: &impl Fn(Place) -> CellId,
    findings: &Findings,
) -> Vec<Contrast> {
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for CompareTable { name, sides } in tables.into_iter().take_while(|_| !findings.enough()) {
        let Some(pairs) = findings.keep(sides.pairs(cells, Lacking::LeftOut)) else { continue };
        let new = contrasts(name.as_deref(), pairs, &mut seen, id);
        if new.is_empty() {
            let problem =
                format!("{}: each of its pairs of cells stands in a table before it", sides.table);
            let hint = "remove it: a pair is compared once, under one name";
            findings.add(Problem::at(sides.offset, problem, hint));
        }
        all.extend(new);
        findings.keep(refuse_too_many(all.len(), sides.offset));
    }
    all
}

/// A `[[claim]]`, before its cells are looked up.
#[derive(Debug)]
pub(super) struct ClaimTable {
    text: String,
    relation: Relation,
    margin: f64,
    alpha: f64,
    sides: Sides,
}

pub(super) fn read_claim(mut table: Table<'_>, bounds: &Bounds) -> Option<ClaimTable> {
    let findings = table.findings;
    let text = table.need("text", "\"the function norm helps\"");
    let text = text.and_then(|item| findings.keep(read_text(&item, "the function norm helps")));
    let called =
        text.as_deref().map_or("[[claim]]".to_owned(), |text| format!("[[claim]] {}", quote(text)));
    let is = table.need("is", "\"better\"");
    let relation =
        is.as_ref().and_then(|is| findings.keep(is.choice(Relation::ALL, Relation::name)));
    let margin = table.take("margin_points");
    if let (None, Some(Relation::NotWorse | Relation::Equal), Some(is)) = (&margin, relation, &is) {
        let problem = format!("{called}: {} needs a margin", is.shown());
        let hint = "add how many percentage points do not matter, as in `margin_points = 0.5`";
        findings.add(is.problem(problem, hint));
    }
    let margin = margin.map_or(Some(0.0), |item| findings.keep(read_margin(&item)));
    let alpha = table.get("alpha", 0.05, read_alpha);
    let sides = read_sides(&mut table, called, bounds);
    table.finish();
    Some(ClaimTable { text: text?, relation: relation?, margin: margin?, alpha, sides: sides? })
}

/// All `[[claim]]`.
pub(super) fn resolve_claims(
    tables: Vec<ClaimTable>,
    cells: &Cells,
    id: &impl Fn(Place) -> CellId,
    findings: &Findings,
) -> Vec<Claim> {
    let (mut claims, mut count) = (Vec::new(), 0);
    for ClaimTable { text, relation, margin, alpha, sides } in
        tables.into_iter().take_while(|_| !findings.enough())
    {
        let Some(pairs) = findings.keep(sides.pairs(cells, Lacking::Refused)) else { continue };
        let contrasts = contrasts(None, pairs, &mut HashSet::new(), id);
        count += contrasts.len();
        findings.keep(refuse_too_many(count, sides.offset));
        claims.push(Claim { text, relation, margin, alpha, contrasts });
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

/// Percentage points, as a share.
fn read_margin(item: &Item<'_>) -> Result<f64, Problem> {
    match item.number("0.5")? {
        points if points > 0.0 && points < 100.0 => Ok(points / 100.0),
        points => Err(item.problem(
            format!("margin_points `{points}` is not between 0 and 100"),
            "percentage points of accuracy, as in `margin_points = 0.5`",
        )),
    }
}

fn read_alpha(item: &Item<'_>) -> Result<f64, Problem> {
    match item.number("0.05")? {
        alpha if alpha > 0.0 && alpha < 0.5 => Ok(alpha),
        alpha => Err(item.problem(
            format!("alpha `{alpha}` is not between 0 and 0.5"),
            "how often a claim that is false may be held, as in `alpha = 0.05`",
        )),
    }
}

/// `[select]`, of trials with so many validation images.
pub(super) fn read_select(mut table: Table<'_>, validation: u32) -> Selection {
    let selection = table.get("by", Selection::Final, |item| match item.choice(Selection::ALL, Selection::name)? {
        Selection::Validation if validation == 0 => {
            let hint = "add for example `validation = 1000` to [data]; trials with another number are other trials";
            Err(item.problem("by `validation`: the trials have no validation images", hint))
        }
        selection => Ok(selection),
    });
    table.finish();
    selection
}
