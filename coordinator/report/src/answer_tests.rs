//! Views of made-up results: each shows exactly the decided comparisons as decided.

use rand::{Rng, RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use swfn_shared::trial::TrialSpec;

use crate::{
    command::write_without_charts,
    numbers::{
        answer::{Decided, Mark},
        contrast::{Comparison, Sign},
        source::{Sources, open},
        summary::Summary,
        summary_tests::finished,
    },
    phrases::values,
    sample,
    views::{markdown, terminal::terminal},
};

fn some<T: Copy + std::fmt::Debug>(random: &mut impl Rng, of: &[T], most: usize) -> String {
    let mut values = of.to_vec();
    values.shuffle(random);
    values.truncate(random.random_range(1..=most));
    format!("{values:?}")
}

/// A grid of random axes; one in three says what to compare.
fn grid(random: &mut ChaCha8Rng) -> String {
    let axes = format!(
        "seed = {{ count = {} }}\nsubset_size = {}\narchitecture = {}\nlambda = {}\nweight_decay = {}",
        random.random_range(2..7),
        some(random, &[100, 300, 1000], 2),
        some(random, &["net", "net+dropout", "lenet", "lenet+bn"], 3),
        some(random, &[0.0, 0.01, 0.1], 3),
        some(random, &[0.0, 5e-4], 2),
    );
    sample::grid(&axes)
}

/// Results of it: most cells have an effect of their own, some trials have no result.
fn results(random: &mut ChaCha8Rng, grid: &str) -> Summary {
    let salt: u64 = random.random();
    let noise = random.random_range(0.001..0.02);
    finished(grid, |spec: &TrialSpec| {
        let of = |seed: u64, spec: &TrialSpec| {
            let text = format!("{} {seed} {salt}", spec.cell());
            let hash = text
                .bytes()
                .fold(salt, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            (hash >> 32) as f64 / f64::from(u32::MAX)
        };
        let own = of(1_000_000, spec);
        let effect = if own < 0.3 { 0.0 } else { 0.06 * (own - 0.65) };
        (of(spec.seed + 7, spec) > 0.03).then(|| 0.8 + effect + noise * of(spec.seed, spec))
    })
}

/// A text with single blanks, so that tables and broken lines read alike.
fn flat(text: &str) -> String {
    text.replace(['|', '*'], " ")
        .replace("&lt;", "<")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// How a table tells of a comparison.
fn row(comparison: &Comparison) -> String {
    let Comparison { context, treatment, control, .. } = comparison;
    let mean = comparison.difference.map_or(0.0, |difference| difference.mean);
    format!("{context} {treatment} {control} {}", values::points(mean))
}

fn by_p(decided: &[Decided]) -> bool {
    decided.is_sorted_by(|one, other| one.p_holm <= other.p_holm)
}

#[test]
fn every_view_shows_exactly_the_decided_comparisons() {
    let (mut decided_at_all, mut many) = (0, 0);
    for seed in 0..60 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let grid = grid(&mut random);
        let summary = results(&mut random, &grid);
        let answer = &summary.answer;
        let is_decided = |comparison: &&Comparison| comparison.t_p_holm.is_some_and(|p| p < 0.05);
        let expected: Vec<&Comparison> = summary.comparisons.iter().filter(is_decided).collect();
        decided_at_all += expected.len();
        many += usize::from(expected.len() > 12);
        assert!(answer.decided.len() == expected.len() && by_p(&answer.decided), "{grid}");
        let synthesis = &answer.synthesis;
        assert_eq!(synthesis.gains + synthesis.losses, expected.len());
        assert_eq!(
            expected.len() + synthesis.undecided + synthesis.unknown,
            summary.comparisons.len()
        );

        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["answer"]["decided"].as_array().unwrap().len(), expected.len());
        let markdown = markdown::summary(&summary);
        let (lead, tables) = markdown.split_once("\n## ").unwrap();
        for width in [60, 80, 120] {
            let text = terminal(&summary, width);
            // Only what is decided stands between the pivot's legend and the end, if anything is.
            let start = text.find("\ndecided ").or_else(|| text.find("\nDecided, "));
            assert_eq!(start.is_some(), !expected.is_empty(), "{text}");
            let told = &flat(&text[start.unwrap_or(text.len())..]);
            for comparison in &summary.comparisons {
                let Comparison { context, treatment, control, .. } = comparison;
                // One number is rounded in one way wherever it stands.
                let gain = summary.cells()[comparison.cell].gain_over_none;
                if treatment.starts_with("fn") && !treatment.contains('+') && control == "none" {
                    let of = |estimate: Option<crate::numbers::statistics::Estimate>| {
                        estimate.map(|of| values::points(of.mean))
                    };
                    assert_eq!(of(gain), of(comparison.difference));
                }
                let decided = expected.iter().any(|other| std::ptr::eq(*other, comparison));
                let mean =
                    values::points(comparison.difference.map_or(0.0, |difference| difference.mean));
                let group = format!("{context}, over {control}: ");
                let in_group = |told: &str| {
                    told.split(&group).skip(1).any(|rest| {
                        let entries = rest.split(" n = ").next().unwrap_or(rest).split("; ");
                        entries
                            .into_iter()
                            .any(|entry| entry.starts_with(&format!("{treatment} {mean}")))
                    })
                };
                let is_told = told.contains(&row(comparison)) || in_group(told);
                assert_eq!(is_told, decided, "{}: {text}", row(comparison));
                assert_eq!(flat(lead).contains(&row(comparison)), decided, "{lead}");
                let bold = format!("| {context} | {treatment} | {control} | **{mean}** |");
                assert_eq!(tables.contains(&bold), decided, "{bold}: {tables}");
            }
        }
        for decided in &answer.decided {
            let up = decided.mean > 0.0;
            assert_eq!(decided.sign, if up { Sign::Gain } else { Sign::Loss });
            let cell = summary.comparisons[decided.comparison].cell;
            let marks = answer.pivot.rows.iter().flat_map(|row| row.cells.iter().flatten());
            let shown = marks.into_iter().find(|shown| shown.cell == cell).unwrap();
            let Decided { sign, control, .. } = decided.clone();
            assert!(shown.decided.contains(&Mark { sign, control }), "{shown:?}");
        }
    }
    assert!(decided_at_all > 100 && many > 0, "{decided_at_all}, {many}");
}

/// The page and the report in Markdown have the same answer as the summary beside them.
#[test]
fn the_report_shows_the_decided_comparisons() {
    let mut some_decided = 0;
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let grid = grid(&mut ChaCha8Rng::seed_from_u64(seed));
        sample::run(dir.path(), &grid, |index, _| (index % 11 != 3).then_some(Ok(())));
        let sources = Sources::new(open(&[dir.path().to_owned()]).unwrap()).unwrap();
        write_without_charts(&sources, dir.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let html = read("report.html");
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let page = roxmltree::Document::parse_with_options(&html, options).unwrap();
        let text = |node: roxmltree::Node<'_, '_>| {
            flat(
                &node
                    .descendants()
                    .filter(|node| node.is_text())
                    .filter_map(|node| node.text())
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        };
        let decided =
            page.descendants().filter(|node| node.attribute("class") == Some("t-decided"));
        let rows: Vec<String> = decided
            .flat_map(|table| table.descendants())
            .filter(|node| node.has_tag_name("tr"))
            .map(text)
            .collect();
        let summary = Summary::united(&[&sources.runs[0].grid], &sources.trials);
        let table = page
            .descendants()
            .find(|node| node.attribute("class").is_some_and(|class| class.contains("t-decided")));
        let body = table
            .into_iter()
            .flat_map(|table| table.descendants())
            .filter(|node| node.has_tag_name("tr"));
        let told = body.filter(|row| row.descendants().any(|node| node.has_tag_name("td"))).count();
        assert_eq!(told, summary.answer.decided.len());
        let markdown = flat(read("report.md").split_once("\n## Results").unwrap().0);
        for comparison in &summary.comparisons {
            let Comparison { treatment, control, .. } = comparison;
            let mean =
                values::points(comparison.difference.map_or(0.0, |difference| difference.mean));
            let decided = comparison.decided().is_some();
            some_decided += usize::from(decided);
            assert_eq!(markdown.contains(&row(comparison)), decided, "{markdown}");
            if decided {
                let parts = [treatment, control, &mean];
                assert!(
                    rows.iter().any(|row| parts.iter().all(|part| row.contains(*part))),
                    "{parts:?} in {rows:?}"
                );
            }
        }
    }
    assert!(some_decided > 0);
}
