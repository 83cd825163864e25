//! How long a job waits before it is tried again, and other things that chance decides.
//!
//! Knows: numbers. Must never know: clocks.
//! Keeps: the same seed, the same waits and nonces.

/// A seeded source of waits and nonces.
#[derive(Clone, Debug)]
pub(super) struct Chance {
    seed: [u8; 32],
    drawn: u64,
}

impl Chance {
    /// What follows is a function of `seed`.
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Nobody can foresee what follows, if the system has randomness to give.
    pub(super) fn unforeseeable() -> std::io::Result<Self> {
        let mut seed = [0; 32];
        let mut source = std::fs::File::open("/dev/urandom")?;
        std::io::Read::read_exact(&mut source, &mut seed)?;
        Ok(Self::new(seed))
    }

    fn draw(&mut self) -> blake3::Hash {
        self.drawn += 1;
        blake3::keyed_hash(&self.seed, &self.drawn.to_le_bytes())
    }

    /// A word that untrusted text cannot have guessed.
    pub(super) fn nonce(&mut self) -> String {
        self.draw().to_hex()[..16].to_owned()
    }

    /// Full jitter: anything up to `base` doubled for each attempt before, and up to `cap`.
    pub(super) fn wait_ms(&mut self, base: u64, cap: u64, attempts: u32) -> u64 {
        let most = base.saturating_mul(1 << attempts.min(20)).min(cap);
        let mut eight = [0; 8];
        eight.copy_from_slice(&self.draw().as_bytes()[..8]);
        u64::from_le_bytes(eight) % most.saturating_add(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_bounded_and_differ() {
        let mut chance = Chance::new([7; 32]);
        for attempts in 0..40 {
            let most = (2_000u64 << attempts.min(9)).min(600_000);
            for _ in 0..50 {
                assert!(chance.wait_ms(2_000, 600_000, attempts) <= most);
            }
        }
        let long: Vec<u64> = (0..50).map(|_| chance.wait_ms(2_000, 600_000, 30)).collect();
        assert!(long.iter().any(|w| 300_000 < *w) && long.iter().any(|w| *w < 300_000));
        let (mut a, mut b) = (Chance::new([1; 32]), Chance::new([1; 32]));
        assert_eq!(a.nonce(), b.nonce());
        assert_ne!(a.nonce(), a.nonce());
        assert_eq!(Chance::unforeseeable().unwrap().nonce().len(), 16);
    }
}
