// SPDX-License-Identifier: MIT OR Apache-2.0

//! One of those that compute sums side by side: a stream, a workspace, and a place for points that do not
//! stay. While one lane waits for its points others compute.

use std::sync::Arc;

use group::Group as _;
use sealpipe_gpu::{
    GpuError,
    device::Device,
    driver::{Context, DeviceMemory, Staging},
};
use sealpipe_protocol::TaskError;

use super::{
    element,
    msm::{At, Msm, Workspace},
    points::Curve,
    sections::Sections,
};
use crate::{params::Section, watch::Watch};

/// Bytes of an index.
const INDEX_BYTES: usize = 4;

/// Computes sums, one at a time.
pub struct Lane {
    msm: Msm,
    workspace: DeviceMemory,
    passing: Option<Passing>,
}

/// Points on their way.
struct Passing {
    staging: Staging,
    memory: DeviceMemory,
}

impl Lane {
    /// A lane with so many bytes of workspace, and of room for points that do not stay.
    ///
    /// # Errors
    /// [`OutOfMemory`](sealpipe_gpu::Kind::OutOfMemory).
    pub fn new(
        context: &Arc<Context>,
        device: &Device,
        workspace: usize,
        passing: usize,
    ) -> Result<Self, GpuError> {
        let passing = match passing {
            0 => None,
            bytes => {
                Some(Passing { staging: Staging::new(context)?, memory: context.allocate(bytes)? })
            }
        };
        let workspace = context.allocate(workspace)?;
        Ok(Self { msm: Msm::new(context, device)?, workspace, passing })
    }

    /// The sum of the first n points of a section times scalars.
    ///
    /// # Errors
    /// What the disk and the driver say, and a stop.
    pub fn multiply<C: Curve>(
        &mut self,
        sections: &Sections,
        (section, n): (Section, u64),
        scalars: At<'_>,
        watch: &Watch<'_>,
    ) -> Result<C::Point, TaskError> {
        self.parts::<C>(sections, (section, n), watch, |msm, points, (first, n), workspace| {
            let offset = scalars.offset + first as usize * element::BYTES;
            msm.multiply::<C>(points, At { memory: scalars.memory, offset }, n, workspace)
        })
    }

    /// The sum of those points of a section whose bit is set.
    ///
    /// # Errors
    /// As [`multiply`](Self::multiply).
    pub fn sum_of_bits<C: Curve>(
        &mut self,
        sections: &Sections,
        (section, numbers): (Section, At<'_>),
        bits: (At<'_>, u64),
        watch: &Watch<'_>,
    ) -> Result<C::Point, TaskError> {
        let n = sections.n(section);
        self.parts::<C>(sections, (section, n), watch, |msm, points, (first, n), workspace| {
            let offset = numbers.offset + first as usize * INDEX_BYTES;
            let numbers = At { memory: numbers.memory, offset };
            msm.sum_of_bits::<C>(points, (numbers, n), bits, workspace)
        })
    }

    /// Adds up what `sum` says of each part of a section: of all of it where it stays on the device.
    fn parts<C: Curve>(
        &mut self,
        sections: &Sections,
        (section, n): (Section, u64),
        watch: &Watch<'_>,
        sum: impl Fn(&mut Msm, At<'_>, (u64, u64), Workspace<'_>) -> Result<C::Point, GpuError>,
    ) -> Result<C::Point, TaskError> {
        let Self { msm, workspace, passing } = self;
        let bytes = workspace.n_bytes() as u64;
        let workspace = Workspace { at: At { memory: workspace, offset: 0 }, bytes };
        let mut total = C::Point::identity();
        if n == 0 {
            return Ok(total);
        }
        let Some(Passing { staging, memory }) =
            passing.as_mut().filter(|_| sections.resident(section).is_none())
        else {
            return Ok(sum(msm, sections.at(section)?, (0, n), workspace)?);
        };
        let part = memory.n_bytes() / C::POINT_BYTES;
        for first in (0..n).step_by(part) {
            watch.check()?;
            let n = (part as u64).min(n - first);
            let (begin, n_bytes) = (first as usize * C::POINT_BYTES, n as usize * C::POINT_BYTES);
            staging.upload_from(memory, (0, n_bytes), |at, points| {
                sections.read(section, begin + at, points)
            })?;
            total += sum(msm, At { memory, offset: 0 }, (first, n), workspace)?;
        }
        Ok(total)
    }
}
