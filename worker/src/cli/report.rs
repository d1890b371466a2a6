// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a sealed sector looks like, for people and for machines.

use std::fmt::Write as _;

use sealpipe_protocol::Bytes32;
use serde::Serialize;

use super::show::seconds;
use crate::commitment::{data_cid, replica_cid};
use crate::pipeline::{record::StageRecord, steps::STAGES, store::SectorDir};

/// A commitment in both of its forms.
#[derive(Serialize)]
struct Commitment {
    hex: Bytes32,
    cid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StageLine<'a> {
    stage: &'static str,
    #[serde(flatten)]
    record: &'a StageRecord,
}

/// A sector's result, for `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report<'a> {
    sector: String,
    dir: String,
    size: &'static str,
    proof_type: String,
    prover_id: Bytes32,
    sector_number: u64,
    ticket: Option<Bytes32>,
    seed: Option<Bytes32>,
    comm_d: Option<Commitment>,
    comm_r: Option<Commitment>,
    replica_id: Option<Bytes32>,
    proof: Option<String>,
    /// Whether the parameters of the proof are the network's own.
    network_parameters: Option<bool>,
    verified: Option<bool>,
    stages: Vec<StageLine<'a>>,
}

impl<'a> Report<'a> {
    /// The report of a sector as far as it is.
    pub fn new(dir: &'a SectorDir) -> Self {
        let record = &dir.record;
        let results = &record.results;
        let stages = STAGES.iter().filter(|stage| record.is_done(**stage)).filter_map(|stage| {
            let record = record.stages.get(stage)?;
            Some(StageLine { stage: stage.name(), record })
        });
        Self {
            sector: record.sector.name(),
            dir: dir.layout.dir().display().to_string(),
            size: record.sector.proof.size_name(),
            proof_type: record.sector.proof.to_string(),
            prover_id: record.sector.prover.id(),
            sector_number: record.sector.number,
            ticket: record.sector.ticket,
            seed: record.sector.seed,
            comm_d: results.comm_d.map(|hex| Commitment { hex, cid: data_cid(&hex) }),
            comm_r: results.comm_r.map(|hex| Commitment { hex, cid: replica_cid(&hex) }),
            replica_id: results.replica_id,
            proof: results.proof.as_ref().map(|proof| hex::encode(&proof.0)),
            network_parameters: results.network_parameters,
            verified: results.valid,
            stages: stages.collect(),
        }
    }

    /// Whether there is a proof and it does not hold.
    pub fn is_invalid(&self) -> bool {
        self.verified == Some(false)
    }

    /// The report for people; its last line says whether the proof holds.
    pub fn render(&self) -> String {
        let mut text = format!("\nsector {} in {}\n", self.sector, self.dir);
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<7} {value}");
        };
        row("type", &self.proof_type);
        for (name, commitment) in [("CommD", &self.comm_d), ("CommR", &self.comm_r)] {
            if let Some(Commitment { hex, cid }) = commitment {
                row(name, &hex.to_string());
                row("", cid);
            }
        }
        if let Some(proof) = &self.proof {
            for (i, line) in proof.as_bytes().chunks(64).enumerate() {
                row(if i == 0 { "proof" } else { "" }, &String::from_utf8_lossy(line));
            }
        }
        for (i, StageLine { stage, record }) in self.stages.iter().enumerate() {
            let resumed = record.resumed_from.as_ref().map(|r| format!("  resumed from {r}"));
            let attempts = match record.attempts {
                0 | 1 => String::new(),
                n => format!("  {n} attempts"),
            };
            let title = if i == 0 { "stages" } else { "" };
            let time = seconds(record.elapsed_ms);
            row(title, &format!("{stage:<10} {time:>9}{attempts}{}", resumed.unwrap_or_default()));
        }
        text.push_str(&self.verdict());
        text
    }

    /// The last lines: what the proof is worth.
    pub fn verdict(&self) -> String {
        let made_with = match self.network_parameters {
            Some(false) => "made with test parameters, which anyone can forge: for practice only\n",
            Some(true) | None => "",
        };
        match self.verified {
            Some(true) => format!("{made_with}proof verified\n"),
            Some(false) => "the proof does NOT hold\n".to_owned(),
            None => match self.stages.last() {
                Some(last) => format!("stopped after {}, as asked\n", last.stage),
                None => "nothing is done yet\n".to_owned(),
            },
        }
    }
}

/// The whole output of a command about some sectors, for `--json`.
pub fn json(reports: &[Report<'_>]) -> String {
    #[derive(Serialize)]
    struct All<'a> {
        sectors: &'a [Report<'a>],
    }
    let mut text = serde_json::to_string_pretty(&All { sectors: reports })
        .expect("reports are plain data with string keys");
    text.push('\n');
    text
}
