// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tables for people: columns two spaces apart.

/// A table under its headers. The first column stands left, the others right; a column is as wide
/// as its widest cell.
pub fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    let all = || std::iter::once(&headers).chain(rows);
    let width = |index: usize| {
        all().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(index, (cell, width))| {
            if index == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    all().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let rows = [vec!["a".to_owned(), "100".to_owned()], vec!["bcd".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["X", "N"], &rows), "X      N\na    100\nbcd    1\n");
        assert_eq!(table(&["X"], &[]), "X\n");
    }
}
