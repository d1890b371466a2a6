// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a witness is written: inputs, full-size values and bits, in the circuit's order.

use blstrs::Scalar;
use sealpipe_protocol::{Code, TaskError};

use crate::assignment::{Assignment, Variables};

/// A list of bits, the first in the lowest place of the first word; the last word is filled up with
/// zeros.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    pub(super) fn with_capacity(n_bits: usize) -> Self {
        // One more: a word that is begun when the one before is full.
        Bits { words: Vec::with_capacity(n_bits / 64 + 1), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends the lowest `n` bits of `value`, the lowest first; the others have to be zero.
    #[inline]
    pub(super) fn push(&mut self, value: u64, n: usize) {
        debug_assert!(n <= 64 && (n == 64 || value >> n == 0), "{value:#x} has more than {n} bits");
        let place = self.len % 64;
        match self.words.last_mut() {
            Some(last) if place != 0 => {
                *last |= value << place;
                if place + n > 64 {
                    self.words.push(value >> (64 - place));
                }
            }
            _ if n > 0 => self.words.push(value),
            _ => {}
        }
        self.len += n;
    }

    /// Appends those bits of `value` that `mask` marks, the lowest first.
    #[inline]
    pub(super) fn push_masked(&mut self, value: u32, mask: u32) {
        if mask == u32::MAX {
            return self.push(u64::from(value), 32);
        }
        let (mut packed, mut n, mut rest) = (0u64, 0, mask);
        while rest != 0 {
            packed |= u64::from(value >> rest.trailing_zeros() & 1) << n;
            n += 1;
            rest &= rest - 1;
        }
        self.push(packed, n);
    }

    /// Appends all of another list.
    pub(super) fn append(&mut self, other: &Bits) {
        let Some((last, whole)) = other.words.split_last() else { return };
        self.words.reserve(other.words.len());
        for word in whole {
            self.push(*word, 64);
        }
        self.push(*last, other.len - 64 * whole.len());
    }
}

/// A piece of a witness.
#[derive(Default)]
pub(super) struct Writer {
    /// The piece's inputs.
    pub(super) inputs: Vec<Scalar>,
    /// Its full-size auxiliary variables.
    values: Vec<Scalar>,
    /// Its auxiliary variables that are bits.
    pub(super) bits: Bits,
    /// Where values stand between the bits: number `value` and those after it follow `n_bits` bits.
    runs: Vec<Run>,
    /// Whether two values differ that a constraint asks to be equal.
    is_false: bool,
}

#[derive(Clone, Copy)]
struct Run {
    value: usize,
    n_bits: usize,
}

impl Writer {
    /// A writer with room for so much.
    pub(super) fn with_capacity(n_values: usize, n_bits: usize) -> Self {
        let values = Vec::with_capacity(n_values);
        Writer { values, bits: Bits::with_capacity(n_bits), ..Self::default() }
    }

    /// Writes a full-size variable.
    #[inline]
    pub(super) fn value(&mut self, value: Scalar) {
        if self.runs.last().is_none_or(|run| run.n_bits != self.bits.len()) {
            self.runs.push(Run { value: self.values.len(), n_bits: self.bits.len() });
        }
        self.values.push(value);
    }

    /// Notes whether two values are equal, as a constraint asks.
    pub(super) fn equal(&mut self, left: Scalar, right: Scalar) {
        self.is_false |= left != right;
    }

    /// Whether all values were equal that constraints ask to be.
    pub(super) fn holds(&self) -> bool {
        !self.is_false
    }

    /// The full-size variable that was written last.
    pub(super) fn last_value(&self) -> Option<Scalar> {
        self.values.last().copied()
    }

    /// Puts pieces together, first to last.
    ///
    /// # Errors
    /// A defect: pieces of another circuit, which has more or fewer variables or has bits elsewhere.
    pub(super) fn assemble<'w>(
        pieces: impl Iterator<Item = &'w Writer>,
        variables: &Variables,
    ) -> Result<Assignment, TaskError> {
        let defect = |what: &str| {
            let message = format!("the witness is not of this circuit: {what}");
            Err(TaskError::new(Code::InternalError, message))
        };
        let pieces: Vec<_> = pieces.collect();
        let n_inputs = 1 + pieces.iter().map(|piece| piece.inputs.len()).sum::<usize>();
        let n_full = pieces.iter().map(|piece| piece.values.len()).sum::<usize>();
        let n_bits = pieces.iter().map(|piece| piece.bits.len).sum::<usize>();
        if (n_inputs, n_full) != (variables.n_inputs as usize, variables.full.len())
            || n_bits != variables.n_bits() as usize
        {
            return defect(&format!("{n_inputs} inputs, {n_full} values and {n_bits} bits"));
        }
        let mut values = Vec::with_capacity(n_inputs + n_full);
        values.push(Scalar::from(1));
        values.extend(pieces.iter().flat_map(|piece| &piece.inputs));
        let mut bits = Bits::with_capacity(n_bits);
        let mut n_values = 0;
        for piece in pieces {
            let ends = piece.runs.iter().skip(1).map(|run| run.value).chain([piece.values.len()]);
            for (run, end) in piece.runs.iter().zip(ends) {
                // Ascending without gaps when both ends are right.
                for value in [run.value, end - 1] {
                    let aux = n_values + value + bits.len + run.n_bits;
                    if variables.full[n_values + value] as usize != aux {
                        return defect(&format!("auxiliary variable {aux} is a bit"));
                    }
                }
            }
            values.extend_from_slice(&piece.values);
            bits.append(&piece.bits);
            n_values += piece.values.len();
        }
        Ok(Assignment { values, bits: bits.words })
    }
}

#[cfg(test)]
mod tests;
