//! The sections of a grid file and their meaning. Defaults are the published values.

use std::collections::HashSet;

use toml::de::DeTable;

use super::{
    axis::Bounds,
    blocks::{check_effects, read_blocks, read_exclude, tables_of},
    cells::{Cells, Contrast},
    compare::{
        Claim, Selection, read_claim, read_compare, read_select, resolve_claims, resolve_compares,
    },
    data::read_dataset,
    error::{GridError, Problem},
    expand::{Block, Exclude, Point, is_kept},
    findings::Findings,
    reader::{Item, Table},
    settings::{
        RunSettings, read_artifacts, read_classifier, read_run, read_section, read_settings,
    },
};
use crate::{
    artifacts::Artifacts,
    axes::{self, Axis, Kind, Section, VALIDATION, Value},
    dataset::Dataset,
    trial::{Architecture, Density, Epochs, TrialSpec},
};

/// Largest number of trials of a grid, unless the user raises it.
pub const DEFAULT_MAX_TRIALS: u64 = 1_000_000;

/// Largest grid file: a person writes it, and a larger file is something else.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// A grid file, validated.
#[derive(Debug, Clone)]
pub struct Grid {
    /// The sweep's name: 1 to 64 letters, digits, `-`, `_` or `.`, not starting with a dot.
    pub name: String,
    /// `[run]`.
    pub run: RunSettings,
    /// `[artifacts]`.
    pub artifacts: Artifacts,
    /// `[select]`: the evaluation that counts. Like comparisons and claims, it changes no trial.
    pub selection: Selection,
    /// `[[claim]]`.
    pub claims: Vec<Claim>,
    /// `[[compare]]`; the usual ones if there is none.
    compares: Option<Vec<Contrast>>,
    /// The settings of all trials, with a function norm.
    base: TrialSpec,
    /// The grid itself, then one block for each include.
    blocks: Vec<Block>,
    excludes: Vec<Exclude>,
}

impl Grid {
    /// The source of the images.
    pub fn dataset(&self) -> Dataset {
        self.base.dataset
    }

    /// Reads the text of a grid file. Messages call the file `file`.
    ///
    /// # Errors
    /// The file has mistakes, or more than `max_trials` trials.
    pub fn parse(file: &str, text: &str, max_trials: u64) -> Result<Self, GridError> {
        Self::parse_with(file, text, max_trials, |_| Epochs::Continuous)
    }

    /// Reads a file from before files could name epochs: each evaluation started a fresh one.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_before_epochs(file: &str, text: &str, max_trials: u64) -> Result<Self, GridError> {
        Self::parse_with(file, text, max_trials, |every| Epochs::Restart { every })
    }

    fn parse_with(
        file: &str,
        text: &str,
        max_trials: u64,
        unnamed_epochs: fn(u32) -> Epochs,
    ) -> Result<Self, GridError> {
        let findings = Findings::default();
        match DeTable::parse(text) {
            Ok(table) => {
                let top = Table::new("the file".to_owned(), 0, table.get_ref(), &findings);
                let grid = read(top, max_trials, unnamed_epochs);
                if let Some(grid) = grid.filter(|_| findings.none()) {
                    return Ok(grid);
                }
            }
            Err(error) => {
                let offset = error.span().map(|span| span.start);
                let problem = format!("this is not TOML: {}", error.message());
                findings.add(Problem { offset, problem, hint: TOML_HINT.to_owned() });
            }
        }
        Err(findings.into_error(file, text))
    }

    /// The pairs of cells to compare, each once and in its first direction.
    ///
    /// `[[compare]]` names them. Without it, each cell is compared with the same one at lambda = 0,
    /// and each regulariser with `none`.
    pub fn contrasts(&self) -> Vec<Contrast> {
        let usual = || {
            let Some(cells) = Cells::new(self.points(), self.base) else { return Vec::new() };
            let pairs = cells.usual_pairs().into_iter();
            pairs.map(|pair| cells.contrast(None, pair)).collect()
        };
        let mut seen = HashSet::new();
        let mut all = self.compares.clone().unwrap_or_else(usual);
        all.retain(|contrast| seen.insert(contrast.pair()));
        all
    }

    /// Whether the file has a `[[compare]]`.
    pub fn names_contrasts(&self) -> bool {
        self.compares.is_some()
    }

    /// The trials, each once, in the order in which they are handed out. Points that name the same
    /// computation are one trial.
    pub fn trials(&self) -> impl Iterator<Item = TrialSpec> + '_ {
        let mut seen = HashSet::new();
        let trials = self.points().map(|point| point.trial(&self.base));
        trials.filter(move |trial| seen.insert(trial.id()))
    }

    fn points(&self) -> impl Iterator<Item = Point> + '_ {
        let points = self.blocks.iter().flat_map(Block::points);
        points.filter(|point| is_kept(point, &self.excludes))
    }

    fn check_size(&self, max_trials: u64) -> Result<(), Problem> {
        let total = self.blocks.iter().try_fold(0u64, |sum, block| sum.checked_add(block.len()?));
        if total.is_none_or(|total| total > max_trials) {
            let count = total.map_or("more than 2^64".to_owned(), |total| total.to_string());
            let problem = format!("the grid has `{count}` points, and the limit is {max_trials}");
            let hint = "take values off its axes, or raise the limit with --max-trials";
            return Err(Problem::somewhere(problem, hint));
        }
        if self.points().next().is_none() {
            let problem = "the grid has no points: [[exclude]] takes them all";
            return Err(Problem::somewhere(problem, "exclude less"));
        }
        Ok(())
    }
}

