// SPDX-License-Identifier: MIT OR Apache-2.0

//! A word of 32 booleans as bellpepper's `UInt32` has them (bellpepper-core, `gadgets/boolean.rs`;
//! bellpepper, `gadgets/uint32.rs`): each is a variable, the negation of one, or a constant. Gates
//! allocate nothing where a constant decides, and which variables they do allocate depends on the
//! constants' values, so every case of theirs is here, for all bits of a word at once.

use super::bits::Bits;

/// 32 booleans, the least significant in the lowest place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// Their values.
    pub(super) value: u32,
    /// Which of them are constants.
    constant: u32,
    /// Which of them are negations of their variables; none of the constants.
    negated: u32,
}

impl Word {
    /// 32 constants.
    pub(super) fn constant(value: u32) -> Self {
        Word { value, constant: u32::MAX, negated: 0 }
    }

    /// Variables, apart from the bits of `constant`.
    pub(super) fn variable(value: u32, constant: u32) -> Self {
        Word { value, constant, negated: 0 }
    }

    pub(super) fn rotate(self, by: u32) -> Self {
        self.each(|bits| bits.rotate_right(by))
    }

    /// What comes in is constant.
    pub(super) fn shift(self, by: u32) -> Self {
        let shifted = self.each(|bits| bits >> by);
        Word { constant: shifted.constant | !(u32::MAX >> by), ..shifted }
    }

    fn each(self, f: impl Fn(u32) -> u32) -> Self {
        Word { value: f(self.value), constant: f(self.constant), negated: f(self.negated) }
    }

    fn not(self) -> Self {
        Word { value: !self.value, negated: !self.negated & !self.constant, ..self }
    }

    /// Whether the result of an exclusive or with this is the other, negated; of two variables, whether
    /// it is the new variable, negated.
    fn flips(self) -> u32 {
        self.value & self.constant | self.negated
    }

    /// The bits of `self` where `mask` has ones, those of `other` where it has zeros.
    fn or_else(self, mask: u32, other: Self) -> Self {
        let pick = |a: u32, b: u32| a & mask | b & !mask;
        Word {
            value: pick(self.value, other.value),
            constant: pick(self.constant, other.constant),
            negated: pick(self.negated, other.negated),
        }
    }

    /// `Boolean::and`, and where it allocates.
    fn and(self, other: Self) -> (Self, u32) {
        let allocated = !(self.constant | other.constant);
        let is_false = self.constant & !self.value | other.constant & !other.value;
        let fresh = Word { value: self.value & other.value, constant: 0, negated: 0 };
        let zero = Word::constant(0);
        // `false` first, then a constant `true` on the left, then on the right.
        let kept = other.or_else(self.constant, self);
        (zero.or_else(is_false, fresh.or_else(allocated, kept)), allocated)
    }

    /// The variables behind the booleans.
    fn variables(self) -> u32 {
        self.value ^ self.negated
    }
}

/// `UInt32::xor`.
#[inline]
pub(super) fn xor(bits: &mut Bits, a: Word, b: Word) -> Word {
    let constant = a.constant & b.constant;
    let negated = (a.flips() ^ b.flips()) & !constant;
    let made = Word { value: a.value ^ b.value, constant, negated };
    bits.push_masked(made.variables(), !(a.constant | b.constant));
    made
}

/// `UInt32::sha256_ch`: (a and b) xor ((not a) and c).
#[inline]
pub(super) fn ch(bits: &mut Bits, a: Word, b: Word, c: Word) -> Word {
    let value = a.value & b.value ^ !a.value & c.value;
    let fresh = Word { value, constant: 0, negated: 0 };
    if a.constant | b.constant | c.constant == 0 {
        bits.push(u64::from(value), 32);
        return fresh;
    }
    let is_true = |word: Word| word.constant & word.value;
    let is_false = |word: Word| word.constant & !word.value;
    // In the order of the gadget's arms, the last first.
    let negation = |(made, allocated): (Word, u32)| (made.not(), allocated);
    let arms = [
        (is_true(b), negation(a.not().and(c.not()))),
        (is_true(c), negation(a.and(b.not()))),
        (is_false(c), a.and(b)),
        (is_false(b), a.not().and(c)),
        (is_false(a), (c, 0)),
        (a.constant & b.constant & c.constant, (Word::constant(value), 0)),
    ];
    let (made, allocated) = choose(arms, (fresh, u32::MAX));
    bits.push_masked(made.variables(), allocated);
    made
}

