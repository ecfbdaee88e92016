//! Parameters of requests as types. They are percent-encoded, but `+` is itself, as in `lenet+bn`.

use std::borrow::Cow;

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;
use swfn_shared::{
    ids::{CellId, TrialId},
    metrics,
    quote::printable,
    state::TrialState,
};
use swfn_store::live::{Choice, Order, Page};

use super::{axes::Axes, problem::Problem};

const USUAL_ITEMS: u32 = 100;

/// The most items of a list in one answer, which keeps it below half a megabyte.
pub(crate) const MAX_ITEMS: u32 = 500;

/// The most points in one answer: they are small.
pub(crate) const MAX_POINTS: u32 = 5_000;

/// The parameters of one request, each at most once.
struct Parameters<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Parameters<'q> {
    fn parse(query: Option<&'q str>, known: &[&str]) -> Result<Self, Problem> {
        let mut all: Vec<(Cow<'q, str>, Cow<'q, str>)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode_str(name).decode_utf8_lossy();
            if !known.contains(&&*name) {
                return Err(Problem::parameter(&name, known));
            }
            let Ok(value) = percent_decode_str(value).decode_utf8() else {
                return Err(Problem::value(&name, value, "UTF-8"));
            };
            if all.iter().any(|(other, _)| *other == name) {
                return Err(bad_request(format!("parameter `{name}` is given twice")));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    fn get<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        allowed: impl FnOnce() -> String,
    ) -> Result<Option<T>, Problem> {
        let Some((_, value)) = self.0.iter().find(|(given, _)| given == name) else {
            return Ok(None);
        };
        parse(value).map(Some).ok_or_else(|| Problem::value(name, value, allowed()))
    }

    fn number(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Problem> {
        let parse = |text: &str| {
            text.parse().ok().filter(|number| digits(text) && (least..=most).contains(number))
        };
        self.get(name, parse, || format!("a whole number from {least} to {most}"))
    }

    fn metric(&self) -> Result<Option<&'static str>, Problem> {
        self.get("metric", metrics::by_name, || one_of(metrics::ALL))
    }

    fn page(&self, usual: u32, most: u32) -> Result<Page, Problem> {
        let limit = self.number("limit", 1, most)?.unwrap_or(usual);
        Ok(Page { limit, offset: self.number("offset", 0, u32::MAX)?.unwrap_or(0) })
    }
}

fn bad_request(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, message)
}

/// Whether a text has nothing but digits, so neither sign nor blanks.
fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The most values of an axis that a refusal lists.
const LISTED: usize = 40;

fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    format!("one of {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// `/api/v1/trials`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trials {
    /// Axes, and positions of values on them, that choose the cells.
    pub(crate) values: Vec<(usize, usize)>,
    /// The axis whose positions sort the cells, if the order is [`Order::Cell`].
    pub(crate) axis: Option<usize>,
    pub(crate) choice: Choice,
    pub(crate) page: Page,
}

/// The orders of trials beside those by axes.
pub(crate) const SORTS: [(&str, Order); 7] = [
    ("file", Order::File),
    ("state", Order::State),
    ("accuracy", Order::Accuracy),
    ("seconds", Order::Seconds),
    ("attempts", Order::Attempts),
    ("worker", Order::Worker),
    ("seed", Order::Seed),
];

impl Trials {
    pub(crate) fn parse(query: Option<&str>, axes: &Axes) -> Result<Self, Problem> {
        let mut known = vec!["state", "seed", "sort", "limit", "offset"];
        known.extend(axes.axes.iter().map(|axis| axis.name.as_str()));
        let given = Parameters::parse(query, &known)?;
        let mut values = Vec::new();
        for (place, axis) in axes.axes.iter().enumerate() {
            let value = |text: &str| axis.values.iter().position(|value| value == text);
            let allowed = || one_of(axis.values.iter().map(String::as_str).take(LISTED));
            values.extend(given.get(&axis.name, value, allowed)?.map(|value| (place, value)));
        }
        let sorts = || {
            let axes = axes.axes.iter().map(|axis| axis.name.as_str());
            let names = one_of(SORTS.iter().map(|(name, _)| *name).chain(axes));
            format!("{names}, each also with - before it")
        };
        let sort = |text: &str| {
            let (name, descending) =
                text.strip_prefix('-').map_or((text, false), |name| (name, true));
            let known = SORTS.iter().find(|(known, _)| *known == name);
            let axis = || axes.axes.iter().position(|axis| axis.name == name);
            let sort = known.map(|(_, order)| (*order, None));
            Some((sort.or_else(|| Some((Order::Cell, Some(axis()?))))?, descending))
        };
        let ((order, axis), descending) = given.get("sort", sort, sorts)?.unwrap_or_default();
        let states = || one_of(TrialState::ALL.map(TrialState::name));
        let state = given.get("state", TrialState::by_name, states)?;
        let seed = |text: &str| digits(text).then(|| text.parse::<u64>().ok())?;
        let seed = given.get("seed", seed, || "a whole number".to_owned())?;
        let all = values.is_empty() && axis.is_none();
        let cells = (!all).then(|| axes.choose(&values, axis));
        let choice = Choice { state, seed: seed.map(u64::cast_signed), cells, order, descending };
        Ok(Self { values, axis, choice, page: given.page(USUAL_ITEMS, MAX_ITEMS)? })
    }
}

/// The most cells in one request for curves.
pub(crate) const MAX_CURVES: usize = 12;

