//! Requests for the dashboard, as a line with method and address and lines of headers. The targets
//! check the guard, paths and parameters.

use std::{fmt::Write as _, net::IpAddr, str, sync::LazyLock};

use axum::http::{HeaderName, HeaderValue, Method, Request, Uri, header, request::Parts};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use percent_encoding::percent_decode;
use swfn_shared::{
    access::Token,
    grid::{DEFAULT_MAX_TRIALS, Grid},
};
use swfn_store::live::{Choice, Page};

use crate::{
    axes::Axes,
    commands,
    guard::{Guard, is_open},
    problem::Problem,
    query::{
        MAX_CURVES, MAX_ITEMS, MAX_POINTS, SORTS, Trials, attempt, curves, page, points, trial_id,
    },
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The address that connections come to.
const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

/// The other names of the guard.
const HOSTS: [&str; 2] = ["head.example", "2001:db8::7"];

/// A guard without a token, and one with it.
static GUARDS: LazyLock<[Guard; 2]> = LazyLock::new(|| {
    let token = Token::parse(SECRET, "here").expect("a token that is right");
    [None, Some(token)].map(|token| Guard::new(HOSTS.map(str::to_owned).to_vec(), token))
});

/// The axes of a small sweep.
static AXES: LazyLock<Axes> = LazyLock::new(|| {
    let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 2 }\n\
                subset_size = [100, 300]\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]\n";
    let grid = Grid::parse("t", grid, DEFAULT_MAX_TRIALS).expect("the grid is sound");
    Axes::of(&grid.trials().collect::<Vec<_>>())
});

/// The name of a target and of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[("http", request)];

fn request(data: &[u8]) {
    let Some(head) = read(data).filter(|head| !says_the_token(head)) else { return };
    let [open, closed] = &*GUARDS;
    let passed = open.check(&head, Some(LOCAL));
    if passed.is_ok() {
        let reads = head.method == Method::GET || head.method == Method::HEAD;
        assert!(if head.uri.path() == commands::PATH {
            head.method == Method::POST
        } else {
            reads
        });
        let hosts: Vec<_> = head.headers.get_all(header::HOST).iter().collect();
        let [host] = hosts[..] else { panic!("{hosts:?}") };
        assert!(is_ours(host.to_str().expect("names are ASCII")), "{host:?}");
    }
    match (passed, closed.check(&head, Some(LOCAL))) {
        (Ok(()), Ok(())) => {
            assert!(is_open(head.uri.path()) || shows_the_token(&head), "{:?}", head.headers)
        }
        (Ok(()), Err(problem)) => {
            assert_eq!(problem.status.as_u16(), 401);
            refused(&problem);
        }
        (Err(problem), Err(_)) => refused(&problem),
        // A command with the token needs no origin.
        (Err(problem), Ok(())) => {
            assert!(
                head.uri.path() == commands::PATH && shows_the_token(&head),
                "{}",
                problem.json()
            );
            refused(&problem);
        }
    }
    addressed(&head.uri);
}

/// The first line: method, address. The others: a header each.
fn read(data: &[u8]) -> Option<Parts> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let (method, uri) = split(lines.next()?, b' ')?;
    let mut head = Request::new(()).into_parts().0;
    head.method = Method::from_bytes(method).ok()?;
    head.uri = Uri::try_from(uri).ok()?;
    for line in lines {
        let (name, value) = split(line, b':')?;
        let name = HeaderName::from_bytes(name).ok()?;
        head.headers.append(name, HeaderValue::from_bytes(value.trim_ascii()).ok()?);
    }
    Some(head)
}

fn split(line: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = line.iter().position(|byte| *byte == at)?;
    Some((&line[..place], &line[place + 1..]))
}

/// The simplest check of our hosts.
fn is_ours(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let without_port = match host.rsplit_once(':') {
        Some((name, port))
            if port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => &host,
    };
    let name = without_port
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(without_port);
    let address = name.parse::<IpAddr>().map(|address| address.to_canonical());
    name == "localhost"
        || HOSTS.contains(&name)
        || address.is_ok_and(|address| address == LOCAL || address.is_loopback())
}

