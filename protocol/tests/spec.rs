// SPDX-License-Identifier: MIT OR Apache-2.0

//! The specification says what the types, the schemas and the examples say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use sealpipe_protocol::{
    DEFAULT_FRAME_BYTES, INITIAL_FRAME_BYTES, INLINE_VALUE_BYTES, MAX_INTEGER, PROTOCOL_ENV, Stage,
    TaskId, schema,
    serve::exit,
    stage::{Job, files, proof::SealProof},
};
use serde_json::{Value, value::RawValue};

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/v1")
}

fn read(name: &str) -> String {
    fs::read_to_string(dir().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A cell without backticks, and with the texts of its links alone.
fn plain(cell: &str) -> String {
    let mut text = cell.replace('`', "");
    while let Some((before, link)) = text.split_once('[') {
        let Some((shown, rest)) = link.split_once("](") else { break };
        let Some((_, after)) = rest.split_once(')') else { break };
        text = format!("{before}{shown}{after}");
    }
    text.trim().to_owned()
}

/// The rows of the one table whose header begins with `header`.
fn table(header: &str) -> Vec<Vec<String>> {
    let spec = read("SPEC.md");
    let header = format!("\n{header}");
    let mut tables = spec.match_indices(&header);
    let (at, _) = tables.next().unwrap_or_else(|| panic!("no table begins with {header}"));
    assert_eq!(tables.next(), None, "two tables begin with {header}");
    let rows = spec[at + 1..].lines().take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        let inner = row.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// Where the links of the specification lead, with repetitions.
fn links() -> Vec<String> {
    let spec = read("SPEC.md");
    let targets = spec.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
    targets.collect()
}

#[test]
fn every_json_block_is_the_example_that_the_line_above_names() {
    let spec = read("SPEC.md");
    let mut blocks = 0;
    for (at, fence) in spec.match_indices("```json\n") {
        let above = spec[..at].lines().last().unwrap();
        let named = above.split("](").nth(1).and_then(|rest| rest.split(')').next());
        let name = named.unwrap_or_else(|| panic!("no file is named in {above:?}"));
        let block = spec[at + fence.len()..].split("```").next().unwrap();
        let parsed: Value = serde_json::from_str(block).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(parsed, json(name), "{name}");
        assert_eq!(block, read(name), "{name}");
        blocks += 1;
    }
    assert!(blocks > 0);
    let fences = spec.lines().filter(|line| line.starts_with("```")).count();
    assert_eq!(fences, 2 * blocks, "a block is no example");
}

#[test]
fn rules_have_rising_numbers_of_their_own_and_a_keyword() {
    let spec = read("SPEC.md");
    let mut last = 0;
    let mut rules = BTreeSet::new();
    for rule in spec.split("\n- **R-").skip(1) {
        let (digits, text) = rule.split_once("** ").unwrap();
        assert_eq!(digits.len(), 3, "R-{digits}");
        let number: u32 = digits.parse().unwrap();
        assert!(number > last, "R-{digits} comes after R-{last:03}");
        last = number;
        rules.insert(digits.to_owned());
        let text = text.split("\n\n").next().unwrap();
        let keyword = ["MUST", "SHOULD", "MAY"].iter().any(|word| text.contains(word));
        assert!(keyword, "R-{digits} demands nothing");
    }
    for reference in spec.split("R-").skip(1) {
        let digits: String = reference.chars().take_while(char::is_ascii_digit).collect();
        assert!(rules.contains(&digits), "R-{digits} is no rule");
    }
}

#[test]
fn the_tables_of_methods_and_error_codes_are_the_registry() {
    let registry = json("registry.json");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let check = |header: &str, rows: &str, members: [&str; 3]| {
        let said: Vec<Vec<String>> = table(header)
            .iter()
            .map(|row| row.iter().take(3).map(|cell| plain(cell)).collect())
            .collect();
        let registered: Vec<Vec<String>> = registry[rows]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| members.iter().map(|member| text(&row[*member])).collect())
            .collect();
        assert_eq!(said, registered, "{rows}");
    };
    check("| method | from | kind |", "methods", ["method", "from", "kind"]);
    check("| code | name | class |", "errorCodes", ["code", "name", "class"]);
    assert_eq!(
        registry["capabilities"],
        Value::Array(Vec::new()),
        "the text says that 1.0 has none"
    );
}

#[test]
fn the_tables_of_stages_are_the_registry_and_the_schemas() {
    let stages: Vec<Value> = json("registry.json")["stages"].as_array().unwrap().clone();
    for header in ["| stage | params | output |", "| stage | schema of params |"] {
        let said: Vec<Value> = table(header).iter().map(|row| plain(&row[0]).into()).collect();
        assert_eq!(said, stages, "{header}");
    }
    for row in table("| stage | params | output |") {
        let stage: Stage = plain(&row[0]).parse().unwrap();
        for (cell, part) in [(&row[1], "params"), (&row[2], "output")] {
            let schema = stage_schema(stage, part);
            let required = schema["required"].as_array().unwrap();
            let members = schema["properties"].as_object().unwrap().keys().map(|name| {
                let optional = !required.contains(&Value::from(name.as_str()));
                if optional { format!("{name}?") } else { name.clone() }
            });
            let said: BTreeSet<String> = cell.split(", ").map(plain).collect();
            assert_eq!(said, members.collect(), "{stage}, {part}");
        }
        check_lock(stage, &plain(&row[3]));
    }
    for row in table("| stage | schema of params |") {
        let name = plain(&row[0]).replace('_', "-");
        let linked = [
            format!("[params](stage.{name}.params.schema.json)"),
            format!("[output](stage.{name}.output.schema.json)"),
            format!("[params](examples/task-run.{name}.params.json)"),
            format!("[result](examples/task-run.{name}.result.json)"),
        ];
        assert_eq!(row[1..], linked, "{name}");
    }
}

/// The lock that the table names is the one that the SDK takes for the example.
fn check_lock(stage: Stage, said: &str) {
    let name = stage.name().replace('_', "-");
    let params = &json(&format!("examples/task-run.{name}.params.json"))["params"]["params"];
    let raw = RawValue::from_string(params.to_string()).unwrap();
    let job = Job::parse(stage, &raw).unwrap();
    let expected = said.strip_prefix("parent of ").map(|member| {
        PathBuf::from(params[member].as_str().unwrap()).parent().unwrap().to_path_buf()
    });
    assert!(expected.is_some() || said == "none", "{stage}: {said}");
    assert_eq!(job.sector_dir(), expected.as_deref(), "{stage}");
}

fn stage_schema(stage: Stage, part: &str) -> Value {
    json(&format!("stage.{}.{part}.schema.json", stage.name().replace('_', "-")))
}

/// All members of a schema by their paths, such as `pieces[].commP`, with their types as the
/// specification calls them.
fn members(root: &Value, schema: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    let schema = dereferenced(root, schema);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.insert(path.clone(), type_of(root, member).to_owned());
        members(root, member, &path, found);
    }
    if let Some(items) = schema.get("items") {
        members(root, items, &format!("{path}[]"), found);
    }
    for branch in ["oneOf", "anyOf"].iter().filter_map(|key| schema[*key].as_array()).flatten() {
        members(root, branch, path, found);
    }
}

fn dereferenced<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(pointer) => root.pointer(pointer.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

fn type_of(root: &Value, schema: &Value) -> &'static str {
    let schema = dereferenced(root, schema);
    if let Some(branches) = schema["anyOf"].as_array() {
        // An optional member: the other branch is `null`.
        return type_of(root, &branches[0]);
    }
    if let Some(branches) = schema["oneOf"].as_array() {
        let words = branches.iter().all(|branch| branch["const"].is_string());
        return if words { "string" } else { "any" };
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str(),
        kind => kind.as_str(),
    };
    match kind {
        Some("string") if schema["pattern"] == "^[0-9a-f]{64}$" => "hex32",
        Some("string") if schema["contentEncoding"] == "base64" => "base64",
        Some("string") => "string",
        Some("integer") => "integer",
        Some("boolean") => "boolean",
        Some("array") => "array",
        Some("object") => "object",
        _ => "any",
    }
}

#[test]
fn every_member_of_a_stage_has_its_type_and_meaning() {
    let rows = table("| member | of | type |");
    // A row is about `params` or `output`, of the stages that it names or of all that have it.
    let mut uses: BTreeMap<(usize, String), u32> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        assert!(!row[3].is_empty(), "{} has no meaning", row[0]);
        for of in row[1].split(", ") {
            uses.insert((i, of.to_owned()), 0);
        }
    }
    for stage in Stage::ALL {
        for part in ["params", "output"] {
            let schema = stage_schema(*stage, part);
            let mut found = BTreeMap::new();
            members(&schema, &schema, "", &mut found);
            for (path, kind) in found {
                let about = |((i, of), _): &(&(usize, String), &mut u32)| {
                    plain(&rows[*i][0]) == path
                        && of.ends_with(part)
                        && (!of.contains('`') || of.contains(&format!("`{stage}`")))
                };
                let mut matching: Vec<_> = uses.iter_mut().filter(about).collect();
                assert_eq!(matching.len(), 1, "rows about `{path}` of {stage} {part}");
                let ((i, _), count) = matching.pop().unwrap();
                *count += 1;
                let said = match rows[*i][2].as_str() {
                    "path" if path.to_lowercase().ends_with("path") => "string",
                    "path" if path.ends_with("Dir") => "string",
                    other => other,
                };
                assert_eq!(said, kind, "`{path}` of {stage} {part}");
            }
        }
    }
    let unused: Vec<_> = uses.iter().filter(|(_, count)| **count == 0).collect();
    assert!(unused.is_empty(), "{unused:?} are about nothing");
}

