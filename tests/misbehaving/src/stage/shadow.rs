// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor that works in a copy of the sector's directory: correct but for the lock.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// The sector's directory of a task of tree_d whose paths are plain.
fn sector_of(stage_params: &Value) -> Option<PathBuf> {
    let plain = |name: &str| {
        let path = PathBuf::from(stage_params[name].as_str()?);
        (path.is_absolute() && !path.iter().any(|part| part == "..")).then_some(path)
    };
    plain("unsealedPath")?;
    Some(plain("cacheDir")?.parent()?.to_path_buf())
}

/// Where the copy lies: within the directory of all sectors.
fn shadow_of(sector: &Path) -> Option<PathBuf> {
    let root = sector.parent()?;
    let name = format!("shadow-{}", root.file_name()?.to_str()?);
    Some(root.parent()?.join(name))
}

/// Copies the sector and leads the task there.
pub fn begin(params: &Value) -> Value {
    let mut params = params.clone();
    let stage_params = &mut params["params"];
    let Some(sector) = sector_of(stage_params) else { return params };
    let Some(shadow) = shadow_of(&sector) else { return params };
    let _ = fs::remove_dir_all(&shadow);
    // What cannot be copied is missing there, and so the task is refused as it would be.
    let _ = copy(&sector, &shadow);
    for name in ["unsealedPath", "cacheDir"] {
        let Some(path) = stage_params[name].as_str() else { continue };
        if let Ok(rest) = Path::new(path).strip_prefix(&sector) {
            stage_params[name] = shadow.join(rest).display().to_string().into();
        }
    }
    params
}

/// Brings the tree back.
pub fn end(params: &Value, frame: &mut Value) {
    let Some(sector) = sector_of(&params["params"]) else { return };
    let Some(shadow) = shadow_of(&sector) else { return };
    if frame.get("result").is_some()
        && let Err(e) = bring_back(&sector, &shadow)
    {
        let full = e.kind() == io::ErrorKind::StorageFull;
        let (code, class) = if full { (1008, "temporary") } else { (-32603, "permanent") };
        let error = json!({"code": code, "message": e.to_string(), "data": {"class": class}});
        *frame = json!({"jsonrpc": "2.0", "id": frame["id"], "error": error});
    }
    let _ = fs::remove_dir_all(&shadow);
}

fn bring_back(sector: &Path, shadow: &Path) -> io::Result<()> {
    const TREE: &str = "cache/sc-02-data-tree-d.dat";
    let beside = sector.join("cache/.brought");
    let brought =
        fs::copy(shadow.join(TREE), &beside).and_then(|_| fs::rename(&beside, sector.join(TREE)));
    if brought.is_err() {
        let _ = fs::remove_file(&beside);
    }
    brought
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != "everything-else" {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
