// SPDX-License-Identifier: MIT OR Apache-2.0

//! Compiled kernels, and which of them a GPU can run.

use crate::{GpuError, Kind, device::Device};

/// Kernels compiled ahead for some architectures, and PTX for those that come later.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// Machine code by compute capability, times ten: 90 for sm_90.
    pub cubins: &'static [(u32, &'static [u8])],
    /// Text that the driver compiles, and the compute capability from which on it can.
    pub ptx: (u32, &'static [u8]),
}

/// An image that a GPU can run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// The compute capability that it was compiled for.
    pub of: u32,
    /// Whether the driver has to compile it.
    pub is_ptx: bool,
    /// Its content.
    pub bytes: &'static [u8],
}

impl Images {
    /// The image for a compute capability.
    ///
    /// Machine code runs on its own major version from its own minor version on; PTX on everything newer.
    pub fn choose(&self, capability: u32) -> Option<Image> {
        let fits = |of: u32| of / 10 == capability / 10 && of <= capability;
        let cubin = self.cubins.iter().filter(|(of, _)| fits(*of)).max_by_key(|(of, _)| *of);
        let cubin = cubin.map(|(of, bytes)| Image { of: *of, is_ptx: false, bytes });
        let (of, bytes) = self.ptx;
        cubin.or_else(|| (of <= capability).then_some(Image { of, is_ptx: true, bytes }))
    }

    /// The image for a device.
    ///
    /// # Errors
    /// [`Kind::NoKernels`] when the device is too old for all of them.
    pub fn of(&self, device: &Device) -> Result<Image, GpuError> {
        self.choose(device.capability).ok_or_else(|| {
            let shown = |capability: u32| format!("{}.{}", capability / 10, capability % 10);
            let oldest = self.cubins.iter().map(|(of, _)| *of).min().unwrap_or(self.ptx.0);
            let text = format!(
                "{} has compute capability {}, at least {} is needed",
                device.name,
                shown(device.capability),
                shown(oldest)
            );
            GpuError::new(Kind::NoKernels, text)
        })
    }

    /// The devices and the kernels that they will run, for people.
    ///
    /// # Errors
    /// [`Kind::NoKernels`] when there are none for a device.
    pub fn describe(&self, devices: &[Device]) -> Result<String, GpuError> {
        let one = |device: &Device| {
            let image = self.of(device)?;
            let kind = if image.is_ptx { "PTX" } else { "kernels" };
            Ok(format!("{} (sm_{}, {kind} of sm_{})", device.name, device.capability, image.of))
        };
        Ok(devices.iter().map(one).collect::<Result<Vec<_>, GpuError>>()?.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_code_of_the_same_generation_comes_before_ptx() {
        const IMAGES: Images = Images {
            cubins: &[(75, b"75"), (80, b"80"), (86, b"86"), (90, b"90")],
            ptx: (75, b"ptx"),
        };
        let check = |capability, expected: Option<&[u8]>| {
            assert_eq!(
                IMAGES.choose(capability).map(|found| found.bytes),
                expected,
                "{capability}"
            );
        };
        check(70, None);
        check(75, Some(b"75"));
        check(80, Some(b"80"));
        check(86, Some(b"86"));
        check(87, Some(b"86"));
        check(90, Some(b"90"));
        check(120, Some(b"ptx"));
    }
}
