//! What no release contains.

use std::fs;

use swfn_tests::programs;

/// What tests use of programs with debug assertions: fault points, planted bugs, poison.
const WORDS: [(&str, [&str; 3]); 2] = [
    ("swfn-coordinator", ["store/committed", "SWFN_BUG", "SWFN_FAULT_TOKENS"]),
    ("swfn-worker", ["file/synced", "SWFN_BUG", "SWFN_POISON"]),
];

#[test]
#[ignore = "make test-all: it looks into the programs that `make build` makes"]
fn releases_have_neither_fault_points_nor_planted_bugs_nor_poison() {
    for (name, words) in WORDS {
        let [tested, released] =
            [programs::folder(), &programs::folder().with_file_name("release")].map(|folder| {
                let path = folder.join(name);
                fs::read(&path).unwrap_or_else(|error| {
                    panic!("`{}`: {error}\nhint: `make build`", path.display())
                })
            });
        for word in words {
            let has =
                |program: &[u8]| program.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(has(&tested), "`{word}` would be found in `{name}`");
            assert!(!has(&released), "the release of `{name}` contains `{word}`");
        }
    }
}
