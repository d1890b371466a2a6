// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the faults do, before a task goes to the reference processor and when it comes back.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::{faults::StageFault as Fault, relay::Begin, shadow};

/// CommD of the golden sectors of 2KiB.
const GOLDEN_COMM_D: [&str; 2] = [
    "98b488485da728c53a1faf6cf933ab6d7469c328f6d7eae743626e230e607d1b",
    "fc7e928296e516faade986b28f92d44a4f24b935485223376a799027bc18f833",
];

/// The proof of the golden 2KiB sector of data.
const GOLDEN_VECTOR: &str = include_str!("../../../vectors/2KiB-data.json");

/// Bytes of a proof.
const PROOF_BYTES: usize = 192;

/// A fault at work.
pub struct Deeds {
    fault: Option<Fault>,
    // By stage parameters: what was answered.
    answers: Mutex<HashMap<String, Value>>,
    // Outputs that were made in this process.
    made: Mutex<HashMap<PathBuf, Value>>,
    seen: Mutex<HashSet<String>>,
    held: Mutex<Vec<File>>,
    aside: Mutex<HashMap<PathBuf, PathBuf>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path among the stage's parameters. What is relative is nobody's: here it would be a file of
/// whoever has started this process.
fn path(params: &Value, name: &str) -> Option<PathBuf> {
    params["params"][name].as_str().map(PathBuf::from).filter(|path| path.is_absolute())
}

/// tree-d of a task.
fn tree_d(params: &Value) -> Option<PathBuf> {
    Some(path(params, "cacheDir")?.join("sc-02-data-tree-d.dat"))
}

/// Whether all paths are absolute and without `..`.
fn has_plain_paths(params: &Value) -> bool {
    let members = params["params"].as_object().into_iter().flatten();
    let mut paths = members
        .filter(|(name, _)| name.ends_with("Path") || name.ends_with("Dir"))
        .filter_map(|(_, value)| value.as_str());
    paths.all(|path| path.starts_with('/') && !path.contains(".."))
}

fn is_golden(params: &Value) -> bool {
    GOLDEN_COMM_D.iter().any(|golden| params["params"]["commD"] == *golden)
}

/// Turns an error into the result that would have been.
fn forgive(frame: &mut Value, output: Value) {
    *frame = json!({"jsonrpc": "2.0", "id": frame["id"], "result": {"output": output}});
}

/// Changes the last byte of a file; what cannot be changed stays.
fn spoil_file(path: &Path) {
    let Ok(mut bytes) = fs::read(path) else { return };
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let _ = fs::write(path, bytes);
}

impl Deeds {
    /// Nothing has happened yet.
    pub fn new(fault: Option<Fault>) -> Self {
        Self {
            fault,
            answers: Mutex::default(),
            made: Mutex::default(),
            seen: Mutex::default(),
            held: Mutex::default(),
            aside: Mutex::default(),
        }
    }

    /// Before a task goes to the reference processor.
    pub fn begin(&self, params: &Value) -> Begin {
        let answer = match self.fault {
            Some(Fault::TrustsSizes) => self.trusted(params),
            Some(Fault::RemembersAnswers) => {
                lock(&self.answers).get(&params["params"].to_string()).cloned()
            }
            Some(Fault::ProvesWithZeros) => Some(proof(&[0; PROOF_BYTES])),
            Some(Fault::ProvesFromATable) => Some(proof(&golden_proof())),
            Some(Fault::TakesNoLock) => return Begin::Pass(shadow::begin(params)),
            Some(Fault::RangeIsOff) => return Begin::Pass(range_before(params)),
            _ => None,
        };
        if let Some(output) = answer {
            return Begin::Answer(json!({"result": {"output": output}}));
        }
        match self.fault {
            Some(Fault::WritesInPlace) => self.put_aside(params),
            Some(Fault::ShowsHalf) => show_half(params),
            Some(Fault::ResumesWrong) => {
                let new = lock(&self.seen).is_empty();
                if new && params["attempt"].as_u64() > Some(1) {
                    lock(&self.seen).insert("resumed".into());
                } else {
                    lock(&self.seen).insert("begun".into());
                }
            }
            _ => {}
        }
        Begin::Pass(params.clone())
    }

