//! The commands that need no daemon and no privileges, held to the contract of the command line.
//!
//! Knows: commands, exit codes, the JSON names that scripts rely on. Must never know: the crates.
//! Keeps: exit codes mean what `--help` says; results go to standard output and nothing else does.

use crate::support::{Random, act, brick, program, seed};
use program::run;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file of bytes and its embedded brick.
struct Folded {
    dir: TempDir,
    file: PathBuf,
    brick: PathBuf,
}

fn fold(bytes: &[u8]) -> Folded {
    let dir = TempDir::new().unwrap();
    let (file, brick) = (dir.path().join("file"), dir.path().join("file.brick"));
    act::write(&file, bytes).unwrap();
    run(&[Path::new("fold"), &file, Path::new("-o"), &brick]).ok();
    Folded { dir, file, brick }
}

fn inspect(brick: &Path) -> serde_json::Value {
    run(&[Path::new("inspect"), brick, Path::new("--json")]).ok().json()
}

#[test]
fn a_program_folds_and_unfolds() {
    let dir = TempDir::new().unwrap();
    let (tool, back) = (program::path(), dir.path().join("back"));
    let made = dir.path().join("tool.brick");
    let said = run(&[Path::new("fold"), &tool, Path::new("-o"), &made]).ok();
    assert_eq!(said.out, "", "progress is no result");

    let json = inspect(&made);
    assert_eq!(json["format"], "V2BR");
    assert_eq!(json["version"], 2);
    assert_eq!(json["kind"], "file");
    assert_eq!(json["path"].as_str(), tool.to_str());
    assert_eq!(json["size"].as_u64(), Some(fs::metadata(&tool).unwrap().len()));
    assert_eq!(json["blake3"].as_str(), Some(brick::b3sum(&tool).as_str()));
    assert_eq!(json["payload"], "embedded");
    assert!(json["generation"].is_u64(), "{json}");
    assert!(json["levels"].as_array().is_some_and(|levels| !levels.is_empty()), "{json}");
    assert!(json["facts"].is_object(), "{json}");
    assert!(json["annotation"].is_null(), "{json}");
    let regions = json["regions"].as_array().expect("regions");
    for region in regions {
        assert!(region["name"].is_string() && region["kind"].is_string(), "{region}");
        assert!(region["start"].as_u64() <= region["end"].as_u64(), "{region}");
    }
    assert!(regions.iter().any(|region| region["name"] == ".text"), "no .text among the regions");

    run(&[Path::new("verify"), &made]).ok();
    run(&[Path::new("unfold"), &made, Path::new("-o"), &back]).ok();
    assert!(fs::read(&tool).unwrap() == fs::read(&back).unwrap(), "unfold gave other bytes");
}

