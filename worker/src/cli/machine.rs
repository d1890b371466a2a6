// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which machine a command is about: this one, or one that is described.

use clap::Args;

use super::Failure;
use crate::hardware::{self, Amounts, Description, Hardware, HardwareError, size};

/// Another machine than this one.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Another machine")]
pub struct MachineArgs {
    /// The machine described by hwloc: a file that `lstopo --of xml` wrote there, or synthetic text
    /// such as "pack:2 [numa(memory=1TiB)] l3:16 core:3 pu:1"
    ///
    /// HWLOC_SYNTHETIC and HWLOC_XMLFILE in the environment do the same.
    #[arg(long, value_name = "XML|TEXT")]
    pub topology: Option<String>,

    /// Its GPUs, and the memory of each: 2, or 2x10GiB
    #[arg(long, value_name = "N[xSIZE]", value_parser = gpus)]
    pub gpus: Option<(u32, Option<u64>)>,

    /// Its memory, spread over its nodes
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub memory: Option<u64>,

    /// Free space of its disks
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub disk: Option<u64>,
}

impl MachineArgs {
    /// The description, of the command line or of the environment; `None` for this machine.
    pub fn description(&self) -> Option<Description> {
        match &self.topology {
            Some(text) => Some(Description::of_text(text)),
            None => Description::from_env(),
        }
    }

    /// Whether programs, files and disks of this machine say nothing about it.
    pub fn is_elsewhere(&self) -> bool {
        self.description().is_some()
    }

    /// What the machine has.
    ///
    /// # Errors
    /// hwloc cannot look at it, or does not understand the description.
    pub fn hardware(&self) -> Result<Hardware, HardwareError> {
        let mut hardware = match self.description() {
            Some(description) => description.read()?,
            None => hardware::detect()?,
        };
        let amounts = Amounts { gpus: self.gpus, memory_bytes: self.memory, disk_bytes: self.disk };
        amounts.apply(&mut hardware);
        Ok(hardware)
    }
}

impl From<HardwareError> for Failure {
    fn from(error: HardwareError) -> Self {
        let hint = match &error {
            HardwareError::Description { .. } | HardwareError::File { .. } => {
                "`lstopo --of xml machine.xml` describes a machine, and so does text such as \
                 \"pack:2 [numa] l3:16 core:3 pu:1\""
            }
            HardwareError::Topology(_) => "`--topology` describes a machine by hand",
        };
        Self::new(error.to_string()).hint(hint)
    }
}

/// Most GPUs that a description may have: more than any mainboard takes.
const MAX_GPUS: u32 = 64;

/// Reads `2` or `2x10GiB`.
fn gpus(text: &str) -> Result<(u32, Option<u64>), String> {
    let (count, memory) = match text.split_once(['x', 'X']) {
        Some((count, memory)) => (count, Some(size::parse(memory)?)),
        None => (text, None),
    };
    let count = count.trim().parse::<u32>().ok().filter(|count| *count <= MAX_GPUS);
    let count = count.ok_or(format!("`{text}` is no number of GPUs such as 2 or 2x10GiB"))?;
    Ok((count, memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_a_number_and_perhaps_their_memory() {
        assert_eq!(gpus("2"), Ok((2, None)));
        assert_eq!(gpus("2x10GiB"), Ok((2, Some(10 << 30))));
        assert_eq!(gpus("0"), Ok((0, None)));
        for text in ["", "x", "two", "2x", "65", "-1", "2y3"] {
            assert!(gpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_of_the_command_line_are_the_machines() {
        let args = MachineArgs {
            topology: Some("pack:2 [numa] core:2 pu:1".to_owned()),
            gpus: Some((2, None)),
            memory: Some(64 << 30),
            disk: Some(1 << 40),
        };
        let hardware = args.hardware().unwrap();
        assert!(args.is_elsewhere());
        assert_eq!(hardware.gpus.map(|gpus| gpus.len()), Some(2));
        assert_eq!(hardware.memory.total_bytes, 64 << 30);
    }
}
