// SPDX-License-Identifier: MIT OR Apache-2.0

//! Wrong inputs: each is refused with the right code, and nothing is written.

use std::{fs, path::Path};

use sealpipe_protocol::{
    Bytes32, Code, MAX_INTEGER,
    stage::{Stage, files},
};
use serde_json::{Value, json};

use super::{
    layout::{self, Variant, cached},
    model::{Model, write},
    right::usual,
    trial::{Trial, UNSUPPORTED},
};
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure, skip},
    session::Heard,
};

/// The checks of all stages with files.
pub const CHECKS: &[Check] = &[
    Check::must("S-020", "refuses-absent-inputs", &[55], absent),
    Check::must("S-021", "refuses-inputs-of-another-length", &[55, 97, 104], cut),
    Check::must("S-022", "refuses-inputs-that-contradict-each-other", &[55, 97], contradictory),
    Check::must("S-023", "refuses-paths-that-are-not-plain", &[54, 103], paths),
    Check::must("S-024", "refuses-sizes-and-numbers-that-do-not-fit", &[54, 101, 104], numbers),
    Check::must("S-025", "refuses-before-it-touches-a-file", &[54], touches_nothing),
    Check::must("S-026", "writes-no-output-when-it-refuses", &[97, 113], writes_nothing),
    Check::should("S-027", "leaves-nothing-when-it-refuses", &[116], leaves_nothing),
    Check::should("S-028", "refuses-with-the-class-of-the-code", &[91], classes),
];

