// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stages that write no files: c2, whose proofs are random and so judged by verifying them, and
//! verify.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealpipe_protocol::{
    Base64, Bytes32, Code,
    stage::{Stage, proof::SealProof},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    layout::{self, Variant},
    model::{Model, Oracle, write},
    random::Random,
    trial::Trial,
    wrong::refused,
};
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure, skip},
    session::Session,
};

/// The checks of c2.
pub const C2: &[Check] = &[
    Check::must("S-050", "proves-golden-sectors", &[96, 100], prove_golden),
    Check::must("S-051", "proves-random-sectors", &[96, 100], prove_random),
    Check::must("S-052", "refuses-another-file-than-was-named", &[55, 102], another_file),
    Check::must("S-053", "refuses-what-is-no-output-of-c1", &[97], no_output),
    Check::must("S-054", "proves-nothing-false", &[97], prove_false),
    Check::must("S-055", "refuses-paths-and-numbers-of-c1", &[54, 101, 103], wrong_params),
];

/// The checks of verify.
pub const VERIFY: &[Check] = &[
    Check::must("S-060", "takes-golden-proofs", &[96], take_golden),
    Check::must("S-061", "takes-no-proof-of-something-else", &[98], other_params),
    Check::must("S-062", "takes-no-proof-that-is-damaged", &[98], damaged),
    Check::must("S-063", "takes-random-proofs", &[96, 98], take_random).patient(),
];

/// Bits that are flipped, one at a time, in proofs.
const FLIPPED_BITS: usize = 12;

/// Bytes of a Groth16 proof.
const PROOF_BYTES: usize = 192;

/// One proof at a time: each takes memory by the gigabyte and all cpus.
fn alone() -> MutexGuard<'static, ()> {
    static PROVING: Mutex<()> = Mutex::new(());
    PROVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a sector proved; the proof.
fn prove(bench: &Bench, session: &mut Session, model: &Model) -> Verdict<Value> {
    let mut trial = Trial::new(bench, model, Variant::Plain)?;
    let heard = trial.run(session)?;
    let Some(output) = heard.message.pointer("/result/output") else {
        return Err(Failure::Broken(format!("expected a result, got {}", heard.excerpt())));
    };
    let members: Vec<_> = output.as_object().into_iter().flat_map(|o| o.keys()).collect();
    let known = members.iter().all(|name| *name == "proof" || *name == "networkParameters");
    ensure!(known, "members that c2's output does not have: {members:?}");
    let is_flag = output.get("networkParameters").is_none_or(Value::is_boolean);
    ensure!(is_flag, "`networkParameters` is no boolean: {output}");
    let proof: Result<Base64, _> = serde_json::from_value(output["proof"].clone());
    let bytes = proof.map_err(|e| Failure::Broken(format!("`proof` is no base64: {e}")))?.0.len();
    let expected = PROOF_BYTES * partitions(model.facts.proof);
    ensure!(bytes == expected, "the proof has {bytes} bytes, expected {expected}");
    Ok(output["proof"].clone())
}

fn partitions(proof: SealProof) -> usize {
    if proof.is_test_size() { 1 } else { 10 }
}

/// What the reference processor says of a proof.
fn holds(bench: &Bench, model: &Model, proof: &Value) -> Verdict<bool> {
    let mut params = verify_params(model);
    params["proofBytes"] = proof.clone();
    let output = Oracle::start(bench)?.output(Stage::Verify, params)?;
    output["valid"].as_bool().ok_or_else(|| Failure::Harness("`valid` is no boolean".into()))
}

fn verify_params(model: &Model) -> Value {
    layout::params(Stage::Verify, Variant::Plain, &model.facts, Path::new("/"))
}

fn prove_and_verify(bench: &Bench, model: &Model) -> Verdict {
    let _alone = alone();
    // Asked for first: without it the minutes would be spent in vain.
    bench.models().setting.oracle(Stage::Verify)?;
    let mut session = bench.session()?;
    let proof = prove(bench, &mut session, model)?;
    let holds = holds(bench, model, &proof)?;
    ensure!(holds, "the proof of {} does not verify", model.name);
    Ok(())
}

fn prove_golden(bench: &Bench) -> Verdict {
    prove_and_verify(bench, &*bench.models().first(bench)?)
}

fn prove_random(bench: &Bench) -> Verdict {
    prove_and_verify(bench, &*bench.models().random(bench, 0)?)
}

/// The content of c1's output.
fn c1_of(trial: &Trial<'_>) -> Verdict<Vec<u8>> {
    let path = trial.path("sector/c1.json");
    std::fs::read(&path).map_err(|e| Failure::harness("the output of c1", e))
}

/// Puts another output of c1 in place, and names it rightly.
fn replace_c1(trial: &mut Trial<'_>, content: &[u8]) -> Verdict {
    write(&trial.path("sector/c1.json"), content)?;
    trial.params["c1"]["size"] = content.len().into();
    trial.params["c1"]["sha256"] = json!(Bytes32(Sha256::digest(content).into()));
    Ok(())
}

