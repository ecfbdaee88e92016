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

impl Tone {
    /// Its class in the style sheet.
    pub(crate) fn class(self) -> Option<&'static str> {
        match self {
            Self::Held => Some("held"),
            Self::NotHeld => Some("not"),
            Self::Undecided => Some("open"),
            Self::Plain | Self::Strong => None,
        }
    }
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
        entry.tone.class().or_else(|| self.own_columns().get(*column).filter(|column| column.number).map(|_| "n"))
    }

    /// Whether rows of one name stand under it, and the first column holds the names.
    pub(crate) fn grouped(&self) -> bool {
        self.columns.first().is_some_and(|column| column.title == "name")
    }

    /// Columns beside that of the names.
    pub(crate) fn own_columns(&self) -> &[Column] {
        &self.columns[usize::from(self.grouped())..]
    }

    /// The name that begins at that row, if one does.
    pub(crate) fn begins(&self, row: &usize) -> Option<&str> {
        let name = |row: usize| self.rows[row].first().map(|entry| entry.text.as_str());
        let begins = self.grouped() && (*row == 0 || name(*row) != name(row - 1));
        begins.then(|| name(*row)).flatten().filter(|name| !name.is_empty())
    }

    /// What stands in the columns beside that of the names.
    pub(crate) fn own<'r>(&self, row: &'r [Entry]) -> &'r [Entry] {
        &row[usize::from(self.grouped())..]
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

    /// The columns in LaTeX. Where there are no numbers, but long texts, those are broken into lines.
    fn alignment(&self) -> String {
        const LONG: usize = 16;
        let columns = self.own_columns();
        let is_long = |place: usize| self.rows.iter().any(|row| self.own(row)[place].text.chars().count() > LONG);
        let broken = |place: &usize| columns.iter().all(|column| !column.number) && is_long(*place);
        let share = 0.74 / (0..columns.len()).filter(broken).count().max(1) as f64;
        let columns = columns.iter().enumerate().map(|(place, column)| match column.number {
            true => "r".to_owned(),
            false if broken(&place) => format!("p{{{share:.2}\\linewidth}}"),
            false => "l".to_owned(),
        });
        columns.collect()
    }

    /// The table as a float of LaTeX, for the package booktabs; a long one over several pages, for the package longtable.
    pub(crate) fn latex(&self) -> String {
        /// Rows that fit on a page.
        const PAGE: usize = 40;
        // A table of comparisons is as wide as a page.
        let (size, gap) = if self.own_columns().len() > 7 { ("scriptsize", 2) } else { ("small", 4) };
        let narrow = format!("\\{size}\\setlength{{\\tabcolsep}}{{{gap}pt}}");
        let line = |entries: Vec<String>| format!("    {} \\\\\n", entries.join(" & "));
        let alignment = self.alignment();
        let caption = format!("\\caption{{{}. {}}}", latex(&self.title), latex(&self.caption));
        let label = format!("\\label{{tab:{}}}", self.name);
        let long = self.rows.len() > PAGE;
        let mut text = match long {
            true => {
                format!("{{{narrow}\n\\begin{{longtable}}{{{alignment}}}\n  {caption} {label} \\\\\n    \\toprule\n")
            }
            false => format!(
                "\\begin{{table}}\n  \\centering\n  {caption}\n  {label}\n  {narrow}\n  {FITTED}\\begin{{tabular}}{{{alignment}}}\n    \\toprule\n"
            ),
        };
        text += &line(self.own_columns().iter().map(|column| latex(&column.title)).collect());
        text += if long { "    \\midrule\n    \\endhead\n" } else { "    \\midrule\n" };
        let columns = self.own_columns().len();
        let across = |words: &str| format!("    \\multicolumn{{{columns}}}{{l}}{{{words}}} \\\\\n");
        for (index, row) in self.rows.iter().enumerate() {
            let entry = |entry: &Entry| match entry.strong() {
                true => format!("\\textbf{{{}}}", latex(&entry.text)),
                false => latex(&entry.text),
            };
            let name = self.begins(&index).map(|name| across(&format!("\\emph{{{}}}", latex(name))));
            text += &name.unwrap_or_default();
            text += &line(self.own(row).iter().map(entry).collect());
        }
        if self.left_out > 0 {
            text += &across(&format!("{} more rows are left out.", self.left_out));
        }
        text += "    \\bottomrule\n";
        text + if long { "\\end{longtable}}\n" } else { "  \\end{tabular}}\n\\end{table}\n" }
    }
}

/// Somebody else's words in Markdown: no bar ends a cell, no line a row, no tag, picture or link begins, and no address is one.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' | '|' | '*' | '`' | '[' | ']' => escaped.extend(['\\', character]),
            '/' if escaped.ends_with(':') => escaped += "\\/",
            '.' if ends_with_www(&escaped) => escaped += "\\.",
            '<' => escaped += "&lt;",
            '&' => escaped += "&amp;",
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

fn ends_with_www(text: &str) -> bool {
    text.len().checked_sub(3).and_then(|start| text.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case("www"))
}

/// What follows in braces, made smaller if it is wider than a line; for the package graphicx.
pub(crate) const FITTED: &str = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n  ";

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
            // After the end of a row these would be its options.
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
        assert_eq!(latex("[1] *a* α ≤ β"), "{[}1{]} *a* $\\alpha$ $\\leq$ $\\beta$");
        assert_eq!(latex("*a"), "{*}a");
        let address = "![b](http://a.b) www.a.b Www.c: https://d";
        assert_eq!(markdown(address), "!\\[b\\](http:\\//a.b) www\\.a.b Www\\.c: https:\\//d");
    }

    #[test]
    fn long_texts_are_broken_into_lines() {
        let mut table = TableView::new("t", "t", "c", &["claim", "verdict", "why"]);
        table.push(vec![Entry::new("a ".repeat(30)), Entry::new("held"), Entry::new("b ".repeat(30))]);
        assert_eq!(table.alignment(), "p{0.37\\linewidth}lp{0.37\\linewidth}");
        let mut numbers = TableView::new("t", "t", "c", &["cell", "#n"]);
        numbers.push(vec![Entry::new("a ".repeat(30)), Entry::new("1")]);
        assert_eq!(numbers.alignment(), "lr");
    }

    #[test]
    fn long_tables_end() {
        let mut table = TableView::new("t", "t", "c", &["n"]);
        (0..ROWS + 7).for_each(|row| table.push(vec![Entry::new(row.to_string())]));
        assert_eq!((table.rows.len(), table.left_out), (ROWS, 7));
        assert!(table.markdown().contains("7 more rows") && table.latex().contains("\\multicolumn{1}{l}{7 more rows"));
        assert!(table.latex().contains("\n\\begin{longtable}") && table.latex().ends_with("\\end{longtable}}\n"));
    }
}
