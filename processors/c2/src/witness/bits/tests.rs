// SPDX-License-Identifier: MIT OR Apache-2.0

use rand_core::{RngCore, SeedableRng};
use rand_xorshift::XorShiftRng;

use super::*;

impl Writer {
    /// All auxiliary variables, in order.
    pub(in crate::witness) fn aux(&self) -> Vec<Scalar> {
        let mut aux = Vec::new();
        let ends = self.runs.iter().skip(1).map(|run| run.value).chain([self.values.len()]);
        let bits_until = |aux: &mut Vec<Scalar>, n_values: usize, n_bits: usize| {
            let bits = aux.len() - n_values..n_bits;
            aux.extend(bits.map(|i| Scalar::from(self.bits.words[i / 64] >> (i % 64) & 1)));
        };
        for (run, end) in self.runs.iter().zip(ends) {
            bits_until(&mut aux, run.value, run.n_bits);
            aux.extend_from_slice(&self.values[run.value..end]);
        }
        bits_until(&mut aux, self.values.len(), self.bits.len);
        aux
    }
}

fn unpacked(bits: &Bits) -> Vec<bool> {
    assert_eq!(bits.words.len(), bits.len.div_ceil(64));
    let all = |i: usize| bits.words[i / 64] >> (i % 64) & 1 == 1;
    assert!((bits.len..64 * bits.words.len()).all(|i| !all(i)), "not filled up with zeros");
    (0..bits.len).map(all).collect()
}

#[test]
fn bits_come_back_in_the_order_in_which_they_were_pushed() {
    let mut rng = XorShiftRng::from_seed([7; 16]);
    let (mut bits, mut expected) = (Bits::default(), Vec::new());
    for _ in 0..2_000 {
        let n = rng.next_u32() as usize % 65;
        let value = if n == 0 { 0 } else { rng.next_u64() >> (64 - n) };
        bits.push(value, n);
        expected.extend((0..n).map(|i| value >> i & 1 == 1));
        let (value, mask) = (rng.next_u32(), rng.next_u32() | (rng.next_u32() % 2 * u32::MAX));
        bits.push_masked(value, mask);
        expected.extend((0..32).filter(|i| mask >> i & 1 == 1).map(|i| value >> i & 1 == 1));
    }
    assert_eq!(unpacked(&bits), expected);
}

#[test]
fn lists_are_appended_at_any_place() {
    let mut rng = XorShiftRng::from_seed([8; 16]);
    let lists: Vec<Bits> = (0..500)
        .map(|_| {
            let mut bits = Bits::default();
            for _ in 0..rng.next_u32() % 4 {
                bits.push(rng.next_u64() >> 1, 63 + (rng.next_u32() % 2) as usize);
                bits.push(0, (rng.next_u32() % 3) as usize);
            }
            bits
        })
        .collect();
    let mut all = Bits::default();
    lists.iter().for_each(|list| all.append(list));
    assert_eq!(unpacked(&all), lists.iter().flat_map(unpacked).collect::<Vec<_>>());
}

/// Value, two bits, two values, a bit; then a bit and a value.
fn pieces() -> [Writer; 2] {
    let [mut first, mut second] = [Writer::default(), Writer::default()];
    first.inputs.push(Scalar::from(5));
    first.value(Scalar::from(10));
    first.bits.push(0b10, 2);
    first.value(Scalar::from(11));
    first.value(Scalar::from(12));
    first.bits.push(1, 1);
    second.bits.push(1, 1);
    second.value(Scalar::from(13));
    [first, second]
}

#[test]
fn pieces_are_put_together_as_the_circuit_numbers_them() {
    let variables = Variables { n_inputs: 2, n_aux: 8, full: vec![0, 3, 4, 7] };
    let made = Writer::assemble(pieces().iter(), &variables).unwrap();
    assert_eq!(made.values, [1, 5, 10, 11, 12, 13].map(Scalar::from));
    assert_eq!(made.bits, [0b1110]);
}

#[test]
fn a_witness_of_another_circuit_is_refused() {
    let right = Variables { n_inputs: 2, n_aux: 8, full: vec![0, 3, 4, 7] };
    let full = [[1, 3, 4, 7], [0, 2, 4, 7], [0, 3, 5, 7], [0, 3, 4, 6]];
    let elsewhere = full.map(|full| Variables { full: full.to_vec(), ..right.clone() });
    let counts = [
        Variables { n_inputs: 3, ..right.clone() },
        Variables { n_aux: 9, ..right.clone() },
        Variables { full: vec![0, 3, 4], ..right.clone() },
    ];
    for variables in elsewhere.iter().chain(&counts) {
        Writer::assemble(pieces().iter(), variables).unwrap_err();
    }
}
