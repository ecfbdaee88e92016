//! Files as large as they may be, made to take long or to fill the memory. Each is answered before
//! anybody gets impatient; the limit on time is many times what they take.

use std::time::{Duration, Instant};

use super::{DEFAULT_MAX_TRIALS, Grid, MAX_FILE_BYTES};

const BASE: &str = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\narchitecture = \"net\"\nlambda = 0\n";

/// Bytes for what comes after.
const ROOM: usize = 200;

const SEED: &str = "seed = [0]\nsubset_size = 100\n";

/// That text, then so many times this one as there is room for.
fn filled(text: &str, part: impl Fn(usize) -> String) -> String {
    let mut filled = text.to_owned();
    for number in 0.. {
        let part = part(number);
        if filled.len() + part.len() + ROOM > MAX_FILE_BYTES as usize {
            break;
        }
        filled.push_str(&part);
    }
    filled
}

#[test]
fn hostile_files_are_answered_soon() {
    let list = |end: usize| (0..end).map(|seed| format!("{seed},")).collect::<String>();
    let seeds = |end: usize| format!("{BASE}subset_size = 100\nseed = [{}]\n", list(end));
    let same = |part: &'static str| move |_: usize| part.to_owned();
    let wide = format!("{BASE}{SEED}learning_rate = {{ log10 = [-5, -1], count = 1_000_000 }}\n");
    // The file's content; the message, or nothing if it is a grid.
    let cases = [
        ("dotted keys", filled("a", same(".a")) + " = 1\n", "this is not TOML"),
        ("a dotted header", filled("[a", same(".a")) + "]\n", "this is not TOML"),
        ("lists in lists", filled("x = ", same("[")), "this is not TOML"),
        ("tables in tables", filled("x = ", same("{x=")), "this is not TOML"),
        (
            "unknown keys",
            filled(BASE, |number| format!("k{number} = 0\n")),
            "key `k0` is unknown in [grid]",
        ),
        ("unknown tables", filled("", |number| format!("[t{number}]\n")), "`version` is missing"),
        (
            "headers of one table",
            filled("", |number| format!("[t.{number}]\n")),
            "`version` is missing",
        ),
        (
            "a long name",
            filled("version = 1\nname = \"", same("x")) + "\"\n",
            "cannot name a sweep",
        ),
        ("a long key", filled(BASE, same("k")) + " = 1\n", "is unknown in [grid]"),
        (
            "a long number",
            filled(&format!("{BASE}seed = 1"), same("0")) + "\n",
            "is not a whole number",
        ),
        ("a long line of noise", filled("\u{1}", same("\u{1}")), "this is not TOML"),
        ("carriage returns", filled("", same("\r")), "this is not TOML"),
        ("quotes", filled("x = ", same("\"")), "this is not TOML"),
        ("empty lists", filled("zip = [", same("[],")) + "]\n" + BASE + SEED, "are more than 1000"),
        (
            "includes of a long list",
            filled(&seeds(100_000), same("[[include]]\nlambda=1\n")),
            "are more than 1000",
        ),
        (
            "includes of a longer list",
            seeds(500_000) + &"[[include]]\nlambda=1\n".repeat(1_000),
            "`500500000` points",
        ),
        (
            "excludes",
            filled(&wide, |seed| format!("[[exclude]]\nseed={seed}\n")),
            "are more than 1000",
        ),
        (
            "excludes without effect",
            wide.clone() + &"[[exclude]]\nseed=1\nlambda=0\n".repeat(1_000),
            "matches no point",
        ),
        (
            "comparisons of many cells",
            filled(&wide, same("[[compare]]\nlearning_rate=0.1\nagainst={lambda=0}\n")),
            "too many cells",
        ),
        (
            "comparisons that match all cells",
            wide.replace("1_000_000", "100_000")
                + &"[[compare]]\nagainst={lambda=0}\n".repeat(1_000),
            "has its reference, with lambda `0`, in the grid",
        ),
        (
            "claims that match nothing but one cell",
            wide.replace("1_000_000", "50_000").replace("lambda = 0\n", "lambda = [0, 1]\n")
                + &"[[claim]]\ntext=\"a\"\nis=\"better\"\nlearning_rate=0.1\nagainst={lambda=0}\n"
                    .repeat(1_000),
            "",
        ),
        (
            "an exclude of a long list",
            wide.clone() + "[[exclude]]\nseed=[1," + &list(400_000) + "]\n",
            "no points",
        ),
        (
            "a long zip",
            format!(
                "{BASE}subset_size=100\n[[zip]]\nseed=[{0}]\nweight_decay=[{0}]\n",
                list(250_000)
            ),
            "",
        ),
    ];
    for (what, text, message) in cases {
        assert!(text.len() as u64 <= MAX_FILE_BYTES, "{what}: {} bytes", text.len());
        let start = Instant::now();
        let answer = Grid::parse("grid.toml", &text, DEFAULT_MAX_TRIALS)
            .map(drop)
            .map_err(|error| error.to_string());
        let seconds = start.elapsed();
        println!("{what}: {seconds:.2?}: {answer:?}");
        match answer {
            Ok(()) => assert_eq!(message, "", "{what}"),
            Err(error) => {
                assert!(!message.is_empty() && error.contains(message), "{what}: {error}");
                assert!(error.contains("\nhint: ") && error.len() < 4_000, "{what}: {error}");
            }
        }
        assert!(seconds < Duration::from_secs(60), "{what} took {seconds:?}");
    }
}
