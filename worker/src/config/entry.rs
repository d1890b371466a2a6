// SPDX-License-Identifier: MIT OR Apache-2.0

//! `[[processors.<stage>]]`: one processor that the worker starts.

use std::{collections::BTreeMap, time::Duration};

use sealpipe_protocol::{Stage, placement::CpuList};

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    document::{Field, Section},
    placement::{self, DEFAULT_GROUP, Device, Pinning},
    source::Span,
};

/// How long a processor may take to answer the handshake unless `stable_wait` says otherwise.
pub const DEFAULT_STABLE_WAIT: Duration = Duration::from_secs(5);

/// Silence with a task open after which a processor is taken for stalled: the protocol asks for a
/// message a minute.
pub const DEFAULT_STALLED_AFTER: Duration = Duration::from_secs(180);

/// How long the progress of a task may stand still. No phase of any stage takes as long on the
/// slowest machine that the proofs run on.
pub const DEFAULT_STUCK_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// Most locks of an entry: nobody has more kinds of things that tasks could share.
pub const MAX_LOCKS: usize = 64;

/// How long the progress of a task may stand still before it is reported: three times what the longest
/// step of any stage takes on the network's reference machines.
pub const DEFAULT_STALL_REPORT_AFTER: Duration = Duration::from_secs(10 * 60);

/// The environment variable that chooses GPUs.
pub const CUDA_VISIBLE_DEVICES: &str = "CUDA_VISIBLE_DEVICES";

/// One processor: what is started, where it runs and how much it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The stage that it serves.
    pub stage: Stage,
    /// Its number among the entries of the stage, from 0.
    pub index: usize,
    /// The program; `None` for the default, which [`program`](super::program) has.
    pub bin: Option<String>,
    /// Its arguments; `None` for `processor <stage>`.
    pub args: Option<Vec<String>>,
    /// How long it may take to answer the handshake.
    pub stable_wait: Duration,
    /// The cpus that it runs on (`cgroup.cpuset`); `None` for all.
    pub cpus: Option<CpuList>,
    /// The control group that its own lies in, where the worker may make any.
    pub cgroup_group: String,
    /// Its share of the cpus' time beside other processors (`cgroup.weight`), from 1 to 10000.
    pub cgroup_weight: Option<u32>,
    /// The NUMA node whose memory it prefers; below 0, the node that each thread runs on. A memory
    /// policy only: cpus come from `cpus` alone.
    pub numa_preferred: Option<i32>,
    /// Environment variables, set over the inherited ones.
    pub envs: BTreeMap<String, String>,
    /// Whether it inherits the worker's environment.
    pub inherit_envs: bool,
    /// Tasks that it may run at once; `None` for no limit of the entry's own, 0 for none.
    pub concurrent: Option<usize>,
    /// Names of the locks that each task holds while it runs, every name once.
    pub locks: Vec<String>,
    /// Whether it is started again after it died.
    pub auto_restart: bool,
    /// Silence with a task open, after which it is taken for stalled and killed.
    pub stalled_after: Duration,
    /// How long the progress of a task may stand still before it is killed.
    pub stuck_after: Duration,
    /// How long the progress of a task may stand still before it is reported.
    pub stall_report_after: Duration,
    /// Who pins it to its cpus and memory.
    pub pinning: Pinning,
    /// Its share of the stage's tasks beside other entries.
    pub weight: u32,
    /// What it computes on; `None` leaves the choice to the program.
    pub device: Option<Device>,
    /// Where all of that is written.
    pub positions: Positions,
}

/// Where an entry's parts are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// The entry's header.
    pub entry: Span,
    values: BTreeMap<&'static str, Span>,
    locks: BTreeMap<String, Span>,
}

impl Positions {
    /// Where the value of a key such as `cgroup.cpuset` stands, or the header.
    pub fn value(&self, key: &str) -> Span {
        self.values.get(key).copied().unwrap_or(self.entry)
    }

    /// Where a lock is named, or the header.
    pub fn lock(&self, name: &str) -> Span {
        self.locks.get(name).copied().unwrap_or(self.entry)
    }

    pub(super) fn set(&mut self, key: &'static str, span: Span) {
        self.values.insert(key, span);
    }
}

