// SPDX-License-Identifier: MIT OR Apache-2.0

//! A profile from sectors that this worker has sealed.

use std::{collections::BTreeMap, time::Duration};

use sealpipe_protocol::Stage;

use super::profile::Profile;
use crate::pipeline::record::Record;

/// The mean durations of the stages of some sectors; what none of them tells is as in `base`.
/// Stages that were tried more than once or went on from a checkpoint are left out, because only
/// their last part is known.
///
/// # Errors
/// There is nothing to learn, or the sectors are of different sizes.
pub fn measured(records: &[Record], base: Profile) -> Result<Profile, String> {
    let first = records.first().ok_or("no sector was given")?;
    let size = first.sector.proof.size_name();
    if let Some(other) = records.iter().find(|record| record.sector.proof.size_name() != size) {
        let other = other.sector.proof.size_name();
        return Err(format!("sectors of {size} and of {other} are not to be mixed"));
    }
    let mut times: BTreeMap<Stage, Vec<Duration>> = BTreeMap::new();
    for (stage, went) in records.iter().flat_map(|record| &record.stages) {
        let whole = went.attempts == 1 && went.resumed_from.is_none();
        if whole && *stage != Stage::Unseal {
            times.entry(*stage).or_default().push(Duration::from_millis(went.elapsed_ms));
        }
    }
    if times.is_empty() {
        return Err("no stage of these sectors went through at the first try".to_owned());
    }
    let n = records.len();
    let mut profile =
        Profile { size: size.to_owned(), name: format!("{size}, measured on {n} sectors"), ..base };
    for (stage, times) in times {
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let mean = times.iter().sum::<Duration>() / count;
        profile.stages.entry(stage).or_default().takes = mean;
    }
    profile.check()
}

#[cfg(test)]
mod tests {
    use sealpipe_protocol::stage::proof::SealProof;

    use super::*;
    use crate::pipeline::{
        record::StageRecord,
        sector::{Prover, Sector},
    };

    /// A sector whose pc2 took so long, with so many tries.
    fn record(proof: SealProof, elapsed_ms: u64, attempts: u32) -> Record {
        let prover = Prover::Miner(1000);
        let mut record = Record::new(Sector {
            proof,
            prover,
            number: 1,
            ticket: None,
            seed: None,
            pieces: Vec::new(),
        });
        let went = StageRecord { attempts, elapsed_ms, ..StageRecord::default() };
        record.stages.insert(Stage::Pc2, went);
        record
    }

    fn check(records: &[Record], expected: Result<u64, &str>) {
        let base = Profile::default();
        let measured = measured(records, base.clone());
        match (measured, expected) {
            (Ok(profile), Ok(pc2_ms)) => {
                assert_eq!(profile.stage(Stage::Pc2).takes, Duration::from_millis(pc2_ms));
                assert_eq!(profile.stage(Stage::C2), base.stage(Stage::C2));
            }
            (measured, expected) => {
                assert_eq!(measured.map(|_| 0).unwrap_err(), expected.unwrap_err())
            }
        }
    }

    #[test]
    fn durations_are_the_mean_of_what_went_through_at_once() {
        let of = |ms, attempts| record(SealProof::StackedDrg32GiBV1_1, ms, attempts);
        check(&[of(1_000, 1), of(2_000, 1), of(9_000, 2)], Ok(1_500));
        check(&[of(9_000, 2)], Err("no stage of these sectors went through at the first try"));
        check(&[], Err("no sector was given"));
        let other = record(SealProof::StackedDrg2KiBV1_1, 1, 1);
        check(&[of(1, 1), other], Err("sectors of 32GiB and of 2KiB are not to be mixed"));
    }
}
