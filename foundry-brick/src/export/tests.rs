//! Exports read back, and files of the other project.

use super::*;
use std::path::PathBuf;

fn data(name: &str) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/geometry_os");
    let path = dir.join(name);
    std::fs::read(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * i + i / 7) % 256).unwrap()).collect()
}

#[test]
fn v2br_files_of_another_writer_read_as_their_payloads() {
    for (name, order) in [("ascii_o3", 3), ("text_o4", 4), ("trail_o4", 4)] {
        let read = read_v2br_v1(&data(&format!("v2br/{name}.brick"))).unwrap();
        assert_eq!(read.payload, data(&format!("v2br/{name}.raw")), "{name}");
        assert_eq!((read.order, read.hash_matches), (order, true), "{name}");
    }
}

#[test]
fn other_formats_of_the_same_extension_are_refused() {
    for name in ["not_v2br/geometric_counter.brick", "not_v2br/hello_world.brick"] {
        assert!(matches!(read_v2br_v1(&data(name)), Err(Error::Foreign { .. })), "{name}");
    }
}

#[test]
fn v2br_reads_back_at_every_boundary() {
    for len in [0, 1, 15, 16, 17, 256, 257, 70_000] {
        let payload = sample(len);
        let written = v2br_v1(&payload, true).unwrap();
        let read = read_v2br_v1(&written).unwrap();
        assert_eq!(read.payload, payload, "{len}");
        assert_eq!(written.len(), V2BR_HEADER_LEN + (4 << (2 * read.order)));
        assert!(read.order.is_multiple_of(2) && read.hash_matches && read.flags & 4 != 0);
    }
}

#[test]
fn the_v2br_header_lies_as_its_readers_expect() {
    let written = v2br_v1(b"hello, map\n", false).unwrap();
    let want: &[(usize, &[u8])] = &[
        (0, b"V2BR"),
        (4, &[1, 0, 0, 0]),
        (8, &[4, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0]),
        (20, &[11, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0]),
        (40, &sha256(b"hello, map\n")),
        (72, &[0; 16]),
        (88, &[16, 0, 0, 0]),
        (92, &[0; 40]),
        // Byte 1 lies at (1, 0) of an even order.
        (132, &[b'h', b'h', b'h', 255, b'e', b'e', b'e', 255]),
    ];
    for (at, bytes) in want {
        assert_eq!(&written[*at..at + bytes.len()], *bytes, "at {at}");
    }
    let entropy = read_v2br_v1(&written).unwrap().entropy;
    assert!((entropy - 3.277_613).abs() < 1e-5, "{entropy}");
}

