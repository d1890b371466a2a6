// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which auxiliary variables can be nothing but 0 or 1, proved from the constraints alone.
//!
//! A variable is a bit when its own constraint says so, x * (1 - x) = 0, or when a constraint makes it
//! a function of bits: then all values of those are tried. That covers what the gadgets allocate (xor,
//! and, nor, choose, majority) without a word of the gadgets, and takes nothing for a bit that is none.

use bellperson::Index;
use blstrs::Scalar;
use sealpipe_params::{Assembly, Term};

/// Variables of a constraint that is looked at: majority has five (a, b, c, b and c, the result).
const MAX_VARIABLES: usize = 5;

/// Coefficients of gadgets over bits: up to this, either sign.
const MAX_COEFFICIENT: i8 = 2;

/// The auxiliary variables that are not proved to be bits, ascending.
pub(super) fn full(assembly: &Assembly<'_>) -> Vec<u32> {
    let small: Vec<_> = assembly.coefficients.iter().map(small).collect();
    let mut is_bit = vec![false; assembly.n_aux];
    // What the last constraint made: majority's follows the one that makes `b and c`.
    let mut last: Option<Constraint> = None;
    for row in 0..assembly.a.len() {
        let sides = [assembly.a.row(row), assembly.b.row(row), assembly.c.row(row)];
        let Some(constraint) = Constraint::parse(sides, &small) else {
            last = None;
            continue;
        };
        let mut unknown =
            (0..constraint.n_variables).filter(|i| !is_bit[constraint.variables[*i] as usize]);
        let (Some(new), None) = (unknown.next(), unknown.next()) else {
            last = None;
            continue;
        };
        let proved = constraint.is_boolean() || constraint.makes_a_bit(new, last.as_ref());
        is_bit[constraint.variables[new] as usize] |= proved;
        last = proved.then_some(constraint);
    }
    (0..assembly.n_aux as u32).filter(|aux| !is_bit[*aux as usize]).collect()
}

fn small(coefficient: &Scalar) -> Option<i8> {
    let magnitudes = 1..=MAX_COEFFICIENT;
    magnitudes.flat_map(|m| [m, -m]).chain([0]).find(|value| {
        let magnitude = Scalar::from(u64::from(value.unsigned_abs()));
        *coefficient == if *value < 0 { -magnitude } else { magnitude }
    })
}

/// A sum of a constant and of small multiples of a constraint's variables.
type Sum = [i8; 1 + MAX_VARIABLES];

/// A constraint a * b = c over few auxiliary variables.
#[derive(Clone, Copy)]
struct Constraint {
    variables: [u32; MAX_VARIABLES],
    n_variables: usize,
    /// a, b and c.
    sums: [Sum; 3],
}

impl Constraint {
    /// Nothing where there are too many variables, an input other than one, or a large coefficient.
    fn parse(sides: [&[Term]; 3], small: &[Option<i8>]) -> Option<Self> {
        let mut parsed = Constraint {
            variables: [0; MAX_VARIABLES],
            n_variables: 0,
            sums: [[0; 1 + MAX_VARIABLES]; 3],
        };
        for (side, terms) in sides.into_iter().enumerate() {
            if terms.len() > 1 + MAX_VARIABLES {
                return None;
            }
            for term in terms {
                let place = match term.variable() {
                    Index::Input(0) => 0,
                    Index::Input(_) => return None,
                    Index::Aux(aux) => 1 + parsed.place(aux as u32)?,
                };
                parsed.sums[side][place] = small[term.coefficient as usize]?;
            }
        }
        Some(parsed)
    }

    fn place(&mut self, variable: u32) -> Option<usize> {
        if let Some(found) = self.position(variable) {
            return Some(found);
        }
        *self.variables.get_mut(self.n_variables)? = variable;
        self.n_variables += 1;
        Some(self.n_variables - 1)
    }

    fn position(&self, variable: u32) -> Option<usize> {
        self.variables[..self.n_variables].iter().position(|known| *known == variable)
    }

    /// Whether this is x^2 = x for its only variable.
    fn is_boolean(&self) -> bool {
        let [a, b, c] = self.sums.map(|sum| [i32::from(sum[0]), i32::from(sum[1])]);
        let constant = a[0] * b[0] - c[0];
        let linear = a[0] * b[1] + a[1] * b[0] - c[1];
        let square = a[1] * b[1];
        self.n_variables == 1 && constant == 0 && square != 0 && square == -linear
    }

    /// Whether the variable at `new`, the others being bits, is the value of this constraint and
    /// always 0 or 1. Values of the others that `last` forbids do not count.
    fn makes_a_bit(&self, new: usize, last: Option<&Constraint>) -> bool {
        let [a, b, sign] = self.sums.map(|sum| sum[1 + new]);
        if a != 0 || b != 0 || sign.abs() != 1 {
            return false;
        }
        let last = last.filter(|last| {
            last.variables[..last.n_variables]
                .iter()
                .all(|v| self.position(*v).is_some_and(|at| at != new))
        });
        (0u32..1 << self.n_variables).filter(|values| values >> new & 1 == 0).all(|values| {
            let is_forbidden = last.is_some_and(|last| {
                let at =
                    |i: usize| self.position(last.variables[i]).map_or(0, |at| values >> at & 1);
                let theirs = (0..last.n_variables).fold(0, |all, i| all | at(i) << i);
                last.residue(theirs) != 0
            });
            // a * b - c without the new variable is what it adds to c.
            is_forbidden || matches!(self.residue(values) * i32::from(sign), 0 | 1)
        })
    }

    /// a * b - c, where the bits of `values` are the variables.
    fn residue(&self, values: u32) -> i32 {
        let value = |sum: &Sum| {
            (0..self.n_variables)
                .filter(|i| values >> i & 1 == 1)
                .fold(i32::from(sum[0]), |total, i| total + i32::from(sum[1 + i]))
        };
        let [a, b, c] = self.sums.each_ref().map(value);
        a * b - c
    }
}

#[cfg(test)]
mod tests;
