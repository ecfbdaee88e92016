//! Directions of use: the tables under "Directions" in `ARCHITECTURE.md` are the rule, and the
//! `use` lines must follow it.
//!
//! A module may use its own children, and they their parent's items. Otherwise no two modules use
//! each other, not even indirectly. A crate uses the crates that the document names for it, and a
//! layer those before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A module, by its path in its crate; the root's path is empty.
type Module = Vec<String>;

/// The modules that each module uses.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are in the repository").to_owned()
}

/// Reads the table under "Directions" in `ARCHITECTURE.md` whose header begins with `header`.
fn table(header: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with("Directions\n"))
        .expect("a section Directions");
    let after = section
        .split(&format!("\n| {header} |"))
        .nth(1)
        .unwrap_or_else(|| panic!("no table | {header} |"));
    let rows = after.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
    })
    .collect()
}

/// Reads the words of a cell that contains a list.
fn list(cell: &str, between: char) -> Vec<String> {
    cell.split(between)
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty() && word != "none")
        .collect()
}

#[test]
fn crates_use_only_the_crates_named_there() {
    let mut seen = BTreeSet::new();
    for row in table("crate") {
        let [folder, uses, ..] = &row[..] else { panic!("{row:?}") };
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let dependencies = manifest
            .split("\n[")
            .find_map(|part| part.strip_prefix("dependencies]"))
            .unwrap_or_default();
        let used: BTreeSet<_> = dependencies
            .lines()
            .filter_map(|line| line.strip_prefix("swfn-")?.split(['.', ' ']).next())
            .collect();
        let allowed = list(uses, ',');
        assert_eq!(
            used,
            allowed.iter().map(String::as_str).collect(),
            "{folder}: uses, and ARCHITECTURE.md's table"
        );
        seen.insert(folder.clone());
    }
    let members = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members =
        members.split("members = [").nth(1).unwrap().split(']').next().unwrap().to_owned();
    for member in
        members.split('"').skip(1).step_by(2).filter(|member| !member.starts_with("tests"))
    {
        assert!(seen.contains(member), "ARCHITECTURE.md does not say what `{member}` may use");
    }
}

#[test]
fn layers_use_those_before_them() {
    for row in table("in") {
        let [folder, layers, ..] = &row[..] else { panic!("{row:?}") };
        let layers = list(layers, '<');
        let place = |module: &Module| layers.iter().position(|layer| Some(layer) == module.first());
        for layer in &layers {
            let there = ["", ".rs"]
                .iter()
                .any(|end| root().join(folder).join(format!("src/{layer}{end}")).exists());
            assert!(there, "{folder} has no layer `{layer}`");
        }
        for (module, used) in uses(&root().join(folder).join("src")) {
            for other in used {
                if let (Some(one), Some(another)) = (place(&module), place(&other)) {
                    let (module, other) = (module.join("::"), other.join("::"));
                    assert!(
                        another <= one,
                        "{folder}: `{module}` uses `{other}`, a layer above it"
                    );
                }
            }
        }
    }
}

#[test]
fn no_modules_use_each_other() {
    let allowed: Vec<_> = table("modules").iter().map(|row| list(&row[0], ',')).collect();
    let mut needed = vec![false; allowed.len()];
    let mut circles = Vec::new();
    for row in table("crate") {
        let source = root().join(&row[0]).join("src");
        for circle in circles_in(&uses(&source)) {
            let names: Vec<_> =
                circle.iter().map(|module| format!("{}::{}", row[0], module.join("::"))).collect();
            match allowed.iter().position(|allowed| names.iter().all(|name| allowed.contains(name)))
            {
                Some(place) => needed[place] = true,
                None => circles.push(names.join(" <-> ")),
            }
        }
    }
    assert!(circles.is_empty(), "modules use each other:\n{}", circles.join("\n"));
    let idle: Vec<_> = allowed.iter().zip(needed).filter(|(_, needed)| !needed).collect();
    assert!(idle.is_empty(), "ARCHITECTURE.md allows circles that are gone: {idle:?}");
}

