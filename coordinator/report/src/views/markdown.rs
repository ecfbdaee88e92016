//! The answer and the report in Markdown.

use std::fmt::Write as _;

use swfn_shared::quote::markdown as escaped;

use super::{
    document::Document,
    table::{Entry, TableView},
    tables::{self, AnswerView},
};
use crate::{numbers::summary::Summary, phrases};

/// A table without its title and caption.
pub(crate) fn table(view: &TableView) -> String {
    let line = |entries: Vec<String>| format!("| {} |\n", entries.join(" | "));
    let mut text = line(view.columns.iter().map(|column| escaped(&column.title)).collect());
    text += &line(
        view.columns
            .iter()
            .map(|column| if column.number { "---:" } else { "---" }.to_owned())
            .collect(),
    );
    for row in &view.rows {
        let entry = |entry: &Entry| match entry.strong() {
            true => format!("**{}**", escaped(&entry.text)),
            false => escaped(&entry.text),
        };
        text += &line(row.iter().map(entry).collect());
    }
    if view.left_out > 0 {
        text += &format!("\n{} more rows are left out.\n", view.left_out);
    }
    text
}

/// The answer as it stands before everything else.
fn answer(answer: &AnswerView) -> String {
    let mut text = String::new();
    answer.claims.iter().for_each(|claims| text += &format!("\n{}", table(claims)));
    text += &format!("\n{}\n", escaped(&answer.synthesis.join(" ")));
    for view in [Some(&answer.pivot), answer.decided.as_ref()].into_iter().flatten() {
        text += &format!("\n{}\n{}\n", table(view), escaped(&view.caption));
    }
    text
}

/// `summary.md`: the answer, then all tables, as GitHub-flavoured Markdown.
pub(crate) fn summary(summary: &Summary) -> String {
    let progress = phrases::answer::progress(summary);
    let mut text = format!("# {} on {}\n\n{progress}.\n", summary.sweep, summary.dataset);
    text += &answer(&tables::answer(summary));
    tables::results(summary).iter().for_each(|table| show(&mut text, table, "##"));
    tables::failures(summary).iter().for_each(|table| show(&mut text, table, "##"));
    text
}

/// `report.md`: the report; charts stand beside it in `charts/`.
pub(crate) fn report(document: &Document) -> String {
    let mut text = format!(
        "# {}\n\n{}. Report of {}.\n\n{}\n\n## Answer\n",
        escaped(&document.title),
        escaped(&document.progress),
        document.made,
        escaped(&document.question)
    );
    text += &answer(&document.answer);
    if !document.warnings.is_empty() {
        text += "\n## Reservations\n";
        paragraphs(&mut text, &document.warnings);
    }
    text += "\n## Results\n";
    document.results.iter().for_each(|table| show(&mut text, table, "###"));
    text += "\n## Charts\n";
    for figure in &document.figures {
        let (title, name) = (figure.title, figure.name);
        write!(
            text,
            "\n### {title}\n\n![{title}](charts/{name}.svg)\n\n{}\n",
            escaped(&figure.caption)
        )
        .expect("writing to a string");
    }
    for missing in &document.missing_figures {
        write!(text, "\nNo chart “{}”: {}.\n", missing.title, escaped(&missing.why))
            .expect("writing to a string");
    }
    if !document.failures.is_empty() {
        write!(text, "\n## Failures\n\n{}\n", escaped(&document.failures_lead))
            .expect("writing to a string");
    }
    for failure in &document.failures {
        write!(text, "\n### {}\n\n{}\n", escaped(&failure.title), escaped(&failure.error))
            .expect("writing to a string");
        if failure.trials.len() > 1 {
            text.push('\n');
            failure.trials.iter().for_each(|trial| text += &format!("- {}\n", escaped(trial)));
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
        write!(text, "\n{}\n", escaped(sentence)).expect("writing to a string");
    }
}

fn show(text: &mut String, table: &TableView, level: &str) {
    write!(
        text,
        "\n{level} {}\n\n{}\n{}\n",
        escaped(table.title),
        self::table(table),
        escaped(&table.caption)
    )
    .expect("writing to a string");
}

#[cfg(test)]
mod tests {
    use crate::numbers::summary::tests::example;

    #[test]
    fn tables() {
        let (_, summary) = example();
        insta::assert_snapshot!("markdown", super::summary(&summary));
    }
}
