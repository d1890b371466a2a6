// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is next for a sector, with which parameters, and what its answer means. Pure.

use std::path::Path;

use sealpipe_protocol::{
    Stage, TaskError,
    stage::{Job, add_pieces, c1, c2, pc1, pc2, tree_d, verify},
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{layout::Layout, record::Record, sector::Randomness, task::unfit};

/// The stages of a sector, in order.
pub const STAGES: &[Stage] =
    &[Stage::AddPieces, Stage::TreeD, Stage::Pc1, Stage::Pc2, Stage::C1, Stage::C2, Stage::Verify];

/// The stages whose files a stage reads.
fn reads(stage: Stage) -> &'static [Stage] {
    match stage {
        Stage::TreeD => &[Stage::AddPieces],
        Stage::Pc1 => &[Stage::AddPieces, Stage::TreeD],
        Stage::Pc2 => &[Stage::AddPieces, Stage::TreeD, Stage::Pc1],
        Stage::C1 => &[Stage::TreeD, Stage::Pc1, Stage::Pc2],
        Stage::C2 => &[Stage::C1],
        _ => &[],
    }
}

/// The first stage that has not answered.
pub fn next(record: &Record) -> Option<Stage> {
    STAGES.iter().copied().find(|stage| !record.is_done(*stage))
}

/// Randomness of the chain that a stage takes and that is not known yet.
pub fn lacks(record: &Record, stage: Stage) -> Option<Randomness> {
    match stage {
        Stage::Pc1 if record.sector.ticket.is_none() => Some(Randomness::Ticket),
        Stage::C1 if record.sector.seed.is_none() => Some(Randomness::Seed),
        _ => None,
    }
}

