// SPDX-License-Identifier: MIT OR Apache-2.0

//! The measurements of the device's parts; with arguments those of transforms of given digits alone.
//!
//! ```text
//! cargo run --release --example device -- 9,9,9 11,11
//! ```

use std::io::Write as _;

use sealpipe_c2::gpu::{self, bench};

fn main() -> Result<(), sealpipe_gpu::GpuError> {
    let digits = |list: String| list.split(',').filter_map(|digit| digit.parse().ok()).collect();
    let digits: Vec<_> = std::env::args().skip(1).map(digits).collect();
    let devices = sealpipe_gpu::device::all()?;
    let context = gpu::open(&devices[0])?;
    let mut print = |line: &serde_json::Value| _ = writeln!(std::io::stdout(), "{line}");
    bench::run(&context, &digits, &mut print)
}
