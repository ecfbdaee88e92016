//! `--dry-run`: what a grid comes to, before anything is trained: its cells as a matrix, what will be compared, work and time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::Write as _,
    path::Path,
    time::Duration,
};

use indicatif::HumanDuration;
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
    custody::Stock,
    notes::notes,
    rates::{self, Rate},
};

/// Rows of the matrix that are listed, so that all of it fits on a screen.
const ROWS: usize = 16;

/// Subset sizes that fit on a line, with what each takes.
const SIZES: usize = 6;
const COLUMN: usize = 8;

/// Comparisons and claims that are listed, of each: fewer where the matrix has many rows.
const LISTED: usize = 4;

/// Share of the work that fewer evaluations have to save to be worth a line.
const WORTH: f64 = 0.1;

/// Characters of a line.
const WIDTH: usize = 80;

/// What is known beside the grid.
#[derive(Debug, Default)]
pub(crate) struct Outlook<'r> {
    /// The workers that the command line asks for.
    pub(crate) workers: Option<LocalWorkers>,
    /// How fast the devices of this machine were.
    pub(crate) rate: Option<&'r Rate>,
    /// Trials that have results.
    pub(crate) done: HashSet<TrialId>,
}

/// The text that `--dry-run` prints for a grid that would be run in that directory.
pub(crate) fn run(
    grid: &Grid,
    run_dir: &Path,
    workers: Option<LocalWorkers>,
) -> anyhow::Result<String> {
    let specs: Vec<TrialSpec> = grid.trials().collect();
    let database = run_dir.join("sweep.sqlite");
    let stock = match database.is_file() {
        true => Stock::of(&Store::open_to_read(&database)?.known()?, &specs),
        false => Stock::default(),
    };
    let (told, rates) = (stock.told(run_dir, grid), rates::load());
    let outlook = Outlook { workers, rate: rates::here(&rates), done: stock.done };
    let other =
        stock.is_other.then(|| "this needs --replace, or another folder with --run-dir".to_owned());
    let notes = told.into_iter().chain(other).map(|note| format!("note: {note}\n"));
    Ok(describe(grid, &outlook) + &notes.collect::<String>())
}

/// The same with what is known beside the grid.
fn describe(grid: &Grid, outlook: &Outlook<'_>) -> String {
    let specs: Vec<TrialSpec> = grid.trials().collect();
    let cells: HashSet<CellId> = specs.iter().map(TrialSpec::cell).collect();
    let vaes: HashSet<_> = specs.iter().filter_map(TrialSpec::vae).collect();
    let names = Names::among(specs.iter().map(TrialSpec::regulariser));
    let (dataset, sizes) = (grid.dataset(), grid.dataset().sizes());
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{}", cut(&format!("{name:<10}{value}"))).expect("writing to a string");
    };
    line("sweep", format!("{}: {dataset}, {}, {} classes", grid.name, sizes.image, sizes.classes));
    line(
        "trials",
        format!("{}{}", specs.len(), counted(cells.len(), vaes.len(), outlook.done.len())),
    );
    let matrix = matrix(&specs, names);
    let listed = (ROWS.saturating_sub(matrix.lines().count()) / 2).clamp(1, LISTED);
    text.push_str(&matrix);
    text.push_str(&comparisons(grid, &specs, names, listed));
    let work = Work::of(&specs, outlook.rate);
    text.push_str(&cost(&specs, &work, outlook));
    for note in notes(grid, &specs, &work) {
        writeln!(text, "note: {note}").expect("writing to a string");
    }
    text
}

fn counted(cells: usize, vaes: usize, done: usize) -> String {
    let vaes = if vaes == 0 { "no VAE".to_owned() } else { text::count(vaes, "VAE") };
    let done = if done == 0 { String::new() } else { format!("; {done} of them are done") };
    format!(" in {}, with {vaes}{done}", text::count(cells, "cell"))
}

/// A line no longer than the terminal.
fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}

/// A row of the matrix: what its cells have in common.
type Row = (Network, Regulariser, String);

fn row(spec: &TrialSpec) -> Row {
    (spec.network(), spec.regulariser(), spec.unusual())
}