/// Finds the sets of modules that all reach each other.
fn circles_in(uses: &Uses) -> Vec<BTreeSet<Module>> {
    let reach = |from: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(module) = open.pop() {
            for next in uses.get(module).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = uses.keys().map(|module| (module, reach(module))).collect();
    let mut circles: Vec<BTreeSet<Module>> = Vec::new();
    for (module, others) in &reached {
        if !others.contains(module) || circles.iter().any(|circle| circle.contains(*module)) {
            continue;
        }
        let back =
            |other: &&&Module| reached.get(**other).is_some_and(|reached| reached.contains(module));
        circles.push(others.iter().filter(back).map(|other| (*other).clone()).collect());
    }
    circles
}

/// Reads which modules of a crate use each other, without tests.
fn uses(source: &Path) -> Uses {
    let mut texts = BTreeMap::new();
    read(source, source, &mut texts);
    let tests: Vec<_> = texts.iter().flat_map(|(module, text)| tests_of(module, text)).collect();
    texts.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
    let paths: BTreeMap<&Module, Vec<Module>> =
        texts.iter().map(|(module, text)| (module, paths(module, text))).collect();
    let mut uses = Uses::new();
    for (module, used) in &paths {
        let targets = used.iter().filter_map(|path| home(path, &paths, 8));
        // A parent uses its children: they are its parts.
        let others = targets.filter(|target| !target.starts_with(module));
        uses.insert((*module).clone(), others.collect());
    }
    uses
}

/// Finds the module in which a path of the crate ends, through re-exports.
fn home(path: &Module, all: &BTreeMap<&Module, Vec<Module>>, patience: u32) -> Option<Module> {
    let module = (0..=path.len())
        .rev()
        .map(|end| path[..end].to_vec())
        .find(|start| all.contains_key(start))?;
    let Some(name) = path.get(module.len()).filter(|_| patience > 0) else { return Some(module) };
    let handed_on = all[&module].iter().find(|used| used.last() == Some(name) && **used != *path);
    handed_on.and_then(|used| home(used, all, patience - 1)).or(Some(module))
}

/// Reads the text, without tests, of each module below a folder.
fn read(source: &Path, folder: &Path, texts: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            read(source, &entry, texts);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let path = entry.strip_prefix(source).unwrap().with_extension("");
            let mut module: Module =
                path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
                module.pop();
            }
            let text = fs::read_to_string(&entry).unwrap();
            texts
                .insert(module, text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned());
        }
    }
}

/// Finds the modules that a module has only for tests and fuzzing.
fn tests_of(module: &Module, text: &str) -> Vec<Module> {
    let lines: Vec<_> = text.lines().collect();
    let pairs =
        lines.windows(2).filter(|pair| pair[0].starts_with("#[cfg(") && pair[0].contains("test"));
    let name = |pair: &[&str]| Some(pair[1].split("mod ").nth(1)?.trim_end_matches(';').to_owned());
    pairs.filter_map(name).map(|name| module.iter().cloned().chain([name]).collect()).collect()
}

/// Reads the paths within the crate that the `use` lines of a module name.
fn paths(module: &Module, text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    let lines = text.lines().collect::<Vec<_>>();
    for (number, line) in lines.iter().enumerate() {
        let line = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ");
        let Some(first) = line.strip_prefix("use ") else { continue };
        let rest = lines[number + 1..].iter().copied();
        let whole: String =
            std::iter::once(first).chain(rest).map(str::trim).collect::<Vec<_>>().join(" ");
        let tree = whole.split(';').next().unwrap_or_default();
        leaves(tree, &mut Vec::new(), &mut |path| found.extend(absolute(module, path)));
    }
    found
}

/// Resolves a path from the root of its crate; `None` for a path of another crate.
fn absolute(module: &Module, path: &[String]) -> Option<Module> {
    let mut at = module.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => at.clear(),
        "super" => {
            while let Some("super") = rest.first().map(String::as_str) {
                at.pop();
                rest = &rest[1..];
            }
            return Some(at.into_iter().chain(rest.iter().cloned()).collect());
        }
        "self" => {}
        // A child of its own, or a crate: only the former is a module here.
        _ => return Some(at.into_iter().chain(rest.iter().cloned()).collect()),
    }
    Some(at.into_iter().chain(rest[1..].iter().cloned()).collect())
}

/// Calls `each` with every path of a tree such as `a::{b, c::d}`.
fn leaves(tree: &str, start: &mut Module, each: &mut impl FnMut(&[String])) {
    let tree = tree.trim();
    if tree.is_empty() {
        return;
    }
    let depth = start.len();
    match tree.split_once('{') {
        Some((before, inside)) => {
            start.extend(
                before
                    .split("::")
                    .map(|part| part.trim().to_owned())
                    .filter(|part| !part.is_empty()),
            );
            let inside = inside.trim_end().strip_suffix('}').unwrap_or(inside);
            let (mut open, mut begin) = (0, 0);
            for (at, letter) in inside.char_indices() {
                match letter {
                    '{' => open += 1,
                    '}' => open -= 1,
                    ',' if open == 0 => {
                        leaves(&inside[begin..at], start, each);
                        begin = at + 1;
                    }
                    _ => {}
                }
            }
            leaves(&inside[begin..], start, each);
        }
        None => {
            let name = tree.split(" as ").next().unwrap_or(tree);
            start.extend(
                name.split("::").map(|part| part.trim().to_owned()).filter(|part| part != "self"),
            );
            each(start);
        }
    }
    start.truncate(depth);
}

#[test]
fn use_lines_are_read_as_by_the_compiler() {
    let text = "use std::fs;\npub use super::{a::{self, B as C}, d};\nuse crate::{\n    e::F,\n    g,\n};\npub(crate) use h::I;\n";
    let module: Module = ["x", "y"].map(str::to_owned).into();
    let found: Vec<_> = paths(&module, text).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["x::y::std::fs", "x::a", "x::a::B", "x::d", "e::F", "g", "x::y::h::I"]);
    let of = |name: &str| vec![name.to_owned()];
    let uses: Uses = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]
        .map(|(one, other)| (of(one), BTreeSet::from([of(other)])))
        .into();
    assert_eq!(circles_in(&uses), [BTreeSet::from(["a", "b", "c"].map(of))]);
}
