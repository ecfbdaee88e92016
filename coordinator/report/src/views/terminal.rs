//! The end of a sweep on a terminal: pivot, decided comparisons, failures, and the answer last,
//! where people see it.

use swfn_shared::text::{count, wrap};

use super::{table::TableView, tables};
use crate::{
    numbers::{answer::Decided, failures, summary::Summary},
    phrases::{
        answer::{MarkNames, progress, synthesis},
        claims::{grounds, verdict},
        failures::{FailureText, describe},
        legends,
        values::points,
    },
};

/// The most lines, so that the beginning does not scroll away. The files have everything.
const LINES: usize = 60;
/// The least rows of the pivot.
const LEAST_ROWS: usize = 8;
/// The most decided comparisons with intervals; a longer list has points alone.
const DETAILED: usize = 12;
/// The most comparisons that are listed where none is decided.
const NEAREST: usize = 8;
/// The most pairs of cells of all claims that are listed.
const PAIRS: usize = 16;
/// The most groups of failures, and the lines of each group's log.
const FAILURES: usize = 3;
const LOG_LINES: usize = 2;
/// Spaces before a line of a log.
const INDENT: usize = 4;

/// The end of a sweep, for a terminal with `width` columns.
pub fn terminal(summary: &Summary, width: u16) -> String {
    let width = usize::from(width);
    let end = [decided(summary, width), failed(summary, width), answer(summary, width)].concat();
    let mut lines =
        vec![format!("{} on {}: {}", summary.sweep, summary.dataset, progress(summary))];
    let mut view = tables::pivot(summary, MarkNames::Told);
    let mut legend = legends::pivot(summary);
    if blocks(&view, width).1.len() > 1 {
        let short = tables::pivot(summary, MarkNames::Star);
        if short != view {
            legend += " *: over another reference, which is named below.";
            view = short;
        }
    }
    let legend = wrap(&legend, width);
    let room = LINES.saturating_sub(end.len() + legend.len() + 2);
    lines.push(String::new());
    lines.extend(pivot(&view, width, room));
    lines.extend(legend);
    lines.extend(end);
    lines.join("\n") + "\n"
}

/// The texts of a column, its title first.
type Texts = Vec<String>;

/// The pivot's labels, and its numbers in blocks of as many subset sizes as fit.
fn blocks(view: &TableView, width: usize) -> (Vec<Texts>, Vec<Vec<Texts>>) {
    let (mut labels, mut numbers) = (Vec::new(), Vec::new());
    for (place, title) in view.columns.iter().enumerate() {
        let entries = || view.rows.iter().map(|row| &row[place]);
        let widest = entries().map(|entry| entry.sign.chars().count()).max().unwrap_or(0);
        // Room for a mark behind each number, if any number has one, so that numbers are aligned.
        let text = |text: &str, sign: &str| match widest {
            0 => text.to_owned(),
            _ => format!("{text} {sign:<widest$}"),
        };
        let texts = entries().map(|entry| text(&entry.text, &entry.sign));
        let column: Texts = std::iter::once(text(&title.title, "")).chain(texts).collect();
        if title.number { numbers.push(column) } else { labels.push(column) }
    }
    let label_width: usize = labels.iter().map(|column| widest(column) + 2).sum();
    let mut blocks: Vec<Vec<Texts>> = vec![Vec::new()];
    let mut used = label_width;
    for column in numbers {
        let needed = widest(&column) + 2;
        if used + needed > width + 2 && blocks.last().is_some_and(|block| !block.is_empty()) {
            blocks.push(Vec::new());
            used = label_width;
        }
        used += needed;
        blocks.last_mut().expect("there is one").push(column);
    }
    (labels, blocks)
}

