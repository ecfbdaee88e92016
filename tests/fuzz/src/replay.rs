//! Replays the corpus as an ordinary test, with damaged copies.

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use crate::Target;

/// Makes the tests of a crate's targets: they replay the corpora, with few damaged copies of each
/// input and with many.
#[macro_export]
macro_rules! corpora_hold {
    ($targets:expr) => {
        #[test]
        fn the_corpora_hold() {
            $targets.iter().for_each(|target| $crate::replay(*target, 2));
        }

        #[test]
        #[ignore = "make test-all: the same with more damaged copies of each input"]
        fn the_corpora_hold_however_damaged() {
            $targets.iter().for_each(|target| $crate::replay(*target, 20));
        }
    };
}

/// Calls the target with every file of its corpus and with so many damaged copies of each.
///
/// # Panics
/// If the target does, with the name of the file; or if there is no corpus.
pub fn replay((name, target): Target, damaged_copies: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("corpus `{}`: {error}", folder.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder can be read to its end").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "corpus `{}` is empty", folder.display());
    for file in files {
        let content =
            fs::read(&file).unwrap_or_else(|error| panic!("`{}`: {error}", file.display()));
        run(target, &content, &file, None);
        let mut random = Random(content.len() as u64 + 1);
        for number in 0..damaged_copies {
            run(target, &random.damaged(&content), &file, Some(number));
        }
    }
}

/// Calls the target. If it panics, its input is written to a file.
fn run(target: fn(&[u8]), input: &[u8], file: &Path, damaged: Option<usize>) {
    if let Err(panicked) = panic::catch_unwind(AssertUnwindSafe(|| target(input))) {
        let kept = env::temp_dir()
            .join(format!("swfn-fuzz-{}", file.file_name().unwrap_or_default().display()));
        let kept = fs::write(&kept, input).map(|()| kept.display().to_string());
        eprintln!(
            "the target fails on `{}`, damaged copy {damaged:?}; the input is kept in {kept:?}",
            file.display()
        );
        panic::resume_unwind(panicked);
    }
}

/// Marsaglia's xorshift64. It makes the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// Makes a copy that is cut, has other bytes, or has a part of it twice.
    fn damaged(&mut self, content: &[u8]) -> Vec<u8> {
        let mut copy = content.to_vec();
        let (a, b) = (self.below(copy.len()), self.below(copy.len()));
        match self.below(4) {
            0 => copy.truncate(a),
            1 => copy.extend_from_within(a.min(b)..a.max(b)),
            2 => drop(copy.drain(a.min(b)..a.max(b))),
            _ => {}
        }
        for _ in 0..self.below(4) {
            let (at, byte) = (self.below(copy.len()), self.below(256));
            if let Some(target) = copy.get_mut(at) {
                *target = byte as u8;
            }
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_differs_and_comes_again() {
        let content = [7; 100];
        let all = |seed| {
            let mut random = Random(seed);
            (0..20).map(|_| random.damaged(&content)).collect::<Vec<_>>()
        };
        assert_eq!(all(5), all(5));
        assert_ne!(all(5), all(6));
        assert!(all(5).iter().filter(|copy| copy.as_slice() != content).count() > 10);
        assert!(Random(1).damaged(&[]).is_empty());
    }

    #[test]
    #[should_panic(expected = "seen")]
    fn a_target_that_panics_fails() {
        run(|data| assert!(data.is_empty(), "seen"), b"x", Path::new("x"), None);
    }
}
