//! `--dry-run`: what a grid comes to before anything is trained: its cells as a matrix, its
//! comparisons, work and time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
    time::Duration,
};

use indicatif::HumanDuration;
use swfn_report::Differing;
use swfn_shared::{
    grid::{Contrast, Grid},
    ids::{CellId, TrialId},
    text,
    treatment::{Names, Network, Regulariser},
    trial::TrialSpec,
};
use swfn_store::Store;

use crate::{
    amount::{Work, percent},
    arguments::LocalWorkers,
    custody::Inventory,
    notes::notes,
    rates::{self, Rate},
};

/// Rows of the matrix that are listed.
const ROWS: usize = 16;

/// Subset sizes that are listed, and characters of the column of each.
const SIZES: usize = 6;
const COLUMN: usize = 8;

/// Lines of the matrix, the comparisons and the claims, so that all of it fits on a screen.
const LINES: usize = 24;

/// Comparisons and claims that are listed, of each; fewer if the matrix has many rows.
const LISTED: usize = 8;

/// Least share of the work for a line about the saving by fewer evaluations.
const WORTH: f64 = 0.1;

/// Characters of a line.
const WIDTH: usize = 80;

/// The knowledge beside the grid.
#[derive(Debug, Default)]
pub(crate) struct Outlook<'r> {
    /// The workers that the command line asks for.
    pub(crate) workers: Option<LocalWorkers>,
    /// The speed of this machine's devices.
    pub(crate) rate: Option<&'r Rate>,
    /// Trials that have results.
    pub(crate) done: HashSet<TrialId>,
}

/// The text of a dry run in that run directory.
pub(crate) fn run(
    grid: &Grid,
    run_dir: &Path,
    workers: Option<LocalWorkers>,
) -> anyhow::Result<String> {
    let specs: Vec<TrialSpec> = grid.trials().collect();
    let database = run_dir.join("sweep.sqlite");
    let inventory = match database.is_file() {
        true => Inventory::new(&Store::open_to_read(&database)?.known()?, &specs),
        false => Inventory::default(),
    };
    let mut notes = inventory.describe(run_dir, grid);
    if inventory.is_other {
        notes.push("this needs --replace, or another folder with --run-dir".to_owned());
    }
    let rates = rates::load();
    let outlook = Outlook { workers, rate: rates::here(&rates), done: inventory.done };
    Ok(describe(grid, &outlook) + &notes.iter().map(note).collect::<String>())
}

fn note(text: &String) -> String {
    format!("note: {text}\n")
}

fn describe(grid: &Grid, outlook: &Outlook<'_>) -> String {
    let specs: Vec<TrialSpec> = grid.trials().collect();
    let (mut seeds, mut cells) = (HashMap::new(), Vec::new());
    for spec in &specs {
        let seeds: &mut usize = seeds.entry(spec.cell()).or_default();
        *seeds += 1;
        if *seeds == 1 {
            cells.push(spec);
        }
    }
    let labels = Labels::among(&cells);
    let vaes: HashSet<_> = specs.iter().filter_map(TrialSpec::vae).collect();
    let (dataset, sizes) = (grid.dataset(), grid.dataset().sizes());
    let sweep = format!("{}: {dataset}, {}, {} classes", grid.name, sizes.image, sizes.classes);
    let vaes = if vaes.is_empty() { "no VAE".to_owned() } else { text::count(vaes.len(), "VAE") };
    let done = match outlook.done.len() {
        0 => String::new(),
        done => format!("; {done} of them are done"),
    };
    let trials = text::count(cells.len(), "cell");
    let trials = format!("{} in {trials}, with {vaes}{done}", specs.len());
    let matrix = matrix(&cells, &seeds, &labels);
    let sections = 1 + usize::from(!grid.claims.is_empty());
    let listed = (LINES.saturating_sub(matrix.lines().count()) / sections).clamp(1, LISTED);
    let work = Work::of(&specs, outlook.rate);
    [
        short(&format!("{:<10}{sweep}", "sweep"), WIDTH) + "\n",
        short(&format!("{:<10}{trials}", "trials"), WIDTH) + "\n",
        matrix,
        comparisons(grid, &cells, &labels, listed),
        cost(&specs, &work, outlook),
        notes(grid, &specs, &work).iter().map(note).collect(),
    ]
    .concat()
}

