//! The artifacts that one inode stands for: nearly always one, several for hard links.
//!
//! Knows: artifacts' numbers. Must never know: how a source names an inode.
//! Keeps: no artifact twice; one of them costs no allocation.

use crate::artifact::ArtifactId;

/// A set of artifacts that is rarely larger than one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owners {
    One(ArtifactId),
    Many(Vec<ArtifactId>),
}

impl Owners {
    /// Adds `artifact` where it is not yet in the set.
    pub(super) fn add(&mut self, artifact: ArtifactId) {
        if self.iter().any(|owner| owner == artifact) {
            return;
        }
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, artifact]),
            Self::Many(owners) => owners.push(artifact),
        }
    }

    /// Takes `artifact` out; true where nobody is left.
    pub(super) fn remove(&mut self, artifact: ArtifactId) -> bool {
        match self {
            Self::One(only) => *only == artifact,
            Self::Many(owners) => {
                owners.retain(|owner| *owner != artifact);
                owners.is_empty()
            }
        }
    }

    /// In the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = ArtifactId> + '_ {
        match self {
            Self::One(only) => std::slice::from_ref(only).iter().copied(),
            Self::Many(owners) => owners.iter().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_once_and_go() {
        let (a, b) = (ArtifactId(1), ArtifactId(2));
        let mut owners = Owners::One(a);
        owners.add(a);
        assert_eq!(owners, Owners::One(a));
        owners.add(b);
        owners.add(b);
        assert_eq!(owners.iter().collect::<Vec<_>>(), [a, b]);
        assert!(!owners.remove(a));
        assert!(owners.remove(b));
        assert!(Owners::One(a).remove(a));
        assert!(!Owners::One(a).remove(b));
    }
}
