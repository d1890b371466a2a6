// SPDX-License-Identifier: MIT OR Apache-2.0

//! NVIDIA's GPUs, as far as the driver tells of them without being linked.
//!
//! `nvidia-smi` knows most, and comes with the driver. Where it is missing or hangs, as it does on a
//! driver that hangs, the driver's files in `/proc` name the GPUs, and where there is no driver the
//! PCI bus does.

use std::{
    io::Read,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    Gpu,
    this_machine::{Kernel, pci_node},
};

/// How long `nvidia-smi` may take: a driver that is not loaded takes some seconds to load.
const MAX_QUERY: Duration = Duration::from_secs(20);

/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// Longest answer of `nvidia-smi` that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What is asked, in the order in which [`parse`] reads it. Releases before 510 do not know the last.
const FIELDS: &[&str] = &[
    "index",
    "name",
    "uuid",
    "memory.total",
    "memory.free",
    "pci.bus_id",
    "driver_version",
    "compute_cap",
];

/// NVIDIA's number on the PCI bus.
const NVIDIA: &str = "0x10de";

/// The PCI class of display controllers, at the beginning of the kernel's number.
const DISPLAY: &str = "0x03";

/// The GPUs of this machine; none where there are none.
pub(super) fn detect(kernel: Kernel<'_>) -> Vec<Gpu> {
    let asked = query(FIELDS).or_else(|| query(&FIELDS[..FIELDS.len() - 1]));
    let mut gpus = match asked.map(|answer| parse(&answer)) {
        Some(gpus) if !gpus.is_empty() => gpus,
        _ => of_driver(kernel),
    };
    if gpus.is_empty() {
        gpus = of_bus(kernel);
    }
    for gpu in &mut gpus {
        gpu.node = gpu.pci_address.as_ref().and_then(|address| pci_node(kernel, address));
    }
    gpus
}

/// Asks `nvidia-smi`; `None` when it is not there, fails, or takes too long.
fn query(fields: &[&str]) -> Option<String> {
    let mut child = Command::new("nvidia-smi")
        .arg(format!("--query-gpu={}", fields.join(",")))
        .arg("--format=csv,noheader,nounits")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let reader = thread::spawn(move || {
        let mut answer = Vec::new();
        let _ = stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    let end = Instant::now() + MAX_QUERY;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return reader.join().ok().filter(|_| status.success()),
            Ok(None) if Instant::now() < end => thread::sleep(POLL),
            // One that waits inside of the driver cannot be killed; it ends when the driver lets it.
            Ok(None) | Err(_) => {
                let _ = child.kill();
                return None;
            }
        }
    }
}

/// Reads the answer, one GPU a line.
fn parse(answer: &str) -> Vec<Gpu> {
    let gpu = |line: &str| {
        let mut values = line.split(',').map(str::trim);
        // What a GPU does not tell stands there in brackets.
        let mut next =
            || values.next().filter(|value| !value.is_empty() && !value.starts_with('['));
        let index = next()?.parse().ok()?;
        let (name, uuid) = (next().map(str::to_owned), next().map(str::to_owned));
        let mebibytes = |text: Option<&str>| text?.parse::<u64>().ok()?.checked_mul(1 << 20);
        Some(Gpu {
            index,
            name,
            uuid,
            memory_bytes: mebibytes(next()),
            free_bytes: mebibytes(next()),
            pci_address: next().map(address),
            driver: next().map(str::to_owned),
            compute_capability: next().map(str::to_owned),
            node: None,
        })
    };
    answer.lines().filter_map(gpu).collect()
}

/// The address as the kernel writes it: NVIDIA's has a longer domain, and capitals.
fn address(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    match text.split_once(':') {
        Some((domain, rest)) if domain.len() == 8 && domain.starts_with("0000") => {
            format!("{}:{rest}", &domain[4..])
        }
        _ => text,
    }
}

/// The GPUs in the driver's files.
fn of_driver(kernel: Kernel<'_>) -> Vec<Gpu> {
    const DIR: &str = "proc/driver/nvidia/gpus";
    let version = kernel.text("proc/driver/nvidia/version");
    let version = version.and_then(|text| {
        let words = text.lines().next()?.split_whitespace().map(str::to_owned);
        words.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
    });
    let gpu = |(index, address): (u32, String)| {
        let text = kernel.text(&format!("{DIR}/{address}/information")).unwrap_or_default();
        let said = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(value.trim().to_owned())
        };
        Gpu {
            index,
            name: said("Model"),
            uuid: said("GPU UUID"),
            pci_address: Some(address),
            driver: version.clone(),
            ..Gpu::default()
        }
    };
    (0..).zip(kernel.names(DIR)).map(gpu).collect()
}

