//! What is asked for, as types that cannot be wrong. Parameters are percent-encoded; `+` stands for itself, as in `lenet+bn`.

use std::borrow::Cow;

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;
use swfn_shared::{ids::TrialId, metrics, quote::printable, trial::Architecture};
use swfn_store::live::{Filter, Page, STATES};

use super::problem::Problem;

/// Items of a list, if nothing is said.
const USUAL_ITEMS: u32 = 100;

/// Items of a list that one answer may have: below half a megabyte, whatever they are.
pub(crate) const MAX_ITEMS: u32 = 500;

/// The same for points, which are small.
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
                return Err(Problem::new(StatusCode::BAD_REQUEST, format!("parameter `{name}` is given twice")));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// The value of a parameter, if it is given.
    fn get<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        allowed: impl FnOnce() -> String,
    ) -> Result<Option<T>, Problem> {
        match self.0.iter().find(|(given, _)| given == name) {
            None => Ok(None),
            Some((_, value)) => parse(value).map(Some).ok_or_else(|| Problem::value(name, value, allowed())),
        }
    }

    fn number(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Problem> {
        // Digits alone: no sign, no blanks.
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let parse = |text: &str| text.parse().ok().filter(|number| digits(text) && (least..=most).contains(number));
        self.get(name, parse, || format!("a whole number from {least} to {most}"))
    }

    fn page(&self, most: u32) -> Result<Page, Problem> {
        let limit = self.number("limit", 1, most)?.unwrap_or(USUAL_ITEMS);
        Ok(Page { limit, offset: self.number("offset", 0, u32::MAX)?.unwrap_or(0) })
    }
}

fn one_of(names: impl IntoIterator<Item = &'static str>) -> String {
    format!("one of {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// `/api/v1/trials`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trials {
    pub(crate) filter: Filter,
    pub(crate) page: Page,
}

impl Trials {
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let given = Parameters::parse(query, &["state", "architecture", "subset_size", "limit", "offset"])?;
        let architectures = || one_of(Architecture::ALL.iter().map(|architecture| architecture.name()));
        let filter = Filter {
            state: given.get("state", |text| STATES.into_iter().find(|state| *state == text), || one_of(STATES))?,
            architecture: given.get("architecture", Architecture::by_name, architectures)?,
            subset_size: given.number("subset_size", 1, u32::MAX)?,
        };
        Ok(Self { filter, page: given.page(MAX_ITEMS)? })
    }
}

/// `/api/v1/trials/{id}/points`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Points {
    /// All metrics if none is named.
    pub(crate) metric: Option<&'static str>,
    pub(crate) page: Page,
}

impl Points {
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let given = Parameters::parse(query, &["metric", "limit", "offset"])?;
        let metric = given.get("metric", metrics::by_name, || one_of(metrics::ALL))?;
        let limit = given.number("limit", 1, MAX_POINTS)?.unwrap_or(MAX_POINTS);
        Ok(Self { metric, page: Page { limit, ..given.page(MAX_POINTS)? } })
    }
}

/// `/api/v1/workers`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Workers(pub(crate) Page);

impl Workers {
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        Parameters::parse(query, &["limit", "offset"])?.page(MAX_ITEMS).map(Self)
    }
}

/// `/api/v1/cells`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cells(pub(crate) Page);

impl Cells {
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        Parameters::parse(query, &["limit", "offset"])?.page(MAX_ITEMS).map(Self)
    }
}

/// Of whatever takes no parameters.
pub(crate) fn nothing(query: Option<&str>) -> Result<(), Problem> {
    Parameters::parse(query, &[]).map(drop)
}

/// A trial's id in a path.
pub(crate) fn trial_id(text: &str) -> Result<TrialId, Problem> {
    text.parse().map_err(|_| {
        let shown = printable(text, 60);
        Problem::new(StatusCode::BAD_REQUEST, format!("trial `{shown}` is not 32 hexadecimal digits in lower case"))
            .hint("/api/v1/trials has their ids")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_ones() {
        let all = "state=quarantined&architecture=lenet+bn&subset_size=300&limit=7&offset=14";
        let page = Page { limit: 7, offset: 14 };
        let filter =
            Filter { state: Some("quarantined"), architecture: Some(Architecture::LenetBn), subset_size: Some(300) };
        assert_eq!(Trials::parse(Some(all)).unwrap(), Trials { filter, page });
        assert_eq!(Trials::parse(Some("architecture=lenet%2Bbn")).unwrap().filter.architecture, filter.architecture);
        let none = Trials::parse(None).unwrap();
        assert_eq!(none, Trials { filter: Filter::default(), page: Page { limit: 100, offset: 0 } });
        assert_eq!(Trials::parse(Some("&&")).unwrap(), none);
        let points = Points::parse(Some("metric=test%2faccuracy&offset=1")).unwrap();
        assert_eq!(points, Points { metric: Some("test/accuracy"), page: Page { limit: 5_000, offset: 1 } });
        assert!(nothing(None).is_ok());
    }

    #[test]
    fn wrong_ones() {
        let trials = |query| Trials::parse(Some(query)).map(|_| ()).unwrap_err().json();
        let texts = [
            trials("state=done"),
            trials("state="),
            trials("architecture=lenet%20bn"),
            trials("subset_size=-1"),
            trials("limit=0"),
            trials("limit=501"),
            trials("limit=+1"),
            trials("offset=4294967296"),
            trials("offset=%ff"),
            trials("limit=1&limit=2"),
            trials("seed=1"),
            trials("<script>=1"),
            trials(&format!("state={}", "%1b".repeat(500))),
            Points::parse(Some("metric=test/acc")).map(|_| ()).unwrap_err().json(),
            nothing(Some("x=1")).unwrap_err().json(),
            trial_id("0123").unwrap_err().json(),
        ];
        insta::assert_snapshot!("wrong_queries", texts.join("\n"));
    }
}