fn expect_refusal(
    bench: &Bench,
    session: &mut Session,
    what: &str,
    codes: &[Code],
    spoil: impl FnOnce(&mut Trial<'_>) -> Verdict,
) -> Verdict {
    let model = bench.models().first(bench)?;
    let mut trial = Trial::new(bench, &model, Variant::Plain)?;
    spoil(&mut trial)?;
    let before = trial.look()?;
    let heard = trial.run(session)?;
    let refused = refused(&heard, codes).and_then(|()| trial.touched_nothing(&before));
    refused.map_err(|failure| failure.within(what))
}

fn another_file(bench: &Bench) -> Verdict {
    let _alone = alone();
    let mut session = bench.session()?;
    let wrong = &[Code::InvalidInput];
    expect_refusal(bench, &mut session, "no file", &[Code::InputUnavailable], |trial| {
        std::fs::remove_file(trial.path("sector/c1.json"))
            .map_err(|e| Failure::harness("the output of c1", e))
    })?;
    expect_refusal(bench, &mut session, "a file cut short", wrong, |trial| {
        let content = c1_of(trial)?;
        write(&trial.path("sector/c1.json"), &content[..content.len() - 1])
    })?;
    expect_refusal(bench, &mut session, "a file with another byte", wrong, |trial| {
        let mut content = c1_of(trial)?;
        // White space at the end: still JSON of the same meaning, but not what was named.
        let Some(last) = content.last_mut() else { return Ok(()) };
        *last ^= 1;
        write(&trial.path("sector/c1.json"), &content)
    })
}

fn no_output(bench: &Bench) -> Verdict {
    let _alone = alone();
    let mut session = bench.session()?;
    let wrong = &[Code::InvalidInput];
    for (what, content) in [
        ("an empty file", &b""[..]),
        ("no JSON", b"{\"registered_proof\":"),
        ("JSON of something else", b"{}"),
        ("an array", b"[]"),
    ] {
        expect_refusal(bench, &mut session, what, wrong, |trial| replace_c1(trial, content))?;
    }
    expect_refusal(bench, &mut session, "of another proof", wrong, |trial| {
        let text = String::from_utf8_lossy(&c1_of(trial)?).into_owned();
        let name = trial.facts.proof.to_string();
        replace_c1(trial, text.replace(&name, "StackedDrg512MiBV1_1").as_bytes())
    })?;
    expect_refusal(bench, &mut session, "without vanilla proofs", wrong, |trial| {
        let mut output = json_of(&c1_of(trial)?)?;
        let Some(proofs) = output["vanilla_proofs"].as_object_mut() else { return Ok(()) };
        proofs.values_mut().for_each(|all| *all = json!([]));
        replace_c1(trial, output.to_string().as_bytes())
    })
}

fn json_of(content: &[u8]) -> Verdict<Value> {
    serde_json::from_slice(content).map_err(|e| Failure::harness("the output of c1", e))
}

/// Changes to c1's output that leave its form: the first number of the array at a pointer.
fn change_number(output: &mut Value, pointer: &str) -> Verdict {
    let number = output.pointer_mut(pointer);
    let Some(number) = number.filter(|value| value.is_u64()) else {
        return Err(Failure::Harness(format!("the output of c1 has no number at {pointer}")));
    };
    *number = (number.as_u64().unwrap_or(0) ^ 1).into();
    Ok(())
}

fn prove_false(bench: &Bench) -> Verdict {
    let _alone = alone();
    let wrong = &[Code::InvalidInput, Code::VerificationFailed];
    let mut session = bench.session()?;
    let size = bench.models().setting.size.to_string();
    let challenge = format!("/vanilla_proofs/{}/0/0", size.trim_end_matches("_1"));
    let sibling = "data/Single/path/path/0/hashes/0/0";
    for (what, pointer) in [
        ("another commR", "/comm_r/0".to_owned()),
        ("another ticket's replica", "/replica_id/0".to_owned()),
        // Some are for the prover to see: filecoin-proofs' check of openings does not look at all of them.
        ("another sibling in tree-d", format!("{challenge}/comm_d_proofs/{sibling}")),
        ("another sibling in tree-r-last", format!("{challenge}/comm_r_last_proof/{sibling}")),
        (
            "another sibling in tree-c",
            format!("{challenge}/replica_column_proofs/c_x/inclusion_proof/{sibling}"),
        ),
    ] {
        expect_refusal(bench, &mut session, what, wrong, |trial| {
            let mut output = json_of(&c1_of(trial)?)?;
            change_number(&mut output, &pointer)?;
            replace_c1(trial, output.to_string().as_bytes())
        })?;
    }
    expect_refusal(bench, &mut session, "another miner's", wrong, |trial| {
        trial.params["proverId"] = json!(Bytes32([3; 32]));
        Ok(())
    })
}

fn wrong_params(bench: &Bench) -> Verdict {
    let _alone = alone();
    let mut session = bench.session()?;
    let wrong = &[Code::InvalidParams];
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("a relative path", |params| params["c1"]["path"] = "sector/c1.json".into()),
        ("a path with `..`", |params| params["c1"]["path"] = "/x/../c1.json".into()),
        ("an empty path", |params| params["c1"]["path"] = "".into()),
        ("a size of 2^53", |params| params["c1"]["size"] = (1_u64 << 53).into()),
        ("a sectorNumber of 2^53", |params| params["sectorNumber"] = (1_u64 << 53).into()),
    ];
    for (what, change) in changes {
        expect_refusal(bench, &mut session, what, wrong, |trial| {
            change(&mut trial.params);
            Ok(())
        })?;
    }
    Ok(())
}

