// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which finished layers a further attempt may keep.
//!
//! The library keeps any layer file of the right length, whoever labelled it. Here a layer is kept
//! when the manifest in the work directory vouches for it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sealpipe_protocol::{Bytes32, Code, TaskError, durable};
use serde::{Deserialize, Serialize};

/// The manifest's file.
const NAME: &str = "reference-pc1.json";

/// What is known of the layers in the cache directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The replica that the layers are labelled for.
    pub replica_id: Bytes32,
    /// The boot in which the last attempt began; absent when the system does not say.
    pub boot_id: Option<String>,
    /// SHA-256 of the finished layers that are on disk for sure, from layer 1 on.
    pub layers: Vec<Bytes32>,
}

/// What has to hold for a layer before it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demand {
    /// It was recorded, so its content must have this SHA-256.
    Digest(Bytes32),
    /// It appeared in this boot, after the manifest was written and before it was recorded. The
    /// library renames a layer when it is complete, and a kill loses no completed write.
    Nothing,
}

impl Manifest {
    /// A manifest of no layers.
    pub fn new(replica_id: Bytes32) -> Self {
        Self { replica_id, boot_id: boot_id(), layers: Vec::new() }
    }

    /// Reads the manifest of an earlier attempt. One that cannot be read vouches for nothing.
    pub fn read(work_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(work_dir)).ok()?).ok()
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, work_dir: &Path) -> Result<(), TaskError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| TaskError::new(Code::InternalError, format!("manifest: {error}")))?;
        durable::write_bytes(&path(work_dir), &text)
    }

    /// What this manifest demands of `layer`, from 1, when all layers before it are kept; `None`
    /// when it is not to be kept at all.
    pub fn demand(&self, layer: u32, current: &Self) -> Option<Demand> {
        if self.replica_id != current.replica_id {
            return None;
        }
        if let Some(digest) = self.layers.get(layer as usize - 1) {
            return Some(Demand::Digest(*digest));
        }
        let same_boot = self.boot_id.is_some() && self.boot_id == current.boot_id;
        same_boot.then_some(Demand::Nothing)
    }
}

fn path(work_dir: &Path) -> PathBuf {
    work_dir.join(NAME)
}

fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(replica: u8, boot: Option<&str>, layers: &[u8]) -> Manifest {
        Manifest {
            replica_id: Bytes32([replica; 32]),
            boot_id: boot.map(str::to_owned),
            layers: layers.iter().map(|byte| Bytes32([*byte; 32])).collect(),
        }
    }

    #[test]
    fn what_is_demanded_of_a_layer() {
        let check = |old: Manifest, layer, expected| {
            assert_eq!(old.demand(layer, &manifest(1, Some("b"), &[])), expected, "{old:?}");
        };
        let digest = |byte| Some(Demand::Digest(Bytes32([byte; 32])));
        check(manifest(1, Some("b"), &[7, 8]), 1, digest(7));
        check(manifest(1, Some("b"), &[7, 8]), 2, digest(8));
        // Recorded layers outlive the boot.
        check(manifest(1, Some("a"), &[7]), 1, digest(7));
        check(manifest(1, Some("b"), &[7]), 2, Some(Demand::Nothing));
        // After power loss a name may be there without its content.
        check(manifest(1, Some("a"), &[7]), 2, None);
        check(manifest(1, None, &[7]), 2, None);
        check(manifest(2, Some("b"), &[7]), 1, None);
        check(manifest(2, Some("b"), &[]), 1, None);
    }

    #[test]
    fn a_manifest_survives_the_disk_and_a_damaged_one_vouches_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(dir.path()), None);
        let written = manifest(3, Some("b"), &[1, 2]);
        written.write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()), Some(written));
        fs::write(path(dir.path()), b"{\"replicaId\":").unwrap();
        assert_eq!(Manifest::read(dir.path()), None);
    }
}
