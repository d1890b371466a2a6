// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which point of bellperson's file belongs to which column. Pure.

use super::file::Section;
use crate::{assignment::Variables, circuit::Densities};

/// Some columns of one kind, and where their points are in a section of bellperson's file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Part {
    /// Numbers of columns, ascending: of a full-size value the column itself, of a bit the column less
    /// [`Variables::n_values`].
    pub numbers: Vec<u32>,
    /// The place of each column's point in the section.
    pub sources: Vec<u32>,
}

impl Part {
    fn push(&mut self, number: u32, source: u32) {
        self.numbers.push(number);
        self.sources.push(source);
    }
}

/// The columns of a query, by what they can be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Columns with a full-size value.
    pub values: Part,
    /// Columns that are bits.
    pub bits: Part,
}

/// The queries of a circuit over its columns; `h` is over coefficients instead.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Queries {
    /// All auxiliary variables.
    pub l: Query,
    /// All inputs, and the auxiliary variables in A.
    pub a: Query,
    /// The variables in B.
    pub b: Query,
}

impl Queries {
    /// The queries of a circuit. In each section of the file inputs come first, then the auxiliary
    /// variables, both in the circuit's order and without those that the matrix lacks.
    pub fn of(variables: &Variables, densities: &Densities) -> Self {
        let mut queries = Self::default();
        for input in 0..variables.n_inputs {
            let source = queries.a.values.sources.len() as u32;
            queries.a.values.push(input, source);
            if is_set(&densities.b_inputs, input) {
                let source = queries.b.values.sources.len() as u32;
                queries.b.values.push(input, source);
            }
        }
        let mut next_a = queries.a.values.sources.len() as u32;
        let mut next_b = queries.b.values.sources.len() as u32;
        for (aux, column) in (0..).zip(variables.columns()) {
            queries.l.part(variables, column, aux);
            if is_set(&densities.a_aux, aux) {
                queries.a.part(variables, column, next_a);
                next_a += 1;
            }
            if is_set(&densities.b_aux, aux) {
                queries.b.part(variables, column, next_b);
                next_b += 1;
            }
        }
        queries
    }
}

impl Queries {
    /// Elements of a section of the converted file, with a key of so many bytes and so many coefficients of
    /// the quotient.
    pub(super) fn count(&self, section: Section, key: u64, domain: u64) -> u64 {
        let Self { l, a, b } = self;
        let points = match section {
            Section::Key => return key,
            Section::H => return domain,
            Section::LValues => &l.values,
            Section::LBits => &l.bits,
            Section::AValues | Section::AValueColumns => &a.values,
            Section::ABits | Section::ABitNumbers => &a.bits,
            Section::B1Values | Section::B2Values | Section::BValueColumns => &b.values,
            Section::B1Bits | Section::B2Bits | Section::BBitNumbers => &b.bits,
        };
        points.sources.len() as u64
    }
}

impl Query {
    fn part(&mut self, variables: &Variables, column: u32, source: u32) {
        match column.checked_sub(variables.n_values()) {
            Some(bit) => self.bits.push(bit, source),
            None => self.values.push(column, source),
        }
    }

    /// How many points it has.
    pub fn len(&self) -> usize {
        self.values.sources.len() + self.bits.sources.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn is_set(words: &[u64], bit: u32) -> bool {
    words.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(numbers: &[u32], sources: &[u32]) -> Part {
        Part { numbers: numbers.to_vec(), sources: sources.to_vec() }
    }

    #[test]
    fn points_are_found_by_counting_those_before_them() {
        // Inputs 0 and 1; auxiliary variables 0 to 4, of which 1 and 3 are full-size.
        let variables = Variables { n_inputs: 2, n_aux: 5, full: vec![1, 3] };
        let densities =
            Densities { a_aux: vec![0b11011], b_inputs: vec![0b01], b_aux: vec![0b11000] };
        let Queries { l, a, b } = Queries::of(&variables, &densities);
        assert_eq!(l.values, part(&[2, 3], &[1, 3]));
        assert_eq!(l.bits, part(&[0, 1, 2], &[0, 2, 4]));
        // The file has inputs 0 and 1, then the variables 0, 1, 3, 4.
        assert_eq!(a.values, part(&[0, 1, 2, 3], &[0, 1, 3, 4]));
        assert_eq!(a.bits, part(&[0, 2], &[2, 5]));
        // Input 0, then the variables 3 and 4.
        assert_eq!(b.values, part(&[0, 3], &[0, 1]));
        assert_eq!(b.bits, part(&[2], &[2]));
    }
}
