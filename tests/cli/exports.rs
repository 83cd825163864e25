//! Exports, read back by readers that are not ours.

use super::{fold, run};
use crate::support::Scratch;
use std::fs;
use std::path::{Path, PathBuf};

fn number(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
}

/// Wikipedia's `d2xy`, as Geometry OS has it.
fn d2xy(side: usize, mut d: usize) -> (usize, usize) {
    let (mut x, mut y, mut s) = (0, 0, 1);
    while s < side {
        let rx = 1 & (d / 2);
        let ry = 1 & (d ^ rx);
        if ry == 0 {
            if rx == 1 {
                (x, y) = (s - 1 - x, s - 1 - y);
            }
            (x, y) = (y, x);
        }
        x += s * rx;
        y += s * ry;
        d /= 4;
        s *= 2;
    }
    (x, y)
}

fn export(brick: &Path, format: &str, more: &[&str], to: &Path) {
    let mut args: Vec<&std::ffi::OsStr> =
        vec!["export".as_ref(), brick.as_ref(), "--format".as_ref(), format.as_ref()];
    args.extend(["-o".as_ref(), to.as_os_str()]);
    args.extend(more.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
    crate::support::program::run(&args).ok();
}

fn folded(scratch: &Scratch, bytes: &[u8]) -> PathBuf {
    let (file, brick) = (scratch.tree().join("artifact"), scratch.file("x.brick"));
    fs::write(&file, bytes).unwrap();
    fold(&file, &brick, "reference");
    brick
}

#[test]
fn version_1_bricks_hold_the_bytes_along_the_curve() {
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..70_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let out = scratch.file("out");
    export(&folded(&scratch, &bytes), "v2br", &[], &out);
    let got = fs::read(&out).unwrap();
    assert_eq!(&got[..4], b"V2BR");
    assert_eq!(number(&got, 4), 1, "version");
    let side = number(&got, 8);
    assert_eq!(number(&got, 12), side);
    assert_eq!(1 << number(&got, 16), side);
    assert_eq!(number(&got, 20), bytes.len());
    assert_eq!(got.len(), 132 + 4 * side * side);
    let texture = &got[132..];
    for (i, byte) in bytes.iter().enumerate() {
        let (x, y) = d2xy(side, i);
        assert_eq!(texture[4 * (y * side + x)], *byte, "byte {i}");
    }
}

/// Width, height, and RGBA pixels of a PNG.
fn decode(path: &Path) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgba, png::BitDepth::Eight));
    (usize::try_from(info.width).unwrap(), usize::try_from(info.height).unwrap(), pixels)
}

#[test]
fn pixelrts_pictures_hold_four_bytes_a_pixel() {
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..10_001_u32).map(|i| u8::try_from(i % 253).unwrap()).collect();
    let out = scratch.file("out.png");
    export(&folded(&scratch, &bytes), "rts-png", &[], &out);
    let (width, height, pixels) = decode(&out);
    assert_eq!(width, height);
    for (i, four) in bytes.chunks(4).enumerate() {
        let (x, y) = d2xy(width, i);
        let at = 4 * (y * width + x);
        assert_eq!(&pixels[at..at + four.len()], four, "pixel {i}");
    }
}

#[test]
fn pictures_fit_the_side_and_palettes_differ() {
    let scratch = Scratch::new();
    let mut bytes = vec![0; 100_000];
    bytes.extend(b"text ".repeat(40_000));
    bytes.extend((0..300_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]));
    let brick = folded(&scratch, &bytes);
    let mut seen = Vec::new();
    for palette in ["byte-class", "entropy", "channels", "zero", "printable", "high"] {
        let out = scratch.file("out.png");
        export(&brick, "png", &["--palette", palette, "--side", "256"], &out);
        let (width, height, pixels) = decode(&out);
        assert!(width <= 256 && height <= 256, "{palette}: {width} x {height}");
        assert!(pixels.chunks(4).any(|p| p != &pixels[..4]), "{palette} is of one colour");
        assert!(!seen.contains(&pixels), "{palette} looks like another palette");
        seen.push(pixels);
    }
    let out = scratch.file("whole.png");
    export(&brick, "png", &["--palette", "magnitude"], &out);
    let (width, _, pixels) = decode(&out);
    // One pixel a byte: equal bytes are of one colour, others of another.
    let colour = |i: usize| {
        let (x, y) = d2xy(1024, i);
        &pixels[4 * (y * width + x)..][..4]
    };
    assert_eq!(colour(0), colour(99_999));
    assert_ne!(colour(0), colour(100_000));

    // A file has no pages.
    let said = run(&[&"export", &brick, &"--format", &"png", &"--palette", &"pages", &"-o", &out]);
    assert!(said.coded(2).err.contains("memory of processes"));

    // The artifact changed: its cells are still there.
    fs::write(scratch.tree().join("artifact"), "other").unwrap();
    let said = run(&[&"export", &brick, &"--format", &"png", &"-o", &out]).ok();
    assert!(said.err.contains("cells instead"), "{}", said.err);
    let said = run(&[&"export", &brick, &"--format", &"v2br", &"-o", &out]).coded(1);
    assert!(said.err.contains("when it was folded"), "{}", said.err);
}

#[test]
fn tiles_of_geometry_os_unfold_to_their_payloads() {
    let scratch = Scratch::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/geometry_os");
    let back = scratch.file("back");
    for name in ["text_o4", "trail_o4", "ascii_o3"] {
        let brick = data.join(format!("v2br/{name}.brick"));
        run(&[&"unfold", &brick, &"-o", &back]).ok();
        let raw = fs::read(data.join(format!("v2br/{name}.raw"))).unwrap();
        assert_eq!(fs::read(&back).unwrap(), raw, "{name}");
    }
    // This one is of another version: four bytes a pixel, and a hash of its own to agree with.
    let said = run(&[&"unfold", &data.join("rts/hello_morph.rts.png"), &"-o", &back]).ok();
    assert!(said.err.contains("next: ls -l"), "it is no brick that verify takes: {}", said.err);
    assert_eq!(fs::metadata(&back).unwrap().len(), 11_980);
    fs::remove_file(&back).unwrap();
    for name in ["hello_world", "geometric_counter"] {
        run(&[&"unfold", &data.join(format!("not_v2br/{name}.brick")), &"-o", &back]).coded(4);
        assert!(!back.exists(), "{name}");
    }
}
