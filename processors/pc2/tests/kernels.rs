// SPDX-License-Identifier: MIT OR Apache-2.0

//! The committed kernels are those of the committed sources.

use std::{fs, path::Path};

use sha2::{Digest, Sha256};

#[test]
fn kernels_are_as_old_as_their_sources() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |dir: &Path, ending: &str| {
        let mut found: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect();
        found.sort();
        found
    };
    let mut hasher = Sha256::new();
    for path in
        files(&here.join("../gpu/cuda"), ".cuh").into_iter().chain(files(&here.join("cuda"), ""))
    {
        hasher.update(fs::read(path).unwrap());
    }
    let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let noted = fs::read_to_string(here.join("kernels/sources.sha256")).unwrap();
    assert_eq!(noted.trim(), digest, "the kernels are stale: run `make kernels`");
    for sm in ["sm_75.cubin", "sm_80.cubin", "sm_86.cubin", "sm_89.cubin", "sm_90.cubin"] {
        let cubin = fs::read(here.join(format!("kernels/pc2.{sm}"))).unwrap();
        assert!(cubin.starts_with(b"\x7fELF"), "{sm}");
    }
}
