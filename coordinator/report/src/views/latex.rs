//! `summary.tex`: the tables of results for a paper.

use swfn_shared::quote::latex as escaped;

use super::{
    compose::Document,
    table::{Entry, TableView},
};

/// The tables of results for a paper, the pivot first.
pub(crate) fn summary(document: &Document<'_>) -> String {
    let mut text = format!(
        "% {}: {}\n% Tables of {}, made by swfn-coordinator {}. They need \
         \\usepackage{{booktabs,longtable,graphicx}}.\n",
        escaped(&document.title),
        escaped(&document.progress),
        document.made,
        document.version
    );
    for view in std::iter::once(&document.answer.pivot).chain(&document.results) {
        text += &format!("\n{}", table(view));
    }
    text
}

/// The alignment of all columns. In tables without numbers, long texts are broken into lines.
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

/// The table as a float, for the package booktabs; a table of several pages for the package
/// longtable.
pub(crate) fn table(view: &TableView) -> String {
    /// Rows that fit on a page.
    const PAGE: usize = 40;
    /// Shrinks a table that is wider than a line; for the package graphicx.
    const FITTED: &str =
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n  ";
    let columns = view.own_columns();
    // A table of comparisons is as wide as a page.
    let (size, gap) = if columns.len() > 7 { ("scriptsize", 2) } else { ("small", 4) };
    let narrow = format!("\\{size}\\setlength{{\\tabcolsep}}{{{gap}pt}}");
    let line = |entries: Vec<String>| format!("    {} \\\\\n", entries.join(" & "));
    let alignment = alignment(view);
    let caption = format!("\\caption{{{}. {}}}", escaped(view.title), escaped(&view.caption));
    let label = format!("\\label{{tab:{}}}", view.name);
    let (begin, head, end) = match view.rows.len() > PAGE {
        true => (
            format!("{{{narrow}\n\\begin{{longtable}}{{{alignment}}}\n  {caption} {label} \\\\\n"),
            "    \\endhead\n",
            "\\end{longtable}}\n",
        ),
        false => (
            format!(
                "\\begin{{table}}\n  \\centering\n  {caption}\n  {label}\n  {narrow}\n  \
                 {FITTED}\\begin{{tabular}}{{{alignment}}}\n"
            ),
            "",
            "  \\end{tabular}}\n\\end{table}\n",
        ),
    };
    let mut text = begin + "    \\toprule\n";
    text += &line(columns.iter().map(|column| escaped(&column.title)).collect());
    text += &format!("    \\midrule\n{head}");
    let across =
        |words: &str| format!("    \\multicolumn{{{}}}{{l}}{{{words}}} \\\\\n", columns.len());
    for (index, row) in view.rows.iter().enumerate() {
        if let Some(name) = view.begins(&index) {
            text += &across(&format!("\\emph{{{}}}", escaped(name)));
        }
        let entries = view.own(row).iter().zip(columns).map(|(entry, column)| {
            let is_name = ["regulariser", "over"].contains(&column.title.as_str());
            if is_name { regulariser(&entry.text) } else { cell(entry) }
        });
        text += &line(entries.collect());
    }
    if view.left_out > 0 {
        text += &across(&format!("{} more rows are left out.", view.left_out));
    }
    text + "    \\bottomrule\n" + end
}

fn cell(entry: &Entry) -> String {
    let text = match entry.strong() {
        true => format!("\\textbf{{{}}}", escaped(&entry.text)),
        false => escaped(&entry.text),
    };
    match entry.sign.as_str() {
        "" => text,
        "+" => format!("{text}$^{{+}}$"),
        "−" => format!("{text}$^{{-}}$"),
        sign => format!("{text} ({})", escaped(sign)),
    }
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
