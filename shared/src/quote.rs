//! Other people's text in messages.

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

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn what_is_quoted_is_short_and_printable() {
        assert_eq!(quote("a b"), "`a b`");
        assert_eq!(quote("\u{1b}[2J\n"), "`\\u{1b}[2J\\n`");
        assert_eq!(quote(&"x".repeat(1 << 20)).chars().count(), 63);
    }
}