/// Forgets the answers of stages whose files are gone although a later stage still reads them.
/// An answer counts for nothing without the files that it stands for.
///
/// # Errors
/// What `exists` says. Nothing is known of the files then, and nothing more is forgotten.
pub fn forget_lost<E>(
    record: &mut Record,
    layout: &Layout,
    exists: impl Fn(&Path) -> Result<bool, E>,
) -> Result<(), E> {
    let proof = record.sector.proof;
    while let Some(stage) = next(record) {
        let mut lost = None;
        for read in reads(stage) {
            for path in layout.outputs(*read, proof) {
                if lost.is_none() && !exists(&path)? {
                    lost = Some(*read);
                }
            }
        }
        match lost {
            Some(lost) if lost < stage => record.undo_from(lost),
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// The parameters of a stage, from what earlier ones have answered.
///
/// # Panics
/// When an earlier stage has not answered, or what [`lacks`] names is not there.
pub fn job(record: &Record, layout: &Layout, stage: Stage) -> Job {
    let sector = &record.sector;
    let results = &record.results;
    let proof = sector.proof;
    let prover_id = sector.prover.id();
    let sector_number = sector.number;
    let known = "whoever drives the sector has asked for it";
    let (ticket, seed) = (|| sector.ticket.expect(known), || sector.seed.expect(known));
    let unsealed_path = layout.unsealed();
    let sealed_path = layout.sealed();
    let cache_dir = layout.cache();
    let work_dir = layout.work_of(stage);
    let answered = "the stages before have answered";
    let pieces = || results.pieces.clone().expect(answered);
    let comm_d = || results.comm_d.expect(answered);
    let comm_r = || results.comm_r.expect(answered);
    match stage {
        Stage::AddPieces => {
            let pieces = sector.pieces.clone();
            Job::AddPieces(add_pieces::Params { proof, pieces, unsealed_path })
        }
        Stage::TreeD => Job::TreeD(tree_d::Params { proof, unsealed_path, cache_dir }),
        Stage::Pc1 => Job::Pc1(pc1::Params {
            proof,
            prover_id,
            sector_number,
            ticket: ticket(),
            pieces: pieces(),
            comm_d: comm_d(),
            unsealed_path,
            cache_dir,
            work_dir,
        }),
        Stage::Pc2 => Job::Pc2(pc2::Params {
            proof,
            replica_id: results.replica_id.expect(answered),
            comm_d: comm_d(),
            unsealed_path,
            sealed_path,
            cache_dir,
            work_dir,
        }),
        Stage::C1 => Job::C1(c1::Params {
            proof,
            prover_id,
            sector_number,
            ticket: ticket(),
            seed: seed(),
            comm_d: comm_d(),
            comm_r: comm_r(),
            pieces: pieces(),
            sealed_path,
            cache_dir,
            out_path: layout.c1(),
        }),
        Stage::C2 => {
            let c1 = results.c1.clone().expect(answered);
            Job::C2(c2::Params { proof, prover_id, sector_number, c1 })
        }
        Stage::Verify => Job::Verify(verify::Params {
            proof,
            prover_id,
            sector_number,
            ticket: ticket(),
            seed: seed(),
            comm_d: comm_d(),
            comm_r: comm_r(),
            proof_bytes: results.proof.clone().expect(answered),
        }),
        Stage::Echo | Stage::Unseal => unreachable!("`{stage}` is no stage of sealing"),
    }
}

/// Writes down what a stage has answered.
///
/// # Errors
/// An answer that does not fit the stage, or contradicts what is known.
pub fn accept(record: &mut Record, stage: Stage, output: &RawValue) -> Result<(), TaskError> {
    let results = &mut record.results;
    match stage {
        Stage::AddPieces => {
            let output: add_pieces::Output = read(stage, output)?;
            let sizes = output.pieces.iter().map(|piece| piece.piece_size);
            if !sizes.eq(record.sector.pieces.iter().map(|piece| piece.piece_size)) {
                return Err(unfit(stage, "other pieces than were given"));
            }
            results.pieces = Some(output.pieces);
        }
        Stage::TreeD => results.comm_d = Some(read::<tree_d::Output>(stage, output)?.comm_d),
        Stage::Pc1 => {
            let output: pc1::Output = read(stage, output)?;
            if results.comm_d != Some(output.comm_d) {
                return Err(unfit(stage, &format!("CommD {}", output.comm_d)));
            }
            results.replica_id = Some(output.replica_id);
        }
        Stage::Pc2 => results.comm_r = Some(read::<pc2::Output>(stage, output)?.comm_r),
        Stage::C1 => results.c1 = Some(read::<c1::Output>(stage, output)?.file),
        Stage::C2 => {
            let output: c2::Output = read(stage, output)?;
            results.network_parameters = output.network_parameters;
            results.proof = Some(output.proof);
        }
        Stage::Verify => results.valid = Some(read::<verify::Output>(stage, output)?.valid),
        Stage::Echo | Stage::Unseal => {}
    }
    Ok(())
}

fn read<T: DeserializeOwned>(stage: Stage, output: &RawValue) -> Result<T, TaskError> {
    serde_json::from_str(output.get()).map_err(|error| unfit(stage, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::PathBuf};

    use sealpipe_protocol::{Base64, Bytes32, stage::proof::SealProof};

    use super::*;
    use crate::pipeline::sector::{Prover, Sector, lay_out};

    fn record() -> Record {
        let proof = SealProof::StackedDrg2KiBV1_1;
        Record::new(Sector {
            proof,
            prover: Prover::Miner(1000),
            number: 1,
            ticket: Some(Bytes32([1; 32])),
            seed: Some(Bytes32([2; 32])),
            pieces: lay_out(proof, &[]).unwrap(),
        })
    }

    /// Answers of all stages up to and without `end`.
    fn done_before(end: Stage) -> Record {
        let hex = "00".repeat(32);
        let mut record = record();
        for stage in STAGES.iter().copied().filter(|stage| *stage < end) {
            let output = match stage {
                Stage::AddPieces => {
                    format!(r#"{{"pieces":[{{"commP":"{hex}","pieceSize":2048}}]}}"#)
                }
                Stage::TreeD => format!(r#"{{"commD":"{hex}"}}"#),
                Stage::Pc1 => format!(r#"{{"replicaId":"{hex}","commD":"{hex}"}}"#),
                Stage::Pc2 => {
                    format!(r#"{{"commR":"{hex}","commC":"{hex}","commRLast":"{hex}"}}"#)
                }
                Stage::C1 => format!(r#"{{"file":{{"path":"/c1","size":1,"sha256":"{hex}"}}}}"#),
                Stage::C2 => r#"{"proof":"AAAA"}"#.to_owned(),
                _ => r#"{"valid":true}"#.to_owned(),
            };
            accept(&mut record, stage, &RawValue::from_string(output).unwrap()).unwrap();
        }
        record
    }

    #[test]
    fn stages_follow_one_another_and_every_job_is_valid() {
        let layout = Layout::new(PathBuf::from("/s"));
        for stage in STAGES {
            let record = done_before(*stage);
            assert_eq!(next(&record), Some(*stage));
            let job = job(&record, &layout, *stage);
            assert_eq!(Job::parse(*stage, &job.to_raw().unwrap()).unwrap(), job);
        }
        assert_eq!(next(&done_before(Stage::Unseal)), None);
        assert_eq!(done_before(Stage::Unseal).results.proof, Some(Base64(vec![0; 3])));
    }

    #[test]
    fn a_stage_whose_files_are_gone_is_done_again_if_they_are_still_read() {
        let layout = Layout::new(PathBuf::from("/s"));
        let check = |at: Stage, lost: &str, expected: Stage| {
            let mut record = done_before(at);
            let all: BTreeSet<PathBuf> = STAGES
                .iter()
                .flat_map(|stage| layout.outputs(*stage, record.sector.proof))
                .filter(|path| !path.ends_with(lost))
                .collect();
            let there = |path: &Path| Ok::<_, String>(all.contains(path));
            forget_lost(&mut record, &layout, there).unwrap();
            assert_eq!(next(&record), Some(expected), "{lost} before {at}");
        };
        check(Stage::Pc2, "nothing", Stage::Pc2);
        check(Stage::Pc2, "sc-02-data-layer-2.dat", Stage::Pc1);
        check(Stage::Pc2, "unsealed", Stage::AddPieces);
        check(Stage::C1, "sealed", Stage::Pc2);
        check(Stage::C1, "unsealed", Stage::C1);
        check(Stage::C2, "sc-02-data-layer-2.dat", Stage::C2);
        check(Stage::C2, "c1.json", Stage::C1);
        check(Stage::Verify, "c1.json", Stage::Verify);
    }

    #[test]
    fn nothing_is_forgotten_while_nobody_knows_what_is_there() {
        let layout = Layout::new(PathBuf::from("/s"));
        let mut record = done_before(Stage::C2);
        let stale = |_: &Path| Err("stale file handle");
        assert_eq!(forget_lost(&mut record, &layout, stale), Err("stale file handle"));
        assert_eq!(record, done_before(Stage::C2));
    }

    #[test]
    fn the_ticket_is_needed_for_pc1_and_the_seed_for_c1() {
        let mut record = record();
        (record.sector.ticket, record.sector.seed) = (None, None);
        let lacking = STAGES.iter().filter_map(|stage| Some((*stage, lacks(&record, *stage)?)));
        let expected = [(Stage::Pc1, Randomness::Ticket), (Stage::C1, Randomness::Seed)];
        assert_eq!(lacking.collect::<Vec<_>>(), expected);
        (record.sector.ticket, record.sector.seed) = (Some(Bytes32([1; 32])), None);
        assert_eq!(lacks(&record, Stage::Pc1), None);
    }

    #[test]
    fn an_answer_that_contradicts_is_refused() {
        let mut record = done_before(Stage::Pc1);
        let other = format!(r#"{{"replicaId":"{0}","commD":"{0}"}}"#, "11".repeat(32));
        let refused = accept(&mut record, Stage::Pc1, &RawValue::from_string(other).unwrap());
        assert!(refused.unwrap_err().message.contains("CommD 1111"));
        assert_eq!(next(&record), Some(Stage::Pc1));
    }
}
