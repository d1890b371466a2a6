// SPDX-License-Identifier: MIT OR Apache-2.0

//! GPUs that an entry names, against those of the machine.

use crate::{
    config::{Code, Diagnostics, Entry, entry::CUDA_VISIBLE_DEVICES, program},
    hardware::{Gpu, Hardware},
};

/// Says which GPUs are not there; nothing where nobody knows them.
pub(super) fn check(entry: &Entry, hardware: &Hardware, found: &mut Diagnostics) {
    let Some(gpus) = hardware.gpus.as_ref().filter(|_| program::has_devices(entry.stage)) else {
        return;
    };
    for named in entry.gpus().unwrap_or_default() {
        if is_there(named, gpus) {
            continue;
        }
        let have = match gpus.len() {
            0 => "none".to_owned(),
            1 => "GPU 0 only".to_owned(),
            n => format!("GPUs 0-{}", n - 1),
        };
        let shown = crate::config::diagnostic::quoted(named);
        let message = format!("GPU {shown} is not on this machine, which has {have}");
        found.say(Code::NoSuchGpu, entry.positions.value(CUDA_VISIBLE_DEVICES), message).hint =
            Some("`sealpipe hwinfo` shows the GPUs".to_owned());
    }
}

/// Whether CUDA would find it: by number, or by the beginning of the driver's name.
fn is_there(named: &str, gpus: &[Gpu]) -> bool {
    if let Ok(index) = named.parse::<u32>() {
        return gpus.iter().any(|gpu| gpu.index == index);
    }
    // Parts of a GPU have names of their own, and a description tells no names.
    let tells_names = gpus.iter().any(|gpu| gpu.uuid.is_some());
    if !tells_names || named.starts_with("MIG-") {
        return true;
    }
    gpus.iter().any(|gpu| gpu.uuid.as_ref().is_some_and(|uuid| uuid.starts_with(named)))
}

#[cfg(test)]
mod tests {
    use crate::config::test::check_processors;

    use super::*;

    fn check(keys: &str, gpus: Option<Vec<Gpu>>, said: &[&str]) {
        let text = format!("[[processors.c2]]\n{keys}");
        let entry = check_processors(&text, &[]).entries.remove(0);
        let hardware = Hardware { gpus, ..Hardware::default() };
        let mut found = Diagnostics::default();
        super::check(&entry, &hardware, &mut found);
        let found: Vec<_> = found.iter().map(|d| d.message.clone()).collect();
        assert_eq!(found, said, "{keys}");
    }

    fn two() -> Option<Vec<Gpu>> {
        let gpu = |index| Gpu { index, uuid: Some(format!("GPU-{index}abc")), ..Gpu::default() };
        Some(vec![gpu(0), gpu(1)])
    }

    fn envs(gpus: &str) -> String {
        format!("envs.CUDA_VISIBLE_DEVICES = \"{gpus}\"")
    }

    #[test]
    fn a_gpu_is_there_by_number_or_by_name() {
        for gpus in ["0", "0,1", "GPU-1a", "MIG-x", "", "-1"] {
            check(&envs(gpus), two(), &[]);
        }
        check(&envs("1,2"), two(), &["GPU `2` is not on this machine, which has GPUs 0-1"]);
        check(&envs("GPU-2"), two(), &["GPU `GPU-2` is not on this machine, which has GPUs 0-1"]);
        check(&envs("0"), Some(Vec::new()), &["GPU `0` is not on this machine, which has none"]);
    }

    #[test]
    fn where_nobody_knows_the_gpus_nothing_is_said() {
        check(&envs("7"), None, &[]);
        let described = Some(vec![Gpu::default()]);
        check(&envs("GPU-7"), described, &[]);
    }

    #[test]
    fn an_entry_on_the_cpu_needs_none() {
        check(&format!("device = \"cpu\"\n{}", envs("7")), two(), &[]);
    }
}
