//! `report.md` and `summary.tex`: the report in Markdown, and its tables for a paper.

use std::fmt::Write as _;

use crate::views::{
    document::{Document, PivotEntry, PivotView},
    view::{FITTED, TableView, latex, markdown},
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

/// The tables of results for a paper: first of all the pivot, which is a table for one.
pub(crate) fn summary_latex(document: &Document) -> String {
    let mut text = format!(
        "% {}: {}\n% Tables of {}, made by swfn-coordinator {}. They need \\usepackage{{booktabs,longtable,graphicx}}.\n",
        latex(&document.title),
        latex(&document.progress),
        document.made,
        document.version
    );
    text += &format!("\n{}", pivot_latex(document));
    document.results.iter().for_each(|table| text += &format!("\n{}", table.latex()));
    text
}

/// A row for each network and regulariser, a column for each subset size.
fn pivot_latex(document: &Document) -> String {
    let PivotView { sizes, groups } = &document.pivot;
    let mut text = format!(
        "\\begin{{table}}\n  \\centering\n  \\caption{{{}. {}}}\n  \\label{{tab:pivot}}\n  \\small\\setlength{{\\tabcolsep}}{{4pt}}\n  \
         {FITTED}\\begin{{tabular}}{{l{}}}\n    \\toprule\n    regulariser",
        latex(&document.title),
        latex(&document.answer.pivot.caption),
        "r".repeat(sizes.len())
    );
    sizes.iter().for_each(|size| text += &format!(" & $n = {size}$"));
    text += " \\\\\n";
    for group in groups {
        let columns = sizes.len() + 1;
        text +=
            &format!("    \\midrule\n    \\multicolumn{{{columns}}}{{l}}{{\\emph{{{}}}}} \\\\\n", latex(group.network));
        for row in &group.rows {
            text += &format!("    {}", regulariser_latex(&row.name));
            for PivotEntry { text: cell, sign } in &row.cells {
                text += &match sign.is_empty() {
                    true => format!(" & {}", latex(cell)),
                    false => format!(" & \\textbf{{{}}}$^{{{}}}$", latex(cell), sign.replace('−', "-")),
                };
            }
            text += " \\\\\n";
        }
    }
    text + "    \\bottomrule\n  \\end{tabular}}\n\\end{table}\n"
}

/// The name of a regulariser with its weights as formulas.
fn regulariser_latex(name: &str) -> String {
    let (regulariser, variant) = name.split_once(", ").map_or((name, None), |(name, variant)| (name, Some(variant)));
    let part = |part: &str| match part.split_once(' ') {
        Some(("fn", weight)) => format!("fn $\\lambda = {}$", number_latex(weight)),
        Some((kind, weight)) => format!("{} ${}$", latex(kind), number_latex(weight)),
        None => latex(part),
    };
    let parts: Vec<String> = regulariser.split(" + ").map(part).collect();
    parts.join(" + ") + &variant.map_or(String::new(), |variant| format!(", {}", latex(variant)))
}

/// `5e-4` as a formula.
fn number_latex(number: &str) -> String {
    match number.split_once('e') {
        Some(("1", power)) => format!("10^{{{power}}}"),
        Some((factor, power)) => format!("{factor} \\cdot 10^{{{power}}}"),
        None => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_formulas() {
        for (name, wanted) in [
            ("none", "none"),
            ("fn 0.1", "fn $\\lambda = 0.1$"),
            ("dropout + fn 1e-3 + wd 5e-4", "dropout + fn $\\lambda = 10^{-3}$ + wd $5 \\cdot 10^{-4}$"),
            ("fn 1, lr 0.1", "fn $\\lambda = 1$, lr 0.1"),
        ] {
            assert_eq!(regulariser_latex(name), wanted);
        }
    }
}
