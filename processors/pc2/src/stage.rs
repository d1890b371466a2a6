// SPDX-License-Identifier: MIT OR Apache-2.0

//! `pc2`: parameters in, files and values out.
//!
//! Nothing is resumed: everything is written beside and renamed when it is complete, so that an interrupted
//! attempt leaves the inputs as they were, and the next one, a minute's work, starts over.

use std::path::Path;

use sealpipe_protocol::{
    Bytes32, Code, TaskError,
    serve::{Progress, TaskContext},
    stage::{
        files,
        pc2::{Output, Params},
    },
};

use crate::{
    cpu::{self, Hashes},
    gpu::Gpus,
    plan::{self, Shape},
    sector::{Inputs, Outputs, p_aux, t_aux},
};

/// What computes.
#[derive(Debug)]
pub enum Backend {
    /// All threads of this process.
    Cpu,
    /// GPUs.
    Cuda(Gpus),
}

/// filecoin-proofs' settings that pc2 obeys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Columns of a batch at most, on a GPU.
    pub batch_limit: u64,
    /// Rows above the leaves that tree-r-last leaves out.
    pub rows_to_discard: u32,
}

impl Settings {
    /// Reads them from variables; what is no number is an error, since it would be one for the library too.
    ///
    /// # Errors
    /// [`Code::InvalidParams`].
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, TaskError> {
        let number = |name: &str| {
            let Some(text) = variable(name) else { return Ok(None) };
            text.trim().parse::<u32>().map(Some).map_err(|_| {
                let text = format!("{name} is {text:?}, expected a number below 2^32");
                TaskError::new(Code::InvalidParams, text)
            })
        };
        let column_batch = number("FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE")?.map(u64::from);
        let tree_batch = number("FIL_PROOFS_MAX_GPU_TREE_BATCH_SIZE")?.map(u64::from);
        let discard = number("FIL_PROOFS_ROWS_TO_DISCARD")?;
        Ok(Self {
            batch_limit: plan::batch_limit(column_batch, tree_batch),
            rows_to_discard: discard.unwrap_or(plan::DEFAULT_ROWS_TO_DISCARD),
        })
    }
}

/// A running task, as those who compute see it: progress one way, a stop the other.
#[derive(Clone, Copy)]
pub struct Watch<'t> {
    task: Option<&'t TaskContext>,
    total: u64,
}

impl<'t> Watch<'t> {
    /// Of a task over so many columns.
    pub fn new(task: &'t TaskContext, total: u64) -> Self {
        Self { task: Some(task), total }
    }

    /// Nobody watches: for tests and benches.
    pub fn nobody() -> Self {
        Self { task: None, total: 0 }
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// The error to end with.
    pub fn check(&self) -> Result<(), TaskError> {
        self.task.map_or(Ok(()), TaskContext::check_stop)
    }

    /// Reports how many columns are done.
    pub fn done(&self, columns: u64) {
        self.report("columns", columns);
    }

    fn report(&self, phase: &str, done: u64) {
        let Some(task) = self.task else { return };
        task.progress(Progress {
            phase: phase.to_owned(),
            done,
            total: self.total,
            unit: "columns".to_owned(),
            checkpoint: None,
        });
    }
}

/// Runs the stage.
///
/// # Errors
/// Inputs that are missing or contradict each other, what the disk says, what the GPU says, and a stop.
pub fn run(
    params: &Params,
    settings: Settings,
    backend: &Backend,
    hashes: &Hashes,
    watch: &Watch<'_>,
) -> Result<Output, TaskError> {
    let shape = Shape::of(params.proof, settings.rows_to_discard);
    let inputs = Inputs::open(params)?;
    let outputs = Outputs::create(shape, &params.sealed_path, &params.cache_dir)?;
    let work = Work { shape, settings, cache_dir: &params.cache_dir };
    work.run(&inputs, outputs, backend, hashes, watch)
}

/// A sector to compute, wherever its files come from.
#[derive(Clone, Copy, Debug)]
pub struct Work<'w> {
    /// Its trees.
    pub shape: Shape,
    /// Limits and rows.
    pub settings: Settings,
    /// Where p_aux and t_aux go.
    pub cache_dir: &'w Path,
}

impl Work<'_> {
    /// Computes it and puts everything in place.
    ///
    /// # Errors
    /// As [`run`].
    pub fn run(
        self,
        inputs: &Inputs,
        mut outputs: Outputs,
        backend: &Backend,
        hashes: &Hashes,
        watch: &Watch<'_>,
    ) -> Result<Output, TaskError> {
        let Self { shape, settings, cache_dir } = self;
        let files = (inputs, &outputs);
        let (comm_c, comm_r_last) = match backend {
            Backend::Cpu => cpu::run(shape, inputs, &outputs, hashes, watch)?,
            Backend::Cuda(gpus) => gpus.run(shape, settings.batch_limit, files, hashes, watch)?,
        };
        watch.check()?;
        watch.report("sync", shape.nodes());
        outputs.add(cache_dir.join(files::P_AUX), &p_aux(&comm_c, &comm_r_last))?;
        outputs.add(cache_dir.join(files::T_AUX), &t_aux(cache_dir, shape))?;
        outputs.install()?;
        let comm_r = Bytes32(hashes.pair.hash([&comm_c, &comm_r_last]));
        Ok(Output { comm_r, comm_c: Bytes32(comm_c), comm_r_last: Bytes32(comm_r_last) })
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_of_filecoin_proofs() {
        let check = |set: &[(&str, &str)], batch_limit, rows_to_discard| {
            let variable = |name: &str| {
                set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            };
            let expected = Settings { batch_limit, rows_to_discard };
            assert_eq!(Settings::read(variable).unwrap(), expected, "{set:?}");
        };
        check(&[], 400_000, 2);
        check(&[("FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE", "5000")], 5_000, 2);
        check(&[("FIL_PROOFS_MAX_GPU_TREE_BATCH_SIZE", "700")], 700, 2);
        check(&[("FIL_PROOFS_ROWS_TO_DISCARD", "3")], 400_000, 3);
        let wrong = Settings::read(|_| Some("many".to_owned())).unwrap_err();
        assert!(wrong.message.contains("\"many\""), "{wrong}");
    }
}