impl Entry {
    /// An entry with every key left out.
    pub fn new(stage: Stage, index: usize, header: Span) -> Self {
        Self {
            stage,
            index,
            bin: None,
            args: None,
            stable_wait: DEFAULT_STABLE_WAIT,
            cpus: None,
            cgroup_group: DEFAULT_GROUP.to_owned(),
            cgroup_weight: None,
            numa_preferred: None,
            envs: BTreeMap::new(),
            inherit_envs: true,
            concurrent: None,
            locks: Vec::new(),
            auto_restart: true,
            stalled_after: DEFAULT_STALLED_AFTER,
            stuck_after: DEFAULT_STUCK_AFTER,
            stall_report_after: DEFAULT_STALL_REPORT_AFTER,
            pinning: Pinning::default(),
            weight: 1,
            device: None,
            positions: Positions { entry: header, values: BTreeMap::new(), locks: BTreeMap::new() },
        }
    }

    /// The line of the entry's header, from 1.
    pub fn line(&self) -> usize {
        self.positions.entry.line
    }

    /// Whether a control group would do something for it.
    pub fn wants_group(&self) -> bool {
        self.cgroup_weight.is_some() || (self.cpus.is_some() && self.pinning != Pinning::Off)
    }

    /// The GPUs that the entry names in `CUDA_VISIBLE_DEVICES`; `None` when it names none or
    /// computes on the CPU. As CUDA does, it reads no further than the first id that is none.
    pub fn gpus(&self) -> Option<Vec<&str>> {
        let list = self.envs.get(CUDA_VISIBLE_DEVICES)?;
        let ids = list.split(',').map(str::trim);
        let ids: Vec<_> = ids.take_while(|id| !id.is_empty() && !id.starts_with('-')).collect();
        (self.device != Some(Device::Cpu)).then_some(ids)
    }
}

/// The keys of an entry.
const KEYS: &[&str] = &[
    "args",
    "auto_restart",
    "bin",
    "cgroup",
    "concurrent",
    "device",
    "envs",
    "inherit_envs",
    "locks",
    "numa_preferred",
    "pinning",
    "stable_wait",
    "stall_report_after",
    "stalled_after",
    "stuck_after",
    "weight",
];

/// Keys further inside, which are often written beside.
const NESTED: &[&str] = &["cgroup.cpuset", "cgroup.group_name"];

/// Reads one entry; what cannot be read keeps its default beside the error.
pub(super) fn read(
    stage: Stage,
    index: usize,
    section: &Section<'_>,
    found: &mut Diagnostics,
) -> Entry {
    let mut entry = Entry::new(stage, index, section.span);
    for field in section.fields() {
        match field.key {
            "bin" => {
                entry.bin = read_bin(&field, found);
                entry.positions.set("bin", field.span());
            }
            "args" => entry.args = read_args(&field, found),
            "stable_wait" => read_time(&mut entry.stable_wait, &field, found),
            "stalled_after" => read_time(&mut entry.stalled_after, &field, found),
            "stall_report_after" => read_time(&mut entry.stall_report_after, &field, found),
            "stuck_after" => read_time(&mut entry.stuck_after, &field, found),
            "cgroup" => placement::read_cgroup(&mut entry, &field, found),
            "numa_preferred" => placement::read_numa_preferred(&mut entry, &field, found),
            "pinning" => assign(&mut entry.pinning, field.choice(Pinning::WORDS, found)),
            "device" => entry.device = field.choice(Device::WORDS, found),
            "envs" => read_envs(&mut entry, &field, found),
            "inherit_envs" => assign(&mut entry.inherit_envs, field.boolean(found)),
            "concurrent" => read_concurrent(&mut entry, &field, found),
            "locks" => read_locks(&mut entry, &field, found),
            "auto_restart" => assign(&mut entry.auto_restart, field.boolean(found)),
            "weight" => read_weight(&mut entry, &field, found),
            _ => field.unknown(&[KEYS, NESTED].concat(), found),
        }
    }
    entry
}

