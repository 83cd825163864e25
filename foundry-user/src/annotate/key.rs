//! By what a question is known: the same question is asked once.
//!
//! Knows: what makes two questions the same. Must never know: answers.
//! Keeps: a key is a function of the facts, the prompt's version, the model asked for and the
//! parameters, and of nothing else: no nonce, no place, no time.

use super::prompt::{self, Subject};
use super::settings::Settings;
use crate::wire_annotate;

/// The key of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

impl Key {
    pub(super) fn of(subject: &Subject, settings: &Settings) -> Self {
        let mut hasher = blake3::Hasher::new();
        let facts = wire_annotate::facts(subject.facts());
        let parts: [&[u8]; 5] = [
            b"foundry annotation",
            &prompt::VERSION.to_le_bytes(),
            settings.model.as_bytes(),
            &settings.answer_tokens.to_le_bytes(),
            facts.as_bytes(),
        ];
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Section;
    use super::*;
    use foundry_brick::{FactValue, Facts, Meta};

    #[test]
    fn the_same_question_has_one_key() {
        let key = |path: &str, kind: &str, model: &str| {
            let meta = Meta { path: path.as_bytes().to_vec(), ..Meta::default() };
            let facts = Facts::from([("kind".to_owned(), FactValue::Text(kind.to_owned()))]);
            let section = Section { model: Some(model.to_owned()), ..Section::default() };
            Key::of(&Subject::new(&meta, &facts, str::to_owned), &section.settings().unwrap())
        };
        let first = key("/a/ls", "ELF", "m");
        assert_eq!(first, key("/b/ls", "ELF", "m"));
        assert_ne!(first, key("/b/cp", "ELF", "m"));
        assert_ne!(first, key("/b/ls", "text", "m"));
        assert_ne!(first, key("/b/ls", "ELF", "other"));
    }
}
