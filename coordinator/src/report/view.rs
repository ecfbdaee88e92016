//! Tables as the report shows them, before they become HTML, Markdown or LaTeX.

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableView {
    /// In lower case, for anchors and labels.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Entry>>,
    /// Rows that it would have beside these.
    pub(crate) left_out: usize,
}

/// Rows of one table in the report; the files with all of them stand beside it.
pub(crate) const ROWS: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) title: String,
    /// Whether it holds numbers, which stand at the right.
    pub(crate) number: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// How an entry is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    /// The best, or told apart from zero.
    Strong,
    Held,
    NotHeld,
    Undecided,
}

impl Entry {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }

    /// Strong, if that is so.
    pub(crate) fn strong_if(strong: bool, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: if strong { Tone::Strong } else { Tone::Plain } }
    }

    pub(crate) fn strong(&self) -> bool {
        self.tone == Tone::Strong
    }
}

impl TableView {
    /// Columns that begin with `#` hold numbers.
    pub(crate) fn new(name: &'static str, title: &str, caption: &str, columns: &[&str]) -> Self {
        let column =
            |title: &&str| Column { title: title.trim_start_matches('#').to_owned(), number: title.starts_with('#') };
        Self {
            name,
            title: title.to_owned(),
            caption: caption.to_owned(),
            columns: columns.iter().map(column).collect(),
            ..Self::default()
        }
    }

    /// The class of an entry of that column in the style sheet.
    pub(crate) fn class(&self, column: &usize, entry: &Entry) -> Option<&'static str> {
        match entry.tone {
            Tone::Held => Some("held"),
            Tone::NotHeld => Some("not"),
            Tone::Undecided => Some("open"),
            Tone::Plain | Tone::Strong => self.columns.get(*column).filter(|column| column.number).map(|_| "n"),
        }
    }

    /// Adds a row, unless there are too many.
    pub(crate) fn push(&mut self, row: Vec<Entry>) {
        if self.rows.len() < ROWS {
            self.rows.push(row);
        } else {
            self.left_out += 1;
        }
    }

    /// The table in Markdown, its title and caption left to the caller.
    pub(crate) fn markdown(&self) -> String {
        let line = |entries: Vec<String>| format!("| {} |\n", entries.join(" | "));
        let mut text = line(self.columns.iter().map(|column| markdown(&column.title)).collect());
        text +=
            &line(self.columns.iter().map(|column| if column.number { "---:" } else { "---" }.to_owned()).collect());
        for row in &self.rows {
            let entry = |entry: &Entry| match entry.strong() {
                true => format!("**{}**", markdown(&entry.text)),
                false => markdown(&entry.text),
            };
            text += &line(row.iter().map(entry).collect());
        }
        if self.left_out > 0 {
            text += &format!("\n{} more rows are left out.\n", self.left_out);
        }
        text
    }

    /// The table as a float of LaTeX, for the package booktabs.
    pub(crate) fn latex(&self) -> String {
        let line = |entries: Vec<String>| format!("    {} \\\\\n", entries.join(" & "));
        let alignment: String = self.columns.iter().map(|column| if column.number { 'r' } else { 'l' }).collect();
        let mut text = format!(
            "\\begin{{table}}\n  \\centering\n  \\caption{{{}. {}}}\n  \\label{{tab:{}}}\n  \\begin{{tabular}}{{{alignment}}}\n    \\toprule\n",
            latex(&self.title),
            latex(&self.caption),
            self.name
        );
        text += &line(self.columns.iter().map(|column| latex(&column.title)).collect());
        text += "    \\midrule\n";
        for row in &self.rows {
            let entry = |entry: &Entry| match entry.strong() {
                true => format!("\\textbf{{{}}}", latex(&entry.text)),
                false => latex(&entry.text),
            };
            text += &line(row.iter().map(entry).collect());
        }
        text += "    \\bottomrule\n  \\end{tabular}\n";
        if self.left_out > 0 {
            text += &format!("  % {} more rows are left out\n", self.left_out);
        }
        text + "\\end{table}\n"
    }
}

/// Somebody else's words in Markdown: no bar ends a cell, no line a row, no tag or link begins.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' | '|' | '*' | '`' | '[' | ']' => escaped.extend(['\\', character]),
            '<' => escaped += "&lt;",
            '&' => escaped += "&amp;",
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Somebody else's words in LaTeX, with the few characters that this report uses beyond ASCII.
pub(crate) fn latex(text: &str) -> String {
    let mut escaped = String::new();
    let mut characters = text.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        let begins_number = matches!(before, ' ' | '(') && characters.peek().is_some_and(char::is_ascii_digit);
        before = character;
        match character {
            '-' if begins_number => escaped += "$-$",
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
            '×' => escaped += "$\\times$",
            '≥' => escaped += "$\\geq$",
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_stay_words() {
        let mut table = TableView::new("t", "50 % of <b>", "a_b", &["who", "#n"]);
        table.push(vec![Entry::new("a|b\n<i> [x](y) `c` *d*"), Entry::strong_if(true, "1 ± 2")]);
        table.push(vec![Entry::new("\\input{x} ~ ^ $1$ & #"), Entry::new("– -1.5 to -0.5, a-1")]);
        insta::assert_snapshot!("hostile_markdown", table.markdown());
        insta::assert_snapshot!("hostile_latex", table.latex());
    }

    #[test]
    fn long_tables_end() {
        let mut table = TableView::new("t", "t", "c", &["n"]);
        (0..ROWS + 7).for_each(|row| table.push(vec![Entry::new(row.to_string())]));
        assert_eq!((table.rows.len(), table.left_out), (ROWS, 7));
        assert!(table.markdown().contains("7 more rows") && table.latex().contains("7 more rows"));
    }
}
