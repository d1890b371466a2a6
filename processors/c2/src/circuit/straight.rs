// SPDX-License-Identifier: MIT OR Apache-2.0

//! The straight way: a circuit with values gives every variable and every a, b, c as bellperson's
//! prover would have them. Slow, and what everything else is compared with.

use bellperson::{Circuit, ConstraintSystem, Index, LinearCombination, SynthesisError, Variable};
use blstrs::Scalar;
use ff::Field as _;
use sealpipe_protocol::{Code, TaskError};

use crate::assignment::{Assignment, Variables};

/// All values of one proof.
#[derive(Default)]
pub struct Straight {
    /// The inputs, the constant one first.
    pub inputs: Vec<Scalar>,
    /// The auxiliary variables, in the circuit's order.
    pub aux: Vec<Scalar>,
    /// A z, by constraints; those of the inputs included.
    pub a: Vec<Scalar>,
    /// B z.
    pub b: Vec<Scalar>,
    /// C z.
    pub c: Vec<Scalar>,
}

impl Straight {
    /// Synthesises a circuit as bellperson's `synthesize_circuits_batch` does.
    ///
    /// # Errors
    /// The circuit's own.
    pub fn of(circuit: impl Circuit<Scalar>) -> Result<Self, SynthesisError> {
        let mut straight = Straight::default();
        straight.alloc_input(|| "", || Ok(Scalar::ONE))?;
        circuit.synthesize(&mut straight)?;
        for i in 0..straight.inputs.len() {
            straight.enforce(|| "", |lc| lc + Variable(Index::Input(i)), |lc| lc, |lc| lc);
        }
        Ok(straight)
    }

    /// The first constraint that does not hold.
    pub fn first_violated(&self) -> Option<usize> {
        let mut products = self.a.iter().zip(&self.b).zip(&self.c);
        products.position(|((a, b), c)| *a * b != *c)
    }

    /// The variables as they go to the prover.
    ///
    /// # Errors
    /// A defect: variables of another circuit, or a variable that should be a bit and is none.
    pub fn assignment(&self, variables: &Variables) -> Result<Assignment, TaskError> {
        let defect = |message: String| Err(TaskError::new(Code::InternalError, message));
        let found = (self.inputs.len(), self.aux.len());
        if found != (variables.n_inputs as usize, variables.n_aux as usize) {
            return defect(format!("a circuit with {} inputs and {} others", found.0, found.1));
        }
        let mut values = self.inputs.clone();
        let mut bits = vec![0u64; (variables.n_bits() as usize).div_ceil(64)];
        let mut full = variables.full.iter().peekable();
        let mut n_bits = 0;
        for (aux, value) in self.aux.iter().enumerate() {
            if full.next_if(|next| **next as usize == aux).is_some() {
                values.push(*value);
                continue;
            }
            if *value == Scalar::ONE {
                bits[n_bits / 64] |= 1 << (n_bits % 64);
            } else if !value.is_zero_vartime() {
                return defect(format!("auxiliary variable {aux} is no bit"));
            }
            n_bits += 1;
        }
        Ok(Assignment { values, bits })
    }
}

impl ConstraintSystem<Scalar> for Straight {
    type Root = Self;

    fn alloc<F, A, AR>(&mut self, _: A, value: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        self.aux.push(value()?);
        Ok(Variable(Index::Aux(self.aux.len() - 1)))
    }

    fn alloc_input<F, A, AR>(&mut self, _: A, value: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        self.inputs.push(value()?);
        Ok(Variable(Index::Input(self.inputs.len() - 1)))
    }

    fn enforce<A, AR, LA, LB, LC>(&mut self, _: A, a: LA, b: LB, c: LC)
    where
        A: FnOnce() -> AR,
        AR: Into<String>,
        LA: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LB: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LC: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
    {
        let value = |lc: LinearCombination<Scalar>| lc.eval(&self.inputs, &self.aux);
        let (a, b, c) = (
            value(a(LinearCombination::zero())),
            value(b(LinearCombination::zero())),
            value(c(LinearCombination::zero())),
        );
        self.a.push(a);
        self.b.push(b);
        self.c.push(c);
    }

    fn push_namespace<NR, N>(&mut self, _: N)
    where
        NR: Into<String>,
        N: FnOnce() -> NR,
    {
    }

    fn pop_namespace(&mut self) {}

    fn get_root(&mut self) -> &mut Self::Root {
        self
    }
}