    /// When it comes back.
    pub fn end(&self, params: &Value, frame: &mut Value) {
        let Some(fault) = self.fault else { return };
        let code = frame.pointer("/error/code").and_then(Value::as_i64);
        match code {
            None => self.spoil_result(fault, params, frame),
            Some(code) => self.spoil_error(fault, code, params, frame),
        }
        match fault {
            Fault::EditsItsInput => path(params, "unsealedPath").iter().for_each(|p| spoil_file(p)),
            Fault::WritesElsewhere => write_elsewhere(params),
            Fault::LeavesATemporary => leave_temporary(params),
            Fault::TakesNoLock => shadow::end(params, frame),
            _ => {}
        }
    }

    fn spoil_result(&self, fault: Fault, params: &Value, frame: &mut Value) {
        let Some(output) = frame.pointer_mut("/result/output") else { return };
        match fault {
            Fault::FlipsAValue => {
                let text = output["commD"].as_str().unwrap_or_default();
                let first = if text.starts_with('0') { "1" } else { "0" };
                output["commD"] = format!("{first}{}", text.get(1..).unwrap_or_default()).into();
            }
            Fault::AddsAMember => output["seconds"] = 1.into(),
            Fault::AnswersFromATable if !is_golden(params) => {
                for (ours, golden) in
                    [("commR", "comm_r"), ("commC", "comm_c"), ("commRLast", "comm_r_last")]
                {
                    output[ours] = golden_vector()[golden].clone();
                }
            }
            Fault::FilesFromATable if !is_golden(params) => {
                path(params, "sealedPath").iter().for_each(|path| spoil_file(path));
            }
            Fault::CutsATree => {
                let tree = path(params, "cacheDir").map(|dir| dir.join("sc-02-data-tree-c.dat"));
                let bytes = tree.as_ref().and_then(|tree| fs::read(tree).ok());
                if let (Some(tree), Some(bytes)) = (tree, bytes) {
                    let _ = fs::write(tree, &bytes[..bytes.len() - 1]);
                }
            }
            Fault::WritesInPlace => self.put_in_place(params),
            Fault::TrustsSizes => {
                if let Some(tree) = tree_d(params) {
                    lock(&self.made).insert(tree, output.clone());
                }
            }
            Fault::RemembersAnswers => {
                lock(&self.answers).insert(params["params"].to_string(), output.clone());
            }
            Fault::RangeIsOff => output["size"] = params["params"]["size"].clone(),
            Fault::ResumesWrong if lock(&self.seen).contains("resumed") => {
                tree_d(params).iter().for_each(|tree| spoil_file(tree));
            }
            Fault::EveryProofHolds => output["valid"] = true.into(),
            Fault::NoProofHolds => output["valid"] = false.into(),
            Fault::MalformedIsAnError if is_malformed(params) => {
                let error =
                    json!({"code": 1006, "message": "no proof", "data": {"class": "permanent"}});
                *frame = json!({"jsonrpc": "2.0", "id": frame["id"], "error": error});
            }
            _ => {}
        }
    }

    fn spoil_error(&self, fault: Fault, code: i64, params: &Value, frame: &mut Value) {
        let mut say = |code: i64| frame["error"]["code"] = code.into();
        match (fault, code) {
            (Fault::AbsentIsWrong, 1005) => say(1006),
            (Fault::CutIsAbsent, 1006) => say(1005),
            (Fault::ReadOnlyIsAnInput, -32603) => say(1005),
            (Fault::FullIsInternal, 1008) | (Fault::ConflictIsInternal, 1007) => say(-32603),
            (Fault::ReadOnlyWillPass, -32603) => {
                frame["error"]["data"]["class"] = "temporary".into()
            }
            (Fault::EverythingIsCritical, 1005 | 1006) => {
                frame["error"]["data"]["class"] = "critical".into();
            }
            (Fault::TakesContradictions, 1006) => forgive(frame, json!({"commR": ""})),
            (Fault::TakesAnyPath, -32602) if !has_plain_paths(params) => {
                forgive(frame, json!({"commD": ""}));
            }
            (Fault::TakesAnyNumber, -32602) if has_plain_paths(params) => {
                forgive(frame, json!({"size": 0}));
            }
            (Fault::BeginsTooSoon, -32602) => leave_temporary(params),
            (Fault::LeavesHalf, 1005 | 1006) => show_half(params),
            (Fault::CancelLeavesATemporary, -32800) => leave_temporary(params),
            (Fault::KeepsTheLock, code) if code != -32800 => self.keep_lock(params),
            _ => {}
        }
    }

