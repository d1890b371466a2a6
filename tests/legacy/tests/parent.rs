// SPDX-License-Identifier: MIT OR Apache-2.0

//! The producer of the vc-processors crate, which is damocles-worker's, runs `sealpipe-reference`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sealpipe_legacy_tests::{
    AddPieces, Parent, Pc1, Pc2, Pc2Output, Piece, PieceFile, PieceInfo, TreeD, Unseal, parent_of,
};
use sealpipe_tests::{Bench, Process, digest, pattern, program, root, text};
use serde_json::{Value, json};
use vc_processors::core::{Processor as _, Task};

const PROOF: &str = "StackedDrg2KiBV1_1";

/// A sector of the golden vector in the directories that damocles has: one for each kind of file.
struct Sector {
    bench: Bench,
    vector: Value,
}

impl Sector {
    fn new() -> Self {
        let text = fs::read(root().join("tests/vectors/2KiB-data.json")).unwrap();
        let bench = Bench::new();
        for dir in ["cache", "unsealed", "sealed", "prepared"] {
            fs::create_dir(bench.path(dir)).unwrap();
        }
        Self { bench, vector: serde_json::from_slice(&text).unwrap() }
    }

    fn cache(&self) -> PathBuf {
        self.bench.path("cache")
    }

    fn staged(&self) -> PathBuf {
        self.bench.path("unsealed/s-t01000-1")
    }

    fn sealed(&self) -> PathBuf {
        self.bench.path("sealed/s-t01000-1")
    }

    fn bytes(&self, member: &str) -> [u8; 32] {
        let hex = text(&self.vector, member);
        let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        std::array::from_fn(byte)
    }

    fn number(&self) -> u64 {
        self.vector["sector_number"].as_u64().unwrap()
    }

    fn piece_infos(&self) -> Vec<PieceInfo> {
        let pieces = self.vector["pieces"].as_array().unwrap().iter();
        let info = |piece: &Value| {
            let piece = Sector { bench: Bench::new(), vector: piece.clone() };
            PieceInfo {
                commitment: piece.bytes("comm_p"),
                size: piece.vector["unpadded_size"].as_u64().unwrap(),
            }
        };
        pieces.map(info).collect()
    }

    /// Checks files of the cache directory by what their names begin with.
    #[track_caller]
    fn check_cache(&self, begin: &str) {
        let golden = self.vector["cache_files"].as_object().unwrap();
        let mut found = 0;
        for (name, file) in golden.iter().filter(|(name, _)| name.starts_with(begin)) {
            assert_eq!(digest(&self.cache().join(name)), text(file, "sha256"), "{name}");
            found += 1;
        }
        assert!(found > 0, "{begin}");
    }

    #[track_caller]
    fn check_file(&self, path: &std::path::Path, golden: &str) {
        assert_eq!(digest(path), text(&self.vector[golden], "sha256"), "{golden}");
    }

    fn add_pieces(&self) {
        let infos = self.piece_infos();
        let data = pattern(2032);
        let mut rest = data.as_slice();
        let pieces = infos.iter().enumerate().map(|(i, info)| {
            let (piece, behind) = rest.split_at(info.size as usize);
            rest = behind;
            let path = self.bench.write(&format!("piece-{i}"), piece);
            let piece_file = PieceFile::Local(path);
            Piece { piece_file, payload_size: info.size, piece_size: info.size }
        });
        let pieces = pieces.collect();
        let task =
            AddPieces { seal_proof_type: PROOF.to_owned(), pieces, staged_filepath: self.staged() };
        assert_eq!(run(task).unwrap(), infos);
        self.check_file(&self.staged(), "unsealed");
    }

    fn pc1_task(&self) -> Pc1 {
        Pc1 {
            registered_proof: PROOF.to_owned(),
            cache_path: self.cache(),
            in_path: self.staged(),
            out_path: self.sealed(),
            prover_id: self.bytes("prover_id"),
            sector_id: self.number(),
            ticket: self.bytes("ticket"),
            piece_infos: self.piece_infos(),
        }
    }

    fn pc1(&self) -> Value {
        fs::write(self.sealed(), "").unwrap();
        run(self.pc1_task()).unwrap()
    }

