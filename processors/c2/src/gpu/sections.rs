// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parameters on a device: as many sections as fit stay there, the others are read for every proof.

use std::sync::Arc;

use sealpipe_gpu::{
    GpuError, Kind,
    driver::{Context, DeviceMemory, Staging},
};
use sealpipe_protocol::{Code, TaskError};

use super::{
    msm::{At, Msm},
    points::Curve,
};
use crate::{
    assignment::Variables,
    params::{Params, Section},
    watch::{Phase, Watch},
};

/// Bytes of parameters that are read and copied at a time.
const LOAD_BYTES: usize = 64 << 20;

/// Points, those first that are worth most on the device: sums over bits cost less than to bring their points.
const POINTS: [Section; 9] = [
    Section::B2Bits,
    Section::B1Bits,
    Section::ABits,
    Section::LBits,
    Section::B2Values,
    Section::B1Values,
    Section::AValues,
    Section::LValues,
    Section::H,
];

/// Lists of columns and of bits, which are on the device always.
const NUMBERS: [Section; 4] =
    [Section::AValueColumns, Section::ABitNumbers, Section::BValueColumns, Section::BBitNumbers];

/// The points and numbers of the parameters.
pub struct Sections {
    params: Params,
    /// What is on the device, by sections.
    resident: [Option<DeviceMemory>; Section::ALL.len()],
    /// All bits, in order: the numbers of L's.
    pub all_bits: DeviceMemory,
}

impl Sections {
    /// Brings the lists onto the device, and as many of the points as there are bytes for.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`], what the disk and the driver say, and a stop.
    pub fn load(
        context: &Arc<Context>,
        staging: &mut Staging,
        params: Params,
        (variables, for_points): (&Variables, usize),
        watch: &Watch<'_>,
    ) -> Result<Self, TaskError> {
        watch.check()?;
        let numbers: Vec<u8> = (0..variables.n_bits()).flat_map(u32::to_le_bytes).collect();
        let all_bits = context.allocate(numbers.len())?;
        staging.upload(&all_bits, 0, &numbers)?;
        let mut left = for_points;
        let mut loaded = Self { params, resident: Default::default(), all_bits };
        let total = loaded.params.n_bytes();
        let mut done = 0;
        for section in NUMBERS.into_iter().chain(POINTS) {
            let bytes = loaded.bytes(section);
            let is_list = NUMBERS.contains(&section);
            if is_list || bytes <= left {
                left -= if is_list { 0 } else { bytes };
                let to = context.allocate(bytes)?;
                for at in (0..bytes).step_by(LOAD_BYTES) {
                    watch.check()?;
                    let n_bytes = LOAD_BYTES.min(bytes - at);
                    staging.upload_from(&to, (at, n_bytes), |from, part| {
                        loaded.params.read_bytes(section, at + from, part)?;
                        match is_list && !is_list_of(section, variables, part) {
                            true => Err(damaged(section)),
                            false => Ok(()),
                        }
                    })?;
                    done += n_bytes as u64;
                    watch.report(Phase::Loading, done, total);
                }
                loaded.resident[section as usize] = Some(to);
            }
        }
        Ok(loaded)
    }

    /// Bytes of what is always on the device: all lists.
    pub fn list_bytes(params: &Params, variables: &Variables) -> usize {
        let bytes = |section: &Section| params.len(*section) * section.element_bytes();
        variables.n_bits() as usize * size_of::<u32>() + NUMBERS.iter().map(bytes).sum::<usize>()
    }

    fn bytes(&self, section: Section) -> usize {
        self.params.len(section) * section.element_bytes()
    }

    /// Elements of a section.
    pub fn n(&self, section: Section) -> u64 {
        self.params.len(section) as u64
    }

    /// A section that is on the device, if it is.
    pub fn resident(&self, section: Section) -> Option<&DeviceMemory> {
        self.resident[section as usize].as_ref()
    }

    /// A list, all of which are on the device.
    ///
    /// # Errors
    /// [`Kind::Defect`] for points that are not there.
    pub fn at(&self, section: Section) -> Result<At<'_>, GpuError> {
        let defect = || GpuError::new(Kind::Defect, format!("{section:?} is not on the device"));
        self.resident(section).map(|memory| At { memory, offset: 0 }).ok_or_else(defect)
    }

    /// The largest of some sections that is not on the device, in bytes.
    pub fn largest_streamed(&self, sections: &[Section]) -> usize {
        let streamed = sections.iter().filter(|section| self.resident(**section).is_none());
        streamed.map(|section| self.bytes(*section)).max().unwrap_or(0)
    }

    /// Reads bytes of a section that is not on the device.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(&self, section: Section, at: usize, to: &mut [u8]) -> Result<(), TaskError> {
        self.params.read_bytes(section, at, to)
    }

    /// Bytes of workspace for sums over values and over bits.
    pub fn wanted_bytes<C: Curve>(params: &Params, values: &[Section], bits: &[Section]) -> usize {
        let n = |section: &Section| params.len(*section) as u64;
        let of_values = values.iter().map(|section| Msm::wanted_bytes::<C>(n(section)));
        let of_bits = bits.iter().map(|section| Msm::wanted_sum_bytes::<C>(n(section)));
        let wanted = of_values.chain(of_bits).max().unwrap_or(0);
        usize::try_from(wanted).unwrap_or(usize::MAX)
    }
}

/// Whether all numbers of a part of a list are of columns that there are: the device looks at none of them.
fn is_list_of(section: Section, variables: &Variables, part: &[u8]) -> bool {
    let limit = match section {
        Section::AValueColumns | Section::BValueColumns => variables.n_values(),
        _ => variables.n_bits(),
    };
    let numbers = part.chunks_exact(size_of::<u32>()).filter_map(<[u8]>::first_chunk);
    numbers.map(|bytes| u32::from_le_bytes(*bytes)).all(|number| number < limit)
}

fn damaged(section: Section) -> TaskError {
    TaskError::new(
        Code::ParametersMissing,
        format!("the converted parameters are damaged: {section:?}"),
    )
    .hint("remove the `.keys` file beside the parameters, and it is made again")
}
