// SPDX-License-Identifier: MIT OR Apache-2.0

//! A storm: sectors of 8 MiB and demonstrations go through a daemon while its processes are killed
//! and stopped at random moments, itself in the middle of its own writes, and the disk of its sectors
//! fills up again and again. Afterwards all of them are done, each with the CommR of a quiet run.
//!
//! `SEALPIPE_STORM_SECTORS` and `SEALPIPE_STORM_ECHOES` say how many (2 and 40), `SEALPIPE_STORM_STRIKES`
//! how often each kind of harm has to hit at least (1), and `SEALPIPE_STORM_SEED` repeats a storm's random
//! numbers. `make chaos` is the full one.

mod harm;
mod proof;
mod world;

use sealpipe_tests::random::{self, Random};

use self::{harm::Storm, proof::Quiet, world::World};

/// What is sealed, unless the environment says otherwise.
const SECTORS: u64 = 2;
const ECHOES: u64 = 40;

/// Strikes of each kind that have to hit, unless the environment says otherwise.
const STRIKES: u64 = 1;

/// A number from the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    let Ok(value) = std::env::var(name) else { return otherwise };
    value.parse().unwrap_or_else(|_| panic!("{name} is a number, got {value:?}"))
}

#[test]
fn a_storm_loses_nothing_and_does_nothing_twice() {
    let sectors = setting("SEALPIPE_STORM_SECTORS", SECTORS);
    let echoes = setting("SEALPIPE_STORM_ECHOES", ECHOES);
    let strikes = setting("SEALPIPE_STORM_STRIKES", STRIKES);
    let seed = setting("SEALPIPE_STORM_SEED", random::seed());
    println!(
        "SEALPIPE_STORM_SEED={seed} SEALPIPE_STORM_SECTORS={sectors} \
         SEALPIPE_STORM_ECHOES={echoes} SEALPIPE_STORM_STRIKES={strikes}"
    );
    let mut world = World::begin(sectors, echoes);
    let mut storm = Storm::new(Random(seed), strikes);
    storm.rage(&mut world);
    println!("{}", storm.report());
    proof::check(&world, &Quiet::seal(world.sectors));
    storm.check(&world);
    world.end();
}