/// Seeds of each cell, by network and regulariser and by subset size.
fn matrix(specs: &[TrialSpec], names: Names) -> String {
    let mut rows: BTreeMap<Row, BTreeMap<u32, usize>> = BTreeMap::new();
    let mut sizes = BTreeSet::new();
    for spec in specs {
        *rows.entry(row(spec)).or_default().entry(spec.subset_size).or_default() += 1;
        sizes.insert(spec.subset_size);
    }
    let name = |(_, regulariser, more): &Row| names.regulariser(*regulariser) + more;
    let shown: Vec<u32> = sizes.iter().copied().take(SIZES).collect();
    let room = WIDTH - 10 - COLUMN * shown.len();
    let longest =
        rows.keys().map(|row| name(row).chars().count()).max().unwrap_or(0).clamp(8, room);
    let mut text = format!("{:<10}{:<longest$}", "seeds", "");
    shown
        .iter()
        .for_each(|size| write!(text, "{:>8}", format!("n={size}")).expect("writing to a string"));
    if sizes.len() > SIZES {
        write!(text, "  and {} n", sizes.len() - SIZES).expect("writing to a string");
    }
    let mut before = None;
    for (row, cells) in rows.iter().take(ROWS) {
        let network = if before == Some(row.0) { "" } else { row.0.name() };
        before = Some(row.0);
        write!(text, "\n  {network:<8}{:<longest$}", short(&name(row), longest))
            .expect("writing to a string");
        for size in &shown {
            let seeds = cells.get(size).map_or("-".to_owned(), usize::to_string);
            write!(text, "{seeds:>8}").expect("writing to a string");
        }
    }
    if rows.len() > ROWS {
        write!(text, "\n  and {} more rows", rows.len() - ROWS).expect("writing to a string");
    }
    text + "\n"
}

/// A name of at most so many characters.
fn short(name: &str, longest: usize) -> String {
    if name.chars().count() <= longest {
        name.to_owned()
    } else {
        name.chars().take(longest - 1).chain(['…']).collect()
    }
}

/// What will be compared and claimed: how much of it, and a line for each of some.
fn comparisons(grid: &Grid, specs: &[TrialSpec], names: Names, listed: usize) -> String {
    let cells: HashMap<CellId, &TrialSpec> = specs.iter().map(|spec| (spec.cell(), spec)).collect();
    let contrasts = grid.contrasts();
    let mut groups: Vec<(String, usize, BTreeSet<Network>, BTreeSet<u32>)> = Vec::new();
    for contrast in &contrasts {
        let title = title(contrast, &cells, names);
        let spec = cells[&contrast.cell];
        let place = groups.iter().position(|group| group.0 == title).unwrap_or_else(|| {
            groups.push((title, 0, BTreeSet::new(), BTreeSet::new()));
            groups.len() - 1
        });
        let (_, count, networks, sizes) = &mut groups[place];
        *count += 1;
        networks.insert(spec.network());
        sizes.insert(spec.subset_size);
    }
    let list = groups.iter().map(|(title, count, networks, sizes)| {
        let networks: Vec<_> = networks.iter().map(|network| network.name()).collect();
        let sizes: Vec<_> = sizes.iter().map(ToString::to_string).collect();
        format!("{count:>4} x {title}: {}; n = {}", networks.join(", "), sizes.join(", "))
    });
    let claims = grid.claims.iter().map(|claim| {
        format!("{:>4} x {}: {}", claim.contrasts.len(), claim.relation.name(), claim.text)
    });
    section("comparison", contrasts.len(), list, listed)
        + &section("claim", grid.claims.len(), claims, listed)
}

fn title(contrast: &Contrast, cells: &HashMap<CellId, &TrialSpec>, names: Names) -> String {
    let [cell, reference] = [contrast.cell, contrast.reference].map(|id| cells[&id]);
    let side = |spec: &TrialSpec| {
        let network =
            if cell.network() == reference.network() { "" } else { spec.network().name() };
        let (regulariser, more) = (names.regulariser(spec.regulariser()), spec.unusual());
        if network.is_empty() {
            regulariser + &more
        } else {
            format!("{network} {regulariser}{more}")
        }
    };
    let name = contrast.name.as_ref().map_or(String::new(), |name| format!("{name}: "));
    format!("{name}{} over {}", side(cell), side(reference))
}

