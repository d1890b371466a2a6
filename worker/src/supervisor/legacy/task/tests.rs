// SPDX-License-Identifier: MIT OR Apache-2.0

use sealpipe_protocol::stage::{c1::FileRef, tree_d, unseal};
use serde_json::{Value, json};

use super::*;

const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

fn bytes(hex: &str) -> Bytes32 {
    hex.parse().unwrap()
}

fn raw(value: Value) -> Box<RawValue> {
    to_raw_value(&value).unwrap()
}

/// pc1 of the golden vector `2KiB-data`.
fn pc1_params() -> pc1::Params {
    pc1::Params {
        proof: PROOF,
        prover_id: Bytes32([9; 32]),
        sector_number: 1_108_152_157_446,
        ticket: bytes("404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"),
        pieces: vec![Piece { comm_p: Bytes32([1; 32]), piece_size: 2048 }],
        comm_d: bytes("98b488485da728c53a1faf6cf933ab6d7469c328f6d7eae743626e230e607d1b"),
        unsealed_path: "/s/unsealed".into(),
        cache_dir: "/s/cache".into(),
        work_dir: "/s/work/pc1".into(),
    }
}

fn pc2_params() -> pc2::Params {
    pc2::Params {
        proof: PROOF,
        replica_id: Bytes32([1; 32]),
        comm_d: Bytes32([2; 32]),
        unsealed_path: "/s/unsealed".into(),
        sealed_path: "/s/sealed".into(),
        cache_dir: "/s/cache".into(),
        work_dir: "/s/work/pc2".into(),
    }
}

fn check(job: Job, c1: Option<&str>, expected: Value) {
    let places = Places::of(&job);
    let c1 = c1.map(|text| RawValue::from_string(text.to_owned()).unwrap());
    let task = of(&job, &places, c1).unwrap();
    assert_eq!(serde_json::from_str::<Value>(task.get()).unwrap(), expected, "{job:?}");
}

#[test]
fn jobs_become_tasks_that_touch_nothing_complete() {
    let pieces = vec![
        piece::PieceSource {
            source: Source::Path("/p".into()),
            payload_size: 1000,
            piece_size: 1024,
        },
        piece::PieceSource { source: Source::Zero, payload_size: 0, piece_size: 1024 },
    ];
    let unsealed_path: PathBuf = "/s/unsealed".into();
    let params = add_pieces::Params { proof: PROOF, pieces, unsealed_path: unsealed_path.clone() };
    let pieces = json!([
        { "piece_file": { "local": "/p" }, "payload_size": 1000, "piece_size": 1016 },
        { "piece_file": "pledge", "payload_size": 1016, "piece_size": 1016 },
    ]);
    check(
        Job::AddPieces(params),
        None,
        json!({ "seal_proof_type": "StackedDrg2KiBV1_1", "pieces": pieces,
            "staged_filepath": "/s/.unsealed.part" }),
    );
    let cache_dir: PathBuf = "/s/cache".into();
    let params = tree_d::Params { proof: PROOF, unsealed_path, cache_dir: cache_dir.clone() };
    check(
        Job::TreeD(params),
        None,
        json!({ "registered_proof": "StackedDrg2KiBV1_1", "staged_file": "/s/unsealed",
            "cache_dir": "/s/cache/.tree_d" }),
    );
    let params = unseal::Params {
        proof: PROOF,
        prover_id: Bytes32([1; 32]),
        sector_number: 3,
        ticket: Bytes32([2; 32]),
        comm_d: Bytes32([4; 32]),
        sealed_path: "/s/sealed".into(),
        cache_dir,
        out_path: "/o/back".into(),
        offset: 127,
        size: 254,
    };
    check(
        Job::Unseal(params),
        None,
        json!({ "registered_proof": "StackedDrg2KiBV1_1", "prover_id": vec![1; 32],
            "sector_id": 3, "ticket": vec![2; 32], "comm_d": vec![4; 32],
            "sealed_file": "/s/sealed", "cache_dir": "/s/cache",
            "unsealed_output": "/o/.back.part", "offset": 127, "num_bytes": 254 }),
    );
}