#[test]
fn what_follows_from_a_proof_is_what_the_types_say() {
    let said: Vec<Vec<String>> = table("| proof | number |")
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let expected: Vec<Vec<String>> = SealProof::ALL
        .iter()
        .map(|proof| {
            let porep_id = proof.porep_id();
            assert_eq!(porep_id[8..], [0; 24]);
            let number = u64::from_le_bytes(porep_id[..8].try_into().unwrap());
            vec![
                proof.to_string(),
                number.to_string(),
                proof.sector_bytes().to_string(),
                proof.n_nodes().to_string(),
                proof.n_layers().to_string(),
                files::n_trees(*proof).to_string(),
            ]
        })
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn limits_exit_codes_and_file_names_are_the_code_s_own() {
    let limits: Vec<String> = table("| limit | value |").iter().map(|row| row[1].clone()).collect();
    let announced = &json("initialize.params.schema.json")["$defs"]["WorkerLimits"]["properties"];
    let expected = [
        format!("{INITIAL_FRAME_BYTES} bytes"),
        format!("{DEFAULT_FRAME_BYTES} bytes"),
        format!("{INLINE_VALUE_BYTES} bytes"),
        MAX_INTEGER.to_string(),
        format!("{} characters", TaskId::MAX_CHARS),
        format!("{} bytes", announced["maxFrameBytes"]["minimum"]),
    ];
    assert_eq!(limits, expected);

    let codes: Vec<String> = table("| exit code |").iter().map(|row| row[0].clone()).collect();
    let expected = [exit::SHUTDOWN, exit::ABANDONED, exit::UNSUPPORTED_VERSION, exit::REFUSED];
    assert_eq!(codes, expected.map(|code| code.to_string()));

    let paths: Vec<String> = table("| path | content |").iter().map(|row| plain(&row[0])).collect();
    let (small, large) = (SealProof::StackedDrg2KiBV1_1, SealProof::StackedDrg32GiBV1_1);
    let names = [files::TREE_D, files::P_AUX, files::T_AUX].map(str::to_owned);
    for name in names.into_iter().chain(files::tree_c(small)).chain(files::tree_r_last(small)) {
        assert!(paths.contains(&format!("<sector>/cache/{name}")), "{name}");
    }
    assert!(paths.contains(&format!("<sector>/cache/{}", files::layer(7).replace('7', "<i>"))));
    let spec = read("SPEC.md");
    for name in [&files::tree_c(large)[0], &files::tree_r_last(large)[0]] {
        assert!(spec.contains(&format!("`{}`", name.replace("-0.", "-<j>."))), "{name}");
    }
    assert!(spec.contains(&format!("`{PROTOCOL_ENV}=1.0`")));
}

#[test]
fn every_schema_and_example_is_linked_and_every_link_leads_somewhere() {
    let links = links();
    let spec = read("SPEC.md");
    let headings: BTreeSet<String> = spec
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| format!("#{}", heading.to_lowercase().replace(',', "").replace(' ', "-")))
        .collect();
    for link in &links {
        match link.starts_with('#') {
            true => assert!(headings.contains(link), "no section {link}"),
            false => assert!(dir().join(link).is_file(), "no file {link}"),
        }
    }
    let mut files: Vec<String> = schema::files().into_iter().map(|file| file.name).collect();
    files.push("registry.json".to_owned());
    let examples = fs::read_dir(dir().join("examples")).unwrap();
    files
        .extend(examples.map(|entry| {
            format!("examples/{}", entry.unwrap().file_name().into_string().unwrap())
        }));
    let missing: Vec<_> = files.iter().filter(|file| !links.contains(file)).collect();
    assert!(missing.is_empty(), "{missing:?} are not linked");
}