/// The pivot. Rows with decided cells stay longest.
fn pivot(view: &TableView, width: usize, room: usize) -> Vec<String> {
    let (labels, blocks) = blocks(view, width);
    let rows = (room / blocks.len()).saturating_sub(2).max(LEAST_ROWS);
    let mut order: Vec<usize> = (0..view.rows.len()).collect();
    order.sort_by_key(|row| view.rows[*row].iter().all(|entry| !entry.strong()));
    order.truncate(rows);
    order.sort_unstable();
    let mut lines = Vec::new();
    for block in blocks {
        let shown = std::iter::once(0).chain(order.iter().map(|row| row + 1));
        let line =
            |row: usize| labels.iter().chain(&block).map(|column| column[row].clone()).collect();
        lines.extend(aligned(&shown.map(line).collect::<Vec<_>>(), labels.len()));
    }
    let left_out = view.rows.len() - order.len();
    lines.extend(
        (left_out > 0).then(|| format!("and {} in summary.md", count(left_out, "more row"))),
    );
    lines
}

/// All decided comparisons: a line for each, or the points alone of many. If there are none, those
/// nearest to a decision.
fn decided(summary: &Summary, width: usize) -> Vec<String> {
    let decided = &summary.answer.decided;
    let (title, view) = match tables::decided(summary) {
        Some(view) => ("decided", view),
        None => match tables::nearest(summary, NEAREST) {
            Some(view) => ("not decided", view),
            None => return Vec::new(),
        },
    };
    let mut rows = vec![
        [title, "", "over", "points", "95 % alone", "p alone", "Holm p"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(view.rows.into_iter().map(|row| row.into_iter().map(|entry| entry.text).collect()));
    let mut lines = vec![String::new()];
    // Numbers of a comparison alone are the first to go.
    for left_out in [None, Some(5), Some(4), Some(4)] {
        if let Some(column) = left_out {
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
        let table = aligned(&rows, 3);
        // Without Holm p, nothing tells that they are decided.
        if rows[0].len() < 5 && !decided.is_empty() {
            break;
        }
        if table.iter().all(|line| line.chars().count() <= width) && decided.len() <= DETAILED {
            let family = summary.answer.synthesis.family;
            let legend = match (family, decided.len()) {
                (0, _) => "Points over the same seeds.".to_owned(),
                (1, _) => "Points over the same seeds; Holm p is p alone.".to_owned(),
                (_, 0) => format!(
                    "The smallest p, with points over the same seeds; Holm p is corrected over \
                     {family} comparisons."
                ),
                _ => format!(
                    "Points over the same seeds; Holm p is corrected over {family} comparisons."
                ),
            };
            lines.extend(table);
            lines.extend(wrap(&legend, width));
            return lines;
        }
    }
    if decided.is_empty() {
        return Vec::new();
    }
    lines
        .push("Decided, in points over the same seeds; summary.md has intervals and p:".to_owned());
    lines.extend(grouped(decided).iter().flat_map(|group| wrap(group, width)));
    lines
}

/// A text for the decided comparisons of each place and reference.
fn grouped(decided: &[Decided]) -> Vec<String> {
    let mut groups: Vec<((&str, &str), Vec<String>)> = Vec::new();
    for Decided { context, control, treatment, mean, .. } in decided {
        let place = (context.as_str(), control.as_str());
        let text = format!("{treatment} {}", points(*mean));
        match groups.iter_mut().find(|(other, _)| *other == place) {
            Some((_, texts)) => texts.push(text),
            None => groups.push((place, vec![text])),
        }
    }
    groups
        .into_iter()
        .map(|((context, control), texts)| {
            format!("{context}, over {control}: {}", texts.join("; "))
        })
        .collect()
}

fn failed(summary: &Summary, width: usize) -> Vec<String> {
    let groups = failures::groups(summary);
    let mut lines = Vec::new();
    for group in groups.iter().take(FAILURES) {
        let FailureText { title, error, log, .. } = describe(group, LOG_LINES);
        lines.push(String::new());
        lines.extend(wrap(&format!("{title}: {error}"), width));
        let log = log.iter().flat_map(|line| wrap(line, width.saturating_sub(INDENT)));
        lines.extend(log.map(|line| format!("{:INDENT$}{line}", "")));
    }
    let more = groups.len().saturating_sub(FAILURES);
    lines.extend(
        (more > 0).then(|| format!("and {} of failures in summary.md", count(more, "more kind"))),
    );
    lines
}

/// Claims and synthesis.
fn answer(summary: &Summary, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let pairs: usize = summary.answer.claims.iter().map(|claim| claim.pairs.len()).sum();
    for claim in &summary.answer.claims {
        let mut grounds = grounds(claim).into_iter();
        let first = grounds.next().unwrap_or_default();
        let text = format!("claim {}: {} ({first})", verdict(claim), claim.text);
        lines.extend(wrap(&text, width));
        let pairs = grounds.filter(|_| pairs <= PAIRS).flat_map(|pair| wrap(&pair, width - 2));
        lines.extend(pairs.map(|line| format!("  {line}")));
    }
    lines.extend(wrap(&synthesis(summary).join(" "), width));
    lines
}

fn widest<'t>(texts: impl IntoIterator<Item = &'t String>) -> usize {
    texts.into_iter().map(|text| text.chars().count()).max().unwrap_or(0)
}

/// Rows in columns, two spaces apart. The first `words` columns are aligned at the left.
fn aligned(rows: &[Vec<String>], words: usize) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|column| widest(rows.iter().map(|row| &row[column]))).collect();
    let entry = |(column, text): (usize, &String)| match column < words {
        true => format!("{text:<0$}", widths[column]),
        false => format!("{text:>0$}", widths[column]),
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(entry).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        numbers::summary_tests::{example, finished},
        views::tests::summary,
    };

    /// Sixty cells, with and without decided differences, and a few sizes or many.
    fn sixty(sizes: &str, regularisers: &str, gain: f64) -> Summary {
        let grid = format!(
            "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = {{ count = 5 }}\nsubset_size = {sizes}\n\
             architecture = [\"net\", \"lenet+bn\"]\n{regularisers}\n"
        );
        finished(&grid, |spec| {
            let noise = ((spec.seed * 7 + u64::from(spec.subset_size)) % 5) as f64
                * 0.002
                * (1.0 + spec.lambda());
            Some(0.8 + noise + gain * spec.lambda())
        })
    }

    #[test]
    fn the_end_fits_a_terminal() {
        let many_lambdas = "lambda = [0, 0.001, 0.002, 0.004, 0.008, 0.01, 0.02, 0.04, 0.08, 0.1, 0.2, 0.4, 0.8, 1, 2]";
        let mut some_starred = false;
        for (sizes, regularisers) in [
            ("[100, 300, 1000]", "lambda = [0, 0.01, 0.1, 1, 2]\nweight_decay = [0, 5e-4]"),
            ("[100, 200, 300, 500, 700, 1000, 2000, 3000, 5000, 10000]", "lambda = [0, 0.1, 1]"),
            ("[100, 300]", many_lambdas),
            ("100", &format!("{many_lambdas}\nweight_decay = [0, 5e-4]")),
        ] {
            for gain in [0.0, 0.1] {
                let summary = sixty(sizes, regularisers, gain);
                assert_eq!(
                    (summary.cells().len(), gain > 0.0),
                    (60, !summary.answer.decided.is_empty())
                );
                let text = terminal(&summary, 80);
                assert!(text.lines().count() <= LINES, "{}\n{text}", text.lines().count());
                let starred = text.contains(" +*");
                assert!(!starred || text.contains(" *: over another reference"), "{text}");
                some_starred |= starred;
                let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
                assert!(longest.chars().count() <= 80, "{longest}");
            }
        }
        assert!(some_starred);
    }

    #[test]
    fn the_end_at_80_and_120_columns() {
        let (_, small) = example();
        let large = summary("");
        insta::assert_snapshot!("at_80", terminal(&small, 80) + "\n===\n" + &terminal(&large, 80));
        insta::assert_snapshot!("at_120", terminal(&large, 120));
    }
}
