// SPDX-License-Identifier: MIT OR Apache-2.0
//! Collects a circuit's constraints: bellperson's `KeypairAssembly` in a sixth of the memory.
//!
//! bellperson keeps one vector for each variable and matrix. Here each of A, B and C is one list
//! of terms in the order of the constraints, 8 bytes a term, with the coefficients (a few thousand
//! different ones in the sealing circuit) in a list of their own; [`Rows::into_columns`] turns the
//! list over once synthesis has ended. Nothing here knows of the trapdoor.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use bellperson::{Circuit, ConstraintSystem, Index, LinearCombination, SynthesisError, Variable};
use blst::blst_fr;
use blstrs::Scalar;
use ff::Field;

use crate::error::{Error, Kind};
use crate::progress::{Progress, Step, Watch};

/// Marks an input in a term's variable; the other bits are the index.
const INPUT: u32 = 1 << 31;

/// Variables of a kind, at most, so that the mark has its bit.
const MAX_VARIABLES: usize = 1 << 31;

/// Constraints, at most: bellperson's domain ends at 2^31 (`EvaluationDomain::from_coeffs`).
const MAX_CONSTRAINTS: usize = 1 << 31;

/// Constraints, and allocations, between two looks at the cancel flag.
const N_BETWEEN_REPORTS: usize = 1 << 16;

/// One non-zero place of a matrix: where in its row or column, and which coefficient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Term {
    /// The variable in [`Rows`], the constraint in `Columns`.
    pub(crate) position: u32,
    /// Index into [`Assembly::coefficients`].
    pub coefficient: u32,
}

impl Term {
    /// A coefficient, by its index, at a variable.
    pub fn new(variable: Index, coefficient: u32) -> Self {
        let position = match variable {
            Index::Input(i) => i as u32 | INPUT,
            Index::Aux(i) => i as u32,
        };
        Self { position, coefficient }
    }

    /// The variable of a term of [`Rows`].
    pub fn variable(&self) -> Index {
        let index = (self.position & !INPUT) as usize;
        if self.position & INPUT != 0 { Index::Input(index) } else { Index::Aux(index) }
    }
}

/// A matrix by constraints: row j is `terms[ends[j - 1]..ends[j]]`.
#[derive(Default)]
pub struct Rows {
    ends: Vec<u32>,
    terms: Vec<Term>,
}

/// A matrix by variables, inputs first: column i is `terms[starts[i]..starts[i + 1]]`.
pub(crate) struct Columns {
    starts: Vec<u32>,
    terms: Vec<Term>,
}

/// A circuit's constraints: (A z) * (B z) = C z for z the inputs and the auxiliary variables.
pub struct Assembly<'a> {
    /// Inputs, the constant one included.
    pub n_inputs: usize,
    /// Auxiliary variables.
    pub n_aux: usize,
    /// Constraints, those of the inputs included.
    pub n_constraints: usize,
    /// The matrix A.
    pub a: Rows,
    /// The matrix B.
    pub b: Rows,
    /// The matrix C.
    pub c: Rows,
    /// Every coefficient once; the first is 1.
    pub coefficients: Vec<Scalar>,
    known: HashMap<[u64; 4], u32>,
    has_too_many_terms: bool,
    watch: Watch<'a>,
}

impl<'a> Assembly<'a> {
    /// The matrices of `circuit`, whose values are not asked for; `progress` hears of
    /// [`Step::Synthesis`] alone.
    ///
    /// # Errors
    /// The circuit's own, a circuit with more than 2^31 constraints or variables or 2^32 terms, and
    /// cancellation.
    pub fn of<C: Circuit<Scalar>>(
        circuit: C,
        progress: &'a (dyn Fn(Progress) + Sync),
        cancel: &'a AtomicBool,
    ) -> Result<Self, Error> {
        Self::synthesize(circuit, Watch::new(progress, cancel))
    }

    /// Constraints that were collected before, those of the inputs included: `rows` are A, B and C.
    ///
    /// # Panics
    /// When the matrices are of unequal length.
    pub fn from_rows(
        (n_inputs, n_aux): (usize, usize),
        [a, b, c]: [Rows; 3],
        coefficients: Vec<Scalar>,
        progress: &'a (dyn Fn(Progress) + Sync),
        cancel: &'a AtomicBool,
    ) -> Self {
        let n_constraints = a.len();
        assert!(b.len() == n_constraints && c.len() == n_constraints, "matrices of one circuit");
        Self {
            n_inputs,
            n_aux,
            n_constraints,
            a,
            b,
            c,
            coefficients,
            known: HashMap::new(),
            has_too_many_terms: false,
            watch: Watch::new(progress, cancel),
        }
    }

