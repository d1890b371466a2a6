// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files around a task of vc-processors, which writes in place and trusts what it finds: it is
//! shown scratch with what it may read, and what it has written is moved when it is complete.
//! Nothing is computed here but digests of files.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileExt, symlink},
    path::{Path, PathBuf},
};

use sealpipe_protocol::{
    Bytes32, Code, TaskError, durable, failure,
    stage::{Job, c1::FileRef, files, proof::SealProof, tree_d, unseal},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use super::task::{self, Places};

/// Bytes read at a time when a file is digested.
const DIGEST_BUFFER_BYTES: usize = 1 << 20;

/// Makes the scratch of a job from nothing, and gives its task.
///
/// # Errors
/// Inputs that are missing, and what the disk says.
pub fn prepare(job: &Job) -> Result<Box<RawValue>, TaskError> {
    sweep(job);
    let places = Places::of(job);
    let cache = &places.cache_dir;
    let failed = |error: io::Error| output_error(cache, &error);
    match job {
        Job::TreeD(_) => fs::create_dir_all(cache).map_err(failed)?,
        Job::Pc1(params) => {
            fs::create_dir_all(cache).map_err(failed)?;
            if params.cache_dir.join(files::TREE_D).exists() {
                link(&params.cache_dir, cache, &[files::TREE_D.to_owned()])?;
            }
            File::create(&places.file).map_err(|error| output_error(&places.file, &error))?;
        }
        Job::Pc2(params) => {
            fs::create_dir_all(cache).map_err(failed)?;
            let mut inputs = layers(params.proof);
            inputs.push(files::TREE_D.to_owned());
            link(&params.cache_dir, cache, &inputs)?;
            copy(params.proof, &params.unsealed_path, &places.file)?;
        }
        Job::C2(params) => return task::of(job, &places, Some(read_c1(&params.c1)?)),
        _ => {}
    }
    task::of(job, &places, None)
}

/// Moves what a task has written into place, synced, and gives the stage's output.
///
/// # Errors
/// An answer that does not fit, files that are missing, and what the disk says.
pub fn finish(job: &Job, answer: &RawValue) -> Result<Box<RawValue>, TaskError> {
    let Places { cache_dir: cache, file } = Places::of(job);
    match job {
        Job::AddPieces(params) => {
            let output = task::add_pieces(answer)?;
            check_size(&file, params.proof.sector_bytes())?;
            durable::install(&[(file, params.unsealed_path.clone())])?;
            write(&output)
        }
        Job::TreeD(params) => {
            task::tree_d(answer)?;
            let comm_d = move_tree_d(params.proof, &cache, &params.cache_dir)?;
            sweep(job);
            write(&tree_d::Output { comm_d })
        }
        Job::Pc1(params) => {
            let output = task::pc1(params, answer)?;
            let names = layers(params.proof);
            for name in &names {
                check_size(&cache.join(name), params.proof.sector_bytes())?;
            }
            let built = fs::symlink_metadata(cache.join(files::TREE_D));
            if built.is_ok_and(|found| found.is_file()) {
                move_tree_d(params.proof, &cache, &params.cache_dir)?;
            }
            durable::install(&moves(&cache, &params.cache_dir, names))?;
            sweep(job);
            write(&output)
        }
        Job::Pc2(params) => {
            let p_aux = cache.join(files::P_AUX);
            let p_aux = fs::read(&p_aux).map_err(|error| missing(&p_aux, &error))?;
            let output = task::pc2(params, answer, &p_aux)?;
            check_size(&file, params.proof.sector_bytes())?;
            let mut names = files::tree_c(params.proof);
            names.extend(files::tree_r_last(params.proof));
            names.extend([files::P_AUX.to_owned(), files::T_AUX.to_owned()]);
            let mut all = moves(&cache, &params.cache_dir, names);
            all.push((file, params.sealed_path.clone()));
            durable::install(&all)?;
            sweep(job);
            write(&output)
        }
        Job::C2(_) => write(&task::c2(answer)?),
        Job::Unseal(params) => {
            let size = task::unseal(answer)?;
            if size != params.size {
                return Err(task::wrong(&format!("{size} bytes of {}", params.size)));
            }
            check_size(&file, size)?;
            let sha256 = digest(&file).map_err(|error| missing(&file, &error))?;
            durable::install(&[(file, params.out_path.clone())])?;
            write(&unseal::Output { size, sha256 })
        }
        Job::Echo(_) | Job::C1(_) | Job::Verify(_) => {
            Err(task::wrong(&format!("`{}` has no tasks", job.stage())))
        }
    }
}

/// Removes the scratch of a job. What cannot be removed is in the way of the next attempt, which
/// says so.
pub fn sweep(job: &Job) {
    let places = Places::of(job);
    let is_scratch = matches!(job, Job::TreeD(_) | Job::Pc1(_) | Job::Pc2(_));
    if is_scratch {
        let _ = fs::remove_dir_all(&places.cache_dir);
    }
    if !matches!(job, Job::TreeD(_)) {
        let _ = fs::remove_file(&places.file);
    }
}

fn layers(proof: SealProof) -> Vec<String> {
    (1..=proof.n_layers()).map(files::layer).collect()
}

fn link(from: &Path, to: &Path, names: &[String]) -> Result<(), TaskError> {
    for name in names {
        symlink(from.join(name), to.join(name)).map_err(|error| output_error(to, &error))?;
    }
    Ok(())
}

/// Copies the data, by reference where the file system can.
fn copy(proof: SealProof, from: &Path, to: &Path) -> Result<(), TaskError> {
    let mut source = File::open(from).map_err(|error| missing(from, &error))?;
    let copied = File::create(to).and_then(|mut target| io::copy(&mut source, &mut target));
    let copied = copied.map_err(|error| output_error(to, &error))?;
    if copied == proof.sector_bytes() {
        return Ok(());
    }
    let message = format!("{} has {copied} bytes, not {}", from.display(), proof.sector_bytes());
    Err(TaskError::new(Code::InvalidInput, message).hint("run add_pieces again"))
}

fn move_tree_d(proof: SealProof, from: &Path, to: &Path) -> Result<Bytes32, TaskError> {
    let built = from.join(files::TREE_D);
    let bytes = (2 * proof.n_nodes() - 1) * 32;
    check_size(&built, bytes)?;
    let mut root = [0; 32];
    File::open(&built)
        .and_then(|file| file.read_exact_at(&mut root, bytes - 32))
        .map_err(|error| missing(&built, &error))?;
    durable::install(&[(built, to.join(files::TREE_D))])?;
    Ok(Bytes32(root))
}

fn moves(from: &Path, to: &Path, names: Vec<String>) -> Vec<(PathBuf, PathBuf)> {
    names.into_iter().map(|name| (from.join(&name), to.join(name))).collect()
}

fn check_size(path: &Path, expected: u64) -> Result<(), TaskError> {
    let found = fs::metadata(path).map_err(|error| missing(path, &error))?.len();
    match found == expected {
        true => Ok(()),
        false => Err(task::wrong(&format!("{} has {found} bytes, not {expected}", path.display()))),
    }
}

/// The content of c1's file, on one line.
fn read_c1(c1: &FileRef) -> Result<Box<RawValue>, TaskError> {
    let mut content = fs::read(&c1.path).map_err(|error| missing(&c1.path, &error))?;
    let shown = c1.path.display();
    if content.len() as u64 != c1.size || Sha256::digest(&content)[..] != c1.sha256.0 {
        let message = format!("{shown} is not what c1 wrote: its size or SHA-256 is another");
        return Err(TaskError::new(Code::InvalidInput, message).hint("run c1 again"));
    }
    // Within a string a line end is written `\n`, so these are blanks between values.
    content.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    let invalid = |why: String| TaskError::new(Code::InvalidInput, format!("{shown}: {why}"));
    let text = String::from_utf8(content).map_err(|error| invalid(error.to_string()))?;
    RawValue::from_string(text).map_err(|error| invalid(error.to_string()))
}

fn digest(path: &Path) -> io::Result<Bytes32> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; DIGEST_BUFFER_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Bytes32(hasher.finalize().into())),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn missing(path: &Path, error: &io::Error) -> TaskError {
    failure::input("the file", path, error)
}