#[test]
fn every_size_around_a_tile_comes_back() {
    let mut random = Random::new(seed());
    for len in [0, 1, 2, 63, 64, 1023, 4096, 65535, 65536, 65537, 131_072, 262_145] {
        let bytes = random.bytes(len);
        let folded = fold(&bytes);
        let back = folded.dir.path().join("back");
        run(&[Path::new("unfold"), &folded.brick, Path::new("-o"), &back]).ok();
        assert!(fs::read(&back).unwrap() == bytes, "{len} bytes came back different");
        assert_eq!(inspect(&folded.brick)["blake3"], brick::b3sum(&folded.file).as_str());
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let mut random = Random::new(seed());
    let folded = fold(&random.bytes(150_000));
    let sound = fs::read(&folded.brick).unwrap();
    let broken = folded.dir.path().join("broken.brick");
    let len = u64::try_from(sound.len()).unwrap();
    // The first bytes of the container hold its roots; the rest is as good as any other byte.
    let places = (0..64).chain(std::iter::repeat_with(|| random.below(len)).take(100));
    for at in places.collect::<Vec<_>>() {
        let mut bytes = sound.clone();
        bytes[usize::try_from(at).unwrap()] ^= 0x10;
        act::write(&broken, &bytes).unwrap();
        let said = run(&[Path::new("verify"), &broken]);
        assert!(matches!(said.code, Some(1 | 4)), "byte {at} of {len}: {said:?}");
        assert!(!format!("{}{}", said.out, said.err).contains("panicked"), "byte {at}: {said:?}");
    }
}

#[test]
fn a_cut_brick_is_an_error_never_a_panic() {
    let mut random = Random::new(seed());
    let folded = fold(&random.bytes(100_000));
    let sound = fs::read(&folded.brick).unwrap();
    let cut = folded.dir.path().join("cut.brick");
    for part in 0..32 {
        act::write(&cut, &sound[..sound.len() * part / 32]).unwrap();
        for command in ["verify", "inspect", "unfold"] {
            let out = folded.dir.path().join("out");
            let mut args = vec![Path::new(command), &cut];
            if command == "unfold" {
                args.extend([Path::new("-o"), &out]);
            }
            let said = run(&args);
            // Early bytes may be all that `inspect` needs; nothing may crash.
            let fine = matches!(said.code, Some(1 | 4)) || command == "inspect";
            assert!(fine && said.code.is_some_and(|code| code < 100), "{command}: {said:?}");
        }
    }
}

#[test]
fn a_changed_artifact_is_a_difference() {
    let folded = fold(&[5; 100_000]);
    run(&[Path::new("verify"), &folded.brick]).ok();
    act::patch(&folded.file, 70_000, b"changed").unwrap();
    run(&[Path::new("verify"), &folded.brick]).coded(1);
}

#[test]
fn exports_are_what_they_are_called() {
    let folded = fold(&Random::new(seed()).bytes(300_000));
    for (format, magic) in [
        ("png", b"\x89PNG\r\n\x1a\n".as_slice()),
        ("rts-png", b"\x89PNG\r\n\x1a\n"),
        ("v2br", b"V2BR"),
    ] {
        let out = folded.dir.path().join(format);
        let args = ["export".as_ref(), folded.brick.as_path(), "--format".as_ref()];
        let more = [Path::new(format), Path::new("-o"), &out];
        run(&[&args[..], &more[..]].concat()).ok();
        assert!(fs::read(&out).unwrap().starts_with(magic), "{format}");
    }
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let dir = TempDir::new().unwrap();
    let junk = dir.path().join("junk.brick");
    act::write(&junk, &[0x5a; 20_000]).unwrap();
    let missing = dir.path().join("missing.brick");
    let out = dir.path().join("out");

    for usage in
        [&["--no-such-flag"][..], &["fold"], &["export", "x", "--format", "tiff", "-o", "y"]]
    {
        let said = run(usage).coded(2);
        assert_eq!(said.out, "", "{usage:?}");
        assert!(said.err.contains("--help"), "{usage:?}: {}", said.err);
    }
    run(&[Path::new("inspect"), &junk]).coded(4);
    run(&[Path::new("unfold"), &junk, Path::new("-o"), &out]).coded(4);
    run(&[Path::new("inspect"), &missing]).coded(4);
    let said = run(&[Path::new("fold"), &missing, Path::new("-o"), &out]).coded(5);
    assert!(said.err.contains("missing.brick"), "an error names its path: {}", said.err);
}

#[test]
fn a_huge_sparse_file_is_not_read() {
    let dir = TempDir::new().unwrap();
    let (file, made) = (dir.path().join("sparse"), dir.path().join("sparse.brick"));
    act::truncate(&file, 1 << 40).unwrap();
    act::patch(&file, 1 << 39, b"an island").unwrap();
    let args = [Path::new("fold"), &file, Path::new("--payload"), Path::new("reference")];
    run(&[&args[..], &[Path::new("-o"), &made]].concat()).ok();
    let json = inspect(&made);
    assert_eq!(json["size"].as_u64(), Some(1 << 40));
    // The picture of nothing costs next to nothing.
    assert!(
        fs::metadata(&made).unwrap().len() < 1 << 20,
        "{} bytes",
        fs::metadata(&made).unwrap().len()
    );
}
#[test]
fn help_is_there_for_every_command() {
    for command in ["sync", "status", "fold", "unfold", "inspect", "verify", "export", "doctor"] {
        let said = run(&[command, "--help"]).ok();
        assert!(said.out.contains("Usage"), "{command}: {}", said.out);
    }
    assert!(run(&["--help"]).ok().out.contains("--watch"));
}

#[test]
fn the_doctor_answers_anyone() {
    let json = run(&["doctor", "--json"]).ok().json();
    assert!(json.is_object(), "{json}");
}

/// The example configuration is one: what it says of itself is taken, key by key.
#[test]
fn the_example_configuration_is_taken() {
    let example = include_str!("../deploy/foundry.toml");
    let dir = TempDir::new().unwrap();
    let (watched, config) = (dir.path().join("not-there"), dir.path().join("foundry.toml"));
    let list = format!("watch = [{:?}]", watched.to_str().unwrap());
    let text: String = example
        .lines()
        .map(|line| if line.starts_with("watch") { list.as_str() } else { line })
        .map(|line| line.strip_prefix("# record").map_or(line.to_owned(), |r| format!("record{r}")))
        .flat_map(|line| [line, "\n".to_owned()])
        .collect();
    fs::write(&config, &text).unwrap();
    // It fails for the directory that is not there, so every key before it was understood.
    let said = run(&[Path::new("--config"), &config]);
    assert!(said.err.contains("not-there"), "{said:?}");
    fs::write(&config, format!("{text}colour = 1\n")).unwrap();
    let said = run(&[Path::new("--config"), &config]);
    assert!(said.err.contains("colour"), "an unknown key is named: {said:?}");
}
/// Every command line of README's shell blocks is one that the program takes.
#[test]
fn the_commands_of_readme_are_commands() {
    let readme = include_str!("../README.md");
    let xtask = include_str!("../xtask/src/main.rs");
    let mut tried = 0;
    for block in readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        for line in block.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_whitespace().skip_while(|word| *word == "sudo");
            match words.next() {
                Some("foundry-user") => {
                    let mut args: Vec<&str> = words.collect();
                    args.push("--help");
                    assert_eq!(run(&args).code, Some(0), "README: {line}");
                }
                Some("cargo") => {
                    assert_eq!(words.next(), Some("xtask"), "README: {line}");
                    let task = words.next().unwrap();
                    assert!(xtask.contains(&format!("\n  {task} ")), "README: {line}");
                }
                first => assert!(first.is_some_and(|word| word == "install"), "README: {line}"),
            }
            tried += 1;
        }
    }
    assert!(tried > 8, "README has only {tried} commands");
}