    /// Who hears of progress.
    pub(crate) fn watch(&self) -> Watch<'a> {
        self.watch
    }

    /// Synthesises `circuit`, with the constant 1 as first input and at the end one constraint
    /// `x * 0 = 0` for each input x, as `generate_parameters` does.
    ///
    /// # Errors
    /// The circuit's own, a circuit with more than 2^31 constraints or variables or 2^32 terms,
    /// and cancellation.
    pub(crate) fn synthesize<C: Circuit<Scalar>>(
        circuit: C,
        watch: Watch<'a>,
    ) -> Result<Self, Error> {
        let mut assembly = Assembly {
            n_inputs: 0,
            n_aux: 0,
            n_constraints: 0,
            a: Rows::default(),
            b: Rows::default(),
            c: Rows::default(),
            coefficients: vec![Scalar::ONE],
            known: HashMap::from([(limbs(&Scalar::ONE), 0)]),
            has_too_many_terms: false,
            watch,
        };
        watch.report(Step::Synthesis, 0);
        let result = assembly
            .alloc_input(|| "", || Ok(Scalar::ONE))
            .and_then(|_| circuit.synthesize(&mut assembly));
        watch.check()?;
        result?;
        for i in 0..assembly.n_inputs {
            assembly.enforce(|| "", |lc| lc + Variable(Index::Input(i)), |lc| lc, |lc| lc);
        }
        if assembly.n_constraints > MAX_CONSTRAINTS {
            return Err(SynthesisError::PolynomialDegreeTooLarge.into());
        }
        if assembly.has_too_many_terms {
            return Err(Kind::TooLarge { what: "terms", limit: u64::from(u32::MAX) }.into());
        }
        if assembly.n_inputs > MAX_VARIABLES || assembly.n_aux > MAX_VARIABLES {
            return Err(Kind::TooLarge { what: "variables", limit: MAX_VARIABLES as u64 }.into());
        }
        Ok(assembly)
    }

    fn push_row(&mut self, which: fn(&mut Self) -> &mut Rows, row: &LinearCombination<Scalar>) {
        for (variable, coefficient) in row.iter() {
            let term = Term::new(variable.0, self.coefficient_idx(coefficient));
            which(self).terms.push(term);
        }
        let rows = which(self);
        rows.ends.push(rows.terms.len() as u32);
        let is_full = rows.terms.len() > u32::MAX as usize;
        self.has_too_many_terms |= is_full;
    }

    fn coefficient_idx(&mut self, coefficient: &Scalar) -> u32 {
        if *coefficient == Scalar::ONE {
            return 0;
        }
        let coefficients = &mut self.coefficients;
        *self.known.entry(limbs(coefficient)).or_insert_with(|| {
            coefficients.push(*coefficient);
            (coefficients.len() - 1) as u32
        })
    }

    /// One allocation in many looks at the cancel flag: `enforce` has no way to fail.
    fn check_at(&self, n_allocated: usize) -> Result<(), SynthesisError> {
        if n_allocated.is_multiple_of(N_BETWEEN_REPORTS) && self.watch.is_cancelled() {
            return Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into());
        }
        Ok(())
    }
}

/// A scalar as a key: equal scalars have equal limbs, because blst keeps them reduced.
fn limbs(scalar: &Scalar) -> [u64; 4] {
    blst_fr::from(*scalar).l
}

impl ConstraintSystem<Scalar> for Assembly<'_> {
    type Root = Self;

    fn alloc<F, A, AR>(&mut self, _: A, _: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        self.check_at(self.n_aux)?;
        self.n_aux += 1;
        Ok(Variable(Index::Aux(self.n_aux - 1)))
    }

    fn alloc_input<F, A, AR>(&mut self, _: A, _: F) -> Result<Variable, SynthesisError>
    where
        F: FnOnce() -> Result<Scalar, SynthesisError>,
        A: FnOnce() -> AR,
        AR: Into<String>,
    {
        self.n_inputs += 1;
        Ok(Variable(Index::Input(self.n_inputs - 1)))
    }

    fn enforce<A, AR, LA, LB, LC>(&mut self, _: A, a: LA, b: LB, c: LC)
    where
        A: FnOnce() -> AR,
        AR: Into<String>,
        LA: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LB: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
        LC: FnOnce(LinearCombination<Scalar>) -> LinearCombination<Scalar>,
    {
        self.push_row(|this| &mut this.a, &a(LinearCombination::zero()));
        self.push_row(|this| &mut this.b, &b(LinearCombination::zero()));
        self.push_row(|this| &mut this.c, &c(LinearCombination::zero()));
        self.n_constraints += 1;
        if self.n_constraints.is_multiple_of(N_BETWEEN_REPORTS) {
            self.watch.report(Step::Synthesis, self.n_constraints as u64);
        }
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

impl Rows {
    /// Row j is `terms[ends[j - 1]..ends[j]]`.
    ///
    /// # Panics
    /// When the ends are no ascending indices of the terms, the last of them their number.
    pub fn new(ends: Vec<u32>, terms: Vec<Term>) -> Self {
        assert!(ends.is_sorted() && ends.last().map_or(0, |end| *end as usize) == terms.len());
        Self { ends, terms }
    }

    /// How many constraints there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many terms all rows have together.
    pub fn n_terms(&self) -> usize {
        self.terms.len()
    }

    /// The terms of one constraint.
    ///
    /// # Panics
    /// When there is no such constraint.
    pub fn row(&self, idx: usize) -> &[Term] {
        let start = idx.checked_sub(1).map_or(0, |above| self.ends[above] as usize);
        &self.terms[start..self.ends[idx] as usize]
    }

    /// The same matrix by variables: a counting sort, in one pass to count and one to place.
    pub(crate) fn into_columns(self, n_inputs: usize, n_aux: usize) -> Columns {
        let column = |term: &Term| {
            let idx = (term.position & !INPUT) as usize;
            if term.position & INPUT != 0 { idx } else { n_inputs + idx }
        };
        let mut starts = vec![0u32; n_inputs + n_aux + 1];
        for term in &self.terms {
            starts[column(term)] += 1;
        }
        // Each count becomes the end of its column; placing from the back turns ends into starts.
        let mut end = 0;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        let mut terms = vec![Term { position: 0, coefficient: 0 }; self.terms.len()];
        for row in (0..self.ends.len()).rev() {
            for term in self.row(row).iter().rev() {
                let place = &mut starts[column(term)];
                *place -= 1;
                terms[*place as usize] =
                    Term { position: row as u32, coefficient: term.coefficient };
            }
        }
        Columns { starts, terms }
    }
}

impl Columns {
    /// The terms of one variable.
    pub(crate) fn column(&self, idx: usize) -> &[Term] {
        &self.terms[self.starts[idx] as usize..self.starts[idx + 1] as usize]
    }
}
