// SPDX-License-Identifier: MIT OR Apache-2.0

//! The devices that hwloc's XML names: GPUs and disks.
//!
//! A description tells less of them than the machine itself would: `None` where it tells nothing.

use super::{
    Disk, Gpu,
    topology::{Object, bits, info, of_type},
};

/// NVIDIA on the PCI bus.
const NVIDIA: &str = "[10de:";

/// The PCI class of display controllers.
const DISPLAY: &str = "03";

/// hwloc's number of a block device.
const BLOCK: &str = "0";

/// The NVIDIA GPUs, in the order of the bus; `None` without any PCI device, for then nobody looked.
pub(super) fn gpus(objects: &[Object<'_>]) -> Option<Vec<Gpu>> {
    of_type(objects, "PCIDev").next()?;
    let is_gpu = |device: &Object<'_>| {
        let kind = device.attribute("pci_type").unwrap_or_default();
        kind.starts_with(DISPLAY) && kind.contains(NVIDIA)
    };
    let gpu = |(index, device): (u32, Object<'_>)| {
        let parts: Vec<_> =
            device.children().filter(|child| child.has_tag_name("object")).collect();
        let said = |name| std::iter::once(&device).chain(&parts).find_map(|o| info(*o, name));
        let kib = said("CUDAGlobalMemorySize").and_then(|size| size.parse::<u64>().ok());
        Gpu {
            index,
            name: said("GPUModel").or_else(|| said("PCIDevice")),
            uuid: said("NVIDIAUUID"),
            memory_bytes: kib.and_then(|kib| kib.checked_mul(1024)),
            pci_address: device.attribute("pci_busid").map(str::to_owned),
            node: near(device),
            ..Gpu::default()
        }
    };
    Some((0..).zip(of_type(objects, "PCIDev").filter(is_gpu)).map(gpu).collect())
}

/// The disks; `None` without any.
pub(super) fn disks(objects: &[Object<'_>]) -> Option<Vec<Disk>> {
    let is_block = |device: &Object<'_>| device.attribute("osdev_type") == Some(BLOCK);
    let disk = |device: Object<'_>| {
        let kib = info(device, "Size")?.parse::<u64>().ok()?;
        Some(Disk {
            device: device.attribute("name").map(|name| format!("/dev/{name}")),
            size_bytes: kib.checked_mul(1024)?,
            ..Disk::default()
        })
    };
    let disks: Vec<_> = of_type(objects, "OSDev").filter(is_block).filter_map(disk).collect();
    (!disks.is_empty()).then_some(disks)
}

/// The node next to a device, if it is one.
fn near(device: Object<'_>) -> Option<u32> {
    let nodes = bits(device.ancestors().find_map(|object| object.attribute("nodeset"))?);
    nodes.iter().next().filter(|_| nodes.len() == 1)
}
