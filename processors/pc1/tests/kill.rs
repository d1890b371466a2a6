// SPDX-License-Identifier: MIT OR Apache-2.0

//! `kill -9` at random moments: the same bytes in the end, and at most the running layer again.

mod common;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use common::{Processor, Sector};
use sealpipe_protocol::stage::pc1::Params;
use serde_json::Value;

/// How often the processor is killed.
const KILLS: u32 = 50;

/// Layers that the manifest vouches for.
fn recorded(params: &Params) -> u64 {
    let Ok(text) = fs::read(params.work_dir.join("pc1-layers.json")) else { return 0 };
    let manifest: Value = serde_json::from_slice(&text).expect("a manifest is whole");
    manifest["layers"].as_array().unwrap().len() as u64
}

/// The number of the layer from which an attempt went on.
fn resumed(result: &Value) -> u64 {
    result["resumedFrom"].as_str().map_or(0, |text| text["layer ".len()..].parse().unwrap())
}

#[test]
fn fifty_kills_at_random_moments() {
    let parents = tempfile::tempdir().unwrap();
    let start = || Processor::start(parents.path(), 2, &[]);
    // The parent cache, and how long a sector takes here.
    let mut sector = Sector::new("8MiB-data");
    let mut processor = start();
    let id = processor.run("first", 1, &sector.pc1());
    processor.output(id);
    fs::remove_dir_all(sector.path("work/pc1")).unwrap();
    let began = Instant::now();
    let id = processor.run("first", 2, &sector.pc1());
    processor.output(id);
    sector.check();
    let usual = began.elapsed();
    processor.finish();

    let mut random = 0x5eed_u64;
    let (mut finished, mut kept, mut lost) = (0, 0, 0);
    let mut attempt = 1;
    sector = Sector::new("8MiB-data");
    for kill in 0..KILLS {
        let mut processor = start();
        let before = recorded(&sector.pc1_params());
        let id = processor.run("sector", attempt, &sector.pc1());
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(usual.mul_f64((random >> 40) as f64 / f64::from(1 << 24)));
        processor.child.kill().unwrap();
        processor.child.wait().unwrap();
        let after = recorded(&sector.pc1_params());
        assert!(after >= before, "kill {kill} lost layers: {before} before, {after} after");
        kept += after - before;
        attempt += 1;
        let answered = processor.heard().iter().find(|frame| frame["id"] == id).cloned();
        let n_layers = u64::from(sector.vector.proof().n_layers());
        match answered {
            Some(answer) => {
                assert_eq!(resumed(&answer["result"]), before, "{answer}");
                sector.check();
                finished += 1;
                sector = Sector::new("8MiB-data");
            }
            // The running layer, at most, is to be done again.
            None => lost += u64::from(after < n_layers),
        }
    }
    let mut processor = start();
    let before = recorded(&sector.pc1_params());
    let id = processor.run("sector", attempt, &sector.pc1());
    let result = processor.output(id);
    assert_eq!(resumed(&result), before);
    sector.check();
    processor.finish();
    assert!(lost > 0, "no kill fell into a layer");
    eprintln!(
        "{KILLS} kills: {finished} sectors finished meanwhile, {kept} layers kept, {lost} layers \
         begun again"
    );
}

#[test]
fn a_cancelled_sector_goes_on_later_and_the_one_beside_it_does_not_notice() {
    let parents = tempfile::tempdir().unwrap();
    let mut processor = Processor::start(parents.path(), 2, &[]);
    let sectors = [Sector::new("8MiB-data"), Sector::new("8MiB-data")];
    let first = processor.run("a", 1, &sectors[0].pc1());
    let second = processor.run("b", 1, &sectors[1].pc1());
    while recorded(&sectors[0].pc1_params()) == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    let cancel = processor.request("task/cancel", &serde_json::json!({"taskId": "a"}));
    processor.answer(cancel);
    let answer = processor.answer(first);
    // The cancel may have come too late.
    if !answer["error"].is_null() {
        assert_eq!(answer["error"]["code"], -32800, "{answer}");
    }
    let before = recorded(&sectors[0].pc1_params());
    assert!(before >= 1);
    let again = processor.run("a", 2, &sectors[0].pc1());
    assert_eq!(resumed(&processor.output(again)), before);
    processor.output(second);
    sectors.iter().for_each(Sector::check);
    processor.finish();
}
