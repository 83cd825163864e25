//! Whether the machine has better things to do: pressure stall information.
//!
//! Knows: `/proc/pressure`. Must never know: what is paused.
//! Keeps: a kernel without it never pauses anything.

use super::settings::Settings;
use std::path::{Path, PathBuf};

/// Where the kernel says it.
#[derive(Clone, Debug)]
pub(super) struct Pressure(PathBuf);

impl Pressure {
    pub(super) fn of_this_machine() -> Self {
        Self(PathBuf::from("/proc/pressure"))
    }

    #[cfg(test)]
    pub(super) fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Why nothing should be asked now, in words.
    pub(super) fn too_high(&self, settings: &Settings) -> Option<String> {
        [("memory", settings.pause_memory), ("cpu", settings.pause_cpu)]
            .into_iter()
            .filter(|(_, limit)| 0 < *limit)
            .find_map(|(name, limit)| {
                let hundredths = some_avg10(&self.0.join(name))?;
                let over = limit.saturating_mul(100) < hundredths;
                over.then(|| {
                    format!("the machine is busy ({name} pressure {} %)", hundredths / 100)
                })
            })
    }
}

/// Hundredths of a per cent of the last ten seconds in which somebody waited.
fn some_avg10(path: &Path) -> Option<u32> {
    parse(&std::fs::read_to_string(path).ok()?)
}

fn parse(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = line.split(' ').find_map(|word| word.strip_prefix("avg10="))?;
    let (whole, part) = value.split_once('.')?;
    let part: u32 = part.get(..2)?.parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::super::settings::Section;
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let text = "some avg10=40.01 avg60=1.00 avg300=0.00 total=1\nfull avg10=9.00 avg60=0.00\n";
        assert_eq!(parse(text), Some(4001));
        for broken in ["", "full avg10=1.00", "some avg10=x", "some avg10=1", "some avg10=9.9"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn above_the_limit_and_not_below() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Section::default().settings().unwrap();
        let pressure = Pressure::at(dir.path());
        assert_eq!(pressure.too_high(&settings), None);
        std::fs::write(dir.path().join("cpu"), "some avg10=40.00 avg60=0.00\n").unwrap();
        assert_eq!(pressure.too_high(&settings), None);
        std::fs::write(dir.path().join("cpu"), "some avg10=40.01 avg60=0.00\n").unwrap();
        let why = pressure.too_high(&settings).unwrap();
        assert!(why.contains("cpu pressure 40 %"), "{why}");
        assert_eq!(pressure.too_high(&Settings { pause_cpu: 0, ..settings }), None);
    }
}
