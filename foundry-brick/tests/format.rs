//! FORMAT.md against the code, and the reader that was written from it against bricks of the crate.

use crate::support::{TILE, content, meta};
use foundry_brick::layout::{self, Field};
use foundry_brick::parts::{Attribute, PartKind, page};
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Editor, FactValue, Payload, Region, Writer, geometry, hash};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn format_md() -> String {
    std::fs::read_to_string(repository().join("FORMAT.md")).unwrap()
}

/// The rows of the first table after `heading`, without its two head rows.
fn table<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, after) = text.split_once(heading).unwrap_or_else(|| panic!("no {heading:?}"));
    let rows = after.lines().skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn structures_are_as_the_document_says() {
    let text = format_md();
    let structures: [(&str, &[Field]); 6] = [
        ("\n## Superblock", layout::SUPERBLOCK),
        ("\n## Root record", layout::RECORD),
        ("\n## Pointer", layout::POINTER),
        ("\n## Entry", layout::ENTRY),
        ("\n## Node", layout::NODE),
        ("\n**Writer**", layout::WRITER_HEADER),
    ];
    for (heading, fields) in structures {
        let mut offset = 0;
        let mut code = Vec::new();
        for field in fields {
            code.push((offset, field.size, field.name));
            offset += field.size;
        }
        let document: Vec<(usize, usize, &str)> = table(&text, heading)
            .iter()
            .map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap(), row[2]))
            .collect();
        assert_eq!(document, code, "{heading}");
    }
}

#[test]
fn constants_are_as_the_document_says() {
    let text = format_md();
    let code = [
        ("TILE_BYTES", geometry::TILE_BYTES),
        ("LEAF_LEVEL", u64::from(geometry::LEAF_LEVEL)),
        ("LEAF_BYTES", geometry::LEAF_BYTES as u64),
        ("FANOUT", geometry::FANOUT as u64),
        ("LEVELS_PER_NODE", u64::from(geometry::LEVELS_PER_NODE)),
        ("NODE_MAX_LEN", layout::NODE_MAX_LEN as u64),
        ("RECORD_LEN", layout::RECORD_LEN as u64),
        ("SUPERBLOCK_LEN", layout::SUPERBLOCK_LEN as u64),
        ("SMALL_SLOT_LEN", u64::from(layout::SMALL_SLOT_LEN)),
        ("LARGE_SLOT_LEN", u64::from(layout::LARGE_SLOT_LEN)),
        ("ALIGN", layout::ALIGN),
        ("MAX_SIZE", geometry::MAX_SIZE),
        ("UNSYNCED_LIMIT", foundry_brick::editor::UNSYNCED_LIMIT),
    ];
    let rows = table(&text, "\n## Words and numbers");
    let document: Vec<(&str, u64)> =
        rows.iter().map(|row| (row[0], row[1].parse().unwrap())).collect();
    assert_eq!(document, code);
    for (magic, name) in [
        (&layout::SUPERBLOCK_MAGIC[..], "V2BR"),
        (&layout::RECORD_MAGIC, "V2BRROOT"),
        (&layout::NODE_MAGIC, "NODE"),
        (&layout::WRITER_MAGIC, "WRIT"),
    ] {
        assert_eq!(magic, name.as_bytes());
        assert!(text.contains(&format!("| magic | `{name}`")), "{name}");
    }
}

#[test]
fn names_of_parts_are_as_the_document_says() {
    let text = format_md();
    for (heading, names) in
        [("| kind | name |", PartKind::NAMES), ("| attribute | name |", Attribute::NAMES)]
    {
        let (before, _) = text.split_once(heading).unwrap();
        let rows = table(&text[before.len() - 1..], "\n");
        let document: Vec<(u8, &str)> =
            rows.iter().map(|row| (row[0].parse().unwrap(), row[1])).collect();
        assert_eq!(document, names);
    }
    assert!(text.contains(&format!("lowest first: {}.", page::NAMES.join(", "))));
}

/// A brick with something of everything.
fn specimen(size: usize, payload: Payload) -> Vec<u8> {
    let mut bytes = content(size, 21);
    if TILE * 3 < size {
        bytes[TILE..3 * TILE].fill(0);
    }
    let mut about = meta(size, payload);
    (about.pid, about.mode, about.mtime_ns) = (Some(77), 0o755, -5);
    let mut editor = Editor::create(MemStorage::new(), about).unwrap();
    editor.put(0, &bytes).unwrap();
    let region = |address| Region {
        name: "caf\u{e9}".into(),
        kind: "function".into(),
        start: 3,
        end: 1 << 40,
        address,
    };
    editor.set_regions(&[region(Some(4096)), region(None)]);
    editor.set_facts(
        &[
            ("a".to_owned(), FactValue::Text("text".into())),
            ("b".to_owned(), FactValue::Number(u64::MAX)),
            ("c".to_owned(), FactValue::Flag(true)),
            ("d".to_owned(), FactValue::List(vec!["x".into(), "y".into()])),
        ]
        .into(),
    );
    editor.set_annotation(Some(b"note".to_vec()));
    editor.commit(1_000).unwrap();
    if 0 < size {
        bytes[size - 1] ^= 0x40;
        let last = (size - 1) / TILE * TILE;
        editor.put(last as u64, &bytes[last..]).unwrap();
        let writer =
            Writer { exe: b"/bin/dd".to_vec(), comm: b"dd".to_vec(), pid: 9, uid: 8, at_ns: 7 };
        editor.set_writer(0..size as u64, writer);
        editor.commit(2_000).unwrap();
    }
    editor.into_storage().into_bytes()
}

