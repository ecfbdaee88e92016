//! The answer and the report in Markdown.

use swfn_shared::quote::markdown as escaped;

use super::{
    charts::Figure,
    compose::Document,
    table::{Entry, TableView},
    tables::{self, AnswerView},
};
use crate::{numbers::summary::Summary, phrases::answer::progress};

/// A table without its title and caption.
pub(crate) fn table(view: &TableView) -> String {
    let line = |entries: Vec<String>| format!("| {} |\n", entries.join(" | "));
    let mut text = line(view.columns.iter().map(|column| escaped(&column.title)).collect());
    let rule = |number| if number { "---:" } else { "---" }.to_owned();
    text += &line(view.columns.iter().map(|column| rule(column.number)).collect());
    for row in &view.rows {
        let entry = |entry: &Entry| match entry.strong() {
            true => format!("**{}**", escaped(&entry.signed())),
            false => escaped(&entry.text),
        };
        text += &line(row.iter().map(entry).collect());
    }
    if view.left_out > 0 {
        text += &format!("\n{} more rows are left out.\n", view.left_out);
    }
    text
}

fn answer(answer: &AnswerView) -> String {
    let claims = answer.claims.iter().map(|claims| format!("\n{}", table(claims)));
    let mut text: String = claims.collect();
    text += &format!("\n{}\n", escaped(&answer.synthesis));
    for view in std::iter::once(&answer.pivot).chain(&answer.decided) {
        text += &format!("\n{}\n{}\n", table(view), escaped(&view.caption));
    }
    text
}

/// `summary.md`: the answer, then all tables, as GitHub-flavoured Markdown.
pub(crate) fn summary(summary: &Summary) -> String {
    let (sweep, dataset) = (&summary.sweep, &summary.dataset);
    let mut text = format!("# {sweep} on {dataset}\n\n{}.\n", progress(summary));
    text += &answer(&tables::answer(summary));
    for table in tables::results(summary).iter().chain(&tables::failures(summary)) {
        text += &section(table, "##");
    }
    text
}

/// `report.md`: the report, with links to the charts in `charts/`.
pub(crate) fn report(document: &Document<'_>) -> String {
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
    }
    for warning in &document.warnings {
        text += &format!("\n{}\n", escaped(warning));
    }
    text += "\n## Results\n";
    document.results.iter().for_each(|table| text += &section(table, "###"));
    text += "\n## Charts\n";
    for figure in document.drawn() {
        let Figure { title, name, caption, .. } = figure;
        let caption = escaped(caption);
        text += &format!("\n### {title}\n\n![{title}](charts/{name}.svg)\n\n{caption}\n");
    }
    text.extend(document.missing().map(|missing| format!("\n{}\n", escaped(&missing))));
    if !document.failures.is_empty() {
        text += &format!("\n## Failures\n\n{}\n", escaped(&document.failures_lead));
    }
    for failure in &document.failures {
        text += &format!("\n### {}\n\n{}\n", escaped(&failure.title), escaped(&failure.error));
        if failure.trials.len() > 1 {
            text.push('\n');
            failure.trials.iter().for_each(|trial| text += &format!("- {}\n", escaped(trial)));
        }
        if !failure.log.is_empty() {
            // A fence in a log cannot end an indented block.
            text.push('\n');
            failure.log.iter().for_each(|line| text += &format!("    {line}\n"));
        }
    }
    for table in [&document.settings, &document.provenance, &document.cost] {
        text += &section(table, "##");
    }
    text
}

fn section(table: &TableView, level: &str) -> String {
    let (title, caption) = (escaped(table.title), escaped(&table.caption));
    format!("\n{level} {title}\n\n{}\n{caption}\n", self::table(table))
}

#[cfg(test)]
mod tests {
    use crate::numbers::summary_tests::example;

    #[test]
    fn tables() {
        let (_, summary) = example();
        insta::assert_snapshot!("markdown", super::summary(&summary));
    }
}
