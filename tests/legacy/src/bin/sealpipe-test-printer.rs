// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor made with sealpipe's SDK whose library prints and panics.

use std::process::ExitCode;

use sealpipe_protocol::{
    Bytes32, Code, Stage, TaskError,
    method::{Identity, InitializeParams, StageOffer},
    serve::{self, Done, Processor, TaskContext},
    stage::{Job, tree_d},
};

struct Printer;

impl Processor for Printer {
    fn identity(&self) -> Identity {
        Identity { name: "sealpipe-test-printer".into(), version: "1".into() }
    }

    fn offers(&self, _: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
        println!("a library greets the world");
        Ok(vec![serve::offer(Stage::TreeD, 1)])
    }

    fn run(&self, job: Job, _: &TaskContext) -> Result<Done, TaskError> {
        println!("{{\"id\":1,\"err_msg\":\"this is no answer\",\"output\":null}}");
        let Job::TreeD(params) = job else {
            return Err(TaskError::new(Code::UnsupportedStage, "another stage"));
        };
        assert!(!params.unsealed_path.ends_with("panic"), "as it was asked to");
        Ok(Done::new(&tree_d::Output { comm_d: Bytes32([0; 32]) }))
    }
}

fn main() -> ExitCode {
    serve::serve_stage(Stage::TreeD, Printer)
}
