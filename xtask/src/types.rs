//! The types of a kernel (its BTF), taken out of its image.
//!
//! Knows: where x86's images keep what they unpack, what BTF begins with. Must never know: what is
//! looked for in the types.
//! Keeps: nothing is booted or loaded, and no privilege is needed.

use crate::{Outcome, place, tools};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How x86's kernels are packed: what it begins with, and whose `-dc` unpacks it.
const PACKED: [(&[u8], &str, &str); 3] = [
    (&[0x02, 0x21, 0x4c, 0x18], "lz4", "lz4"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "xz-utils"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstd"),
];

/// Writes the types that `image` holds to `to`, unless they are there.
pub(crate) fn extract(image: &Path, to: &Path) -> Outcome {
    if to.exists() {
        return Ok(());
    }
    let bytes = fs::read(image)?;
    let unpacked = match packed(&bytes) {
        Some(part) => unpack(part)?,
        None => bytes,
    };
    let types = btf(&unpacked).ok_or_else(|| format!("{} shows no BTF", image.display()))?;
    fs::write(to, types)?;
    Ok(())
}

/// The tests that look for every field in the types of `kernels`, each an architecture as the tests call
/// it, a name, and a file.
pub(crate) fn fields(kernels: &[(&str, String, PathBuf)]) -> Command {
    let said = kernels.iter().map(|(machine, name, path)| {
        let path = path.display();
        format!("{machine} {name} {path}")
    });
    let mut test = place::cargo();
    test.args(["test", "--locked", "-p", "foundry-user", "--lib", "--", "sources::ebpf::layout"]);
    test.env("FOUNDRY_BTF", said.collect::<Vec<_>>().join("\n"));
    test
}

/// The packed kernel inside an image for x86: Linux/x86 Boot Protocol, `setup_sects`, `payload_offset`
/// and `payload_length`. `None` for an image that has no such header.
fn packed(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = usize::from(*image.get(0x1f1)?);
    let start = ((sectors + 1) * 512).checked_add(word(0x248)?)?;
    // Its last four bytes are the unpacked size, which is no part of what the packer wrote.
    let end = start.checked_add(word(0x24c)?)?.checked_sub(4)?;
    image.get(start..end)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let known = PACKED.iter().find(|(start, ..)| packed.starts_with(start));
    let (_, program, package) = known.ok_or("the kernel is packed by an unknown program")?;
    let program = tools::ensure_debian(program, package)?;
    let mut child =
        Command::new(program).arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // Both ends at once: neither pipe holds a kernel.
        let writing = scope.spawn(|| input.map_or(Ok(()), |mut pipe| pipe.write_all(packed)));
        let output = child.wait_with_output();
        match writing.join() {
            Ok(written) => written.and(output),
            Err(_) => Err(std::io::Error::other("the writer of the pipe panicked")),
        }
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("unpacking the kernel: {}", output.status).into())
}

/// The BTF inside an unpacked kernel: its magic, version 1, no flags, a header of 24 bytes, and types that
/// are followed by strings.
fn btf(image: &[u8]) -> Option<&[u8]> {
    const START: [u8; 12] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0];
    let word = |at: usize| {
        let bytes = image.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let mut starts = image.windows(START.len()).enumerate().filter(|(_, bytes)| *bytes == START);
    starts.find_map(|(at, _)| {
        let (types, strings, strings_len) = (word(at + 12)?, word(at + 16)?, word(at + 20)?);
        let end = at.checked_add(24)?.checked_add(strings)?.checked_add(strings_len)?;
        (types == strings && types > 0).then(|| image.get(at..end))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_in_an_image() {
        let mut image = vec![7; 100];
        let header = |types: u32, strings: u32| {
            let words = [24, 0, types, types, strings].map(u32::to_le_bytes);
            [&[0x9f, 0xeb, 1, 0][..], &words.concat()].concat()
        };
        // A header that says more than there is, as a constant in code may.
        image.extend(header(1 << 20, 1 << 20));
        assert_eq!(btf(&image), None);
        let whole = [header(4, 2), vec![1; 6]].concat();
        image.extend(&whole);
        image.extend([9; 30]);
        assert_eq!(btf(&image), Some(&whole[..]));
    }

    #[test]
    fn the_packed_kernel_is_found() {
        let mut image = vec![0; 3 * 512];
        image[0x1f1] = 2;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&5_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&10_u32.to_le_bytes());
        image.extend(b"?????packed4444and more");
        assert_eq!(packed(&image), Some(&b"packed"[..]));
        assert_eq!(packed(&image[..3 * 512 + 10]), None, "cut short");
        image[0x202] = b'?';
        assert_eq!(packed(&image), None, "another architecture's");
    }
}
