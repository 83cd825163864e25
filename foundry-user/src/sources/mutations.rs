//! Bytes gone wrong, for the tests of parsers.
//!
//! Knows: bytes. Must never know: what they mean.
//! Keeps: the seed is printed, and `FOUNDRY_SEED` repeats a run.

/// Calls `check` with many damaged copies of `good`: bits flipped, bytes replaced by awkward ones,
/// pieces cut out, doubled, and the end cut off.
pub(crate) fn each(good: &[u8], mut check: impl FnMut(&[u8])) {
    let seed = match std::env::var("FOUNDRY_SEED") {
        Ok(given) => given.parse().unwrap(),
        Err(_) => crate::clock::monotonic().0 | 1,
    };
    println!("FOUNDRY_SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..20_000 {
        let mut bytes = good.to_vec();
        for _ in 0..=random.below(4) {
            damage(&mut bytes, &mut random);
        }
        check(&bytes);
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    const AWKWARD: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len());
    let end = at + random.below(bytes.len() - at + 1);
    match random.below(5) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = AWKWARD[random.below(AWKWARD.len())],
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        _ => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % bound
    }
}
