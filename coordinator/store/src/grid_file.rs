//! Reads the text of a grid file, which anybody may have put there.

use std::{fs, io::Read as _, path::Path};

use anyhow::{Context as _, anyhow, ensure};
use swfn_shared::grid::MAX_FILE_BYTES;

/// The text of a grid file.
///
/// # Errors
/// If the file cannot be read, is larger than 1 MiB, or is not UTF-8.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let file = fs::File::open(path)
        .with_context(|| format!("cannot read the grid file `{shown}`\nhint: examples stand in coordinator/grids"))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| anyhow!("cannot read `{shown}`: {error}\nhint: name the grid file itself with --grid"))?;
    ensure!(
        bytes.len() as u64 <= MAX_FILE_BYTES,
        "`{shown}` is larger than {} MiB\nhint: a grid file is a small TOML file; is this another one?",
        MAX_FILE_BYTES >> 20
    );
    String::from_utf8(bytes).map_err(|error| {
        anyhow!(
            "`{shown}` is not UTF-8 text: byte {} begins no character\nhint: a grid file is TOML, which is UTF-8",
            error.utf8_error().valid_up_to()
        )
    })
}
