//! Writes the report, at the end of a sweep or for `swfn-coordinator report`.

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
        charts::{Figure, Theme, png},
        compose::compose,
        files, html, latex, markdown,
        terminal::terminal,
    },
};

/// The runs of a report, and its folder.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Run directories; the trials of several are united. A sweep may still be running in them
    #[arg(value_name = "RUN_DIR", required = true)]
    runs: Vec<PathBuf>,
    /// Report on an earlier grid of the run directory, whose results were set aside: its number, or
    /// `all` for all grids together. The report goes into a folder of `grids` there
    #[arg(long, value_name = "N|all")]
    grid: Option<Earlier>,
    /// Write the report to this folder [default: the run directory; required for several]
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

/// Writes the report that the arguments name. Returns its end for a terminal of `width` columns.
pub fn run(arguments: &ReportArguments, width: u16) -> anyhow::Result<String> {
    let ReportArguments { runs, grid, out } = arguments;
    let several = runs.len() > 1;
    ensure!(
        grid.is_none() || !several,
        problem!(
            "--grid names a grid of one run directory, but there are {}", runs.len();
            "write a report of each run directory by itself"
        )
    );
    ensure!(
        out.is_some() || !several,
        problem!("a report of several runs needs a folder of its own"; "name one with --out")
    );
    let same = |run: &Path, out: &Path| {
        run.canonicalize().is_ok_and(|run| out.canonicalize().is_ok_and(|out| run == out))
    };
    if let Some(out) = out {
        ensure!(
            !several || !runs.iter().any(|run| same(run, out)),
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
    // The report of an earlier grid does not replace that of the last grid.
    let default = || grid.map_or_else(|| runs[0].clone(), |grid| grid.folder(&runs[0]));
    let folder = &out.clone().unwrap_or_else(default);
    fs::create_dir_all(folder).or_problem(
        || problem!("cannot make `{}`", folder.display(); "choose another folder with --out"),
    )?;
    let before = out.as_deref().map(ExistingFiles::of);
    let summary = write(&sources, folder, Extent::Full)?;
    before.and_then(|before| before.replaced()).iter().for_each(|note| output::print_message(note));
    Ok(terminal(&summary, width) + &page_line(folder))
}

/// The last line of a terminal: the address of the report in a folder.
pub fn page_line(folder: &Path) -> String {
    let page = folder.join("report.html");
    format!("report: file://{}\n", page.canonicalize().unwrap_or(page).display())
}

/// [`write`] without the files of charts, which take most of the time.
#[cfg(test)]
pub(crate) fn write_without_charts(
    sources: &Sources,
    folder: &Path,
) -> anyhow::Result<Vec<Figure>> {
    let summary = write(sources, folder, Extent::Tables)?;
    write_texts(sources, folder, &summary)
}

/// Writes results into a folder, as much as `extent` says.
pub fn write(sources: &Sources, folder: &Path, extent: Extent) -> anyhow::Result<Summary> {
    let grids: Vec<_> = sources.runs.iter().map(|run| &run.grid).collect();
    let mut summary = Summary::united(&grids, &sources.trials);
    let mut verification = Verification::default();
    for run in &sources.runs {
        verification.add(&run.path, &sources.trials, |spec| summary.label(spec))?;
    }
    summary.verification = Some(verification).filter(Verification::is_there);
    if extent != Extent::None {
        files::write_all(folder, sources, &summary)?;
    }
    if extent == Extent::Full {
        let figures = write_texts(sources, folder, &summary)?;
        charts(&figures, &folder.join("charts"))?;
    }
    Ok(summary)
}

/// Writes the report in all its forms. Returns its charts.
fn write_texts(sources: &Sources, folder: &Path, summary: &Summary) -> anyhow::Result<Vec<Figure>> {
    let document = compose(sources, summary, now())?;
    let text = |name: &str, text: String| {
        replace(folder, name, |file| Ok(file.write_all(text.as_bytes())?))
    };
    text("report.html", html::html(&document)?)?;
    text("report.md", markdown::report(&document))?;
    text("summary.tex", latex::summary(&document))?;
    Ok(document.figures)
}

/// Writes each chart in both themes, as SVG and PNG. Removes charts of an earlier report.
fn charts(figures: &[Figure], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).or_problem(
        || problem!("cannot make `{}`", folder.display(); "check disk space and permissions"),
    )?;
    for figure in figures {
        for theme in [Theme::Light, Theme::Dark] {
            let name = |extension| format!("{}{}.{extension}", figure.name, theme.suffix());
            match figure.svg(theme) {
                Some(svg) => {
                    let png = png(&svg)?;
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
    format!("{} {:02}:{:02} UTC", now.date(), now.hour(), now.minute())
}
