//! How much fits: the sizes of what can overflow, which tests make tiny.
//!
//! Knows: `FOUNDRY_SIZES`. Must never know: what an overflow leads to.
//! Keeps: a word that is not known, or a size that cannot be, is an error and not another size.

use super::FatalError;
use crate::sources::ebpf::Limits;
use crate::sources::fanotify::Options;

/// The variable: words such as `artifacts=64,words=16,bell=4096,life=4096,queue=bounded`.
const VARIABLE: &str = "FOUNDRY_SIZES";

/// Sizes of the sources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) limits: Limits,
    pub(super) hints: Options,
}

impl Sizes {
    /// As the environment says; what it does not name is as usual.
    pub(super) fn from_environment(usual: Limits) -> Result<Self, FatalError> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text, usual).map_err(FatalError::Sizes),
            Err(std::env::VarError::NotPresent) => {
                Self::parse("", usual).map_err(FatalError::Sizes)
            }
            Err(error) => Err(FatalError::Sizes(error.to_string())),
        }
    }

    fn parse(text: &str, usual: Limits) -> Result<Self, String> {
        let mut sizes = Self { limits: usual, hints: Options::default() };
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let unknown = || format!("`{word}` is no size");
            let (name, value) = word.split_once('=').ok_or_else(unknown)?;
            if (name, value) == ("queue", "bounded") {
                sizes.hints.unlimited_queue = false;
                continue;
            }
            let number: u32 = value.parse().map_err(|_| unknown())?;
            let ring = number.is_power_of_two() && number >= 4096;
            let Limits { artifacts, words, bell_bytes, life_bytes, .. } = &mut sizes.limits;
            match name {
                "artifacts" if number > 0 => *artifacts = number,
                "words" if number > 0 => *words = number,
                "bell" if ring => *bell_bytes = number,
                "life" if ring => *life_bytes = number,
                _ => return Err(unknown()),
            }
        }
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_word_by_word() {
        let usual = Limits::default();
        let sizes = Sizes::parse("artifacts=64,words=16,bell=8192,queue=bounded", usual).unwrap();
        let wanted = Limits { artifacts: 64, words: 16, bell_bytes: 8192, ..usual };
        assert_eq!(sizes.limits, wanted);
        assert!(!sizes.hints.unlimited_queue);
        let large = Limits { artifacts: 1 << 20, ..usual };
        assert_eq!(Sizes::parse("", large).unwrap().limits, large);
        assert_eq!(Sizes::parse("artifacts=64", large).unwrap().limits.artifacts, 64);
        for wrong in ["bell=5000", "life=1", "artifacts=0", "words", "queue=1", "rings=4096"] {
            assert!(Sizes::parse(wrong, usual).is_err(), "{wrong}");
        }
    }
}
