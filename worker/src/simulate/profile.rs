// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long each stage takes, on which machine and with which programs.

use std::{collections::BTreeMap, path::Path, time::Duration};

use sealpipe_protocol::{Stage, stage::proof::SealProof};
use serde::Deserialize;

/// Durations and needs of the stages of one kind of sector with one set of programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What was measured: machine and programs.
    pub name: String,
    /// The size of the sectors, such as `32GiB`.
    pub size: String,
    /// Between pc2 and c1: the chain's randomness.
    pub wait_seed: Duration,
    /// The stages by name.
    pub stages: BTreeMap<Stage, StageProfile>,
    /// What single entries, such as `pc2[1]`, take instead.
    pub entries: BTreeMap<String, Duration>,
}

/// What one task of a stage takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageProfile {
    /// Its duration.
    pub takes: Duration,
    /// Tasks that a process takes at once unless its entry has `concurrent`.
    pub concurrent: usize,
    /// Memory while it runs, in GiB.
    pub memory_gib: f64,
    /// What it writes to the disk, in GiB.
    pub disk_gib: f64,
    /// Cores that it is given where there are enough.
    pub cores: usize,
    /// Tasks that share these cores.
    pub lanes: usize,
    /// What it takes of one core on the CPU, for a stage that usually has a GPU.
    pub cpu_time: Option<Duration>,
}

impl Default for StageProfile {
    fn default() -> Self {
        Self {
            takes: Duration::ZERO,
            concurrent: 1,
            memory_gib: 0.0,
            disk_gib: 0.0,
            cores: 1,
            lanes: 1,
            cpu_time: None,
        }
    }
}

/// Longest duration of a stage or wait: a simulated year of it overflows nothing.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

/// A row: stage, seconds, tasks at once, memory and disk in GiB, cores.
type Row = (Stage, f64, usize, f64, f64, usize);

/// damocles' own table for a 32GiB sector on an EPYC 7642 with an RTX 3080: filecoin-proofs with
/// multicore labelling, pc2 and c2 on the GPU. Ranges are taken in the middle. Cores are those of the
/// configuration guide's schemes.
///
/// Tasks at once are those of the reference processor, for stages that a machine does beside the
/// others.
const EPYC_7642: [Row; 8] = [
    (Stage::AddPieces, 180.0, 4, 0.2, 32.0, 1),
    (Stage::TreeD, 60.0, 1, 47.0, 64.0, 1),
    (Stage::Pc1, 177.0 * 60.0, 1, 64.0, 352.0, 2),
    (Stage::Pc2, 11.5 * 60.0, 1, 64.0, 37.0, 8),
    (Stage::C1, 1.2, 4, 0.0, 0.01, 1),
    (Stage::C2, 14.5 * 60.0, 1, 128.0, 0.0, 18),
    (Stage::Verify, 0.05, 4, 0.0, 0.0, 1),
    (Stage::Echo, 1.0, 4, 0.0, 0.0, 1),
];

/// pc2 without a GPU, in seconds of one core: 2^30 columns of 11 and twice 1.5 * 10^8 nodes of 8 at
/// neptune's 105 and 73 microseconds a hash. An estimate.
const PC2_CPU_SECONDS: f64 = 135_000.0;

/// c2 without a GPU, in seconds of one core: ten partitions, each 32 times what bellperson takes for
/// the one of a 2KiB sector. An estimate.
const C2_CPU_SECONDS: f64 = 44_000.0;

impl Default for Profile {
    fn default() -> Self {
        let stage = |(stage, seconds, concurrent, memory_gib, disk_gib, cores): Row| {
            let cpu_seconds = match stage {
                Stage::Pc2 => Some(PC2_CPU_SECONDS),
                Stage::C2 => Some(C2_CPU_SECONDS),
                _ => None,
            };
            let profile = StageProfile {
                takes: Duration::from_secs_f64(seconds),
                concurrent,
                memory_gib,
                disk_gib,
                cores,
                lanes: 1,
                cpu_time: cpu_seconds.map(Duration::from_secs_f64),
            };
            (stage, profile)
        };
        Self {
            name: "32GiB, filecoin-proofs on EPYC 7642 and RTX 3080".to_owned(),
            size: "32GiB".to_owned(),
            wait_seed: Duration::from_secs(75 * 60),
            stages: EPYC_7642.into_iter().map(stage).collect(),
            entries: BTreeMap::new(),
        }
    }
}

/// A profile as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    size: Option<String>,
    wait_seed: Option<String>,
    #[serde(default)]
    stages: BTreeMap<String, FileStage>,
    #[serde(default)]
    entries: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStage {
    takes: Option<String>,
    concurrent: Option<usize>,
    memory_gib: Option<f64>,
    disk_gib: Option<f64>,
    cores: Option<usize>,
    lanes: Option<usize>,
    cpu_time: Option<String>,
}

impl Profile {
    /// A stage; nothing and no time for one that the profile does not know.
    pub fn stage(&self, stage: Stage) -> StageProfile {
        self.stages.get(&stage).copied().unwrap_or_default()
    }