    fn cache_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn reference<T: Task>() -> Parent<T> {
    parent_of::<T>(program("sealpipe-reference")).spawn::<T>().unwrap()
}

fn run<T: Task>(task: T) -> anyhow::Result<T::Output> {
    reference::<T>().process(task)
}

#[test]
fn a_golden_sector_is_sealed_as_damocles_expects_it() {
    let sector = Sector::new();
    sector.add_pieces();
    // damocles builds tree-d elsewhere and links it.
    let prepared = sector.bench.path("prepared");
    let task = TreeD {
        registered_proof: PROOF.to_owned(),
        staged_file: sector.staged(),
        cache_dir: prepared.clone(),
    };
    assert!(run(task).unwrap());
    let name = "sc-02-data-tree-d.dat";
    std::os::unix::fs::symlink(prepared.join(name), sector.cache().join(name)).unwrap();

    let pc1out = sector.pc1();
    sector.check_cache("sc-02-data-layer");
    sector.check_cache("sc-02-data-tree-d");
    sector.check_file(&sector.sealed(), "unsealed");
    let store = |id: &str, size: u64| json!({ "path": sector.cache(), "id": id, "size": size, "rows_to_discard": 0 });
    let labels = json!({ "labels": [store("layer-1", 64), store("layer-2", 64)], "_h": null });
    let expected = json!({
        "registered_proof": PROOF,
        "labels": { "StackedDrg2KiBV1": labels },
        "config": store("tree-d", 127),
        "comm_d": sector.bytes("comm_d"),
    });
    assert_eq!(pc1out, expected);

    let task = Pc2 { pc1out, cache_dir: sector.cache(), sealed_file: sector.sealed() };
    let expected = Pc2Output {
        registered_proof: PROOF.to_owned(),
        comm_r: sector.bytes("comm_r"),
        comm_d: sector.bytes("comm_d"),
    };
    // The second time the replica stands where the data was.
    for time in ["first", "second"] {
        assert_eq!(run(task.clone()).unwrap(), expected, "{time}");
        sector.check_file(&sector.sealed(), "sealed");
        for begin in ["sc-02-data-tree-c", "sc-02-data-tree-r-last", "p_aux"] {
            sector.check_cache(begin);
        }
    }
    let mut names: Vec<_> =
        sector.vector["cache_files"].as_object().unwrap().keys().cloned().collect();
    names.push("t_aux".to_owned());
    names.sort();
    assert_eq!(sector.cache_names(), names, "nothing else is left");

    let task = Unseal {
        registered_proof: PROOF.to_owned(),
        prover_id: sector.bytes("prover_id"),
        sector_id: sector.number(),
        comm_d: sector.bytes("comm_d"),
        ticket: sector.bytes("ticket"),
        cache_dir: sector.cache(),
        sealed_file: sector.sealed(),
        unsealed_output: sector.bench.path("back"),
        offset: 127,
        num_bytes: 254,
    };
    assert_eq!(run(task).unwrap(), 254);
    assert_eq!(fs::read(sector.bench.path("back")).unwrap(), pattern(2032)[127..381]);
}

#[test]
fn tree_d_is_made_by_pc1_where_it_is_absent() {
    let sector = Sector::new();
    sector.add_pieces();
    sector.pc1();
    sector.check_cache("sc-02-data-tree-d");
    sector.check_cache("sc-02-data-layer");
}

#[test]
fn requests_run_side_by_side_and_their_errors_are_theirs() {
    let sector = Sector::new();
    sector.add_pieces();
    let parent = reference::<TreeD>();
    std::thread::scope(|scope| {
        let (parent, sector) = (&parent, &sector);
        let run = |number: usize| {
            let dir = sector.bench.path(&format!("prepared/{number}"));
            fs::create_dir(&dir).unwrap();
            // Every third one asks for data that is not there.
            let staged_file = match number % 3 {
                0 => sector.bench.path("absent"),
                _ => sector.staged(),
            };
            let (registered_proof, cache_dir) = (PROOF.to_owned(), dir.clone());
            let outcome = parent.process(TreeD { registered_proof, staged_file, cache_dir });
            match number % 3 {
                0 => {
                    let error = outcome.unwrap_err().to_string();
                    assert!(error.contains("absent") && error.contains("hint: "), "{error}");
                }
                _ => {
                    assert!(outcome.unwrap());
                    let golden = &sector.vector["cache_files"]["sc-02-data-tree-d.dat"];
                    let made = dir.join("sc-02-data-tree-d.dat");
                    assert_eq!(digest(&made), text(golden, "sha256"));
                }
            }
        };
        let threads: Vec<_> = (0..6).map(|n| scope.spawn(move || run(n))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn variables_pin_the_process_and_cpus_that_do_not_exist_are_an_error() {
    let builder = || parent_of::<TreeD>(program("sealpipe-reference"));
    let parent = builder().cpuset("vc-worker/sub-tree_d-1-0", "0").spawn::<TreeD>().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", parent.child_pid())).unwrap();
    let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    assert_eq!(cpus.map(str::trim), Some("0"));
    let Err(error) = builder().cpuset("vc-worker/x", "8000").spawn::<TreeD>() else {
        panic!("it runs on a cpu that does not exist");
    };
    assert!(format!("{error:?}").contains("unexpected first line: "), "{error:?}");
}

#[test]
fn prints_and_panics_of_a_stage_stay_away_from_the_answers() {
    let sector = Sector::new();
    let builder = parent_of::<TreeD>(PathBuf::from(env!("CARGO_BIN_EXE_sealpipe-test-printer")));
    let parent = builder.spawn::<TreeD>().unwrap();
    let run = |name: &str| {
        parent.process(TreeD {
            registered_proof: PROOF.to_owned(),
            staged_file: sector.bench.path(name),
            cache_dir: sector.cache(),
        })
    };
    assert!(run("data").unwrap());
    let error = run("panic").unwrap_err().to_string();
    assert!(error.contains("the stage panicked: as it was asked to"), "{error}");
    assert!(run("data").unwrap());
}

#[test]
fn stages_without_tasks_are_refused_with_a_hint() {
    for stage in ["c1", "verify"] {
        let mut command = Command::new(program("sealpipe-reference"));
        let output = command.args(["processor", stage]).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        let expected =
            format!("error: the line protocol of vc-processors has no tasks of `{stage}`");
        assert!(stderr.contains(&expected) && stderr.contains("\nhint: "), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

/// A process that is spoken to by hand.
struct Raw {
    child: Child,
    mark: String,
}

impl Raw {
    fn start(stage: &str) -> Self {
        let mark = format!("legacy-{}-{stage}", std::process::id());
        let mut command = Command::new(program("sealpipe-reference"));
        command.args(["processor", stage]).env("SEALPIPE_TEST_ID", &mark);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { child, mark }
    }

    fn processes(&self) -> Vec<Process> {
        Process::marked(&format!("SEALPIPE_TEST_ID={}", self.mark))
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_no_request_is_answered_if_it_can_be() {
    let mut raw = Raw::start("tree_d");
    let mut stdin = raw.child.stdin.take().unwrap();
    let mut lines = BufReader::new(raw.child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "tree_d processor ready");
    for (line, expected) in [
        ("nonsense\n\n{\"id\":1}", "the request: missing field `task`"),
        ("{\"id\":2,\"task\":{\"staged_file\":1}}", "task of `tree_d`: "),
        ("{\"id\":3,\"task\":null}", "task of `tree_d`: "),
    ] {
        writeln!(stdin, "{line}").unwrap();
        let answer: Value = serde_json::from_str(&next()).unwrap();
        assert!(text(&answer, "err_msg").contains(expected), "{answer}");
        assert!(answer["output"].is_null(), "{answer}");
    }
    drop(stdin);
    assert_eq!(raw.child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_end_of_stdin_and_a_kill_end_the_work_too() {
    for by_signal in [false, true] {
        let sector = Sector::new();
        sector.add_pieces();
        let mut raw = Raw::start("pc1");
        let mut stdin = raw.child.stdin.take().unwrap();
        fs::write(sector.sealed(), "").unwrap();
        // Of 8 MiB, so that it takes a while; damocles has such data end with zeros.
        let mut task = serde_json::to_value(sector.pc1_task()).unwrap();
        task["registered_proof"] = json!("StackedDrg8MiBV1_1");
        let zeros = zeros_8mib();
        task["piece_infos"] = json!([{ "commitment": zeros, "size": (8 << 20) / 128 * 127 }]);
        task["in_path"] = json!("/dev/zero");
        writeln!(stdin, "{}", json!({ "id": 1, "task": task })).unwrap();
        let half = sector.bench.path("cache/sc-02-data-tree-d.dat");
        until("tree-d", || half.exists());
        until("the helper", || raw.processes().len() >= 2);
        if by_signal {
            let pid = rustix::process::Pid::from_raw(raw.child.id().cast_signed()).unwrap();
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
        }
        drop(stdin);
        let code = raw.child.wait().unwrap().code();
        assert_eq!(code, if by_signal { None } else { Some(1) });
        until("nothing is left", || raw.processes().is_empty());
    }
}

/// CommP of 8 MiB of zeros.
fn zeros_8mib() -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let levels = (8_u64 << 20) / 32;
    let mut node = [0; 32];
    for _ in 0..levels.ilog2() {
        node = Sha256::digest([node, node].concat()).into();
        node[31] &= 0x3f;
    }
    node.to_vec()
}
