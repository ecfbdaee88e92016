//! The documentation: grid files parse, commands exist, links lead somewhere, lines and the README
//! keep their limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use swfn_shared::grid::{DEFAULT_MAX_TRIALS, Grid};
use swfn_tests::programs;

/// Longest line of prose and code.
const COLUMNS: usize = 100;

/// Words and lines of the README.
const README_WORDS: usize = 1_000;
const README_LINES: usize = 130;

/// Third-party programs that pages may show.
const OTHERS: [&str; 7] = ["git", "cd", "curl", "export", "tensorboard", "echo", "mail"];

/// Pages with older long lines. Their links are checked, their columns are not.
const WIDE: [&str; 6] = [
    "ARCHITECTURE.md",
    "coordinator/SCHEMA.md",
    "coordinator/grids/RESULTS.md",
    "deploy/README.md",
    "deploy/k8s/README.md",
    "tests/FAULTS.md",
];

struct Page {
    /// The path from the repository's root.
    path: PathBuf,
    text: String,
}

/// A fenced block, and the line on which it begins.
struct Block<'p> {
    language: &'p str,
    line: usize,
    text: String,
}

impl Page {
    fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let text = fs::read_to_string(root().join(&path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, text }
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut is_open = false;
        for (number, line) in self.text.lines().enumerate() {
            match line.strip_prefix("```") {
                Some(_) if is_open => is_open = false,
                Some(language) => {
                    is_open = true;
                    blocks.push(Block { language, line: number + 2, text: String::new() });
                }
                None if is_open => {
                    let block = blocks.last_mut().expect("a block has begun");
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                None => {}
            }
        }
        assert!(!is_open, "{}: a block does not end", self.path.display());
        blocks
    }

    /// Returns the lines outside of fenced blocks, with their numbers.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_code = false;
        let lines = self.text.lines().enumerate().filter(|(_, line)| {
            let is_fence = line.starts_with("```");
            is_code ^= is_fence;
            !is_code && !is_fence
        });
        lines.map(|(number, line)| (number + 1, line)).collect()
    }

    /// Returns the anchors of its headings, as forges make them.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().into_iter().filter_map(|(_, line)| line.strip_prefix('#'));
        headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository")
}

/// Reads the pages that follow all rules.
fn pages() -> Vec<Page> {
    let top = ["README.md", "STYLE.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/README.md"]
        .map(Page::read);
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.filter(|name| name.to_string_lossy().ends_with(".md"));
    top.into_iter().chain(docs.map(|name| Page::read(Path::new("docs").join(name)))).collect()
}

/// Finds each piece of `text` between two marks.
fn between<'t>(text: &'t str, start: &str, end: char) -> Vec<&'t str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn grid_files_of_pages_parse() {
    let (mut problems, mut count) = (Vec::new(), 0);
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "toml") {
            if block.text.starts_with("# excerpt\n") {
                continue;
            }
            let place = page.at(block.line);
            problems.extend(
                Grid::parse(&place, &block.text, DEFAULT_MAX_TRIALS)
                    .err()
                    .map(|error| error.to_string()),
            );
            count += 1;
        }
    }
    assert_none(&problems);
    assert!(count >= 4, "{count} grid files were found");
}

/// Reads the options of each command, such as `swfn-coordinator retry`, from the pages made from
/// the programs.
fn options() -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for program in ["swfn-coordinator", "swfn-worker"] {
        let page = Page::read(format!("docs/{program}.md"));
        for section in page.text.split("\n## ").skip(1) {
            let (title, text) = section.split_once('\n').unwrap();
            let names = between(text, "`--", '`').into_iter();
            let names = names.map(|name| format!("--{}", name.split([' ', '[']).next().unwrap()));
            all.entry(title.to_owned())
                .or_default()
                .extend(names.chain(["--help".to_owned(), "-h".to_owned()]));
        }
        all.get_mut(program).unwrap().insert("--version".to_owned());
    }
    all
}

/// Says what is wrong with a command line of a page, if anything is.
fn problem_of_command(
    command: &str,
    options: &BTreeMap<String, BTreeSet<String>>,
) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (&first, rest) = words.split_first()?;
    let name = first.strip_prefix("target/release/").unwrap_or(first);
    match name {
        "swfn-coordinator" | "swfn-worker" => {
            let sub = rest
                .first()
                .map(|sub| format!("{name} {sub}"))
                .filter(|sub| options.contains_key(sub));
            let known = &options[sub.as_deref().unwrap_or(name)];
            let unknown = rest.iter().map(|word| word.split('=').next().unwrap());
            let mut unknown =
                unknown.filter(|word| word.starts_with("--") && !known.contains(*word));
            unknown.next().map(|option| format!("{name} has no option {option} there"))
        }
        "make" => {
            let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
            let targets = rest
                .iter()
                .take_while(|word| !word.starts_with('#'))
                .filter(|word| !word.contains('='));
            let mut missing = targets.filter(|target| !makefile.contains(&format!("\n{target}:")));
            missing.next().map(|target| format!("there is no target {target}"))
        }
        path if path.contains('/') => {
            (!root().join(path).is_file()).then(|| format!("{path} is not there"))
        }
        other => (!OTHERS.contains(&other)).then(|| format!("{other} is no program of ours")),
    }
}