#[test]
fn hostile_v2br_headers_are_refused() {
    let good = v2br_v1(&sample(100), false).unwrap();
    let patches: [(usize, &[u8]); 6] = [
        (4, &[2]),
        (8, &[0xff, 0xff, 0xff, 0xff]),
        (16, &[40]),
        (16, &[5]),
        (20, &[1, 1]),
        (27, &[0x80]),
    ];
    for (at, bytes) in patches {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        assert!(read_v2br_v1(&bad).is_err(), "at {at}");
    }
    for len in 0..good.len() {
        assert!(read_v2br_v1(&good[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn pixel_rts_files_of_the_other_project_read_as_their_hash_says() {
    for (name, len) in [
        ("rts/hello_morph.rts.png", 11_980),
        ("rts/infinite_map_rs_test_cartridge_64.rts.png", 16_384),
    ] {
        let read = read_rts_png(&data(name)).unwrap();
        assert_eq!((read.payload.len(), read.hash_matches), (len, Some(true)), "{name}");
    }
}

#[test]
fn pixel_rts_reads_back_and_names_nothing_executable() {
    for len in [0, 1, 4, 63, 64, 65, 1025, 70_001] {
        let payload = sample(len);
        let written = rts_png(&payload, None).unwrap();
        let read = read_rts_png(&written).unwrap();
        assert_eq!((&read.payload, read.hash_matches), (&payload, Some(true)), "{len}");
        let metadata = read.metadata.unwrap();
        for key in ["container_type", "inference_stub", "source_code", "original_data_b64"] {
            assert!(!metadata.contains(key), "{key}");
        }
        let json: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        assert_eq!(json["grid_size"].as_u64(), Some(1 << read.order));
        assert_eq!(json["data_size"].as_u64(), Some(len as u64));
    }
}

#[test]
fn damaged_pictures_are_errors() {
    let good = rts_png(&sample(500), None).unwrap();
    for len in 0..good.len() - 12 {
        assert!(read_rts_png(&good[..len]).is_err(), "cut at {len}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        // Either an error, or the picture says itself that its bytes are not those it hashed.
        if let Ok(read) = read_rts_png(&bad) {
            assert!(read.payload == sample(500) || read.hash_matches != Some(true), "at {at}");
        }
    }
}

#[test]
fn pictures_are_cut_to_what_they_show() {
    for (len, want) in [(1, (1, 1)), (4, (2, 2)), (8, (2, 4)), (16, (4, 4)), (64, (8, 8))] {
        let file = png(Picture::Bytes(&sample(len)), Palette::ByteClass).unwrap();
        let reader = ::png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let (width, height) = (reader.info().width, reader.info().height);
        assert!((width, height) == want || (height, width) == want, "{len}: {width} x {height}");
    }
}

#[test]
fn every_palette_draws_what_it_is_for() {
    let cells = vec![[9, 8, 7, 6]; 100];
    for (name, palette) in Palette::ALL {
        assert_eq!(Palette::named(name), Some(palette));
        let of_pages = palette == Palette::Pages;
        assert_eq!(png(Picture::Bytes(&sample(1000)), palette).is_ok(), !of_pages);
        let of_cells = palette != Palette::Magnitude && !of_pages;
        assert_eq!(png(Picture::Cells(&cells), palette).is_ok(), of_cells);
        assert!(png(Picture::Colours(&[[1, 2, 3, 4]; 100]), palette).is_ok());
    }
}

#[test]
fn ramps_grow_in_lightness() {
    let light =
        |[r, g, b, _]: [u8; 4]| 2126 * u32::from(r) + 7152 * u32::from(g) + 722 * u32::from(b);
    let ramp: Vec<u32> = (0..=255).map(|n| light(Palette::Magnitude.of_byte(n))).collect();
    assert!(ramp.windows(2).all(|pair| pair[0] <= pair[1]));
}

/// The text chunk of a picture.
fn chunk(picture: &[u8], keyword: &str) -> Option<String> {
    let reader = ::png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
    let texts = &reader.info().uncompressed_latin1_text;
    texts.iter().find(|text| text.keyword == keyword).map(|text| text.text.clone())
}

#[test]
fn a_blueprint_names_the_parts_and_leaves_the_bytes_alone() {
    let payload = sample(5000);
    let region = |name: &str, kind: &str, start, end| crate::Region {
        name: name.to_owned(),
        kind: kind.to_owned(),
        start,
        end,
        address: Some(start),
    };
    let regions = [
        region(".text", "section", 64, 4001),
        region("\u{1f984}\"inference_stub\":1", "section", 4001, 4500),
        region("main", "function", 64, 100),
        region("beyond", "section", 4000, 5001),
    ];
    let blueprint = Blueprint { name: "caf\u{e9}", executable: true, regions: &regions };
    let picture = rts_png(&payload, Some(&blueprint)).unwrap();
    assert_eq!(read_rts_png(&picture).unwrap().payload, payload);
    let text = chunk(&picture, "PixelRTS-Blueprint").unwrap();
    assert!(text.is_ascii());
    let json: serde_json::Value =
        serde_json::from_str(text.strip_prefix("PixelRTS-Blueprint").unwrap()).unwrap();
    assert_eq!(json["system_name"], "caf\u{e9}");
    let parts = json["components"].as_array().unwrap();
    assert_eq!(parts.len(), 2, "{text}");
    let first = &parts[0];
    assert_eq!((first["id"].as_str(), first["type"].as_str()), (Some(".text"), Some("executable")));
    // Byte 64 is the first of pixel 16, byte 4000 the first of pixel 1000; the side is 64.
    let range = &first["hilbert_range"];
    assert_eq!(
        (range["start_index"].as_u64(), range["end_index"].as_u64()),
        (Some(16), Some(1001))
    );
    let (x, y) = crate::curve::d2xy(6, 16);
    assert_eq!(range["pixel_start"], serde_json::json!([x, y]));
    assert_eq!(parts[1]["id"], regions[1].name.as_str());
    let metadata = chunk(&picture, "PixelRTS").unwrap();
    assert!(!metadata.contains("inference_stub") && !metadata.contains(".text"), "{metadata}");
}
