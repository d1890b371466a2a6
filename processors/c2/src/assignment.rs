// SPDX-License-Identifier: MIT OR Apache-2.0

//! The values of a circuit's variables, split by what they can be.
//!
//! 98 of 100 auxiliary variables of the sealing circuit are bits by construction, and the same ones in
//! every proof. So the variables are numbered anew, once for a circuit: first the inputs (the constant one
//! is number 0), then the auxiliary variables that can be anything, then those that are bits, each group in
//! the circuit's order. Such a number is a *column*, since it names a column of the matrices. A proof then
//! needs 32 bytes for the first two groups and one bit for each of the third.

use blstrs::Scalar;

/// Which auxiliary variables of a circuit are bits: fixed by the circuit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variables {
    /// Inputs, the constant one included.
    pub n_inputs: u32,
    /// Auxiliary variables.
    pub n_aux: u32,
    /// Those auxiliary variables that can be any scalar, ascending.
    pub full: Vec<u32>,
}

impl Variables {
    /// Columns with a value of 32 bytes: inputs, then full-size auxiliary variables.
    pub fn n_values(&self) -> u32 {
        self.n_inputs + self.full.len() as u32
    }

    /// Columns that are bits; the first of them is column [`n_values`](Self::n_values).
    pub fn n_bits(&self) -> u32 {
        self.n_aux - self.full.len() as u32
    }

    /// The column of each auxiliary variable, in the circuit's order.
    pub fn columns(&self) -> Vec<u32> {
        let mut columns = Vec::with_capacity(self.n_aux as usize);
        let (mut next_value, mut next_bit) = (self.n_inputs, self.n_values());
        let mut full = self.full.iter().peekable();
        for aux in 0..self.n_aux {
            let next = match full.next_if(|next| **next == aux) {
                Some(_) => &mut next_value,
                None => &mut next_bit,
            };
            columns.push(*next);
            *next += 1;
        }
        columns
    }
}

/// The values of all variables of one proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The inputs, the constant one first, then the full-size auxiliary variables:
    /// [`n_values`](Variables::n_values) of them.
    pub values: Vec<Scalar>,
    /// The bits, the first in the lowest place of the first word; the last word is filled up with zeros.
    pub bits: Vec<u64>,
}

impl Assignment {
    /// The value of a column.
    ///
    /// # Panics
    /// When there is no such column.
    pub fn column(&self, column: u32) -> Scalar {
        let column = column as usize;
        match self.values.get(column) {
            Some(value) => *value,
            None => {
                let bit = column - self.values.len();
                Scalar::from(self.bits[bit / 64] >> (bit % 64) & 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_inputs_then_values_then_bits() {
        let variables = Variables { n_inputs: 3, n_aux: 6, full: vec![1, 4] };
        assert_eq!(variables.columns(), [5, 3, 6, 7, 4, 8]);
        assert_eq!((variables.n_values(), variables.n_bits()), (5, 4));
    }

    #[test]
    fn a_column_is_a_value_or_a_bit() {
        let values = vec![Scalar::from(1), Scalar::from(7)];
        let assignment = Assignment { values, bits: vec![0b10, 1] };
        let found: Vec<_> = [0, 1, 2, 3, 65, 66].map(|column| assignment.column(column)).into();
        assert_eq!(found, [1, 7, 0, 1, 0, 1].map(Scalar::from));
    }
}