    /// The remembered answer, if tree-d is there with its size.
    fn trusted(&self, params: &Value) -> Option<Value> {
        const TREE_D_2KIB_BYTES: u64 = 4_064;
        let tree = tree_d(params)?;
        let found = fs::metadata(&tree).ok()?;
        let output = lock(&self.made).get(&tree).cloned();
        (found.len() == TREE_D_2KIB_BYTES).then_some(output).flatten()
    }

    /// Keeps the file that is there by another name, to write over it.
    fn put_aside(&self, params: &Value) {
        let Some(tree) = tree_d(params) else { return };
        let aside = tree.with_extension("aside");
        if fs::hard_link(&tree, &aside).is_ok() {
            lock(&self.aside).insert(tree, aside);
        }
    }

    fn put_in_place(&self, params: &Value) {
        let Some(tree) = tree_d(params) else { return };
        let Some(aside) = lock(&self.aside).remove(&tree) else { return };
        if let Ok(content) = fs::read(&tree)
            && fs::write(&aside, content).is_ok()
        {
            let _ = fs::rename(aside, tree);
        }
    }

    fn keep_lock(&self, params: &Value) {
        let sector = path(params, "cacheDir").and_then(|dir| Some(dir.parent()?.to_path_buf()));
        let Some(dir) = sector.and_then(|sector| File::open(sector).ok()) else { return };
        if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            lock(&self.held).push(dir);
        }
    }
}

/// Half of an output under its name.
fn show_half(params: &Value) {
    if let Some(mut file) = tree_d(params).and_then(|tree| File::create(tree).ok()) {
        let _ = file.write_all(&[7; 2_000]);
    }
}

fn leave_temporary(params: &Value) {
    if let Some(dir) = path(params, "cacheDir") {
        let _ = fs::write(dir.join(".temporary"), b"");
    }
}

/// A file in the directory that the suite has beside the sector's.
fn write_elsewhere(params: &Value) {
    let dir = path(params, "cacheDir");
    if let Some(root) = dir.as_deref().and_then(Path::parent).and_then(Path::parent) {
        let _ = fs::write(root.join("beside/sector/log"), b"a line");
    }
}

/// The range that begins a byte earlier, where that is within a node.
fn range_before(params: &Value) -> Value {
    let mut params = params.clone();
    let stage_params = &mut params["params"];
    let (offset, size) = (stage_params["offset"].as_u64(), stage_params["size"].as_u64());
    if let (Some(offset), Some(1..)) = (offset, size)
        && offset % 127 != 0
    {
        stage_params["offset"] = (offset - 1).into();
    }
    params
}

fn golden_vector() -> Value {
    serde_json::from_str(GOLDEN_VECTOR).unwrap_or_default()
}

fn golden_proof() -> Vec<u8> {
    let vector = golden_vector();
    let digits = vector["c2"]["proof"].as_str().unwrap_or_default().as_bytes().chunks(2);
    digits.filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

fn proof(bytes: &[u8]) -> Value {
    json!({"proof": sealpipe_protocol::Base64(bytes.to_vec())})
}

/// Whether a proof to verify has another length than proofs have.
fn is_malformed(params: &Value) -> bool {
    let bytes = params["params"]["proofBytes"].clone();
    let bytes: Result<sealpipe_protocol::Base64, _> = serde_json::from_value(bytes);
    bytes.is_ok_and(|bytes| bytes.0.len() != PROOF_BYTES)
}