/// `UInt32::sha256_maj`: (a and b) xor (a and c) xor (b and c).
#[inline]
pub(super) fn maj(bits: &mut Bits, a: Word, b: Word, c: Word) -> Word {
    let value = a.value & b.value ^ a.value & c.value ^ b.value & c.value;
    let fresh = Word { value, constant: 0, negated: 0 };
    let b_and_c = b.value & c.value;
    let any_constant = a.constant | b.constant | c.constant;
    if any_constant == 0 {
        bits.push(spread(value) | spread(b_and_c) << 1, 64);
        return fresh;
    }
    let is_true = |word: Word| word.constant & word.value;
    let is_false = |word: Word| word.constant & !word.value;
    let nor = |x: Word, y: Word| {
        let (made, allocated) = x.not().and(y.not());
        (made.not(), allocated)
    };
    let arms = [
        (is_true(a), nor(b, c)),
        (is_true(b), nor(a, c)),
        (is_true(c), nor(a, b)),
        (is_false(c), a.and(b)),
        (is_false(b), a.and(c)),
        (is_false(a), b.and(c)),
        (a.constant & b.constant & c.constant, (Word::constant(value), 0)),
    ];
    let (made, allocated) = choose(arms, (fresh, u32::MAX));
    for i in 0..32 {
        let bit = |word: u32| u64::from(word >> i & 1);
        if bit(any_constant) == 0 {
            bits.push(bit(value) | bit(b_and_c) << 1, 2);
        } else {
            bits.push(bit(made.variables() & allocated), bit(allocated) as usize);
        }
    }
    made
}

/// The last of the arms that applies to each bit, and where it allocates.
fn choose<const N: usize>(arms: [(u32, (Word, u32)); N], otherwise: (Word, u32)) -> (Word, u32) {
    arms.into_iter().fold(otherwise, |(made, allocated), (applies, (word, new))| {
        (word.or_else(applies, made), new & applies | allocated & !applies)
    })
}

/// The bits of a word in every second place.
fn spread(word: u32) -> u64 {
    let mut spread = u64::from(word);
    for (by, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555u64),
    ] {
        spread = (spread | spread << by) & mask;
    }
    spread
}

/// Words that will be added, `UInt32::addmany`, once all of them are known.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    total: u64,
    n_words: u64,
    constant: u32,
}

impl Sum {
    pub(super) fn of<const N: usize>(words: [Word; N]) -> Self {
        words.into_iter().fold(Sum { total: 0, n_words: 0, constant: u32::MAX }, Sum::plus)
    }

    #[must_use]
    pub(super) fn plus(self, word: Word) -> Self {
        Sum {
            total: self.total + u64::from(word.value),
            n_words: self.n_words + 1,
            constant: self.constant & word.constant,
        }
    }

    #[must_use]
    pub(super) fn plus_all(self, other: Self) -> Self {
        Sum {
            total: self.total + other.total,
            n_words: self.n_words + other.n_words,
            constant: self.constant & other.constant,
        }
    }

    /// The sum modulo 2^32. All of its bits are allocated, as many as the largest sum of so many words
    /// has, unless every word is a constant.
    #[inline]
    pub(super) fn make(self, bits: &mut Bits) -> Word {
        if self.constant == u32::MAX {
            return Word::constant(self.total as u32);
        }
        let n_bits = u64::BITS - (self.n_words * u64::from(u32::MAX)).leading_zeros();
        bits.push(self.total, n_bits as usize);
        Word::variable(self.total as u32, 0)
    }
}

#[cfg(test)]
mod tests;
