//! Tables: columns of the things that a table lists. Other views turn them into Markdown, LaTeX,
//! HTML, lines of a terminal or CSV.

use std::io::Write;

use crate::numbers::claim::Verdict;

/// The columns of a table of `T`s.
pub(crate) struct Columns<'c, T>(Vec<(Column, Value<'c, T>)>);

/// The entry of a thing in a column.
type Value<'c, T> = Box<dyn Fn(&T) -> Entry + 'c>;

impl<'c, T> Columns<'c, T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a column of words, or of values for programs.
    pub(crate) fn words<E: Into<Entry>>(
        &mut self,
        title: impl Into<String>,
        entry: impl Fn(&T) -> E + 'c,
    ) {
        let column = Column { title: title.into(), number: false };
        self.0.push((column, Box::new(move |thing| entry(thing).into())));
    }

    /// Adds a column of numbers, which are aligned at the right.
    pub(crate) fn number<E: Into<Entry>>(
        &mut self,
        title: impl Into<String>,
        entry: impl Fn(&T) -> E + 'c,
    ) {
        self.words(title, entry);
        self.0.last_mut().expect("it was just added").0.number = true;
    }

    pub(crate) fn titles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(column, _)| column.title.as_str())
    }

    /// The texts of a thing in all columns.
    pub(crate) fn texts(&self, thing: &T) -> impl Iterator<Item = String> {
        self.0.iter().map(|(_, entry)| entry(thing).text)
    }

    /// A table of these things.
    pub(crate) fn view<'t>(
        &self,
        name: &'static str,
        title: &'static str,
        caption: impl Into<String>,
        things: impl IntoIterator<Item = &'t T>,
    ) -> TableView
    where
        T: 't,
    {
        let row = |thing| self.0.iter().map(|(_, entry)| entry(thing)).collect();
        TableView {
            name,
            title,
            caption: caption.into(),
            columns: self.0.iter().map(|(column, _)| column.clone()).collect(),
            rows: things.into_iter().map(row).collect(),
            ..TableView::default()
        }
    }

    /// These things as comma-separated values, with a header.
    pub(crate) fn csv<'t>(
        &self,
        file: impl Write,
        things: impl IntoIterator<Item = &'t T>,
    ) -> anyhow::Result<()>
    where
        T: 't,
    {
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(self.titles())?;
        for thing in things {
            csv.write_record(self.texts(thing))?;
        }
        Ok(csv.flush()?)
    }
}

/// A table for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableView {
    /// In lower case, for anchors and labels.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) caption: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Entry>>,
    /// Number of rows that are omitted.
    pub(crate) left_out: usize,
    /// Whether the first column names groups, under which HTML and LaTeX list its rows.
    grouped: bool,
}

/// The most rows of a table in the report. The files beside it have all rows.
pub(crate) const ROWS: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) title: String,
    pub(crate) number: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// The directions of decided differences; mostly empty.
    pub(crate) sign: String,
}

impl<T: Into<String>> From<T> for Entry {
    fn from(text: T) -> Self {
        Self::with_tone(Tone::Plain, text)
    }
}

/// The meaning of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    /// Decided.
    Strong,
    Verdict(Verdict),
}

impl Tone {
    /// The tone's class in the style sheet.
    pub(crate) fn class(self) -> Option<&'static str> {
        match self {
            Self::Verdict(Verdict::Held) => Some("held"),
            Self::Verdict(Verdict::NotHeld) => Some("not"),
            Self::Verdict(Verdict::Undecided) => Some("open"),
            Self::Plain | Self::Strong => None,
        }
    }
}

