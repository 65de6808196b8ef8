//! [`Table`]: columns for people.
//!
//! **Invariants.** Numbers are aligned at the right, all else at the left, and no line ends with a blank.

use std::fmt;

/// A cell.
#[derive(Debug)]
pub(crate) enum Cell {
    Number(u64),
    Text(String),
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Cell::Number(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Number(number) => number.to_string(),
            Cell::Text(text) => text.clone(),
        }
    }
}

/// A table, with a line of headings.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    headings: [&'static str; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(headings: [&'static str; N]) -> Self {
        Table {
            headings,
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = self
                .rows
                .iter()
                .map(|row| row[column].text().chars().count());
            cells
                .chain([self.headings[column].len()])
                .max()
                .unwrap_or(0)
        });
        let is_number: [bool; N] = std::array::from_fn(|column| {
            let mut cells = self.rows.iter().map(|row| &row[column]);
            !self.rows.is_empty() && cells.all(|cell| matches!(cell, Cell::Number(_)))
        });
        let headings = self.headings.map(str::to_owned);
        let rows = self
            .rows
            .iter()
            .map(|row| std::array::from_fn(|column| row[column].text()));
        for row in [headings].into_iter().chain(rows) {
            let cells = row.iter().enumerate().map(|(column, text)| {
                let width = widths[column];
                if is_number[column] {
                    format!("{text:>width$}")
                } else {
                    format!("{text:width$}")
                }
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}
