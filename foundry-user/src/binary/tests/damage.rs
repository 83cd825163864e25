//! Damaged programs: bits flipped, fields made huge, tails cut off, pieces put elsewhere.
//!
//! The seed is printed; `FOUNDRY_SEED` repeats a run, `FOUNDRY_MUTATIONS` makes it longer.

use super::*;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).unwrap()
    }
}

/// Numbers at which counts, offsets and sizes go wrong.
const EXTREMES: &[u64] = &[
    0,
    1,
    3,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    u64::MAX / 2,
    u64::MAX - 1,
    u64::MAX,
];

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(6) {
        if bytes.is_empty() {
            return;
        }
        // Most of what can go wrong stands in the first and in the last bytes.
        let at = match random.below(4) {
            0 => random.below(bytes.len().min(64)),
            1 => random.below(bytes.len().min(1024)),
            2 => bytes.len() - 1 - random.below(bytes.len().min(8192)),
            _ => random.below(bytes.len()),
        };
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 | 2 => {
                let value = EXTREMES[random.below(EXTREMES.len())];
                let width = [2, 4, 8][random.below(3)].min(bytes.len() - at);
                let encoded =
                    if random.below(2) == 0 { value.to_le_bytes() } else { value.to_be_bytes() };
                let from = if encoded[0] == 0 { 8 - width } else { 0 };
                bytes[at..at + width].copy_from_slice(&encoded[from..from + width]);
            }
            3 => {
                let len = random.below(64).min(bytes.len() - at);
                let from = random.below(bytes.len() - len);
                let piece = bytes[from..from + len].to_vec();
                bytes[at..at + len].copy_from_slice(&piece);
            }
            4 => bytes.truncate(at),
            _ => bytes[at] = u8::try_from(random.next() & 0xff).unwrap(),
        }
    }
}

#[test]
fn damaged_programs_give_a_description_and_nothing_worse() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    let seed = number("FOUNDRY_SEED").unwrap_or_else(|| {
        use std::hash::{BuildHasher, Hasher};
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    });
    let rounds = number("FOUNDRY_MUTATIONS").unwrap_or(4000);
    println!("FOUNDRY_SEED={seed} FOUNDRY_MUTATIONS={rounds}");
    let mut corpus: Vec<(String, Vec<u8>)> = samples::objects();
    corpus.push(("pe".to_owned(), samples::pe()));
    let macho = corpus.iter().find(|o| o.0 == "MachO X86_64").unwrap().1.clone();
    corpus.push(("fat".to_owned(), samples::fat(&[(7, 3, &macho), (12, 0, &macho)])));
    for path in samples::files(40) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        if bytes.len() < 200_000 {
            corpus.push((path.display().to_string(), bytes));
        }
    }
    let mut random = Random(seed);
    for round in 0..rounds {
        let (name, bytes) = &corpus[random.below(corpus.len())];
        let mut bytes = bytes.clone();
        damage(&mut bytes, &mut random);
        let what = format!("seed {seed}, round {round}, {name}");
        let got = described(&bytes);
        check_invariants(&got, bytes.len() as u64, &what);
    }
}
