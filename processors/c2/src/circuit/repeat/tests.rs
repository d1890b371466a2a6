// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::atomic::AtomicBool;

use bellperson::{
    ConstraintSystem, SynthesisError,
    gadgets::{boolean::AllocatedBit, num::AllocatedNum},
};
use blstrs::Scalar;
use ff::Field as _;

use super::*;

/// A head and repetitions that use it, with variables and inputs of every kind.
struct Repeating {
    n: usize,
    /// A repetition that is not like the others.
    odd: Option<usize>,
}

impl bellperson::Circuit<Scalar> for Repeating {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let number = |cs: &mut CS| AllocatedNum::alloc(cs, || Ok(Scalar::ONE));
        let shared = number(cs)?;
        shared.inputize(&mut *cs)?;
        let shared_bit = AllocatedBit::alloc(&mut *cs, Some(true))?;
        for i in 0..self.n {
            let bit = AllocatedBit::alloc(&mut *cs, Some(true))?;
            let both = AllocatedBit::xor(&mut *cs, &bit, &shared_bit)?;
            let own = number(cs)?;
            let product = own.mul(&mut *cs, &shared)?;
            product.inputize(&mut *cs)?;
            let factor = Scalar::from(if self.odd == Some(i) { 3 } else { 5 });
            cs.enforce(
                || "",
                |lc| lc + own.get_variable() + (factor, both.get_variable()),
                |lc| lc + shared.get_variable() + bit.get_variable(),
                |lc| lc + product.get_variable() + CS::one(),
            );
        }
        Ok(())
    }
}

fn circuit(n: usize, odd: Option<usize>) -> Circuit {
    Circuit::from_blank(Repeating { n, odd }, &AtomicBool::new(false)).unwrap()
}

#[test]
fn repetitions_are_the_circuits_own() {
    let [one, two] = [1, 2].map(|n| circuit(n, None));
    for n in [1, 2, 3, 18, 100] {
        assert!(repeat(&one, &two, n).unwrap() == circuit(n as usize, None), "{n}");
    }
}

#[test]
fn what_does_not_repeat_is_not_repeated() {
    let [one, two] = [1, 2].map(|n| circuit(n, None));
    assert!(repeat(&one, &circuit(2, Some(1)), 3).is_none());
    assert!(repeat(&two, &one, 3).is_none());
    assert!(repeat(&one, &circuit(3, None), 3).is_none());
    // More variables than columns have numbers.
    assert!(repeat(&one, &two, u32::MAX).is_none());
}