/// Whether the token, plain or percent-encoded, stands where it does not belong. An answer that
/// repeats it reveals nothing then.
fn says_the_token(head: &Parts) -> bool {
    let others = head.headers.iter().filter(|(name, _)| *name != header::AUTHORIZATION);
    let has = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes).contains(SECRET)
            || percent_decode(bytes).decode_utf8_lossy().contains(SECRET)
    };
    has(head.uri.to_string().as_bytes())
        || others.into_iter().any(|(_, value)| has(value.as_bytes()))
}

fn shows_the_token(head: &Parts) -> bool {
    let Some(value) = head.headers.get(header::AUTHORIZATION) else { return false };
    let has = |bytes: &[u8]| bytes.ends_with(SECRET.as_bytes());
    let last = value.as_bytes().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    has(last) || BASE64.decode(last).is_ok_and(|pair| has(&pair))
}

/// Parameters are the same when they are written out and parsed again, and are bounded.
fn addressed(uri: &Uri) {
    let query = uri.query();
    let trials = |query: Option<&str>| Trials::parse(query, &AXES);
    same(
        trials(query),
        |Trials { values, axis, choice, page }| {
            let Choice { state, seed, order, descending, .. } = choice;
            let mut text = in_bounds(*page, MAX_ITEMS);
            let mut add = |name: &str, value: Option<String>| {
                value.iter().for_each(|value| {
                    write!(text, "&{name}={value}").expect("writing to a string")
                });
            };
            let axes = &AXES.axes;
            add("state", state.map(|state| state.to_string()));
            add("seed", seed.map(|seed| seed.cast_unsigned().to_string()));
            for (axis, value) in values {
                add(&axes[*axis].name, Some(axes[*axis].values[*value].clone()));
            }
            let name = match axis {
                Some(axis) => &axes[*axis].name,
                None => SORTS.iter().find(|(_, of)| of == order).expect("it has a name").0,
            };
            add("sort", Some(format!("{}{name}", if *descending { "-" } else { "" })));
            text
        },
        trials,
    );
    same(
        curves(query),
        |(metric, cells)| {
            assert!((1..=MAX_CURVES).contains(&cells.len()));
            let cells: Vec<_> = cells.iter().map(ToString::to_string).collect();
            format!("metric={metric}&cells={}", cells.join(","))
        },
        curves,
    );
    same(
        points(query),
        |(metric, page)| {
            in_bounds(*page, MAX_POINTS)
                + &metric.map_or(String::new(), |metric| format!("&metric={metric}"))
        },
        points,
    );
    same(page(query), |page| in_bounds(*page, MAX_ITEMS), page);
    for part in uri.path().split('/') {
        match trial_id(part) {
            Ok(id) => assert_eq!(id.to_string(), part),
            Err(problem) => refused(&problem),
        }
        match attempt(part) {
            Ok(number) => assert!(part.ends_with(&number.to_string())),
            Err(problem) => refused(&problem),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    parsed: Result<T, Problem>,
    write: impl Fn(&T) -> String,
    parse: impl Fn(Option<&str>) -> Result<T, Problem>,
) {
    match parsed {
        Ok(value) => assert_eq!(parse(Some(&write(&value))).ok().as_ref(), Some(&value)),
        Err(problem) => refused(&problem),
    }
}

fn in_bounds(page: Page, most: u32) -> String {
    assert!((1..=most).contains(&page.limit));
    format!("limit={}&offset={}", page.limit, page.offset)
}

/// A refusal is short, printable, and no secret.
fn refused(problem: &Problem) {
    assert!(problem.status.is_client_error());
    let text = problem.json();
    assert!(text.len() <= 4_000 && !text.contains(char::is_control), "{text}");
    assert!(!problem.message().is_empty() && !text.contains(SECRET));
}

#[cfg(test)]
mod tests {
    swfn_fuzz::corpora_hold!(super::TARGETS);
}
