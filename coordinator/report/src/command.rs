//! Writes the report, at the end of a sweep or whenever `swfn-coordinator report` asks for it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use swfn_shared::{output, problem, problem::OrProblem as _};
use swfn_store::{
    grid_file::Earlier,
    run_dir::{ExistingFiles, replace},
};
use time::OffsetDateTime;

use crate::{
    numbers::{
        source::{Sources, open, open_grids},
        summary::Summary,
        verification::Verification,
    },
    views::{
        charts::{Content, Figure, Theme, png},
        compose::compose,
        files, html, latex, markdown,
        terminal::terminal,
    },
};

/// Which runs, and where to.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Run directories; the trials of several are united. A sweep may still be running in them
    #[arg(value_name = "RUN_DIR", required = true)]
    runs: Vec<PathBuf>,
    /// The report of an earlier grid of the run directory, whose results were set aside: its number, or `all` grids
    /// together. It goes into a folder of `grids` there
    #[arg(long, value_name = "N|all")]
    grid: Option<Earlier>,
    /// Where the report goes [default: the run directory, if there is one]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How much a sweep writes when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Extent {
    /// No result files; the table on the terminal alone
    None,
    /// Tables as CSV, JSON and Markdown
    Tables,
    /// Tables, charts and the report as HTML, Markdown and LaTeX
    #[default]
    Full,
}

/// Makes the report of what the arguments name, and returns what a terminal of so many columns shows of it.
pub fn run(arguments: &ReportArguments, width: u16) -> anyhow::Result<String> {
    let ReportArguments { runs, grid, out } = arguments;
    ensure!(
        grid.is_none() || runs.len() == 1,
        problem!(
            "--grid names a grid of one run directory, and there are {}", runs.len();
            "make the report of each by itself"
        )
    );
    ensure!(
        out.is_some() || runs.len() == 1,
        problem!("a report of several runs needs a place of its own"; "name one with --out")
    );
    let same = |one: &Path, other: &Path| {
        one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
    };
    if let Some(out) = out
        && runs.len() > 1
    {
        ensure!(
            !runs.iter().any(|run| same(run, out)),
            problem!(
                "`{}` is one of the runs, whose own result files would be overwritten",
                out.display();
                "name another folder with --out"
            )
        );
    }
    let sources = Sources::new(match grid {
        None => open(runs)?,
        grid => open_grids(&runs[0], *grid)?,
    })?;
    // The report of another grid does not take the place of the last one's.
    let usual = || grid.map_or_else(|| runs[0].clone(), |grid| grid.folder(&runs[0]));
    let folder = &out.clone().unwrap_or_else(usual);
    fs::create_dir_all(folder).or_problem(
        || problem!("cannot make `{}`", folder.display(); "choose another with --out"),
    )?;
    let before = out.as_deref().map(ExistingFiles::of);
    let summary = write(&sources, folder, Extent::Full)?;
    before.and_then(|before| before.replaced()).iter().for_each(|note| output::print_message(note));
    Ok(terminal(&summary, width) + &page(folder))
}

/// The last line of a terminal: where the page is that was written into a folder.
pub fn page(folder: &Path) -> String {
    let page = folder.join("report.html");
    format!("report: file://{}\n", page.canonicalize().unwrap_or(page).display())
}

/// [`write`] without the charts beside the report, which take most of the time.
#[cfg(test)]
pub(crate) fn write_without_charts(
    sources: &Sources,
    folder: &Path,
) -> anyhow::Result<Vec<Figure>> {
    let summary = write(sources, folder, Extent::Tables)?;
    write_texts(sources, folder, &summary)
}

/// Writes as much of the results into a folder as `extent` says.
pub fn write(sources: &Sources, folder: &Path, extent: Extent) -> anyhow::Result<Summary> {
    let grids: Vec<_> = sources.runs.iter().map(|run| &run.grid).collect();
    let verification = Some(sources.verification.clone()).filter(Verification::is_there);
    let mut summary = Summary::united(&grids, &sources.trials);
    summary.verification = verification;
    if extent != Extent::None {
        files::write_all(folder, sources, &summary)?;
    }
    if extent == Extent::Full {
        let figures = write_texts(sources, folder, &summary)?;
        charts(&figures, &folder.join("charts"))?;
    }
    Ok(summary)
}

/// Writes the report in all its forms; returns the charts that belong beside it.
fn write_texts(sources: &Sources, folder: &Path, summary: &Summary) -> anyhow::Result<Vec<Figure>> {
    let (document, figures) = compose(sources, summary, &now())?;
    let text = |name: &str, text: String| {
        replace(folder, name, |file| Ok(file.write_all(text.as_bytes())?))
    };
    text("report.html", html::html(&document)?)?;
    text("report.md", markdown::report(&document))?;
    text("summary.tex", latex::summary(&document))?;
    Ok(figures)
}

/// Each chart in both themes, as SVG and PNG. What an earlier report drew and this one cannot is taken away.
fn charts(figures: &[Figure], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).or_problem(
        || problem!("cannot make `{}`", folder.display(); "check disk space and permissions"),
    )?;
    for figure in figures {
        for theme in [Theme::Light, Theme::Dark] {
            let name = |extension| format!("{}{}.{extension}", figure.name, theme.suffix());
            let drawing = match &figure.content {
                // Why it could not be drawn stands in the report.
                Content::Drawing { draw, .. } => {
                    draw(theme).and_then(|svg| Ok((png(&svg)?, svg))).ok()
                }
                Content::Missing(_) => None,
            };
            match drawing {
                Some((png, svg)) => {
                    replace(folder, &name("svg"), |file| Ok(file.write_all(svg.as_bytes())?))?;
                    replace(folder, &name("png"), |file| Ok(file.write_all(&png)?))?;
                }
                None => ["svg", "png"].iter().for_each(|extension| {
                    fs::remove_file(folder.join(name(extension))).ok();
                }),
            }
        }
    }
    Ok(())
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    format!(
        "{}-{:02}-{:02} {:02}:{:02} UTC",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute()
    )
}
