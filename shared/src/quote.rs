//! Other people's text in messages, logs and tables.

use std::borrow::Cow;

/// That text in backticks: printable, on one line, and short.
pub fn quote(text: &str) -> String {
    format!("`{}`", printable(text, 60))
}

/// The first so many characters of that text, printable and on one line.
pub fn printable(text: &str, longest: usize) -> String {
    let mut shown: String = text.chars().take(longest).flat_map(char::escape_debug).collect();
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

/// All of that text on one line of a log: it can neither begin another nor turn the direction of writing.
pub fn one_line(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { line.extend(c.escape_debug()) } else { line.push(c) }
    }
    line
}

/// That text in a cell of a spreadsheet, which takes some beginnings for formulas.
pub fn cell(text: &str) -> Cow<'_, str> {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}").into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line_and_a_text_no_formula() {
        assert_eq!(one_line("a \"b\" ä\n2026 INFO\u{202e}"), "a \"b\" ä\\n2026 INFO\\u{202e}");
        for formula in ["=cmd|'/C calc'!A0", "@SUM(A1)", "+1", "-1", "\t=1"] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        assert_eq!(cell("Xeon @ 2 GHz"), "Xeon @ 2 GHz");
    }

    #[test]
    fn what_is_quoted_is_short_and_printable() {
        assert_eq!(quote("a b"), "`a b`");
        assert_eq!(quote("\u{1b}[2J\n"), "`\\u{1b}[2J\\n`");
        assert_eq!(quote(&"x".repeat(1 << 20)).chars().count(), 63);
    }
}