#[test]
fn commands_of_pages_exist() {
    let options = options();
    let (mut problems, mut count) = (Vec::new(), 0);
    for page in pages() {
        let mut commands: Vec<(usize, String)> = Vec::new();
        for block in page.blocks().iter().filter(|block| block.language == "sh") {
            let joined = block.text.replace("\\\n", " ");
            let parts = joined
                .lines()
                .flat_map(|line| line.split(" #").next().unwrap().split([';', '&', '|']));
            commands.extend(parts.map(|command| (block.line, command.to_owned())));
        }
        for (number, line) in page.prose() {
            let spans = line.split('`').skip(1).step_by(2);
            let ours = ["swfn-coordinator ", "swfn-worker ", "make "];
            let shown = spans.filter(|span| ours.iter().any(|name| span.starts_with(name)));
            commands.extend(shown.map(|span| (number, span.to_owned())));
        }
        for (line, command) in commands {
            let problem = problem_of_command(&command, &options);
            problems.extend(
                problem
                    .map(|problem| format!("{}: `{}`: {problem}", page.at(line), command.trim())),
            );
            count += 1;
        }
    }
    assert_none(&problems);
    assert!(count >= 40, "{count} commands were found");
    assert!(problem_of_command("swfn-coordinator retry --tensorboards", &options).is_some());
    assert!(
        problem_of_command("make nonsense", &options).is_some()
            && problem_of_command("deploy/none.sh", &options).is_some()
    );
}

#[test]
fn the_dry_run_in_first_steps_is_current() {
    let page = Page::read("docs/first-steps.md");
    let blocks = page.blocks();
    let grid = blocks.iter().find(|block| block.language == "toml").unwrap();
    let shown = blocks.iter().find(|block| block.text.starts_with("sweep     ")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("grid.toml"), &grid.text).unwrap();
    let mut command = Command::new(programs::folder().join("swfn-coordinator"));
    command
        .args(["grid.toml", "--dry-run"])
        .current_dir(folder.path())
        .env("SWFN_CACHE", folder.path());
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    // The dry run shows work as shares of the time that this machine would take, so these are left
    // out.
    let before_work = |text: &str| text.split("work ").next().unwrap().to_owned();
    assert_eq!(before_work(&shown.text), before_work(&printed));
}

/// Returns the targets of the links and pictures of a line.
fn targets(line: &str) -> Vec<&str> {
    let marks = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')];
    marks.into_iter().flat_map(|(start, end)| between(line, start, end)).collect()
}

#[test]
fn links_lead_somewhere() {
    let (mut problems, mut count) = (Vec::new(), 0);
    for page in pages().into_iter().chain(WIDE.map(Page::read)) {
        for (number, line) in page.prose() {
            for target in targets(line).into_iter().filter(|target| !target.starts_with("http")) {
                let (file, part) = target.split_once('#').unwrap_or((target, ""));
                let path = if file.is_empty() {
                    page.path.clone()
                } else {
                    page.path.with_file_name(file)
                };
                let is_page = path.extension().is_some_and(|extension| extension == "md");
                if !root().join(&path).exists() {
                    problems.push(format!("{}: `{target}` is not there", page.at(number)));
                } else if !part.is_empty() && is_page && !Page::read(&path).anchors().contains(part)
                {
                    problems.push(format!("{}: `{target}` has no such heading", page.at(number)));
                }
                count += 1;
            }
        }
    }
    assert_none(&problems);
    assert!(count >= 100, "{count} links were found");
}

#[test]
fn lines_keep_their_columns() {
    let mut problems = Vec::new();
    for page in pages() {
        for (number, line) in page.text.lines().enumerate() {
            let is_free = line.starts_with('|') || line.contains("](http");
            let columns = line.chars().count();
            if !is_free && columns > COLUMNS {
                problems.push(format!("{}: {columns} columns", page.at(number + 1)));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn the_readme_is_short() {
    let text = Page::read("README.md").text;
    let (lines, words) = (text.lines().count(), text.split_whitespace().count());
    assert!(
        lines <= README_LINES && words <= README_WORDS,
        "README.md has {lines} lines and {words} words"
    );
}

/// Returns the words of a page's longest paragraph and longest cell, each with its first words.
fn longest(page: &Page) -> [(usize, String); 2] {
    let mut longest = [(0, String::new()), (0, String::new())];
    let mut note = |kind: usize, text: &str| {
        let words =
            text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
        if words > longest[kind].0 {
            longest[kind] = (words, text.chars().take(60).collect());
        }
    };
    let prose: String = page.prose().into_iter().map(|(_, line)| format!("{line}\n")).collect();
    for block in prose.split("\n\n") {
        if block.starts_with('|') {
            block.lines().flat_map(|line| line.split(" | ")).for_each(|cell| note(1, cell));
        } else if !block.starts_with('#') && !block.starts_with("    ") {
            let is_item = |line: &str| {
                line.starts_with("- ") || line.starts_with(|c: char| c.is_ascii_digit())
            };
            let items = block.lines().fold(Vec::<String>::new(), |mut items, line| {
                match items.last_mut() {
                    Some(item) if !is_item(line) => *item += &format!(" {line}"),
                    _ => items.push(line.to_owned()),
                }
                items
            });
            items.iter().for_each(|item| note(0, item));
        }
    }
    longest
}

#[test]
fn architecture_and_faults_stay_readable() {
    for name in ["ARCHITECTURE.md", "tests/FAULTS.md"] {
        let [(words, paragraph), (cell_words, cell)] = longest(&Page::read(name));
        assert!(words <= 80, "{name}: a paragraph of {words} words: {paragraph}");
        assert!(cell_words <= 25, "{name}: a cell of {cell_words} words: {cell}");
    }
}

#[test]
fn paths_of_the_architecture_exist() {
    let page = Page::read("ARCHITECTURE.md");
    let spans = page.text.split('`').skip(1).step_by(2);
    let ends = [".rs", ".proto", "/"];
    let is_path = |span: &&str| span.contains('/') && ends.iter().any(|end| span.ends_with(end));
    let missing: Vec<_> =
        spans.filter(is_path).filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