/// How to make a task wrong.
type Spoil = Box<dyn Fn(&mut Trial<'_>) -> Verdict>;

/// A wrong task.
pub struct Wrong {
    what: String,
    /// What it is refused with.
    codes: &'static [Code],
    variant: Option<Variant>,
    spoil: Spoil,
}

impl Wrong {
    fn new(
        what: impl Into<String>,
        codes: &'static [Code],
        spoil: impl Fn(&mut Trial<'_>) -> Verdict + 'static,
    ) -> Self {
        Self { what: what.into(), codes, variant: None, spoil: Box::new(spoil) }
    }

    fn of(mut self, variant: Variant) -> Self {
        self.variant = Some(variant);
        self
    }
}

/// What only shows when a stage verifies its own result may be said as that.
const WRONG_OR_UNVERIFIED: &[Code] = &[Code::InvalidInput, Code::VerificationFailed];

/// Runs wrong tasks, a new directory each, and looks at how each ended.
fn each(
    bench: &Bench,
    all: Vec<Wrong>,
    mut look: impl FnMut(&Trial<'_>, &Heard, &super::snapshot::Snapshot) -> Verdict,
) -> Verdict {
    if all.is_empty() {
        skip!("there is no such task of `{}`", bench.stage());
    }
    let mut session = bench.session()?;
    let model = bench.models().first(bench)?;
    let mut broken = Vec::new();
    let mut serves = false;
    for wrong in all {
        let variant = wrong.variant.unwrap_or_else(|| usual(session_stage(bench), &model));
        let mut trial = Trial::new(bench, &model, variant)?;
        (wrong.spoil)(&mut trial)?;
        let before = trial.look()?;
        let id = trial.begin(&mut session)?;
        let heard = trial.any_end(&mut session, &id)?;
        serves |= heard.code() != Some(UNSUPPORTED);
        match look(&trial, &heard, &before) {
            Err(Failure::Broken(why)) => broken.push(format!("{}: {why}", wrong.what)),
            other => other?,
        }
    }
    if !serves {
        skip!("it does not serve {}", model.facts.proof.size_name());
    }
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

fn session_stage(bench: &Bench) -> Stage {
    bench.known_stage().unwrap_or(Stage::Echo)
}

/// Each is refused with its own code.
fn all_refused(bench: &Bench, all: Vec<Wrong>) -> Verdict {
    let codes: Vec<&'static [Code]> = all.iter().map(|wrong| wrong.codes).collect();
    let mut next = codes.into_iter();
    each(bench, all, |_, heard, _| refused(heard, next.next().unwrap_or_default()))
}

/// It is an error with one of these codes, with a class and with words.
pub fn refused(heard: &Heard, codes: &[Code]) -> Verdict {
    let numbers: Vec<i64> = codes.iter().map(|code| i64::from(code.number())).collect();
    let is_expected = heard.code().is_some_and(|code| numbers.contains(&code));
    ensure!(is_expected, "expected an error with the code {numbers:?}, got {}", heard.excerpt());
    let has_words = heard.at("/error/message").as_str().is_some_and(|text| !text.is_empty());
    ensure!(has_words, "an error without a message: {}", heard.excerpt());
    ensure!(heard.at("/error/data/class").is_string(), "no class: {}", heard.excerpt());
    Ok(())
}

fn absent(bench: &Bench) -> Verdict {
    all_refused(bench, absent_inputs(bench)?)
}

fn cut(bench: &Bench) -> Verdict {
    all_refused(bench, cut_inputs(bench)?)
}

fn contradictory(bench: &Bench) -> Verdict {
    all_refused(bench, contradictions(bench)?)
}

fn paths(bench: &Bench) -> Verdict {
    all_refused(bench, wrong_paths(bench)?)
}

fn numbers(bench: &Bench) -> Verdict {
    all_refused(bench, wrong_numbers(bench)?)
}

fn wrong_params(bench: &Bench) -> Verdict<Vec<Wrong>> {
    let mut all = wrong_paths(bench)?;
    all.extend(wrong_numbers(bench)?);
    Ok(all)
}

fn wrong_files(bench: &Bench) -> Verdict<Vec<Wrong>> {
    let mut all = absent_inputs(bench)?;
    all.extend(cut_inputs(bench)?);
    all.extend(contradictions(bench)?);
    Ok(all)
}

fn touches_nothing(bench: &Bench) -> Verdict {
    each(bench, wrong_params(bench)?, |trial, _, before| trial.touched_nothing(before))
}

fn writes_nothing(bench: &Bench) -> Verdict {
    each(bench, wrong_files(bench)?, |trial, heard, before| {
        // That it is refused at all is another check's.
        if heard.code().is_none() {
            return Ok(());
        }
        trial.wrote_no_output(before)
    })
}

fn leaves_nothing(bench: &Bench) -> Verdict {
    each(bench, wrong_files(bench)?, |trial, _, before| trial.nothing_is_left(before))
}

fn classes(bench: &Bench) -> Verdict {
    let mut all = wrong_files(bench)?;
    all.extend(wrong_params(bench)?);
    each(bench, all, |_, heard, _| {
        let number = heard.code().and_then(|code| i32::try_from(code).ok());
        let code = number.and_then(|number| Code::ALL.iter().find(|code| code.number() == number));
        let Some(code) = code else { return Ok(()) };
        let expected = json!(code.default_class());
        let found = heard.at("/error/data/class");
        ensure!(*found == expected, "the class of {} is {expected}, got {found}", code.number());
        Ok(())
    })
}

fn absent_inputs(bench: &Bench) -> Verdict<Vec<Wrong>> {
    const ABSENT: &[Code] = &[Code::InputUnavailable];
    const NO_FILE: &[Code] = &[Code::InputUnavailable, Code::InvalidInput];
    let mut all = Vec::new();
    let remade = |variant| session_stage(bench) == Stage::Pc1 && variant == Variant::Plain;
    for (variant, path) in needed(bench)? {
        // Without tree-d pc1 makes it.
        if remade(variant) {
            continue;
        }
        let file = path.clone();
        let wrong = Wrong::new(format!("without {path}"), ABSENT, move |trial| {
            fs::remove_file(trial.path(&file)).map_err(|e| Failure::harness("an input", e))
        });
        all.push(wrong.of(variant));
        let file = path.clone();
        let wrong = Wrong::new(format!("{path} is a directory"), NO_FILE, move |trial| {
            let made = fs::remove_file(trial.path(&file));
            let made = made.and_then(|()| fs::create_dir(trial.path(&file)));
            made.map_err(|e| Failure::harness("an input", e))
        });
        all.push(wrong.of(variant));
    }
    Ok(all)
}

/// The files that are needed, with a task that needs them.
fn needed(bench: &Bench) -> Verdict<Vec<(Variant, String)>> {
    let stage = bench.known_stage()?;
    let model = bench.models().first(bench)?;
    let mut variants = vec![usual(stage, &model)];
    if stage == Stage::Pc1 {
        variants.push(Variant::WithoutTreeD);
    }
    let of = |variant: Variant| {
        let needed = layout::needed(stage, variant, &model.facts).into_iter();
        needed.map(move |path| (variant, path))
    };
    Ok(variants.into_iter().flat_map(of).collect())
}

fn cut_inputs(bench: &Bench) -> Verdict<Vec<Wrong>> {
    const WRONG: &[Code] = &[Code::InvalidInput];
    let mut all = Vec::new();
    for (variant, path) in needed(bench)? {
        let mut add = |what: &str, change: fn(&mut Vec<u8>)| {
            let file = path.clone();
            let wrong = Wrong::new(format!("{path} {what}"), WRONG, move |trial| {
                change_file(&trial.path(&file), change)
            });
            all.push(wrong.of(variant));
        };
        add("cut in half", |bytes| bytes.truncate(bytes.len() / 2));
        add("empty", Vec::clear);
        // A file may go on behind the payload of a piece.
        if !path.starts_with("pieces/") {
            add("a byte longer", |bytes| bytes.push(0));
        }
    }
    Ok(all)
}

fn change_file(path: &Path, change: impl Fn(&mut Vec<u8>)) -> Verdict {
    let mut bytes = fs::read(path).map_err(|e| Failure::harness("an input", e))?;
    change(&mut bytes);
    write(path, &bytes)
}

/// A task whose member is another 32 bytes, a field element in any case.
fn another(member: &'static str, codes: &'static [Code]) -> Wrong {
    Wrong::new(format!("another {member}"), codes, move |trial| {
        let mut bytes = [0x11; 32];
        bytes[31] = 0;
        let place = if member == "pieces[0].commP" {
            &mut trial.params["pieces"][0]["commP"]
        } else {
            &mut trial.params[member]
        };
        *place = Bytes32(bytes).to_string().into();
        Ok(())
    })
}

/// A task with a file of another sector.
fn foreign(path: &str, codes: &'static [Code], other: &std::sync::Arc<Model>) -> Wrong {
    let (file, other) = (path.to_owned(), std::sync::Arc::clone(other));
    Wrong::new(format!("{path} of another sector"), codes, move |trial| {
        write(&trial.path(&file), &other.content(&file)?)
    })
}

fn contradictions(bench: &Bench) -> Verdict<Vec<Wrong>> {
    const WRONG: &[Code] = &[Code::InvalidInput];
    let stage = bench.known_stage()?;
    let other = bench.models().other(bench)?;
    let foreign = |path: &str, codes| foreign(path, codes, &other);
    let tree_d = cached(files::TREE_D);
    let layer = |number| cached(&files::layer(number));
    let proof = bench.models().setting.size;
    let (tree_c, tree_r) = (&files::tree_c(proof)[0], &files::tree_r_last(proof)[0]);
    Ok(match stage {
        Stage::Pc1 => vec![
            another("commD", WRONG),
            another("pieces[0].commP", WRONG),
            foreign(&tree_d, WRONG),
            foreign("sector/unsealed", WRONG).of(Variant::WithoutTreeD),
        ],
        Stage::Pc2 => vec![
            another("commD", WRONG),
            another("replicaId", WRONG),
            foreign(&tree_d, WRONG),
            foreign(&layer(1), WRONG),
            foreign(&layer(proof.n_layers()), WRONG),
        ],
        Stage::C1 => {
            let mut all: Vec<_> = ["proverId", "ticket", "commD", "commR", "pieces[0].commP"]
                .into_iter()
                .map(|member| another(member, WRONG))
                .collect();
            all.push(Wrong::new("another sectorNumber", WRONG, |trial| {
                trial.params["sectorNumber"] = (trial.facts.sector_number ^ 1).into();
                Ok(())
            }));
            let p_aux = cached(files::P_AUX);
            for path in [&tree_d, &p_aux, &cached(tree_c), &cached(tree_r), &layer(1)] {
                all.push(foreign(path, WRONG));
            }
            all.push(foreign("sector/sealed", WRONG_OR_UNVERIFIED));
            all.push(damaged_leaves(cached(tree_c), proof.n_nodes()));
            all
        }
        Stage::Unseal => vec![
            another("proverId", WRONG),
            another("ticket", WRONG),
            another("commD", WRONG),
            foreign("sector/sealed", WRONG),
        ],
        _ => Vec::new(),
    })
}

/// A tree whose root is right, and none of its leaves.
fn damaged_leaves(path: String, n_leaves: u64) -> Wrong {
    Wrong::new(format!("{path} with other leaves"), WRONG_OR_UNVERIFIED, move |trial| {
        change_file(&trial.path(&path), |bytes| {
            for leaf in bytes.chunks_mut(32).take(n_leaves as usize) {
                leaf[0] ^= 1;
            }
        })
    })
}

/// Members whose value is a path, as pointers.
fn path_members(params: &Value) -> Vec<String> {
    let members = params.as_object().into_iter().flatten();
    let mut found: Vec<String> = members
        .filter(|(name, _)| name.ends_with("Path") || name.ends_with("Dir"))
        .map(|(name, _)| format!("/{name}"))
        .collect();
    for pointer in ["/pieces/0/source/path", "/c1/path"] {
        found.extend(params.pointer(pointer).map(|_| pointer.to_owned()));
    }
    found
}

fn wrong_paths(bench: &Bench) -> Verdict<Vec<Wrong>> {
    const WRONG: &[Code] = &[Code::InvalidParams];
    let model = bench.models().first(bench)?;
    let stage = bench.known_stage()?;
    let params = layout::params(stage, usual(stage, &model), &model.facts, Path::new("/root"));
    let mut all = Vec::new();
    for pointer in path_members(&params) {
        let mut add = |what: &str, change: fn(&str) -> String| {
            let member = pointer.clone();
            all.push(Wrong::new(format!("`{pointer}` {what}"), WRONG, move |trial| {
                let Some(value) = trial.params.pointer_mut(&member) else { return Ok(()) };
                *value = change(value.as_str().unwrap_or_default()).into();
                Ok(())
            }));
        };
        add("is relative", |path| path.trim_start_matches('/').to_owned());
        add("is empty", |_| String::new());
        add("leads out with `..`", |path| match path.rsplit_once('/') {
            Some((dir, name)) => format!("{dir}/../../beside/../sector/{name}"),
            None => format!("../{path}"),
        });
    }
    Ok(all)
}

/// A task whose parameters are changed.
fn with_params(what: &str, change: impl Fn(&mut Value) + 'static) -> Wrong {
    Wrong::new(what, &[Code::InvalidParams], move |trial| {
        change(&mut trial.params);
        Ok(())
    })
}

fn wrong_numbers(bench: &Bench) -> Verdict<Vec<Wrong>> {
    let stage = bench.known_stage()?;
    let sector = bench.models().setting.size.sector_bytes();
    let data = bench.models().first(bench)?.facts.data_bytes();
    let mut all = vec![with_params("a proof that nobody knows", |params| {
        params["proof"] = "StackedDrg3KiBV1_1".into();
    })];
    if matches!(stage, Stage::Pc1 | Stage::C1 | Stage::Unseal) {
        all.push(with_params("sectorNumber of 2^53", |params| {
            params["sectorNumber"] = (MAX_INTEGER + 1).into();
        }));
    }
    if matches!(stage, Stage::AddPieces | Stage::Pc1 | Stage::C1) {
        all.extend(wrong_pieces(sector));
    }
    if stage == Stage::AddPieces {
        all.push(with_params("a payload larger than its piece", |params| {
            let piece = &mut params["pieces"][0];
            let most = piece["pieceSize"].as_u64().unwrap_or(128) / 128 * 127;
            piece["payloadSize"] = (most + 1).into();
        }));
    }
    if stage == Stage::Unseal {
        for (offset, size) in [(data, 1), (0, data + 1), (MAX_INTEGER, MAX_INTEGER)] {
            all.push(with_params(&format!("{size} bytes from {offset} on"), move |params| {
                params["offset"] = offset.into();
                params["size"] = size.into();
            }));
        }
    }
    Ok(all)
}

/// Pieces that do not fill the sector, or not so.
fn wrong_pieces(sector: u64) -> Vec<Wrong> {
    fn pieces(params: &mut Value) -> Option<&mut Vec<Value>> {
        params["pieces"].as_array_mut()
    }
    let sized = |what: &str, sizes: Vec<u64>| {
        with_params(what, move |params| {
            let Some(all) = pieces(params) else { return };
            let mut first = all.first().cloned().unwrap_or_default();
            if first.get("payloadSize").is_some() {
                first["payloadSize"] = 1.into();
            }
            *all = sizes
                .iter()
                .map(|size| {
                    let mut piece = first.clone();
                    piece["pieceSize"] = (*size).into();
                    piece
                })
                .collect();
        })
    };
    vec![
        with_params("no pieces", |params| params["pieces"] = json!([])),
        sized("pieces of half the sector", vec![sector / 2]),
        sized("pieces of more than the sector", vec![sector, 128]),
        sized(
            "a piece that is not at a multiple of its size",
            vec![sector / 4, sector / 2, sector / 4],
        ),
        sized("a piece size that is no power of two", vec![sector / 4 * 3, sector / 4]),
        sized("pieces of 64 bytes", vec![64; (sector / 64).min(64) as usize]),
    ]
}
