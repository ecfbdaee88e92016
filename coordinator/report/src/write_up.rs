//! `report.md` and `summary.tex`: the report in Markdown, and its tables for a paper.

use std::fmt::Write as _;

use super::{
    document::Document,
    view::{TableView, latex, markdown},
};

/// The report in Markdown; charts stand beside it in `charts/`.
pub(crate) fn report_markdown(document: &Document) -> String {
    let mut text = format!(
        "# {}\n\n{}. Report of {}.\n\n{}\n\n## Answer\n",
        markdown(&document.title),
        markdown(&document.progress),
        document.made,
        markdown(&document.question)
    );
    text += &document.answer.markdown();
    if !document.warnings.is_empty() {
        text += "\n## Reservations\n";
        paragraphs(&mut text, &document.warnings);
    }
    text += "\n## Results\n";
    document.results.iter().for_each(|table| show(&mut text, table, "###"));
    text += "\n## Charts\n";
    for figure in &document.figures {
        let (title, name) = (figure.title, figure.name);
        write!(text, "\n### {title}\n\n![{title}](charts/{name}.svg)\n\n{}\n", markdown(&figure.caption))
            .expect("writing to a string");
    }
    for missing in &document.missing_figures {
        write!(text, "\nNo chart “{}”: {}.\n", missing.title, markdown(&missing.why)).expect("writing to a string");
    }
    if !document.failures.is_empty() {
        write!(text, "\n## Failures\n\n{}\n", markdown(&document.failures_lead)).expect("writing to a string");
    }
    for failure in &document.failures {
        write!(text, "\n### {}\n\n{}\n", markdown(&failure.title), markdown(&failure.error))
            .expect("writing to a string");
        if failure.trials.len() > 1 {
            text.push('\n');
            failure.trials.iter().for_each(|trial| text += &format!("- {}\n", markdown(trial)));
        }
        if !failure.log.is_empty() {
            // Indented, so that no fence in a log ends it.
            text.push('\n');
            failure.log.lines().for_each(|line| text += &format!("    {line}\n"));
        }
    }
    for table in [&document.settings, &document.provenance, &document.cost] {
        show(&mut text, table, "##");
    }
    text
}

fn paragraphs(text: &mut String, sentences: &[String]) {
    for sentence in sentences {
        write!(text, "\n{}\n", markdown(sentence)).expect("writing to a string");
    }
}

fn show(text: &mut String, table: &TableView, level: &str) {
    write!(text, "\n{level} {}\n\n{}\n{}\n", markdown(&table.title), table.markdown(), markdown(&table.caption))
        .expect("writing to a string");
}

/// The tables of results for a paper.
pub(crate) fn summary_latex(document: &Document) -> String {
    let mut text = format!(
        "% {}: {}\n% Tables of {}, made by swfn-coordinator {}. They need \\usepackage{{booktabs,longtable}}.\n",
        latex(&document.title),
        latex(&document.progress),
        document.made,
        document.version
    );
    document.results.iter().for_each(|table| text += &format!("\n{}", table.latex()));
    text
}