/// `/api/v1/curves`: the metric, and at least one cell.
pub(crate) fn curves(query: Option<&str>) -> Result<(&'static str, Vec<CellId>), Problem> {
    let given = Parameters::parse(query, &["metric", "cells"])?;
    let metric = given.metric()?.unwrap_or(metrics::TEST_ACCURACY);
    let cells = |text: &str| {
        let mut cells: Vec<CellId> =
            text.split(',').map(|id| id.parse().ok()).collect::<Option<_>>()?;
        cells.sort_unstable();
        cells.dedup();
        (cells.len() <= MAX_CURVES).then_some(cells)
    };
    let allowed = || format!("1 to {MAX_CURVES} ids of cells with commas between them");
    let cells = given.get("cells", cells, allowed)?;
    Ok((metric, cells.ok_or_else(|| bad_request("parameter `cells` is missing"))?))
}

/// `/api/v1/trials/{id}/points`: the metric if it is not all, and the page.
pub(crate) fn points(query: Option<&str>) -> Result<(Option<&'static str>, Page), Problem> {
    let given = Parameters::parse(query, &["metric", "limit", "offset"])?;
    Ok((given.metric()?, given.page(MAX_POINTS, MAX_POINTS)?))
}

/// `/api/v1/workers` and `/api/v1/cells`
pub(crate) fn page(query: Option<&str>) -> Result<Page, Problem> {
    Parameters::parse(query, &["limit", "offset"])?.page(USUAL_ITEMS, MAX_ITEMS)
}

/// Refuses all parameters.
pub(crate) fn nothing(query: Option<&str>) -> Result<(), Problem> {
    Parameters::parse(query, &[]).map(drop)
}

/// The number of an attempt in a path.
pub(crate) fn attempt(text: &str) -> Result<u32, Problem> {
    Some(text)
        .filter(|text| digits(text))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| bad_request(format!("attempt `{}` is no number", printable(text, 60))))
}

/// The id of a trial in a path.
pub(crate) fn trial_id(text: &str) -> Result<TrialId, Problem> {
    text.parse().map_err(|_| {
        let shown = printable(text, 60);
        bad_request(format!("trial `{shown}` is not 32 hexadecimal digits in lower case"))
            .hint("/api/v1/trials has their ids")
    })
}

#[cfg(test)]
mod tests {
    use swfn_shared::grid::{DEFAULT_MAX_TRIALS, Grid};

    use super::*;

    fn axes() -> Axes {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 2 }\n\
                    subset_size = [100, 300]\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]\n";
        let specs: Vec<_> = Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap().trials().collect();
        Axes::of(&specs)
    }

    #[test]
    fn correct_queries_are_parsed() {
        let axes = axes();
        let parse = |query| Trials::parse(query, &axes).unwrap();
        let all = parse(Some(
            "state=quarantined&architecture=lenet+bn&subset_size=300&seed=1&sort=-regulariser&limit=7&offset=14",
        ));
        let choice = all.choice;
        assert_eq!(
            (choice.state, choice.seed, all.page),
            (Some(TrialState::Quarantined), Some(1), Page { limit: 7, offset: 14 })
        );
        assert_eq!((choice.order, choice.descending), (Order::Cell, true));
        let cells = choice.cells.unwrap();
        let values: Vec<_> =
            cells.iter().map(|(cell, _)| axes.values_of(*cell)["regulariser"]).collect();
        assert_eq!(values, ["bn", "bn + fn 0.1"]);
        assert!(cells[0].1 < cells[1].1);
        assert_eq!(
            parse(Some("architecture=lenet%2Bbn")).values,
            parse(Some("architecture=lenet+bn")).values
        );
        let none = parse(None);
        assert_eq!(parse(Some("&&")), none);
        assert_eq!((none.choice, none.page), (Choice::default(), Page { limit: 100, offset: 0 }));
        let points = points(Some("metric=test%2faccuracy&offset=1")).unwrap();
        assert_eq!(points, (Some("test/accuracy"), Page { limit: 5_000, offset: 1 }));
        let [one, other] = ["0", "f"].map(|digit| digit.repeat(32));
        let (metric, cells) = curves(Some(&format!("cells={other},{one},{one}"))).unwrap();
        assert_eq!((metric, cells.len()), ("test/accuracy", 2));
        assert!(nothing(None).is_ok());
    }

    #[test]
    fn wrong_queries_are_refused() {
        let axes = axes();
        let trials = |query| Trials::parse(Some(query), &axes).map(|_| ()).unwrap_err().json();
        let curves = |query| curves(query).map(|_| ()).unwrap_err().json();
        let texts = [
            trials("state=done"),
            trials("state="),
            trials("architecture=lenet%20bn"),
            trials("subset_size=-1"),
            trials("seed=+1"),
            trials("sort=size"),
            trials("limit=0"),
            trials("limit=501"),
            trials("limit=+1"),
            trials("offset=4294967296"),
            trials("offset=%ff"),
            trials("limit=1&limit=2"),
            trials("colour=1"),
            trials("<script>=1"),
            trials(&format!("state={}", "%1b".repeat(500))),
            points(Some("metric=test/acc")).map(|_| ()).unwrap_err().json(),
            curves(None),
            curves(Some("cells=")),
            curves(Some(&format!("cells={}", vec!["0".repeat(32); 2].join(";")))),
            nothing(Some("x=1")).unwrap_err().json(),
            trial_id("0123").unwrap_err().json(),
            attempt("+1").unwrap_err().json(),
        ];
        insta::assert_snapshot!("wrong_queries", texts.join("\n"));
    }
}
