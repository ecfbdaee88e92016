//! Images in memory: published data sets from files or the network, the user's own, built-in
//! synthetic digits, random subsets, contact sheets. Bytes and indices only: no tensors, no
//! normalisation.

mod dataset;
mod download;
mod find;
mod format;
mod idx;
mod own;
mod problems;
mod published;
mod sheet;
mod subset;

#[cfg(test)]
mod download_tests;
#[cfg(test)]
mod idx_tests;
#[cfg(test)]
mod own_tests;
#[cfg(test)]
mod published_tests;

pub use dataset::{LoadOptions, Split, Splits, Train, load};
pub(crate) use idx::hex;
#[cfg(any(test, fuzzing))]
pub(crate) use idx::{Idx, MAX_ELEMENTS, parse_idx};
pub(crate) use own::{Inspection, inspect};
pub(crate) use problems::no_folder;
pub(crate) use published::cache_dir;
pub(crate) use sheet::sheet;
pub(crate) use subset::{balanced_subset, subset};