/// A text of at most so many characters.
fn short(text: &str, longest: usize) -> String {
    match text.chars().count() <= longest {
        true => text.to_owned(),
        false => text.chars().take(longest - 1).chain(['…']).collect(),
    }
}

/// The names of cells, as in the report.
struct Labels {
    names: Names,
    differing: Differing,
}

impl Labels {
    fn among(cells: &[&TrialSpec]) -> Self {
        Self {
            names: Names::among(cells.iter().map(|spec| spec.regulariser())),
            differing: Differing::among(cells.iter().copied()),
        }
    }

    fn row(&self, spec: &TrialSpec) -> Row {
        let phrases = self.differing.phrases(spec);
        let variant = phrases.iter().map(|phrase| format!(", {phrase}")).collect();
        (spec.network(), spec.regulariser(), variant)
    }

    /// The name of a row's cells, without their network.
    fn name(&self, (_, regulariser, variant): &Row) -> String {
        self.names.regulariser(*regulariser) + variant
    }
}

/// What the cells of a row of the matrix have in common: network, regulariser, variant.
type Row = (Network, Regulariser, String);

/// Seeds of each cell, by network and regulariser and by subset size.
fn matrix(cells: &[&TrialSpec], seeds: &HashMap<CellId, usize>, labels: &Labels) -> String {
    let mut rows: BTreeMap<Row, BTreeMap<u32, usize>> = BTreeMap::new();
    for spec in cells {
        let row = rows.entry(labels.row(spec)).or_default();
        *row.entry(spec.subset_size).or_default() += seeds[&spec.cell()];
    }
    let sizes: BTreeSet<u32> = cells.iter().map(|spec| spec.subset_size).collect();
    let name = |row: &Row| labels.name(row);
    let shown: Vec<u32> = sizes.iter().copied().take(SIZES).collect();
    let room = WIDTH - 10 - COLUMN * shown.len();
    let longest = rows.keys().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let longest = longest.clamp(8, room);
    let column = |text: String| format!("{text:>COLUMN$}");
    let mut text = format!("{:<10}{:<longest$}", "seeds", "");
    text.extend(shown.iter().map(|size| column(format!("n={size}"))));
    if sizes.len() > SIZES {
        text += &format!("  and {} n", sizes.len() - SIZES);
    }
    let mut before = None;
    for (row, cells) in rows.iter().take(ROWS) {
        let network = if before == Some(row.0) { "" } else { row.0.name() };
        before = Some(row.0);
        text += &format!("\n  {network:<8}{:<longest$}", short(&name(row), longest));
        let seeds = |size| cells.get(size).map_or("-".to_owned(), usize::to_string);
        text.extend(shown.iter().map(|size| column(seeds(size))));
    }
    if rows.len() > ROWS {
        text += &format!("\n  and {} more rows", rows.len() - ROWS);
    }
    text + "\n"
}

/// The number of comparisons and claims, and lines for each of some.
fn comparisons(grid: &Grid, cells: &[&TrialSpec], labels: &Labels, listed: usize) -> String {
    let cells: HashMap<CellId, &TrialSpec> =
        cells.iter().map(|spec| (spec.cell(), *spec)).collect();
    let contrasts = grid.contrasts();
    let list = groups(&contrasts, &cells, labels);
    let list = list.iter().map(|group| lines(group, 3)).collect();
    let claims = grid.claims.iter().map(|claim| {
        let points = (1e5 * claim.margin).round() / 1e3;
        let margin = if points > 0.0 { format!(" by {points} points") } else { String::new() };
        let head = lines(&format!("{}{margin}: {}", claim.relation.name(), claim.text), 3);
        let pairs = groups(&claim.contrasts, &cells, labels);
        head + &pairs.iter().map(|group| lines(group, 7)).collect::<String>()
    });
    section("comparison", contrasts.len(), list, listed)
        + &section("claim", grid.claims.len(), claims.collect(), listed)
}

/// A text in lines with that margin at the left.
fn lines(text: &str, margin: usize) -> String {
    let lines = text::wrap(text, WIDTH - margin).into_iter();
    lines.map(|line| format!("{:margin$}{line}\n", "")).collect()
}