impl Entry {
    pub(crate) fn with_tone(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone, sign: String::new() }
    }

    pub(crate) fn strong_if(strong: bool, text: impl Into<String>) -> Self {
        Self::with_tone(if strong { Tone::Strong } else { Tone::Plain }, text)
    }

    pub(crate) fn strong(&self) -> bool {
        self.tone == Tone::Strong
    }

    /// The lines of the text, without the semicolons between them; at least one.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.text.split(";\n").collect()
    }

    /// The text with its sign.
    pub(crate) fn signed(&self) -> String {
        format!("{} {}", self.text, self.sign).trim_end().to_owned()
    }
}

impl TableView {
    /// Drops the rows that a report does not show.
    pub(crate) fn limited(mut self) -> Self {
        self.left_out = self.rows.len().saturating_sub(ROWS);
        self.rows.truncate(ROWS);
        self
    }

    pub(crate) fn grouped_if(mut self, grouped: bool) -> Self {
        self.grouped = grouped;
        self
    }

    /// `None` if the table has no rows.
    pub(crate) fn if_any(self) -> Option<Self> {
        (!self.rows.is_empty()).then_some(self)
    }

    /// The class of an entry of that column in the style sheet.
    pub(crate) fn class(&self, column: &usize, entry: &Entry) -> Option<&'static str> {
        let number = self.own_columns().get(*column).is_some_and(|column| column.number);
        entry.tone.class().or_else(|| number.then_some("n"))
    }

    /// The columns without that of the groups.
    pub(crate) fn own_columns(&self) -> &[Column] {
        &self.columns[usize::from(self.grouped)..]
    }

    /// The group that begins at that row.
    pub(crate) fn begins(&self, row: &usize) -> Option<&str> {
        let group = |row: usize| self.rows[row][0].text.as_str();
        let begins = self.grouped && (*row == 0 || group(*row) != group(row - 1));
        begins.then(|| group(*row)).filter(|group| !group.is_empty())
    }

    /// The entries of a row without its group.
    pub(crate) fn own<'r>(&self, row: &'r [Entry]) -> &'r [Entry] {
        &row[usize::from(self.grouped)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{latex, markdown};

    fn table(titles: &[&str], rows: &[&[&str]]) -> TableView {
        let mut columns = Columns::<&[&str]>::new();
        for (place, title) in titles.iter().enumerate() {
            match title.strip_prefix('#') {
                Some(number) => columns.number(number, move |row| row[place]),
                None => columns.words(*title, move |row| row[place]),
            }
        }
        columns.view("t", "50 % of <b>", "a_b", rows)
    }

    #[test]
    fn hostile_words_stay_words() {
        let rows: [&[&str]; 2] = [
            &["a|b\n<i> [x](y) `c` *d*", "1 ± 2"],
            &["\\input{x} ~ ^ $1$ & #", "– -1.5 to -0.5, a-1"],
        ];
        let mut table = table(&["who", "#n"], &rows);
        table.rows[0][1].tone = Tone::Strong;
        insta::assert_snapshot!("hostile_markdown", markdown::table(&table));
        insta::assert_snapshot!("hostile_latex", latex::table(&table));
    }

    #[test]
    fn long_texts_are_broken_into_lines() {
        let (one, other) = ("a ".repeat(30), "b ".repeat(30));
        let words = table(&["claim", "verdict", "why"], &[&[&one, "held", &other]]);
        assert_eq!(latex::alignment(&words), "p{0.37\\linewidth}lp{0.37\\linewidth}");
        assert_eq!(latex::alignment(&table(&["cell", "#n"], &[&[&one, "1"]])), "lr");
    }

    #[test]
    fn long_tables_end() {
        let rows = vec![&["1"][..]; ROWS + 7];
        let table = table(&["n"], &rows).limited();
        assert_eq!((table.rows.len(), table.left_out), (ROWS, 7));
        let [markdown, latex] = [markdown::table(&table), latex::table(&table)];
        assert!(
            markdown.contains("7 more rows") && latex.contains("\\multicolumn{1}{l}{7 more rows")
        );
        assert!(latex.contains("\n\\begin{longtable}") && latex.ends_with("\\end{longtable}}\n"));
    }
}