fn output_error(path: &Path, error: &io::Error) -> TaskError {
    failure::output("the file", path, error)
}

fn write(output: &impl Serialize) -> Result<Box<RawValue>, TaskError> {
    to_raw_value(output)
        .map_err(|error| TaskError::new(Code::InternalError, format!("the output: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

    #[test]
    fn a_tree_d_counts_when_it_was_answered_and_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let cache_dir = dir.path().to_path_buf();
        let unsealed_path = cache_dir.join("unsealed");
        let job = Job::TreeD(tree_d::Params { proof: PROOF, unsealed_path, cache_dir });
        let (scratch, done) = (dir.path().join(".tree_d"), dir.path().join(files::TREE_D));
        let answer = RawValue::from_string("true".to_owned()).unwrap();
        prepare(&job).unwrap();
        finish(&job, &answer).unwrap_err();
        fs::write(scratch.join(files::TREE_D), vec![7; 4000]).unwrap();
        finish(&job, &answer).unwrap_err();
        assert!(!done.exists());
        // What is left of that is not shown to the next attempt.
        prepare(&job).unwrap();
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
        fs::write(scratch.join(files::TREE_D), vec![7; 4064]).unwrap();
        let output = finish(&job, &answer).unwrap();
        assert_eq!(output.get(), format!(r#"{{"commD":"{}"}}"#, "07".repeat(32)));
        assert!(done.exists() && !scratch.exists());
    }

    #[test]
    fn the_output_of_c1_is_read_on_one_line_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c1.json");
        let content = b"{\n  \"a\": \"x\\ny\"\r\n}\n";
        fs::write(&path, content).unwrap();
        let sha256 = Bytes32(Sha256::digest(content).into());
        let c1 = FileRef { path, size: content.len() as u64, sha256 };
        let read = read_c1(&c1).unwrap();
        assert!(!read.get().contains('\n') && read.get().contains("x\\ny"));
        read_c1(&FileRef { size: 1, ..c1.clone() }).unwrap_err();
        read_c1(&FileRef { sha256: Bytes32([0; 32]), ..c1 }).unwrap_err();
    }
}
