//! Rules of `STYLE.md` for sources: comments have at most 100 columns, names of tests eight words.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longest line of a comment.
const COLUMNS: usize = 100;

/// Most words of a test's name.
const WORDS: usize = 8;

/// Hidden folders that belong to the project.
const HIDDEN: [&str; 3] = [".ci", ".cargo", ".github"];

/// The language of a source, as far as comments matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Rust,
    /// Other languages with `//`.
    Slashes,
    Python,
    /// Other languages with `#`.
    Hashes,
}

/// Tells the language by the file's name; `None` for other files.
fn language(file: &Path) -> Option<Language> {
    let name = file.file_name()?.to_str()?;
    match name.rsplit_once('.').map_or(name, |(_, extension)| extension) {
        "rs" => Some(Language::Rust),
        "proto" | "js" | "mjs" => Some(Language::Slashes),
        "py" => Some(Language::Python),
        "sh" | "sbatch" | "yaml" | "yml" | "Dockerfile" => Some(Language::Hashes),
        // `.ci/run`.
        "run" => Some(Language::Hashes),
        _ => None,
    }
}

/// Calls `each` with every source of the project below a folder: its path and its text.
fn sources(folder: &Path, each: &mut impl FnMut(Language, &Path, &str)) {
    let entries = fs::read_dir(folder).expect("the repository can be read");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_foreign = (name.starts_with('.') && !HIDDEN.contains(&&*name))
            || ["target", "node_modules", "corpus", "runs"].contains(&&*name);
        if is_foreign || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            sources(&path, each);
        } else if let Some(language) = language(&path) {
            each(language, &path, &fs::read_to_string(&path).expect("a source is text"));
        }
    }
}

/// Passes every source of the project to `problems_in` and fails with the problems that it returns.
fn check(problems_in: impl Fn(Language, &str) -> Vec<(usize, String)>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are in the repository");
    let (mut count, mut problems) = (0, Vec::new());
    sources(root, &mut |language, path, text| {
        count += 1;
        let place = path.strip_prefix(root).unwrap_or(path).display();
        let found = problems_in(language, text).into_iter();
        problems.extend(found.map(|(line, problem)| format!("{place}:{line}: {problem}")));
    });
    assert!(count > 100, "{} has few sources", root.display());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Whether a line is a comment, or ends with one. `in_text` is true within Python's `"""`.
fn is_comment(language: Language, line: &str, in_text: bool) -> bool {
    let start = line.trim_start();
    match language {
        Language::Rust | Language::Slashes => {
            start.starts_with("//")
                || start.starts_with("/*")
                || [";", ",", "{", "}", ")"].iter().any(|end| line.contains(&format!("{end} // ")))
        }
        Language::Python => in_text || start.starts_with('#'),
        Language::Hashes => start.starts_with('#'),
    }
}

/// Finds comments with too many columns, by line.
fn wide_comments(language: Language, text: &str) -> Vec<(usize, String)> {
    let (mut problems, mut in_text) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        let quotes = line.matches("\"\"\"").count();
        let columns = line.chars().count();
        if columns > COLUMNS && is_comment(language, line, in_text || quotes > 0) {
            problems.push((index + 1, format!("{columns} columns")));
        }
        in_text ^= quotes % 2 == 1;
    }
    problems
}

/// Finds tests whose names have too many words, by line.
fn long_names(language: Language, text: &str) -> Vec<(usize, String)> {
    let (mut problems, mut is_test) = (Vec::new(), false);
    if language != Language::Rust {
        return problems;
    }
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        is_test |= start.starts_with("#[test]") || start.starts_with("#[tokio::test");
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| !start.starts_with("//")) {
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let words = name.split('_').count();
            if is_test && words > WORDS {
                problems.push((index + 1, format!("`{name}` has {words} words")));
            }
            is_test = false;
        }
    }
    problems
}

#[test]
fn comments_keep_their_columns() {
    check(wide_comments);
}

#[test]
fn names_of_tests_are_short() {
    check(long_names);
}

#[test]
fn wide_comments_and_long_names_are_found() {
    let wide = "x".repeat(COLUMNS);
    let lines = |found: Vec<(usize, String)>| found.iter().map(|(line, _)| *line).collect();
    let comments = |language, text: &str| -> Vec<usize> { lines(wide_comments(language, text)) };
    let rust = format!("//! {wide}\nlet a = \"{wide}\";\n    /// ü\ncall(); // {wide}\n");
    assert_eq!(comments(Language::Rust, &rust), [1, 4]);
    let exact = format!("// {}\n// {}\n", &wide[3..], "ü".repeat(COLUMNS - 3));
    assert_eq!(comments(Language::Slashes, &exact), [] as [usize; 0]);
    let python = format!("\"\"\"{wide}\n{wide}x\n\"\"\"\na = \"{wide}\"\n# {wide}\n");
    assert_eq!(comments(Language::Python, &python), [1, 2, 5]);
    assert_eq!(comments(Language::Hashes, &format!("key: {wide}\n  # {wide}\n")), [2]);

    let tests = "fn a_helper_may_have_a_name_of_any_number_of_words() {}\n#[test]\n\
                 fn this_name_has_more_than_eight_words_in_all() {}\n\
                 #[tokio::test]\n#[ignore]\nasync fn this_name_has_eight_words_and_is_fine() {}\n";
    let names: Vec<usize> = lines(long_names(Language::Rust, tests));
    assert_eq!(names, [3]);
}