/// A text for the pairs of each two regularisers: their number, networks and subset sizes.
fn groups(
    contrasts: &[Contrast],
    cells: &HashMap<CellId, &TrialSpec>,
    labels: &Labels,
) -> Vec<String> {
    let mut groups: Vec<(String, usize, BTreeSet<Network>, BTreeSet<u32>)> = Vec::new();
    for contrast in contrasts {
        let title = title(contrast, cells, labels);
        let spec = cells[&contrast.cell];
        let index = groups.iter().position(|group| group.0 == title).unwrap_or_else(|| {
            groups.push((title, 0, BTreeSet::new(), BTreeSet::new()));
            groups.len() - 1
        });
        let (_, count, networks, sizes) = &mut groups[index];
        *count += 1;
        networks.insert(spec.network());
        sizes.insert(spec.subset_size);
    }
    let text = |(title, count, networks, sizes): &(String, usize, BTreeSet<Network>, _)| {
        let networks: Vec<_> = networks.iter().map(|network| network.name()).collect();
        let sizes: Vec<_> = BTreeSet::iter(sizes).map(u32::to_string).collect();
        format!("{count} x {title}: {}; n = {}", networks.join(", "), sizes.join(", "))
    };
    groups.iter().map(text).collect()
}

fn title(contrast: &Contrast, cells: &HashMap<CellId, &TrialSpec>, labels: &Labels) -> String {
    let [cell, reference] = [contrast.cell, contrast.reference].map(|id| cells[&id]);
    let side = |spec: &TrialSpec| {
        let network = match cell.network() == reference.network() {
            true => String::new(),
            false => format!("{} ", spec.network().name()),
        };
        network + &labels.name(&labels.row(spec))
    };
    let name = contrast.name.as_ref().map_or(String::new(), |name| format!("{name}: "));
    format!("{name}{} over {}", side(cell), side(reference))
}

/// The number of things, and the texts of some.
fn section(name: &str, count: usize, texts: Vec<String>, listed: usize) -> String {
    // A line about one more is as long as that one.
    let listed = if texts.len() == listed + 1 { texts.len() } else { listed };
    let more = texts.len().saturating_sub(listed);
    let mut text = match count {
        0 => format!("no {name}s\n"),
        count => format!("{}\n", text::count(count, name)),
    };
    text.extend(texts.into_iter().take(listed));
    if more > 0 {
        text += &format!("   and {more} more, as in the grid file\n");
    }
    text
}

/// The work by kind, and the time that it takes here.
fn cost(specs: &[TrialSpec], work: &Work, outlook: &Outlook<'_>) -> String {
    let share = |part: f64| percent(part / work.total());
    let mut text = format!(
        "{:<10}{:.3} TFLOP; {}: training {}, evaluations {}, VAEs {}\n",
        "work",
        Work::of(specs, None).total() / 1e12,
        if outlook.rate.is_some() { "of the time" } else { "of them" },
        share(work.training),
        share(work.evaluations),
        share(work.vaes)
    );
    let (saving, iterations) = (work.saving(), specs[0].classifier.iterations);
    if saving >= WORTH {
        let saving = percent(saving);
        text += &format!("{:<10}`evaluate_every = {iterations}` would save {saving}\n", "");
    }
    let left: Vec<_> = specs.iter().filter(|spec| !outlook.done.contains(&spec.id())).collect();
    text + &format!("{:<10}{}\n", "time", time(&left, outlook))
}

fn time(left: &[&TrialSpec], outlook: &Outlook<'_>) -> String {
    if left.is_empty() {
        return "nothing is left to train".to_owned();
    }
    let Some(rate) = outlook.rate else {
        let hint = "(the first one that ends tells the next dry run)";
        return format!(
            "unknown: no sweep has been measured on this machine yet\n{:<10}{hint}",
            ""
        );
    };
    let workers = rate.workers(outlook.workers);
    let seconds = |specs: &[&TrialSpec]| Work::of(specs.iter().copied(), Some(rate)).total();
    let longest = left.iter().map(|spec| seconds(&[*spec])).fold(0.0, f64::max);
    let seconds = (seconds(left) / workers as f64).max(longest);
    let duration = Duration::try_from_secs_f64(seconds.max(1.0)).unwrap_or(Duration::MAX);
    let rest = if outlook.done.is_empty() { "" } else { " for the rest" };
    let workers = match (workers, outlook.workers) {
        (1, None) => "one worker".to_owned(),
        (workers, _) => text::count(workers, "local worker"),
    };
    format!(
        "about {}{rest} with {workers}, as fast as the last sweep on {}",
        HumanDuration(duration),
        rate.model
    )
}

