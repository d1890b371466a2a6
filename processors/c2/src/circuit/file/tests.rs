// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;

use super::*;

/// Two rows over an input, two full-size variables and 65 bits: words that are not full.
fn small() -> Circuit {
    let variables = Variables { n_inputs: 2, n_aux: 67, full: vec![0, 66] };
    let row = |columns: &[u32]| Matrix {
        ends: vec![1, columns.len() as u32],
        columns: columns.to_vec(),
        coefficients: (0..columns.len() as u16).map(|i| i % 2).collect(),
    };
    let densities = Densities { a_aux: vec![5, 1], b_inputs: vec![1], b_aux: vec![1 << 63, 0] };
    let coefficients = vec![Scalar::from(1), -Scalar::from(1)];
    let (a, b, c) = (row(&[0, 1, 68]), row(&[2]), row(&[3, 4]));
    let mut circuit = Circuit { variables, a, b, c, coefficients, densities, digest: [0; 32] };
    circuit.digest = digest(&circuit);
    circuit
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.circuit");
    assert_eq!(read(&path).unwrap(), None);
    write(&path, &small()).unwrap();
    assert_eq!(read(&path).unwrap(), Some(small()));
}

#[test]
fn a_file_with_any_byte_changed_or_cut_off_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.circuit");
    write(&path, &small()).unwrap();
    let right = fs::read(&path).unwrap();
    for i in 0..right.len() {
        let mut wrong = right.clone();
        wrong[i] ^= 1;
        fs::write(&path, &wrong).unwrap();
        assert_eq!(read(&path).unwrap(), None, "byte {i}");
        fs::write(&path, &right[..i]).unwrap();
        assert_eq!(read(&path).unwrap(), None, "{i} bytes");
    }
}

#[test]
fn indices_that_lead_outside_are_refused_under_a_right_digest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.circuit");
    let wrongs: [fn(&mut Circuit); 5] = [
        |circuit| circuit.a.columns[2] = 69,
        |circuit| circuit.b.coefficients[0] = 2,
        |circuit| circuit.c.ends[1] = 1,
        |circuit| circuit.variables.full[1] = 67,
        |circuit| circuit.variables.full[1] = 0,
    ];
    for wrong in wrongs {
        let mut circuit = small();
        wrong(&mut circuit);
        circuit.digest = digest(&circuit);
        write(&path, &circuit).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