/// How many there are, and some of them.
fn section(
    name: &str,
    count: usize,
    lines: impl ExactSizeIterator<Item = String>,
    listed: usize,
) -> String {
    let more = lines.len().saturating_sub(listed);
    let mut text = match count {
        0 => format!("no {name}s\n"),
        count => format!("{}\n", text::count(count, name)),
    };
    lines.take(listed).for_each(|line| text += &(cut(&line) + "\n"));
    if more > 0 {
        text += &format!("     and {more} more like these\n");
    }
    text
}

/// What the work is spent on, and how long it takes here.
fn cost(specs: &[TrialSpec], work: &Work, outlook: &Outlook<'_>) -> String {
    let share = |part: f64| percent(part / work.total());
    let operations = Work::of(specs, None).total();
    let mut text = format!(
        "{:<10}{:.3} TFLOP; {}: training {}, evaluations {}, VAEs {}\n",
        "work",
        operations / 1e12,
        if outlook.rate.is_some() { "of the time" } else { "of them" },
        share(work.training),
        share(work.evaluations),
        share(work.vaes)
    );
    let (saving, iterations) = (work.saving(), specs[0].classifier.iterations);
    if saving >= WORTH {
        text +=
            &format!("{:<10}`evaluate_every = {iterations}` would save {}\n", "", percent(saving));
    }
    let left: Vec<&TrialSpec> =
        specs.iter().filter(|spec| !outlook.done.contains(&spec.id())).collect();
    text + &format!("{:<10}{}\n", "time", time(&left, outlook))
}

fn time(left: &[&TrialSpec], outlook: &Outlook<'_>) -> String {
    let rest = if outlook.done.is_empty() { "" } else { " for the rest" };
    if left.is_empty() {
        return "nothing is left to train".to_owned();
    }
    let Some(rate) = outlook.rate else {
        return format!(
            "unknown: no sweep has been measured on this machine yet\n{:<10}(the first one that ends tells the next dry run)",
            ""
        );
    };
    let workers = rate.workers(outlook.workers);
    let longest = left.iter().map(|spec| Work::of([*spec], Some(rate)).total()).fold(0.0, f64::max);
    let seconds =
        (Work::of(left.iter().copied(), Some(rate)).total() / workers as f64).max(longest);
    let duration = Duration::try_from_secs_f64(seconds.max(1.0)).unwrap_or(Duration::MAX);
    let of = match (workers, outlook.workers) {
        (1, None) => "one worker".to_owned(),
        (1, _) => "1 local worker".to_owned(),
        (workers, _) => format!("{workers} local workers"),
    };
    format!(
        "about {}{rest} with {of}, as fast as the last sweep on {}",
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
    use crate::rates::sample;

    fn grid(name: &str) -> Grid {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("grids").join(name);
        Grid::parse(name, &std::fs::read_to_string(path).unwrap(), DEFAULT_MAX_TRIALS).unwrap()
    }

    #[test]
    fn a_grid_fits_on_a_screen() {
        let rate = sample(&[("all", 1.5e11)]);
        let outlook = Outlook {
            workers: Some(LocalWorkers::Count(1)),
            rate: Some(&rate),
            ..Outlook::default()
        };
        let texts =
            ["quick.toml", "scarce.toml", "paper.toml"].map(|name| describe(&grid(name), &outlook));
        for text in &texts {
            assert!(
                text.lines().count() <= 30 && text.lines().all(|line| line.chars().count() <= 110),
                "{text}"
            );
        }
        insta::assert_snapshot!(texts.join("\n---\n"));
    }

    /// A row of the table of axes is enough: nothing here knows its name.
    #[test]
    fn every_axis_of_a_grid_is_in_the_matrix() {
        for axis in Axis::in_grid() {
            let (text, values) = varied(*axis);
            let grid = Grid::parse("t", &text, DEFAULT_MAX_TRIALS).unwrap();
            let text = describe(&grid, &Outlook::default());
            let rows = grid
                .trials()
                .map(|spec| (row(&spec), spec.subset_size, spec.label()))
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
    fn without_a_measured_speed_there_is_no_time() {
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
