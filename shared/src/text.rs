//! Parts of long texts, cut between characters, lines of words, and numbers with a plural.

/// Formats a number of things: `1 trial`, `2 trials`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// The beginning of a text, at most so many bytes.
pub fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The end of a text, at most so many bytes.
pub fn end(text: &str, bytes: usize) -> &str {
    let start =
        (text.len().saturating_sub(bytes)..=text.len()).find(|start| text.is_char_boundary(*start));
    &text[start.unwrap_or(text.len())..]
}

/// A text in lines of at most `width` columns. Words stay whole, and later lines are indented.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("never empty");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines
}

/// The end of a growing text: older lines make room for newer ones.
#[derive(Debug)]
pub struct Tail {
    text: String,
    bytes: usize,
}

impl Tail {
    /// Keeps between `bytes` and twice as many.
    pub const fn new(bytes: usize) -> Self {
        Self { text: String::new(), bytes }
    }

    pub fn push(&mut self, text: &str) {
        self.text.push_str(end(text, self.bytes));
        if self.text.len() > 2 * self.bytes {
            self.text = end(&self.text, self.bytes).to_owned();
        }
    }

    /// The end of the text, from the first whole line.
    pub fn text(&self) -> &str {
        let kept = end(&self.text, self.bytes);
        match kept.split_once('\n') {
            Some((_, lines)) if kept.len() < self.text.len() && !lines.is_empty() => lines,
            _ => kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        for (bytes, first, last) in
            [(0, "", ""), (1, "a", "b"), (2, "a", "b"), (3, "aé", "éb"), (9, "aéb", "aéb")]
        {
            assert_eq!((beginning("aéb", bytes), end("aéb", bytes)), (first, last), "{bytes}");
        }
    }

    #[test]
    fn a_tail_has_the_last_whole_lines() {
        let mut tail = Tail::new(20);
        tail.push("one\ntwo\n");
        assert_eq!(tail.text(), "one\ntwo\n");
        for number in 0..100 {
            tail.push(&format!("line {number}\n"));
        }
        assert_eq!(tail.text(), "line 98\nline 99\n");
        tail.push(&"x".repeat(50));
        assert_eq!(tail.text(), "x".repeat(20));
    }
}