const TOML_HINT: &str = "see https://toml.io; strings need quotes, and each key stands once";

/// Reads the grid; `None` if a mistake keeps it from being one.
fn read(mut top: Table<'_>, max_trials: u64, unnamed_epochs: fn(u32) -> Epochs) -> Option<Grid> {
    let findings = top.findings;
    if let Some(version) = top.need("version", "1") {
        // A file of another version may have other keys, so nothing else is checked.
        findings.keep(read_version(&version))?;
    }
    let name = top.need("name", "\"quick\"").and_then(|item| findings.keep(read_name(&item)));
    let data = top.needed_section("data", "{ dataset = \"synthetic\" }");
    let grid = top.needed_section("grid", "{ seed = { count = 10 }, ... }");
    let [classifier, vae, penalty] = ["classifier", "vae", "penalty"].map(|name| top.section(name));
    let [artifacts, run, select] = ["artifacts", "run", "select"].map(|name| top.section(name));
    let [zips, excludes, includes] = [top.take("zip"), top.take("exclude"), top.take("include")];
    let [compares, claims] = [top.take("compare"), top.take("claim")];
    top.finish();

    let mut base = TrialSpec::PUBLISHED.with(axes::LAMBDA, Value::Real(1.0));
    let validation = data.as_ref().and_then(|data| data.peek(VALIDATION.name));
    let dataset = data.and_then(|data| read_data(data, &mut base));
    read_classifier(classifier, &mut base, unnamed_epochs);
    read_section(vae, Section::Vae, &mut base);
    read_section(penalty, Section::Penalty, &mut base);
    let (artifacts, run) = (read_artifacts(artifacts), read_run(run));
    let selection = read_select(select, base.validation);
    let bounds = Bounds { dataset, batch: base.classifier.batch_size };
    let blocks = grid.and_then(|grid| read_blocks(grid, zips, includes, &bounds));
    let excludes: Vec<_> =
        tables_of(excludes).into_iter().map(|table| read_exclude(table, &bounds)).collect();
    let compares: Option<Vec<_>> = compares.map(|item| {
        item.tables().into_iter().filter_map(|table| read_compare(table, &bounds)).collect()
    });
    let claims: Vec<_> =
        tables_of(claims).into_iter().filter_map(|table| read_claim(table, &bounds)).collect();
    let (name, blocks) = (name?, blocks?);
    base.dataset = dataset?;
    for block in &blocks {
        if let Some(item) = &validation {
            findings.keep(check_validation(block, item, &base));
        }
        findings.keep(check_batches(block, &base));
    }
    let mut grid = Grid {
        name,
        run,
        artifacts,
        selection,
        claims: Vec::new(),
        compares: None,
        base,
        blocks,
        excludes,
    };
    findings.keep(grid.check_size(max_trials))?;
    if findings.none() {
        check_effects(&grid.blocks, &grid.excludes, findings);
    }
    if compares.is_some() || !claims.is_empty() {
        match Cells::new(grid.points(), base) {
            Some(cells) => {
                grid.compares = compares.map(|tables| resolve_compares(tables, &cells, findings));
                grid.claims = resolve_claims(claims, &cells, findings);
            }
            None => findings.add(Problem::somewhere(
                "the grid has too many cells to compare them, with [[compare]] or [[claim]]",
                "take values off its axes",
            )),
        }
    }
    Some(grid)
}

