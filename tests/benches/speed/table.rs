//! Tables for people: first columns of text, then columns of numbers.

use comfy_table::{CellAlignment, Table, presets};

/// Prints a table under its title and above its notes.
pub(crate) fn print(
    title: &str,
    texts: &[&str],
    numbers: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    notes: &[&str],
) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(texts.iter().chain(numbers));
    for column in table.column_iter_mut().skip(texts.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.add_rows(rows);
    println!("{title}\n{table}");
    notes.iter().for_each(|note| println!("{note}"));
    println!();
}
