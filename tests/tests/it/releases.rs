//! Words that no release contains.

use std::fs;

use swfn_tests::programs;

/// Names that only programs with debug assertions have: fault points, planted bugs, poison.
const WORDS: [(&str, [&str; 3]); 2] = [
    ("swfn-coordinator", ["store/committed", "SWFN_BUG", "SWFN_FAULT_TOKENS"]),
    ("swfn-worker", ["file/synced", "SWFN_BUG", "SWFN_POISON"]),
];

#[test]
#[ignore = "make test-all: it looks into the programs that `make build` makes"]
fn releases_contain_no_test_faults() {
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
