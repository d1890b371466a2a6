// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe hwinfo`: what a machine has that matters to sealing.

mod tree;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Failure, exit, machine::MachineArgs};
use crate::hardware::{Disk, Hardware, measure};

/// Show what a machine has: sockets, NUMA nodes, L3 groups, cores, memory, GPUs, disks
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit codes:
  0  the machine is shown
  1  it cannot be looked at, the description is wrong, or a disk cannot be measured
  2  the command line is wrong

Examples:
  sealpipe hwinfo                                  this machine
  sealpipe hwinfo --measure /mnt/nvme0             and how fast a disk is
  lstopo --of xml > machine.xml                    on another machine, and then here:
  sealpipe hwinfo --topology machine.xml --gpus 2x10GiB --disk 20TiB
  sealpipe hwinfo --topology \"pack:2 [numa(memory=1TiB)] l3:16 core:3 pu:1\" --json")]
pub struct HwinfoArgs {
    /// Print one JSON object instead of a tree
    #[arg(long)]
    pub json: bool,

    /// Write and read at most 1 GiB for at most 10 s each in this directory, and show how fast that
    /// was; nothing stays there
    #[arg(long, value_name = "DIR")]
    pub measure: Vec<PathBuf>,

    /// The machine that is meant.
    #[command(flatten)]
    pub other: MachineArgs,
}

/// Runs the command.
///
/// # Errors
/// The machine cannot be looked at, a disk cannot be measured, or the result cannot be written.
pub fn run(args: &HwinfoArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    if args.other.is_elsewhere() && !args.measure.is_empty() {
        return Err(Failure::new(
            "`--measure` measures this machine, and another one is described",
        )
        .hint("leave `--topology`, HWLOC_SYNTHETIC and HWLOC_XMLFILE out"));
    }
    let mut hardware = args.other.hardware()?;
    for dir in &args.measure {
        measure_disk(&mut hardware, dir)?;
    }
    write(args, &hardware, out)
        .map_err(|error| Failure::new(format!("cannot write the result: {error}")))?;
    Ok(exit::OK)
}

fn write(args: &HwinfoArgs, hardware: &Hardware, out: &mut dyn Write) -> io::Result<()> {
    if args.json {
        let text = serde_json::to_string_pretty(hardware)?;
        writeln!(out, "{text}")
    } else {
        write!(out, "{}", tree::of(hardware))
    }
}

/// Measures the disk of a directory, and notes that beside the file system that it is on.
fn measure_disk(hardware: &mut Hardware, dir: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::new(format!("cannot measure in `{}`: {error}", dir.display()))
            .hint("name a directory to which you may write")
    };
    let dir = dir.canonicalize().map_err(failed)?;
    let measured = Some(measure::measure(&dir).map_err(failed)?);
    let disks = hardware.disks.get_or_insert_default();
    let mount = |disk: &Disk| disk.mount.as_ref().filter(|mount| dir.starts_with(mount)).cloned();
    let depth = |disk: &Disk| mount(disk).map(|mount| mount.components().count());
    // Where a file system that is not shown is mounted further down, its own line says so.
    let free = crate::hardware::disks::of_dir(&dir).map_err(failed)?;
    let nearest = disks.iter_mut().filter(|disk| disk.size_bytes == free.size_bytes);
    match nearest.filter(|disk| depth(disk).is_some()).max_by_key(|disk| depth(disk)) {
        Some(disk) => disk.measured = measured,
        None => disks.push(Disk { measured, ..free }),
    }
    Ok(())
}