#[cfg(test)]
mod tests {
    use swfn_shared::{
        axes::{Axis, Role},
        grid::DEFAULT_MAX_TRIALS,
    };
    use swfn_store::samples::varied;

    use super::*;

    fn grid(name: &str) -> Grid {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("grids").join(name);
        Grid::parse(name, &std::fs::read_to_string(path).unwrap(), DEFAULT_MAX_TRIALS).unwrap()
    }

    #[test]
    fn a_grid_fits_on_a_screen() {
        let rate = serde_json::json!({
            "host": "h", "kind": "cpu", "model": "m", "devices": 1, "speeds": {"all": 1.5e11}
        });
        let rate: Rate = serde_json::from_value(rate).unwrap();
        let outlook = Outlook {
            workers: Some(LocalWorkers::Count(1)),
            rate: Some(&rate),
            ..Outlook::default()
        };
        let texts =
            ["quick.toml", "scarce.toml", "paper.toml"].map(|name| describe(&grid(name), &outlook));
        for text in &texts {
            assert!(
                text.lines().count() <= 48 && text.lines().all(|line| line.chars().count() <= 110),
                "{text}"
            );
        }
        insta::assert_snapshot!(texts.join("\n---\n"));
    }

    /// A row of the table of axes is enough: nothing here knows its name.
    #[test]
    fn every_axis_is_in_the_matrix() {
        for axis in Axis::in_grid() {
            let (text, values) = varied(*axis);
            let grid = Grid::parse("t", &text, DEFAULT_MAX_TRIALS).unwrap();
            let text = describe(&grid, &Outlook::default());
            let specs: Vec<TrialSpec> = grid.trials().collect();
            let labels = Labels::among(&specs.iter().collect::<Vec<_>>());
            let rows = specs
                .iter()
                .map(|spec| (labels.row(spec), spec.subset_size, spec.label()))
                .collect::<BTreeSet<_>>();
            assert_eq!(rows.len(), if axis.role == Role::Seed { 1 } else { 2 }, "{axis:?}");
            for value in values.iter().filter(|value| Some(**value) != axis.default()) {
                let part = axis.labelled(&value.exact());
                let named = matches!(axis.role, Role::Regulariser { .. } | Role::Setting);
                assert!(!named || text.contains(&part), "{part} in {text}");
                assert!(
                    !named || rows.iter().any(|(_, _, label)| label.contains(&part)),
                    "{part} in {rows:?}"
                );
            }
        }
    }

    #[test]
    fn time_is_unknown_without_a_measured_speed() {
        let text = describe(&grid("quick.toml"), &Outlook::default());
        assert!(
            text.contains("time      unknown: no sweep has been measured on this machine yet\n"),
            "{text}"
        );
        let done = grid("quick.toml").trials().map(|spec| spec.id()).collect();
        let text = describe(&grid("quick.toml"), &Outlook { done, ..Outlook::default() });
        assert!(
            text.contains("; 20 of them are done\n") && text.contains("nothing is left to train"),
            "{text}"
        );
    }

    #[test]
    fn many_rows_and_sizes_are_cut() {
        let text = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 3 }\narchitecture = \"net\"\n\
                    subset_size = [100, 200, 300, 400, 500, 600, 700, 800, 900]\nlambda = { log10 = [-4, 0], count = 30 }\n\
                    [[include]]\nlambda = 0\nlearning_rate = 0.1\nsubset_size = 100\n";
        let grid = Grid::parse("t", text, DEFAULT_MAX_TRIALS).unwrap();
        insta::assert_snapshot!(describe(&grid, &Outlook::default()));
    }
}