fn assign<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// Reads how long something may take, which is not nothing.
fn read_time(time: &mut Duration, field: &Field<'_>, found: &mut Diagnostics) {
    let read = field.duration(found);
    if read.is_some_and(|read| read.is_zero()) {
        let message =
            format!("{} is no time: the processor would be killed at once", quoted(&field.path));
        found.say(Code::NoTime, field.span(), message).hint =
            Some("leave the key out for the default".to_owned());
    }
    assign(time, read.filter(|read| !read.is_zero()));
}

fn read_bin(field: &Field<'_>, found: &mut Diagnostics) -> Option<String> {
    let bin = field.string(found)?;
    if bin.is_empty() || bin.contains('\0') {
        found
            .say(Code::UnusableText, field.span(), format!("{} is no program", quoted(&field.path)))
            .hint = Some("leave the key out for the default program".to_owned());
        return None;
    }
    if bin.starts_with("~/") || bin.contains('$') {
        let message = format!("{} is taken literally: {}", quoted(&field.path), quoted(bin));
        found.say(Code::NotExpanded, field.span(), message).hint =
            Some("`~` and variables are not expanded; write the whole path".to_owned());
    }
    Some(bin.to_owned())
}

fn read_args(field: &Field<'_>, found: &mut Diagnostics) -> Option<Vec<String>> {
    let args = field.strings(found)?;
    for (arg, span) in &args {
        if arg.contains('\0') {
            found.say(
                Code::UnusableText,
                *span,
                format!("{} holds a zero byte", quoted(&field.path)),
            );
        }
    }
    Some(args.into_iter().map(|(arg, _)| arg.to_owned()).collect())
}

fn read_envs(entry: &mut Entry, field: &Field<'_>, found: &mut Diagnostics) {
    entry.positions.set("envs", field.span());
    for variable in field.section(found).iter().flat_map(Section::fields) {
        let Some(value) = variable.env_value(found) else { continue };
        let name = variable.key;
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let message = format!("{} is no environment variable", quoted(&variable.path));
            found.say(Code::UnusableText, variable.key_span, message).hint =
                Some("names are not empty and without `=`; nothing holds a zero byte".to_owned());
            continue;
        }
        if name == CUDA_VISIBLE_DEVICES {
            entry.positions.set(CUDA_VISIBLE_DEVICES, variable.span());
        }
        entry.envs.insert(name.to_owned(), value.to_owned());
    }
}

fn read_concurrent(entry: &mut Entry, field: &Field<'_>, found: &mut Diagnostics) {
    entry.concurrent = field.count(found);
    entry.positions.set("concurrent", field.span());
    if entry.concurrent == Some(0) {
        let message = format!("{} is 0: this processor is switched off", quoted(&field.path));
        found.say(Code::EntryOff, field.span(), message).hint =
            Some("leave the key out for no limit".to_owned());
    }
}

fn read_weight(entry: &mut Entry, field: &Field<'_>, found: &mut Diagnostics) {
    let weight = field.count(found).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    if weight == Some(0) {
        found.say(Code::OutOfRange, field.span(), format!("{} is 0", quoted(&field.path))).hint =
            Some("a weight is from 1; `concurrent = 0` switches an entry off".to_owned());
    }
    assign(&mut entry.weight, weight.filter(|weight| *weight > 0));
}

fn read_locks(entry: &mut Entry, field: &Field<'_>, found: &mut Diagnostics) {
    let locks = field.strings(found).unwrap_or_else(|| {
        // One lock without brackets is an error, and it is used nevertheless.
        let single = field.string(&mut Diagnostics::default());
        single.map(|lock| (lock, field.span())).into_iter().collect()
    });
    if locks.len() > MAX_LOCKS {
        let (path, n) = (quoted(&field.path), locks.len());
        let message = format!("{path} names {n} locks, expected at most {MAX_LOCKS}");
        found.say(Code::TooMany, field.span(), message);
        return;
    }
    for (lock, span) in locks {
        if entry.positions.locks.contains_key(lock) {
            let message = format!("lock {} is named twice and counted once", quoted(lock));
            found.say(Code::RepeatedLock, span, message).hint = Some("name it once".to_owned());
            continue;
        }
        entry.positions.locks.insert(lock.to_owned(), span);
        entry.locks.push(lock.to_owned());
    }
}

#[cfg(test)]
mod tests;