/// The GPUs on the bus, without a driver.
fn of_bus(kernel: Kernel<'_>) -> Vec<Gpu> {
    const DIR: &str = "sys/bus/pci/devices";
    let is = |address: &str, file: &str, begin: &str| {
        let text = kernel.text(&format!("{DIR}/{address}/{file}")).unwrap_or_default();
        text.starts_with(begin)
    };
    let gpus = kernel.names(DIR).into_iter();
    let gpus = gpus.filter(|at| is(at, "vendor", NVIDIA) && is(at, "class", DISPLAY));
    let gpu = |(index, address)| Gpu { index, pci_address: Some(address), ..Gpu::default() };
    (0..).zip(gpus).map(gpu).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn what_nvidia_smi_says_is_read() {
        let answer = "\
0, NVIDIA GeForce RTX 3080, GPU-1a2b, 10240, 9876, 00000000:41:00.0, 535.129.03, 8.6
1, NVIDIA H200, GPU-3c4d, [N/A], [Insufficient Permissions], 00000001:C1:00.0, 570.1
rubbish
";
        let gpus = parse(answer);
        assert_eq!(gpus.len(), 2);
        assert_eq!(gpus[0].name.as_deref(), Some("NVIDIA GeForce RTX 3080"));
        assert_eq!((gpus[0].memory_bytes, gpus[0].free_bytes), (Some(10 << 30), Some(9876 << 20)));
        assert_eq!(gpus[0].compute_capability.as_deref(), Some("8.6"));
        assert_eq!(gpus[0].pci_address.as_deref(), Some("0000:41:00.0"));
        assert_eq!((gpus[1].index, gpus[1].memory_bytes), (1, None));
        assert_eq!(gpus[1].pci_address.as_deref(), Some("0001:c1:00.0"));
        assert_eq!((&gpus[1].driver, &gpus[1].compute_capability), (&Some("570.1".into()), &None));
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_drivers_files_name_the_gpus() {
        let root = tempfile::tempdir().unwrap();
        let dir = "proc/driver/nvidia";
        write(
            root.path(),
            &format!("{dir}/gpus/0000:41:00.0/information"),
            "Model: \t\t NVIDIA GeForce RTX 3080\nGPU UUID: \t GPU-1a2b\n",
        );
        let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19\n";
        write(root.path(), &format!("{dir}/version"), version);
        let gpus = of_driver(Kernel(root.path()));
        assert_eq!(gpus.len(), 1);
        assert_eq!(gpus[0].name.as_deref(), Some("NVIDIA GeForce RTX 3080"));
        assert_eq!(gpus[0].uuid.as_deref(), Some("GPU-1a2b"));
        assert_eq!(gpus[0].driver.as_deref(), Some("535.129.03"));
        assert_eq!(gpus[0].memory_bytes, None);
    }

    #[test]
    fn without_a_driver_the_bus_names_them() {
        let root = tempfile::tempdir().unwrap();
        let device = |at: &str, vendor: &str, class: &str, node: &str| {
            let dir = format!("sys/bus/pci/devices/{at}");
            write(root.path(), &format!("{dir}/vendor"), vendor);
            write(root.path(), &format!("{dir}/class"), class);
            write(root.path(), &format!("{dir}/numa_node"), node);
        };
        device("0000:41:00.0", "0x10de\n", "0x030000\n", "1\n");
        device("0000:41:00.1", "0x10de\n", "0x040300\n", "1\n");
        device("0000:42:00.0", "0x1002\n", "0x030000\n", "-1\n");
        let kernel = Kernel(root.path());
        let gpus = of_bus(kernel);
        assert_eq!(gpus.len(), 1);
        assert_eq!(gpus[0].pci_address.as_deref(), Some("0000:41:00.0"));
        assert_eq!(pci_node(kernel, "0000:41:00.0"), Some(1));
        assert_eq!(pci_node(kernel, "0000:42:00.0"), None);
    }
}