fn read_version(version: &Item<'_>) -> Result<(), Problem> {
    if version.integer::<u32>("1")? == 1 {
        return Ok(());
    }
    let problem = format!("version {} of the grid file is unknown", version.shown());
    Err(version.problem(problem, "this program reads version 1"))
}

/// Reads `[data]`; `None` if the data set is missing or wrong.
fn read_data(mut table: Table<'_>, base: &mut TrialSpec) -> Option<Dataset> {
    let dataset = read_dataset(&mut table);
    let axes = Axis::in_section(Section::Data);
    read_settings(&mut table, axes.filter(|axis| !matches!(axis.kind, Kind::Dataset)), base);
    table.finish();
    dataset
}

/// Checks that the subsets leave enough training images for validation.
fn check_validation(block: &Block, item: &Item<'_>, base: &TrialSpec) -> Result<(), Problem> {
    let (images, all) = (base.validation, u64::from(base.dataset.sizes().train_images));
    let too_large =
        |value: &Value| matches!(value, Value::Whole(size) if size + u64::from(images) > all);
    if block.axis_with(axes::SUBSET_SIZE, too_large).is_none() {
        return Ok(());
    }
    let problem =
        format!("validation `{images}` is more than a subset leaves of the {all} training images");
    Err(item.problem(problem, "lower it, or subset_size"))
}

/// Checks batches that do not go together with values of axes.
fn check_batches(block: &Block, base: &TrialSpec) -> Result<(), Problem> {
    let below = |value: &Value, least: u32| value.number() < least.into();
    let sampled = |value: &Value| {
        Density::by_name(value.name()).is_some_and(|density| density.family().is_some())
    };
    let batch = base.vae_samples().map_or(1, |samples| samples.vae.batch_size);
    if let Some(span) = block.axis_with(axes::SUBSET_SIZE, |value| below(value, batch))
        && block.axis_with(axes::LAMBDA, |value| !axes::LAMBDA.is_off(*value)).is_some()
        && block.axis_with(axes::DENSITY, sampled).is_some()
    {
        let problem = format!("subset_size has values below `{batch}`, a batch of the VAE");
        let hint = "raise them, lower batch_size in [vae], or set lambda = 0";
        return Err(Problem::at(span.offset, problem, hint));
    }
    let normed = |value: &Value| {
        Architecture::by_name(value.name()).is_some_and(Architecture::has_batch_norm)
    };
    if let Some(span) = block.axis_with(axes::ARCHITECTURE, normed) {
        let one_sample = block.axis_with(axes::PENALTY_SAMPLES, |value| below(value, 2)).is_some();
        if base.classifier.batch_size == 1 || one_sample {
            let problem = "batch norm has no variance of `1` image";
            let hint = "with lenet+bn, batch_size and penalty_samples must be above 1";
            return Err(Problem::at(span.offset, problem, hint));
        }
    }
    Ok(())
}

fn read_name(item: &Item<'_>) -> Result<String, Problem> {
    let name = item.string("quick")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !(1..=64).contains(&name.len()) || name.starts_with('.') || !name.chars().all(allowed) {
        let hint = "write 1 to 64 letters, digits, `-`, `_` or `.`, and no dot at the beginning: \
                    it names the run directory";
        return Err(item.problem(format!("name {} cannot name a sweep", item.shown()), hint));
    }
    Ok(name.to_owned())
}
