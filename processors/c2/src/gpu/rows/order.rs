// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rows of a matrix in the order in which a device takes them: by length, those of one length in their own
//! order. Pure.

/// Lanes of a warp: rows of a slice.
pub const WARP: usize = 32;

/// Entries of the longest row that one thread does alone. A warp does one of 32 in the time of one entry and
/// of the five additions after it.
pub const MAX_SHORT: usize = 24;

/// A lane without a row.
pub const NO_ROW: u32 = u32::MAX;

/// A matrix by rows: row j has the places `ends[j - 1]..ends[j]` of the other two, the first row from 0 on.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'m> {
    /// Where each row ends.
    pub ends: &'m [u32],
    /// Columns.
    pub columns: &'m [u32],
    /// Numbers of coefficients.
    pub coefficients: &'m [u16],
}

/// Rows in slices and rows with a warp each, as `cuda/rows.cuh` describes them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ordered {
    /// Row of each lane of each slice.
    pub short_rows: Vec<u32>,
    /// Of each slice the place of its first entry, shifted by 8, and the length of its rows.
    pub slices: Vec<u64>,
    /// Long rows.
    pub long_rows: Vec<u32>,
    /// Where the entries of each long row begin, and where the last one's end.
    pub begins: Vec<u64>,
    /// Columns of all entries, in slices first.
    pub columns: Vec<u32>,
    /// Numbers of coefficients.
    pub coefficients: Vec<u16>,
}

impl Rows<'_> {
    fn entries(&self, row: u32) -> std::ops::Range<usize> {
        let row = row as usize;
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        begin as usize..self.ends[row] as usize
    }

    /// Sorts the rows.
    pub fn order(&self) -> Ordered {
        let (mut by_length, mut long_rows) = (vec![Vec::new(); MAX_SHORT + 1], Vec::new());
        for row in 0..self.ends.len() as u32 {
            let length = self.entries(row).len();
            by_length.get_mut(length).unwrap_or(&mut long_rows).push(row);
        }
        let mut ordered = Ordered { long_rows, ..Ordered::default() };
        ordered.columns.reserve(self.columns.len() + MAX_SHORT * MAX_SHORT * WARP / 2);
        ordered.coefficients.reserve(ordered.columns.capacity());
        for (length, rows) in by_length.iter().enumerate() {
            for rows in rows.chunks(WARP) {
                self.slice(length, rows, &mut ordered);
            }
        }
        for row in &ordered.long_rows {
            ordered.begins.push(ordered.columns.len() as u64);
            let entries = self.entries(*row);
            ordered.columns.extend(&self.columns[entries.clone()]);
            ordered.coefficients.extend(&self.coefficients[entries]);
        }
        ordered.begins.push(ordered.columns.len() as u64);
        ordered
    }

    fn slice(&self, length: usize, rows: &[u32], ordered: &mut Ordered) {
        let at = ordered.columns.len();
        ordered.slices.push((at << 8 | length) as u64);
        ordered.short_rows.extend(rows);
        ordered.short_rows.resize(ordered.slices.len() * WARP, NO_ROW);
        ordered.columns.resize(at + length * WARP, 0);
        ordered.coefficients.resize(at + length * WARP, 0);
        for (lane, row) in rows.iter().enumerate() {
            for (j, entry) in self.entries(*row).enumerate() {
                ordered.columns[at + j * WARP + lane] = self.columns[entry];
                ordered.coefficients[at + j * WARP + lane] = self.coefficients[entry];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_length_share_slices_and_long_rows_stand_alone() {
        let lengths = [1, 0, 2, 1, 30, 2];
        let ends: Vec<u32> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        let columns: Vec<u32> = (0..36).map(|i| 100 + i).collect();
        let coefficients: Vec<u16> = (0..36).collect();
        let rows = Rows { ends: &ends, columns: &columns, coefficients: &coefficients };
        let ordered = rows.order();
        assert_eq!(ordered.slices, [0, 1, 32 << 8 | 2]);
        let lanes = |slice: usize| &ordered.short_rows[slice * WARP..][..3];
        assert_eq!(lanes(0), [1, NO_ROW, NO_ROW]);
        assert_eq!(lanes(1), [0, 3, NO_ROW]);
        assert_eq!(lanes(2), [2, 5, NO_ROW]);
        assert_eq!(ordered.columns[..2], [100, 103]);
        assert_eq!((ordered.columns[32], ordered.columns[64]), (101, 102));
        assert_eq!((ordered.columns[33], ordered.coefficients[65]), (134, 35));
        assert_eq!((ordered.long_rows, ordered.begins), (vec![4], vec![96, 126]));
        assert_eq!(ordered.columns[96..], columns[4..34]);
    }
}
