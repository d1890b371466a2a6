// SPDX-License-Identifier: MIT OR Apache-2.0

//! A partition's circuit from that of one challenge.
//!
//! The sealing circuit is a head, what the challenges share, and then the same for every challenge.
//! So the matrices of many challenges are those of one, shifted: 32GiB's 18 take a sixth of the time.
//! Nothing of that is taken for granted: the circuit of two challenges is extracted as well, and has to
//! be the one of one challenge, repeated.

use super::{Circuit, Densities, Matrix, file};
use crate::assignment::Variables;

/// Numbers of what a circuit, or a part of one, consists of.
#[derive(Clone, Copy)]
struct Counts {
    /// Constraints, those of the inputs aside.
    rows: u32,
    inputs: u32,
    aux: u32,
    full: u32,
}

impl Counts {
    fn of(circuit: &Circuit) -> Option<Self> {
        let Variables { n_inputs, n_aux, full } = &circuit.variables;
        let rows = u32::try_from(circuit.n_constraints()).ok()?.checked_sub(*n_inputs)?;
        Some(Counts { rows, inputs: *n_inputs, aux: *n_aux, full: full.len() as u32 })
    }

    fn less(self, other: Self) -> Option<Self> {
        Some(Counts {
            rows: self.rows.checked_sub(other.rows)?,
            inputs: self.inputs.checked_sub(other.inputs)?,
            aux: self.aux.checked_sub(other.aux)?,
            full: self.full.checked_sub(other.full)?,
        })
    }
}

/// The circuit of `n` challenges from those of one and of two. Nothing where they are not of a head
/// and repetitions, or where the result has more than 2^32 of anything.
pub(super) fn repeat(one: &Circuit, two: &Circuit, n: u32) -> Option<Circuit> {
    let step = Counts::of(two)?.less(Counts::of(one)?)?;
    let parts = Parts { head: Counts::of(one)?.less(step)?, step, one };
    // Of either part, bits are what is left.
    if parts.head.aux < parts.head.full || step.aux < step.full {
        return None;
    }
    (parts.repeated(2)? == *two).then(|| parts.repeated(n))?
}

/// A head and one repetition.
struct Parts<'c> {
    one: &'c Circuit,
    head: Counts,
    step: Counts,
}

impl Parts<'_> {
    fn repeated(&self, n: u32) -> Option<Circuit> {
        let variables = self.variables(n)?;
        let [a, b, c] = [(&self.one.a, true), (&self.one.b, false), (&self.one.c, false)]
            .map(|(matrix, has_inputs)| self.matrix(matrix, has_inputs, &variables, n));
        let one = &self.one.densities;
        let (head, step) = (self.head, self.step);
        let densities = Densities {
            a_aux: marks(&one.a_aux, head.aux, step.aux, variables.n_aux),
            b_inputs: marks(&one.b_inputs, head.inputs, step.inputs, variables.n_inputs),
            b_aux: marks(&one.b_aux, head.aux, step.aux, variables.n_aux),
        };
        let coefficients = self.one.coefficients.clone();
        let mut circuit =
            Circuit { variables, a: a?, b: b?, c: c?, coefficients, densities, digest: [0; 32] };
        circuit.digest = file::digest(&circuit);
        Some(circuit)
    }

    fn variables(&self, n: u32) -> Option<Variables> {
        let all = |head: u32, step: u32| step.checked_mul(n)?.checked_add(head);
        let n_aux = all(self.head.aux, self.step.aux)?;
        let n_inputs = all(self.head.inputs, self.step.inputs)?;
        // Columns are numbered in 32 bits.
        n_inputs.checked_add(n_aux)?;
        let (head, step) = self.one.variables.full.split_at(self.head.full as usize);
        let shifted = (0..n).flat_map(|i| step.iter().map(move |aux| aux + i * self.step.aux));
        let full = head.iter().copied().chain(shifted).collect();
        Some(Variables { n_inputs, n_aux, full })
    }

    /// `has_inputs` says whether the matrix has the inputs' constraints as its last rows.
    fn matrix(
        &self,
        one: &Matrix,
        has_inputs: bool,
        variables: &Variables,
        n: u32,
    ) -> Option<Matrix> {
        let end = |rows: u32| match rows.checked_sub(1) {
            Some(last) => one.ends.get(last as usize).copied(),
            None => Some(0),
        };
        let n_head = self.head.rows;
        let (head, step) = (0..end(n_head)?, end(n_head)?..end(n_head + self.step.rows)?);
        let n_last = if has_inputs { variables.n_inputs } else { 0 };
        let n_terms = u32::try_from(step.len()).ok()?.checked_mul(n)?;
        let n_terms = n_terms.checked_add(head.end)?.checked_add(n_last)?;
        let n_rows = (n_head + variables.n_inputs) as usize + n as usize * self.step.rows as usize;
        let mut made = Matrix {
            ends: Vec::with_capacity(n_rows),
            columns: Vec::with_capacity(n_terms as usize),
            coefficients: Vec::with_capacity(n_terms as usize),
        };
        let rows = n_head as usize..(n_head + self.step.rows) as usize;
        self.push(&mut made, one, 0..n_head as usize, self.shift(variables, 0));
        for i in 0..n {
            self.push(&mut made, one, rows.clone(), self.shift(variables, i));
        }
        for input in 0..variables.n_inputs {
            if has_inputs {
                made.columns.push(input);
                made.coefficients.push(0);
            }
            made.ends.push(made.columns.len() as u32);
        }
        Some(made)
    }

    fn push(
        &self,
        made: &mut Matrix,
        one: &Matrix,
        rows: std::ops::Range<usize>,
        shift: impl Fn(u32) -> u32,
    ) {
        let start = rows.start.checked_sub(1).map_or(0, |above| one.ends[above]);
        let first = made.columns.len() as u32;
        let ends = &one.ends[rows];
        made.ends.extend(ends.iter().map(|end| end - start + first));
        let terms = start as usize..ends.last().map_or(start, |end| *end) as usize;
        made.columns.extend(one.columns[terms.clone()].iter().map(|column| shift(*column)));
        made.coefficients.extend_from_slice(&one.coefficients[terms]);
    }

    /// From a column of the circuit of one challenge to the column of the same variable for challenge
    /// `i` of many.
    fn shift(&self, variables: &Variables, i: u32) -> impl Fn(u32) -> u32 + use<> {
        let (head, step) = (self.head, self.step);
        let (n_inputs, n_values) = (self.one.variables.n_inputs, self.one.variables.n_values());
        let (to_inputs, to_values) = (variables.n_inputs, variables.n_values());
        let (head_bits, step_bits) = (head.aux - head.full, step.aux - step.full);
        move |column| {
            // Its kind's first column, its number there, and what the head and a step have of it.
            let (first, number, head, step) = if column < n_inputs {
                (0, column, head.inputs, step.inputs)
            } else if column < n_values {
                (to_inputs, column - n_inputs, head.full, step.full)
            } else {
                (to_values, column - n_values, head_bits, step_bits)
            };
            first + number + if number < head { 0 } else { i * step }
        }
    }
}

/// Marks of `n` variables from those of a head and one repetition.
fn marks(one: &[u64], head: u32, step: u32, n: u32) -> Vec<u64> {
    let mut marks = vec![0; (n as usize).div_ceil(64)];
    let (head, step) = (head as usize, step as usize);
    let mut from = 0;
    for i in 0..n as usize {
        marks[i / 64] |= (one[from / 64] >> (from % 64) & 1) << (i % 64);
        from += 1;
        if from == head + step {
            from = head;
        }
    }
    marks
}

#[cfg(test)]
mod tests;
