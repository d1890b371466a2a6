// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tables and spans of time for people.

/// Columns under their headers, two spaces apart; nothing when there are no rows.
pub fn table<const N: usize>(headers: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let headers = headers.map(str::to_owned);
    let all: Vec<&[String]> =
        std::iter::once(&headers[..]).chain(rows.iter().map(|row| &row[..])).collect();
    columns(&all, |_| false)
}

/// Numbers under their headers: the first column stands left, the others right.
pub fn numbers(headers: &[&str], rows: &[Vec<String>]) -> String {
    let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    let all: Vec<&[String]> =
        std::iter::once(&headers[..]).chain(rows.iter().map(|row| &row[..])).collect();
    columns(&all, |column| column > 0)
}

/// Columns as wide as their widest cells.
fn columns(rows: &[&[String]], is_right: impl Fn(usize) -> bool) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| match is_right(column) {
            true => format!("{cell:>width$}", width = width(column)),
            false => format!("{cell:<width$}", width = width(column)),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A span of time in two units at most: `5s`, `3m 20s`, `12d 4h`.
pub fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, ..) => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// Text in one line of at most so many characters.
pub fn short(text: &str, most: usize) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let cut: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        assert_eq!(span(999), "0s");
        assert_eq!(span(200_000), "3m 20s");
        assert_eq!(span(3_600_000), "1h 00m");
        assert_eq!(span(1_000_000_000), "11d 13h");
        assert_eq!(short("a  b\nc", 10), "a b c");
        assert_eq!(short("abcdefgh", 5), "abcd…");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["é".to_owned(), "x".to_owned()], ["longer".to_owned(), String::new()]];
        assert_eq!(table(["A", "B"], &rows), "A       B\né       x\nlonger\n");
        assert_eq!(table(["A"], &[]), "");
        let rows = [vec!["a".to_owned(), "100".to_owned()], vec!["bcd".to_owned(), "1".to_owned()]];
        assert_eq!(numbers(&["X", "N"], &rows), "X      N\na    100\nbcd    1\n");
    }
}
