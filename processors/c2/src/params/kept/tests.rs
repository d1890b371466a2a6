// SPDX-License-Identifier: MIT OR Apache-2.0

use blstrs::Scalar;
use ff::Field as _;

use super::*;
use crate::{
    assignment::Variables,
    circuit::{Densities, Matrix},
    params::file::{Header, Out},
};

const KEY: &[u8] = b"the verifying key";

/// One variable, whose product with itself is itself.
fn circuit() -> Circuit {
    let matrix = || Matrix { ends: vec![1], columns: vec![1], coefficients: vec![0] };
    Circuit {
        variables: Variables { n_inputs: 1, n_aux: 1, full: vec![] },
        a: matrix(),
        b: matrix(),
        c: matrix(),
        coefficients: vec![Scalar::ONE],
        densities: Densities { a_aux: vec![1], b_inputs: vec![0], b_aux: vec![1] },
        digest: [3; 32],
    }
}

/// The set of a small sector in a directory, and what is kept of it there.
fn kept(dir: &Path) -> (ParameterSet, Kept) {
    let set = ParameterSet::new(2048, dir).unwrap();
    let kept = Kept::beside(&set.params_path(), None);
    (set, kept)
}

/// Writes converted parameters with nothing but a key.
fn write(kept: &Kept, circuit: &Circuit, source: [u8; 16]) {
    let mut counts = [0; Section::ALL.len()];
    (counts[Section::Key as usize], counts[Section::H as usize]) = (KEY.len() as u64, 1);
    let header = Header { order: Order::NATURAL.id, circuit: circuit.digest, source, counts };
    durable::write_file(&kept.converted, |file| {
        let mut out = Out::begin(file, &kept.converted, &header)?;
        out.section()?;
        out.write(KEY)
    })
    .unwrap();
}

#[test]
fn parameters_made_for_tests_are_taken_where_there_is_no_source() {
    let dir = tempfile::tempdir().unwrap();
    let (_, kept) = kept(dir.path());
    let ours = circuit();
    let another = Circuit { digest: [4; 32], ..circuit() };
    let check = |ready, made_for_ours, made_for_another| {
        let made =
            |circuit: &Circuit, order| kept.made_for_tests(circuit, order).unwrap().is_some();
        assert_eq!(kept.is_ready(), ready);
        assert_eq!(made(&ours, Order::NATURAL), made_for_ours);
        assert_eq!(made(&another, Order::NATURAL), made_for_another);
        assert!(!made(&ours, Order { id: 9, ..Order::NATURAL }));
    };
    check(false, false, false);
    write(&kept, &ours, TEST_SOURCE);
    check(true, true, false);
    // Converted from a file that is gone: nobody can say any more whose it was.
    write(&kept, &ours, [7; 16]);
    check(false, false, false);
    write(&kept, &another, TEST_SOURCE);
    check(true, false, true);
    // With a source it is that which counts.
    fs::write(&kept.source, b"bellperson's").unwrap();
    check(false, false, false);
    fs::write(&kept.marker, kept.stamps().unwrap()).unwrap();
    check(true, false, false);
}

#[test]
fn parameters_made_for_tests_have_the_key_that_others_verify_with() {
    let dir = tempfile::tempdir().unwrap();
    let (set, kept) = kept(dir.path());
    write(&kept, &circuit(), TEST_SOURCE);
    let params = kept.made_for_tests(&circuit(), Order::NATURAL).unwrap().unwrap();
    let check = || check_key(&set, &params).map_err(|error| error.known_code());
    assert_eq!(check(), Err(Some(Code::InputUnavailable)));
    fs::write(set.verifying_key_path(), KEY).unwrap();
    assert_eq!(check(), Ok(()));
    fs::write(set.verifying_key_path(), b"another key, the network's say").unwrap();
    assert_eq!(check(), Err(Some(Code::ParametersMissing)));
}

#[test]
fn a_turn_is_one_processs_and_begins_with_what_a_killed_one_left() {
    let dir = tempfile::tempdir().unwrap();
    let (_, kept) = kept(dir.path());
    write(&kept, &circuit(), TEST_SOURCE);
    let half_written = durable::beside(&kept.converted);
    let others = durable::beside(&dir.path().join("x.circuit"));
    fs::write(&half_written, b"half").unwrap();
    fs::write(&others, b"somebody's").unwrap();
    let turn = kept.take_turn(|| panic!("nobody else has it")).unwrap();
    assert_eq!((half_written.exists(), others.exists()), (false, true));
    assert!(kept.is_ready(), "what is complete stays");
    let stop = || Err(TaskError::new(Code::Cancelled, "waited"));
    let waited = kept.take_turn(stop).unwrap_err();
    assert_eq!(waited.known_code(), Some(Code::Cancelled));
    drop(turn);
    kept.take_turn(|| panic!("it was given back")).unwrap();
}