/// Asks for a verification, and expects this of it and nothing else.
fn expect_valid(
    bench: &Bench,
    session: &mut Session,
    model: &Model,
    what: &str,
    valid: bool,
    change: impl FnOnce(&mut Value),
) -> Verdict {
    if model.facts.value(Stage::C2, "proof").is_null() {
        skip!("there is no golden proof of {}", model.facts.proof.size_name());
    }
    let mut trial = Trial::new(bench, model, Variant::Plain)?;
    change(&mut trial.params);
    let before = trial.look()?;
    let heard = trial.run(session)?;
    let output = heard.message.pointer("/result/output");
    let expected = json!({ "valid": valid });
    ensure!(output == Some(&expected), "{what}: expected {expected}, got {}", heard.excerpt());
    trial.touched_nothing(&before)
}

fn take_golden(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for model in bench.models().golden(bench)? {
        expect_valid(bench, &mut session, &model, &model.name, true, |_| {})?;
    }
    Ok(())
}

fn other_params(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let model = bench.models().first(bench)?;
    let mut random = Random(bench.models().setting.seed);
    for member in ["proverId", "ticket", "seed", "commD", "commR"] {
        let mut other = random.bytes32();
        // A field element, as commitments are.
        other.0[31] = 0;
        let what = format!("another {member}");
        expect_valid(bench, &mut session, &model, &what, false, |params| {
            params[member] = json!(other);
        })?;
    }
    expect_valid(bench, &mut session, &model, "another sectorNumber", false, |params| {
        params["sectorNumber"] = (model.facts.sector_number ^ 1).into();
    })
}

fn damaged(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let model = bench.models().first(bench)?;
    let mut random = Random(bench.models().setting.seed);
    let proof: Result<Base64, _> = serde_json::from_value(model.facts.value(Stage::C2, "proof"));
    let proof = proof.map(|proof| proof.0).unwrap_or_default();
    let mut all = vec![
        ("no bytes".to_owned(), Vec::new()),
        ("a byte less".to_owned(), proof[..proof.len().saturating_sub(1)].to_vec()),
        ("a byte more".to_owned(), [&proof[..], &[0]].concat()),
        ("twice the proof".to_owned(), [&proof[..], &proof[..]].concat()),
        ("zeros".to_owned(), vec![0; proof.len()]),
        ("ones".to_owned(), vec![0xff; proof.len()]),
    ];
    for _ in 0..FLIPPED_BITS {
        let bit = random.below(8 * proof.len() as u64) as usize;
        let mut bytes = proof.clone();
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        all.push((format!("another bit {bit}"), bytes));
    }
    for (what, bytes) in all {
        expect_valid(bench, &mut session, &model, &what, false, |params| {
            params["proofBytes"] = json!(Base64(bytes));
        })?;
    }
    Ok(())
}

/// The reference processor proves a random sector: no table has that.
fn take_random(bench: &Bench) -> Verdict {
    let _alone = alone();
    let model = bench.models().random(bench, 0)?;
    let layout_of = Trial::new(bench, &model, Variant::Plain)?;
    write(&layout_of.path("sector/c1.json"), &model.content("sector/c1.json")?)?;
    let params = layout::params(Stage::C2, Variant::Plain, &model.facts, &layout_of.root);
    let proof = Oracle::start(bench)?.output(Stage::C2, params)?["proof"].clone();
    let mut session = bench.session()?;
    let mut proved = model.facts.clone();
    proved.outputs.insert(Stage::C2, json!({ "proof": proof }));
    for (name, seed, valid) in
        [("the proof", proved.seed, true), ("another seed", proved.ticket, false)]
    {
        let mut params = layout::params(Stage::Verify, Variant::Plain, &proved, &layout_of.root);
        params["seed"] = json!(seed);
        let mut trial = Trial::new(bench, &model, Variant::Plain)?;
        trial.params = params;
        let heard = trial.run(&mut session)?;
        let found = heard.message.pointer("/result/output");
        let expected = json!({ "valid": valid });
        ensure!(found == Some(&expected), "{name}: expected {expected}, got {}", heard.excerpt());
    }
    Ok(())
}
