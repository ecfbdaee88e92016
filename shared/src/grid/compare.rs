//! `[[compare]]` and `[[claim]]`: which cells are compared with which, and what is expected of it. Nothing here changes a trial.

use std::collections::HashSet;

use super::{
    axis::{AxisName, Bounds, Conditions, read_conditions, read_value},
    cells::{Cells, Changes, Place},
    error::Problem,
    reader::{Item, Table},
};
use crate::{choice::choice, ids::CellId, metrics::Outcome, quote::quote};

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
struct Sides {
    /// How messages call the table.
    table: String,
    offset: usize,
    conditions: Conditions,
    changes: Changes,
}

/// The cells that stand in a table's own keys, against the same ones with the changes of its key `against`.
fn read_sides(table: &mut Table<'_>, name: String, bounds: &Bounds) -> Result<Sides, Problem> {
    let offset = table.offset;
    let against = table.need("against", "{ lambda = 0 }")?;
    if !against.is_table() {
        let problem = format!("{name}: against {} names no axis", against.shown());
        return Err(against.problem(problem, AGAINST_HINT));
    }
    let mut against = against.table()?;
    let mut changes = Changes::new();
    if let Some(item) = table.take(AxisName::Seed.name()) {
        let problem = format!("{name}: `seed` cannot choose cells");
        return Err(item.problem(problem, "remove it: a cell is all its seeds, and they make the pairs"));
    }
    let conditions = read_conditions(table, &name, &AxisName::ALL[1..], bounds)?;
    for axis in AxisName::ALL {
        if let Some(item) = against.take(axis.name()) {
            if let AxisName::Seed | AxisName::SubsetSize = axis {
                let problem = format!("{name}: `{}` cannot differ between the sides", axis.name());
                return Err(item.problem(problem, "the trials of a pair have their subset and their seed in common"));
            }
            changes.push((axis, read_value(axis, &item, bounds)?));
        }
    }
    let empty = Problem::at(against.offset, format!("{name}: against names no axis"), AGAINST_HINT);
    against.finish()?;
    if changes.is_empty() {
        return Err(empty);
    }
    Ok(Sides { table: name, offset, conditions, changes })
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
            let changes = self.changes.iter().map(|(axis, value)| format!("{} {}", axis.name(), value.shown()));
            changes.collect::<Vec<_>>().join(" and ")
        };
        let mut pairs = Vec::new();
        for cell in &matching {
            let before = pairs.len();
            pairs.extend(cells.changed(*cell, &self.changes).map(|reference| (*cell, reference)));
            if lacking == Lacking::Refused && pairs.len() == before && !cells.has(*cell, &self.changes) {
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
    if text.trim().is_empty() || text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
        let problem =
            format!("{} {} is empty, longer than {MAX_TEXT} characters or not one line", item.key, item.shown());
        return Err(item.problem(problem, format!("write for example `{} = \"{example}\"`", item.key)));
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
    new.map(|(cell, reference)| Contrast { name: name.map(str::to_owned), cell: id(cell), reference: id(reference) })
        .collect()
}

/// All `[[compare]]`: the contrasts, each once, in the order of the file.
pub(super) fn read_compares(
    tables: Vec<Table<'_>>,
    bounds: &Bounds,
    cells: &Cells,
    id: &impl Fn(Place) -> CellId,
) -> Result<Vec<Contrast>, Problem> {
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for mut table in tables {
        let offset = table.offset;
        let name = table.take("name").map(|item| read_text(&item, "function norm")).transpose()?;
        let called = name.as_deref().map_or("[[compare]]".to_owned(), |name| format!("[[compare]] {}", quote(name)));
        let sides = read_sides(&mut table, called, bounds)?;
        table.finish()?;
        let new = contrasts(name.as_deref(), sides.pairs(cells, Lacking::LeftOut)?, &mut seen, id);
        if new.is_empty() {
            let problem = format!("{}: each of its pairs of cells stands in a table before it", sides.table);
            return Err(Problem::at(offset, problem, "remove it: a pair is compared once, under one name"));
        }
        all.extend(new);
        refuse_too_many(all.len(), offset)?;
    }
    Ok(all)
}

/// All `[[claim]]`.
pub(super) fn read_claims(
    tables: Vec<Table<'_>>,
    bounds: &Bounds,
    cells: &Cells,
    id: &impl Fn(Place) -> CellId,
) -> Result<Vec<Claim>, Problem> {
    let (mut claims, mut count) = (Vec::new(), 0);
    for mut table in tables {
        let offset = table.offset;
        let text = read_text(&table.need("text", "\"the function norm helps\"")?, "the function norm helps")?;
        let is = table.need("is", "\"better\"")?;
        let relation = is.choice(Relation::ALL, Relation::name)?;
        let margin = table.take("margin_points").map(|item| read_margin(&item)).transpose()?;
        let alpha = table.get("alpha", 0.05, read_alpha)?;
        let sides = read_sides(&mut table, format!("[[claim]] {}", quote(&text)), bounds)?;
        table.finish()?;
        if let (Relation::NotWorse | Relation::Equal, None) = (relation, margin) {
            let problem = format!("[[claim]] {}: `{}` needs a margin", quote(&text), relation.name());
            return Err(
                is.problem(problem, "add how many percentage points do not matter, as in `margin_points = 0.5`")
            );
        }
        let contrasts = contrasts(None, sides.pairs(cells, Lacking::Refused)?, &mut HashSet::new(), id);
        count += contrasts.len();
        refuse_too_many(count, offset)?;
        claims.push(Claim { text, relation, margin: margin.unwrap_or(0.0), alpha, contrasts });
    }
    Ok(claims)
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
pub(super) fn read_select(table: Option<Table<'_>>, validation: u32) -> Result<Selection, Problem> {
    let Some(mut table) = table else { return Ok(Selection::Final) };
    let selection =
        table.get("by", Selection::Final, |item| match item.choice(Selection::ALL, Selection::name)? {
            Selection::Validation if validation == 0 => {
                let hint = "add for example `validation = 1000` to [data]; trials with another number are other trials";
                Err(item.problem("by `validation`: the trials have no validation images", hint))
            }
            selection => Ok(selection),
        })?;
    table.finish()?;
    Ok(selection)
}