#[test]
fn sealing_jobs_become_tasks_in_scratch() {
    let params = pc1_params();
    check(
        Job::Pc1(params.clone()),
        None,
        json!({ "registered_proof": "StackedDrg2KiBV1_1", "cache_path": "/s/work/pc1/cache",
            "in_path": "/s/unsealed", "out_path": "/s/work/pc1/copy", "prover_id": vec![9; 32],
            "sector_id": 1_108_152_157_446_u64, "ticket": params.ticket.0,
            "piece_infos": [{ "commitment": vec![1; 32], "size": 2032 }] }),
    );
    let pc1out = Pc1Output::new(PROOF, Path::new("/s/work/pc2/cache"), Bytes32([2; 32]));
    check(
        Job::Pc2(pc2_params()),
        None,
        json!({ "pc1out": pc1out, "cache_dir": "/s/work/pc2/cache",
            "sealed_file": "/s/work/pc2/sealed" }),
    );
    let mut prover_id = [0; 32];
    prover_id[..2].copy_from_slice(&[0xe8, 0x07]);
    let c1 = FileRef { path: "/s/c1.json".into(), size: 1, sha256: Bytes32([0; 32]) };
    let params = c2::Params { proof: PROOF, prover_id: Bytes32(prover_id), sector_number: 1, c1 };
    check(
        Job::C2(params),
        Some(r#"{"a":[1]}"#),
        json!({ "c1out": { "a": [1] }, "prover_id": prover_id, "sector_id": 1, "miner_id": 1000 }),
    );
}

#[test]
fn outputs_are_ours_or_refused() {
    let params = pc1_params();
    let output = Pc1Output::new(PROOF, Path::new("/c"), params.comm_d);
    let output = pc1(&params, &raw(json!(output))).unwrap();
    let golden = "49fc5caa1ce27ee029d73df6ed7dcbb4020a0753f6d8cbe3aa771bb159261605";
    assert_eq!(output.replica_id, bytes(golden));
    assert_eq!(output.comm_d, params.comm_d);

    let pc2_output = |comm_d: u8| {
        raw(json!({ "registered_proof": "StackedDrg2KiBV1_1", "comm_r": vec![5; 32],
            "comm_d": vec![comm_d; 32] }))
    };
    let p_aux = [[6; 32], [7; 32]].concat();
    let output = pc2(&pc2_params(), &pc2_output(2), &p_aux).unwrap();
    assert_eq!((output.comm_r, output.comm_c), (Bytes32([5; 32]), Bytes32([6; 32])));
    assert_eq!(output.comm_r_last, Bytes32([7; 32]));
    pc2(&pc2_params(), &pc2_output(3), &p_aux).unwrap_err();
    pc2(&pc2_params(), &pc2_output(2), &p_aux[..63]).unwrap_err();

    let pieces = add_pieces(&raw(json!([{ "commitment": vec![1; 32], "size": 127 }]))).unwrap();
    assert_eq!(pieces.pieces, [Piece { comm_p: Bytes32([1; 32]), piece_size: 128 }]);
    add_pieces(&raw(json!([{ "commitment": vec![1; 32], "size": 100 }]))).unwrap_err();
    tree_d(&raw(json!(true))).unwrap();
    tree_d(&raw(json!(false))).unwrap_err();
    assert_eq!(c2(&raw(json!({ "proof": [1, 255] }))).unwrap().proof.0, [1, 255]);
    c2(&raw(json!({ "proof": [1, 256] }))).unwrap_err();
    assert_eq!(unseal(&raw(json!(254))).unwrap(), 254);
}

#[test]
fn a_prover_that_is_no_actor_has_no_number() {
    assert_eq!(actor_id(Bytes32([9; 32])), 0);
    assert_eq!(actor_id(Bytes32([0xff; 32])), 0);
    assert_eq!(actor_id(Bytes32([0; 32])), 0);
}
