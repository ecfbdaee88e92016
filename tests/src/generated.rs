//! Parts of `docs/` that are made from the programs. A unit test beside each source compares the
//! page with it.
//!
//! This file is a module of those tests (`#[path]`), so that no program contains it.

use std::{env, fmt::Write as _, fs, path::Path};

use clap::{Arg, Command};

/// Columns of prose.
const WIDTH: usize = 100;

/// Compares a page of `docs/`, or the named part of it, with `text`. With `UPDATE_DOCS` set, it
/// writes the text instead.
///
/// A part stands between the comments `NAME: made by make docs` and `end of NAME`.
///
/// # Panics
/// If the page has another text.
pub(crate) fn check_page(name: &str, part: Option<&str>, text: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("docs").is_dir());
    let file = root.expect("the repository has docs/").join("docs").join(name);
    let there = fs::read_to_string(&file).unwrap_or_default();
    let expected = part.map_or_else(|| text.to_owned(), |part| with_part(&there, part, text));
    if there == expected {
        return;
    }
    assert!(env::var_os("UPDATE_DOCS").is_some(), "`docs/{name}` is stale\nhint: run `make docs`");
    fs::write(&file, expected).expect("docs/ can be written");
}

fn with_part(page: &str, part: &str, text: &str) -> String {
    let (start, end) =
        (format!("<!-- {part}: made by `make docs` -->\n"), format!("<!-- end of {part} -->\n"));
    let (before, rest) = page.split_once(&start).expect("the page has the part");
    let (_, after) = rest.split_once(&end).expect("the part ends");
    format!("{before}{start}{text}{end}{after}")
}

/// Renders the reference of a program and its subcommands as Markdown.
pub(crate) fn options(mut program: Command) -> String {
    program.build();
    let name = program.get_name().to_owned();
    let mut page = format!(
        "# Options of {name}\n\nThis page is made from the program by `make docs`. `{name} --help` prints the same.\n"
    );
    section(&mut page, &name, &program, None);
    for command in program.get_subcommands().filter(|command| is_shown(command)) {
        section(&mut page, &format!("{name} {}", command.get_name()), command, Some(&program));
    }
    page
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn section(page: &mut String, title: &str, command: &Command, parent: Option<&Command>) {
    let mut write = |text: &str| page.push_str(text);
    write(&format!("\n## {title}\n\n"));
    for paragraph in about(command).split("\n\n") {
        write(&wrap(paragraph, ""));
        write("\n");
    }
    let usage = command.clone().render_usage().to_string();
    let usage =
        usage.trim_start_matches("Usage: ").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    write(&format!("```text\n{usage}\n```\n"));
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    if let Some(examples) = examples.strip_prefix("Examples:\n") {
        let lines = examples.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        write(&format!("\n```sh\n{lines}\n```\n"));
    }

    let shown =
        |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let inherited = |arg: &Arg| {
        parent.is_some_and(|parent| parent.get_arguments().any(|other| is_same(arg, other)))
    };
    let (theirs, own): (Vec<_>, Vec<_>) =
        command.get_arguments().filter(shown).partition(|arg| inherited(arg));
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in &own {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            write(&format!("\n**{heading}**\n"));
        }
        write("\n");
        for arg in own.iter().filter(|arg| arg.get_help_heading() == heading) {
            write(&wrap(&format!("- {}", described(arg)), "  "));
        }
    }
    if !theirs.is_empty() {
        let names: Vec<_> = theirs.iter().map(|arg| format!("`{}`", name(arg))).collect();
        let program = parent.map_or("", Command::get_name);
        write("\n");
        write(&wrap(
            &format!(
                "The options of [{program}](#{program}) work here, too: {}.",
                names.join(", ")
            ),
            "",
        ));
    }
}

fn about(command: &Command) -> String {
    let text = command.get_long_about().or_else(|| command.get_about());
    let text = text.map(ToString::to_string).unwrap_or_default();
    if text.ends_with('.') { text } else { text + "." }
}

/// Whether a subcommand has inherited the option from its program.
fn is_same(arg: &Arg, other: &Arg) -> bool {
    let help = |arg: &Arg| arg.get_help().map(ToString::to_string);
    arg.get_long().is_some() && arg.get_long() == other.get_long() && help(arg) == help(other)
}

fn name(arg: &Arg) -> String {
    arg.get_long().map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}"))
}

/// Renders an option with its values, its help, its default and its variable.
fn described(arg: &Arg) -> String {
    let help =
        arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    // The first paragraph, which `-h` prints, may end with a default in words.
    let (first, more) = help.split_once("\n\n").unwrap_or((&help, ""));
    let (first, default) =
        match first.strip_suffix(']').and_then(|first| first.rsplit_once(" [default: ")) {
            Some((first, default)) => (first, Some(default)),
            None => (first, None),
        };
    let help = format!("{}. {more}", first.trim_end_matches('.'));
    let help = help.trim_end();
    let mut text = format!("`{arg}`: {}.", help.trim_end_matches('.').replace('<', "&lt;"));
    let takes_values = arg.get_action().takes_values();
    let values: Vec<_> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes_values && !values.is_empty() && values != ["`true`", "`false`"] {
        write!(text, " Values: {}.", values.join(", ")).expect("writing to a string");
    }
    let defaults =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy()));
    let defaults: Vec<_> = defaults.filter(|_| takes_values).collect();
    match default {
        Some(default) => write!(text, " Default: {default}."),
        None if !defaults.is_empty() => write!(text, " Default: {}.", defaults.join(", ")),
        None => Ok(()),
    }
    .expect("writing to a string");
    if let Some(variable) = arg.get_env() {
        write!(text, " Environment: `{}`.", variable.to_string_lossy())
            .expect("writing to a string");
    }
    text
}

/// Wraps prose. All lines but the first begin with `indent`.
fn wrap(text: &str, indent: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if line.trim().is_empty() {
            line += word;
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line = line + " " + word;
        } else {
            lines = lines + &line + "\n";
            line = indent.to_owned() + word;
        }
    }
    lines + &line + "\n"
}