    /// Reads a profile from TOML, or from JSON when the name of the file ends so. What it does not
    /// name is as in the built-in one.
    ///
    /// # Errors
    /// What is wrong with the text, for people.
    pub fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let is_json = path.extension().is_some_and(|ending| ending == "json");
        let file: File = if is_json {
            serde_json::from_str(text).map_err(|error| error.to_string())?
        } else {
            toml_edit::de::from_str(text).map_err(|error| error.to_string())?
        };
        let mut profile = Self { name: file.name, ..Self::default() };
        if let Some(size) = &file.size {
            let proof = size.parse::<SealProof>().map_err(|error| format!("`size`: {error}"))?;
            profile.size = proof.size_name().to_owned();
        }
        if let Some(wait) = &file.wait_seed {
            profile.wait_seed = duration("wait_seed", wait)?;
        }
        for (name, changed) in &file.stages {
            let stage: Stage = name.parse().map_err(|_| format!("no stage is called `{name}`"))?;
            let entry = profile.stages.entry(stage).or_default();
            *entry = changed.over(*entry, name)?;
        }
        for (name, takes) in &file.entries {
            profile.entries.insert(name.clone(), duration(&format!("entries.{name}"), takes)?);
        }
        profile.check()
    }

    /// What a simulation needs in order to end.
    ///
    /// # Errors
    /// Durations with which supply would never come to rest.
    pub fn check(self) -> Result<Self, String> {
        // Sectors are supplied until some wait before pc1, which takes time to get there.
        if self.stage(Stage::Pc1).takes.is_zero() {
            return Err("`stages.pc1.takes` is 0, expected more".to_owned());
        }
        Ok(self)
    }
}

impl FileStage {
    fn over(&self, base: StageProfile, name: &str) -> Result<StageProfile, String> {
        let takes = self.takes.as_ref().map(|t| duration(&format!("stages.{name}.takes"), t));
        let gib = |key: &str, value: Option<f64>, base: f64| match value {
            Some(gib) if !(0.0..1e9).contains(&gib) => {
                Err(format!("`stages.{name}.{key}` is {gib}, expected 0 or more"))
            }
            gib => Ok(gib.unwrap_or(base)),
        };
        let count = |key: &str, value: Option<usize>, base: usize| match value {
            Some(0) => Err(format!("`stages.{name}.{key}` is 0, expected 1 or more")),
            count => Ok(count.unwrap_or(base)),
        };
        let cpu = self.cpu_time.as_ref().map(|t| duration(&format!("stages.{name}.cpu_time"), t));
        Ok(StageProfile {
            takes: takes.transpose()?.unwrap_or(base.takes),
            concurrent: count("concurrent", self.concurrent, base.concurrent)?,
            memory_gib: gib("memory_gib", self.memory_gib, base.memory_gib)?,
            disk_gib: gib("disk_gib", self.disk_gib, base.disk_gib)?,
            cores: count("cores", self.cores, base.cores)?,
            lanes: count("lanes", self.lanes, base.lanes)?,
            cpu_time: cpu.transpose()?.or(base.cpu_time),
        })
    }
}

fn duration(key: &str, text: &str) -> Result<Duration, String> {
    let expected = "a duration up to a year such as \"11min 30s\"";
    let wrong = |why: String| format!("`{key}` is {text:?}, expected {expected}{why}");
    let read = humantime::parse_duration(text).map_err(|error| wrong(format!(": {error}")))?;
    if read > LONGEST { Err(wrong(String::new())) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: Result<&[(Stage, u64)], &str>) {
        let read = Profile::parse(Path::new(name), text);
        match (read, expected) {
            (Ok(profile), Ok(seconds)) => {
                for (stage, seconds) in seconds {
                    assert_eq!(profile.stage(*stage).takes.as_secs(), *seconds, "{stage}: {text}");
                }
            }
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            (read, _) => panic!("{text}: {read:?}"),
        }
    }

    #[test]
    fn what_a_file_does_not_name_is_as_built_in() {
        let minutes = &[(Stage::Pc2, 150), (Stage::Pc1, 177 * 60), (Stage::C2, 870)];
        check("a.toml", "name = \"x\"\n[stages.pc2]\ntakes = \"2min 30s\"", Ok(minutes));
        check("a.json", r#"{"name": "x", "stages": {"pc2": {"takes": "150s"}}}"#, Ok(minutes));
    }

    #[test]
    fn mistakes_are_named() {
        check("a.toml", "name = 1", Err("invalid type"));
        check("a.toml", "name = \"x\"\nwait = \"1s\"", Err("unknown field `wait`"));
        check("a.toml", "name = \"x\"\n[stages.pc3]", Err("no stage is called `pc3`"));
        let soon = "name = \"x\"\n[stages.pc2]\ntakes = \"soon\"";
        check("a.toml", soon, Err("`stages.pc2.takes` is \"soon\", expected a duration"));
        let long = "name = \"x\"\nwait_seed = \"3years\"";
        check("a.toml", long, Err("`wait_seed` is \"3years\", expected a duration up to a year"));
        let never = "name = \"x\"\n[stages.pc1]\ntakes = \"0s\"";
        check("a.toml", never, Err("`stages.pc1.takes` is 0, expected more"));
        check("a.toml", "name = \"x\"\n[stages.c2]\nconcurrent = 0", Err("concurrent` is 0"));
    }
}
