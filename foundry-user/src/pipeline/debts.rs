//! What is still owed: the sequence numbers of inputs whose consequences are not all in the bricks yet.
//!
//! Knows: numbers. Must never know: what the work is.
//! Keeps: every piece of work carries the number of the input that caused it, followers inherit it;
//! a sync with number S is kept once nothing at or below S is owed.

use std::collections::BTreeMap;

/// Number of an input in this run, from 1.
pub(super) type Seq = u64;

/// A multiset of sequence numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Debts {
    owed: BTreeMap<Seq, u32>,
    total: u64,
}

impl Debts {
    /// One more piece of work caused by `seq`.
    pub(super) fn owe(&mut self, seq: Seq) {
        *self.owed.entry(seq).or_default() += 1;
        self.total += 1;
    }

    /// One piece of work caused by `seq` is done, or has become part of another.
    pub(super) fn pay(&mut self, seq: Seq) {
        match self.owed.get_mut(&seq) {
            Some(n) if 1 < *n => *n -= 1,
            Some(_) => drop(self.owed.remove(&seq)),
            None => {
                debug_assert!(false, "paid a debt nobody had: {seq}");
                return;
            }
        }
        self.total -= 1;
    }

    /// Two pieces of work become one: the older number stays owed.
    pub(super) fn merge(&mut self, a: Seq, b: Seq) -> Seq {
        self.pay(a.max(b));
        a.min(b)
    }

    /// Whether everything caused by inputs up to `seq` is done.
    #[must_use]
    pub(super) fn settled(&self, seq: Seq) -> bool {
        self.owed.first_key_value().is_none_or(|(&least, _)| seq < least)
    }

    /// Whether nothing is owed at all.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Pieces of work.
    #[must_use]
    pub(super) const fn len(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_debt_decides() {
        let mut d = Debts::default();
        assert!(d.settled(9));
        d.owe(3);
        d.owe(5);
        d.owe(3);
        assert!(d.settled(2) && !d.settled(3));
        assert_eq!(d.merge(3, 5), 3);
        d.pay(3);
        assert!(!d.settled(4));
        d.pay(3);
        assert!(d.is_empty() && d.settled(u64::MAX));
    }
}
