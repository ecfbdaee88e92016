//! Escapes foreign text for each kind of output. The result can neither control a terminal nor
//! begin a line, a cell, a tag or a command of its own.

use std::borrow::Cow;

/// The text in backticks: printable, on one line, and short.
pub fn quote(text: &str) -> String {
    format!("`{}`", printable(text, 60))
}

/// The first `longest` characters of a text, printable and on one line.
pub fn printable(text: &str, longest: usize) -> String {
    let mut shown: String = text.chars().take(longest).flat_map(char::escape_debug).collect();
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

/// A whole text on one line of a log. It cannot begin another line or turn the writing direction.
pub fn one_line(text: &str) -> String {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { line.extend(c.escape_debug()) } else { line.push(c) }
    }
    line
}

/// The text for a cell of a spreadsheet, which takes some beginnings for formulas.
pub fn cell(text: &str) -> Cow<'_, str> {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}").into(),
        false => text.into(),
    }
}

/// Lines for a terminal, with `?` for each byte of a control character. The number of bytes stays,
/// since logs are put together from parts by their offsets.
pub fn for_terminal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() && c != '\n' && c != '\t' {
            true => (0..c.len_utf8()).for_each(|_| shown.push('?')),
            false => shown.push(c),
        }
    }
    shown
}

/// A whole text for a sentence or a row, with a blank for each control character.
pub fn for_sentence(text: &str) -> String {
    text.chars().map(blank_if_control).collect()
}

fn blank_if_control(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// The name of a cell of the grid as a folder name: `net_n=300` for `net, n = 300`.
pub fn file_name(text: &str) -> String {
    let short = text.replace(" = ", "=").replace(" + ", "+").replace(", ", "_");
    let plain = |c: char| if c.is_alphanumeric() || "-_.=+".contains(c) { c } else { '_' };
    short.chars().map(plain).collect()
}

/// The text as one word of a shell command.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The text for Markdown. It cannot end a cell or a row, begin a tag, picture or link, and no
/// address in it becomes one.
pub fn markdown(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' | '|' | '*' | '`' | '[' | ']' => escaped.extend(['\\', character]),
            '/' if escaped.ends_with(':') => escaped += "\\/",
            '.' if ends_with_www(&escaped) => escaped += "\\.",
            '<' => escaped += "&lt;",
            '&' => escaped += "&amp;",
            other => escaped.push(blank_if_control(other)),
        }
    }
    escaped
}

fn ends_with_www(text: &str) -> bool {
    text.len()
        .checked_sub(3)
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case("www"))
}

/// The text for LaTeX, with the few characters beyond ASCII that reports use.
pub fn latex(text: &str) -> String {
    let mut escaped = String::new();
    let mut characters = text.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        let begins_number =
            matches!(before, ' ' | '(') && characters.peek().is_some_and(char::is_ascii_digit);
        before = character;
        match character {
            '-' if begins_number => escaped += "$-$",
            // After the end of a row LaTeX takes brackets for options.
            '[' | ']' => escaped.extend(['{', character, '}']),
            '*' if escaped.is_empty() => escaped += "{*}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '<' => escaped += "\\textless{}",
            '>' => escaped += "\\textgreater{}",
            '±' => escaped += "$\\pm$",
            'λ' => escaped += "$\\lambda$",
            '–' => escaped += "--",
            '−' => escaped += "$-$",
            '★' => escaped += "$\\star$",
            '×' => escaped += "$\\times$",
            '≥' => escaped += "$\\geq$",
            '≤' => escaped += "$\\leq$",
            '≠' => escaped += "$\\neq$",
            '≈' => escaped += "$\\approx$",
            '→' => escaped += "$\\rightarrow$",
            '←' => escaped += "$\\leftarrow$",
            '‖' => escaped += "$\\|$",
            'α' => escaped += "$\\alpha$",
            'β' => escaped += "$\\beta$",
            'γ' => escaped += "$\\gamma$",
            'δ' => escaped += "$\\delta$",
            'ε' => escaped += "$\\varepsilon$",
            'μ' | 'µ' => escaped += "$\\mu$",
            'σ' => escaped += "$\\sigma$",
            'τ' => escaped += "$\\tau$",
            'Δ' => escaped += "$\\Delta$",
            other => escaped.push(blank_if_control(other)),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines_and_texts_no_formulas() {
        assert_eq!(one_line("a \"b\" ä\n2026 INFO\u{202e}"), "a \"b\" ä\\n2026 INFO\\u{202e}");
        for formula in ["=cmd|'/C calc'!A0", "@SUM(A1)", "+1", "-1", "\t=1"] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        assert_eq!(cell("Xeon @ 2 GHz"), "Xeon @ 2 GHz");
    }

    #[test]
    fn quoted_text_is_short_and_printable() {
        assert_eq!(quote("a b"), "`a b`");
        assert_eq!(quote("\u{1b}[2J\n"), "`\\u{1b}[2J\\n`");
        assert_eq!(quote(&"x".repeat(1 << 20)).chars().count(), 63);
    }

    #[test]
    fn each_kind_of_output_has_its_own_escapes() {
        let hostile = "a|b\n<i> [x](y) `c` *d*";
        assert_eq!(markdown(hostile), "a\\|b &lt;i> \\[x\\](y) \\`c\\` \\*d\\*");
        let address = "![b](http://a.b) www.a.b Www.c: https://d";
        assert_eq!(markdown(address), "!\\[b\\](http:\\//a.b) www\\.a.b Www\\.c: https:\\//d");
        assert_eq!(latex("[1] *a* α ≤ β"), "{[}1{]} *a* $\\alpha$ $\\leq$ $\\beta$");
        assert_eq!(latex("*a\\input{x} 5 %"), "{*}a\\textbackslash{}input\\{x\\} 5 \\%");
        assert_eq!(for_terminal("é\u{1b}[2J\u{9b}m\n\t."), "é?[2J??m\n\t.");
        assert_eq!(for_sentence("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(file_name("net, n = 300, dropout + fn 0.1/.."), "net_n=300_dropout+fn_0.1_..");
        assert_eq!((shell_word("a/b"), shell_word("it's")), ("a/b".into(), "'it'\\''s'".into()));
    }
}
