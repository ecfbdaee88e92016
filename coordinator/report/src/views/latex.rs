//! `summary.tex`: the tables of results for a paper.

use swfn_shared::quote::latex as escaped;

use super::{
    document::{Document, PivotEntry, PivotView},
    table::{Entry, TableView},
};

/// What follows in braces, made smaller if it is wider than a line; for the package graphicx.
const FITTED: &str = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n  ";

/// The tables of results for a paper: first of all the pivot, which is a table for one.
pub(crate) fn summary(document: &Document) -> String {
    let mut text = format!(
        "% {}: {}\n% Tables of {}, made by swfn-coordinator {}. They need \\usepackage{{booktabs,longtable,graphicx}}.\n",
        escaped(&document.title),
        escaped(&document.progress),
        document.made,
        document.version
    );
    text += &format!("\n{}", pivot(document));
    document.results.iter().for_each(|view| text += &format!("\n{}", table(view)));
    text
}

/// The columns in LaTeX. Where there are no numbers, but long texts, those are broken into lines.
pub(crate) fn alignment(view: &TableView) -> String {
    const LONG: usize = 16;
    let columns = view.own_columns();
    let is_long =
        |place: usize| view.rows.iter().any(|row| view.own(row)[place].text.chars().count() > LONG);
    let broken = |place: &usize| columns.iter().all(|column| !column.number) && is_long(*place);
    let share = 0.74 / (0..columns.len()).filter(broken).count().max(1) as f64;
    let columns = columns.iter().enumerate().map(|(place, column)| match column.number {
        true => "r".to_owned(),
        false if broken(&place) => format!("p{{{share:.2}\\linewidth}}"),
        false => "l".to_owned(),
    });
    columns.collect()
}

/// The table as a float of LaTeX, for the package booktabs; a long one over several pages, for the package longtable.
pub(crate) fn table(view: &TableView) -> String {
    /// Rows that fit on a page.
    const PAGE: usize = 40;
    // A table of comparisons is as wide as a page.
    let (size, gap) = if view.own_columns().len() > 7 { ("scriptsize", 2) } else { ("small", 4) };
    let narrow = format!("\\{size}\\setlength{{\\tabcolsep}}{{{gap}pt}}");
    let line = |entries: Vec<String>| format!("    {} \\\\\n", entries.join(" & "));
    let alignment = alignment(view);
    let caption = format!("\\caption{{{}. {}}}", escaped(view.title), escaped(&view.caption));
    let label = format!("\\label{{tab:{}}}", view.name);
    let long = view.rows.len() > PAGE;
    let mut text = match long {
        true => {
            format!(
                "{{{narrow}\n\\begin{{longtable}}{{{alignment}}}\n  {caption} {label} \\\\\n    \\toprule\n"
            )
        }
        false => format!(
            "\\begin{{table}}\n  \\centering\n  {caption}\n  {label}\n  {narrow}\n  {FITTED}\\begin{{tabular}}{{{alignment}}}\n    \\toprule\n"
        ),
    };
    text += &line(view.own_columns().iter().map(|column| escaped(&column.title)).collect());
    text += if long { "    \\midrule\n    \\endhead\n" } else { "    \\midrule\n" };
    let columns = view.own_columns().len();
    let across = |words: &str| format!("    \\multicolumn{{{columns}}}{{l}}{{{words}}} \\\\\n");
    for (index, row) in view.rows.iter().enumerate() {
        let entry = |entry: &Entry| match entry.strong() {
            true => format!("\\textbf{{{}}}", escaped(&entry.text)),
            false => escaped(&entry.text),
        };
        let name = view.begins(&index).map(|name| across(&format!("\\emph{{{}}}", escaped(name))));
        text += &name.unwrap_or_default();
        text += &line(view.own(row).iter().map(entry).collect());
    }
    if view.left_out > 0 {
        text += &across(&format!("{} more rows are left out.", view.left_out));
    }
    text += "    \\bottomrule\n";
    text + if long { "\\end{longtable}}\n" } else { "  \\end{tabular}}\n\\end{table}\n" }
}

/// A row for each network and regulariser, a column for each subset size.
fn pivot(document: &Document) -> String {
    let PivotView { sizes, groups } = &document.pivot;
    let mut text = format!(
        "\\begin{{table}}\n  \\centering\n  \\caption{{{}. {}}}\n  \\label{{tab:pivot}}\n  \\small\\setlength{{\\tabcolsep}}{{4pt}}\n  \
         {FITTED}\\begin{{tabular}}{{l{}}}\n    \\toprule\n    regulariser",
        escaped(&document.title),
        escaped(&document.answer.pivot.caption),
        "r".repeat(sizes.len())
    );
    sizes.iter().for_each(|size| text += &format!(" & $n = {size}$"));
    text += " \\\\\n";
    for group in groups {
        let columns = sizes.len() + 1;
        text += &format!(
            "    \\midrule\n    \\multicolumn{{{columns}}}{{l}}{{\\emph{{{}}}}} \\\\\n",
            escaped(group.network)
        );
        for row in &group.rows {
            text += &format!("    {}", regulariser(&row.name));
            for PivotEntry { text: cell, sign } in &row.cells {
                text += &match sign.is_empty() {
                    true => format!(" & {}", escaped(cell)),
                    false => {
                        format!(" & \\textbf{{{}}}$^{{{}}}$", escaped(cell), sign.replace('−', "-"))
                    }
                };
            }
            text += " \\\\\n";
        }
    }
    text + "    \\bottomrule\n  \\end{tabular}}\n\\end{table}\n"
}

/// The name of a regulariser with its weights as formulas.
fn regulariser(name: &str) -> String {
    let (regulariser, variant) =
        name.split_once(", ").map_or((name, None), |(name, variant)| (name, Some(variant)));
    let part = |part: &str| match part.split_once(' ') {
        Some(("fn", weight)) => format!("fn $\\lambda = {}$", formula(weight)),
        Some((kind, weight)) => format!("{} ${}$", escaped(kind), formula(weight)),
        None => escaped(part),
    };
    let parts: Vec<String> = regulariser.split(" + ").map(part).collect();
    parts.join(" + ") + &variant.map_or(String::new(), |variant| format!(", {}", escaped(variant)))
}

/// `5e-4` as a formula.
fn formula(number: &str) -> String {
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
            (
                "dropout + fn 1e-3 + wd 5e-4",
                "dropout + fn $\\lambda = 10^{-3}$ + wd $5 \\cdot 10^{-4}$",
            ),
            ("fn 1, lr 0.1", "fn $\\lambda = 1$, lr 0.1"),
        ] {
            assert_eq!(regulariser(name), wanted);
        }
    }
}
