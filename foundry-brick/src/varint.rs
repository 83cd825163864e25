//! Unsigned LEB128 numbers, in their shortest form only.
//!
//! Knows: bytes. Must never know: what a number counts.
//! Keeps: one number has one encoding; reading never looks beyond the slice.

/// What can be wrong with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VarintError {
    /// The bytes end within it.
    #[error("ends within a number")]
    Short,
    /// It does not fit 64 bits, or has needless bytes.
    #[error("a number is not in its shortest form")]
    Form,
}

/// Appends `value`.
pub fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Takes a number off the front.
///
/// # Errors
/// Where there is none.
pub fn read(rest: &mut &[u8]) -> Result<u64, VarintError> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(rest)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(VarintError::Form);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            let needless = byte == 0 && shift > 0;
            return if needless { Err(VarintError::Form) } else { Ok(value) };
        }
    }
    Err(VarintError::Form)
}

/// Takes one byte off the front.
///
/// # Errors
/// Where there is none.
pub fn byte(rest: &mut &[u8]) -> Result<u8, VarintError> {
    let (first, after) = rest.split_first().ok_or(VarintError::Short)?;
    *rest = after;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_one_form() {
        for value in (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            assert_eq!(read(&mut &bytes[..]), Ok(value));
            assert_eq!(read(&mut &bytes[..bytes.len() - 1]), Err(VarintError::Short));
        }
        assert_eq!(read(&mut &[0x80, 0x00][..]), Err(VarintError::Form));
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read(&mut &too_large[..]), Err(VarintError::Form));
    }
}