/// What the other reader must print of these bytes.
fn expected(bytes: &[u8]) -> String {
    let brick = Brick::open(MemStorage::from(bytes.to_vec())).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut out = String::new();
    let epoch = hex(&brick.epoch());
    writeln!(out, "generation {} epoch {epoch}", brick.generation()).unwrap();
    for older in brick.generations() {
        let changed = &brick_changed(&older.changed_tiles);
        writeln!(out, "history {} {} {} {changed}", older.number, older.at_ns, older.size).unwrap();
    }
    let about = brick.meta();
    let payload = if about.payload == Payload::Embedded { "embedded" } else { "reference" };
    let (size, path) = (about.size, hex(&about.path));
    writeln!(out, "meta file {payload} 77 0 0 {size} 0o755 0 0 0 -5 0 0 {path}").unwrap();
    writeln!(out, "blake3 {}", hex(&brick.blake3().unwrap())).unwrap();
    writeln!(out, "region 3 1099511627776 4096 function caf\u{e9}").unwrap();
    writeln!(out, "region 3 1099511627776 - function caf\u{e9}").unwrap();
    writeln!(out, "fact a text\nfact b {}\nfact c True\nfact d x,y", u64::MAX).unwrap();
    writeln!(out, "annotation {}", hex(b"note")).unwrap();
    content_lines(&brick, &mut out);
    out
}

fn brick_changed(levels: &[u32]) -> String {
    let at = |level: usize| levels.get(level).copied().unwrap_or(levels[0].min(1));
    format!("{} {}", at(0), at(1))
}

fn content_lines(brick: &Brick<MemStorage>, out: &mut String) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let size = brick.meta().size;
    let zeros: Vec<u64> = brick.zeros().unwrap().into_iter().flatten().collect();
    let last = geometry::tiles(size).saturating_sub(1);
    for tile in (0..geometry::tiles(size)).filter(|tile| !zeros.contains(tile)) {
        let generation = if tile == last { 2 } else { 1 };
        if tile == last {
            writeln!(out, "writer {tile} 7 9 8 {} {}", hex(b"dd"), hex(b"/bin/dd")).unwrap();
        }
        let cv = brick.tile_hash(tile).unwrap().unwrap();
        writeln!(out, "tile {tile} {generation} {}", hex(&cv)).unwrap();
    }
    let stored = geometry::node_level(geometry::height(size)) + 2;
    for level in (3..=stored).filter(|_| size != 0) {
        let mut cells = Vec::new();
        brick.cells(level, 0..u64::MAX, &mut cells).unwrap();
        let digest = hex(&hash::checksum(cells.as_flattened()));
        writeln!(out, "level {level} {} {digest}", cells.len()).unwrap();
    }
    if brick.meta().payload == Payload::Embedded && size != 0 {
        let mut bytes = vec![0; geometry::index(size)];
        brick.read_payload(0, &mut bytes).unwrap();
        writeln!(out, "payload {size} {}", hex(&hash::checksum(&bytes))).unwrap();
    }
}

/// Runs the reader; `None` where there is no Python, which CI does not accept.
fn read_with_python(name: &str, bytes: &[u8]) -> Option<std::process::Output> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.brick"));
    std::fs::write(&file, bytes).unwrap();
    let reader = repository().join("tests/format_reader.py");
    match Command::new("python3").arg(&reader).arg(&file).output() {
        Ok(output) => Some(output),
        Err(err) => {
            let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!in_ci, "python3 does not run, which CI does not accept: {err}");
            println!("skipped: python3 does not run: {err}");
            None
        }
    }
}

#[test]
fn a_reader_written_from_the_document_reads_what_the_crate_wrote() {
    for (size, payload) in [
        (0, Payload::Reference),
        (1, Payload::Embedded),
        (3000, Payload::Embedded),
        (TILE, Payload::Reference),
        (2 * TILE + 77, Payload::Embedded),
        (5 * TILE, Payload::Reference),
        (65 * TILE + 1, Payload::Reference),
    ] {
        let bytes = specimen(size, payload);
        let Some(output) = read_with_python(&format!("good-{size}"), &bytes) else { return };
        let (said, why) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{size} {payload:?}: {why}");
        let (said, wanted) = (said.lines(), expected(&bytes));
        assert_eq!(
            said.collect::<Vec<_>>(),
            wanted.lines().collect::<Vec<_>>(),
            "{size} {payload:?}"
        );
    }
}

#[test]
fn that_reader_refuses_damage() {
    let good = specimen(3000, Payload::Embedded);
    // One byte of each: superblock, the first segment, the tile's cells and payload, the meta blob.
    let brick = Brick::open(MemStorage::from(good.clone())).unwrap();
    let record = brick.record();
    for at in [40, record.segment_start, record.root.offset + 40, record.meta.offset + 9] {
        let mut bad = good.clone();
        bad[usize::try_from(at).unwrap()] ^= 1;
        let Some(output) = read_with_python(&format!("bad-{at}"), &bad) else { return };
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() || why.contains("slot 1"), "at {at}: {why}");
    }
}
