//! The eBPF source on the running kernel: what is written is reported, for every way to write.

use foundry_user::artifact::{ArtifactId, FileKind};
use foundry_user::event::{Event, Extents};
use foundry_user::sources::Source;
use foundry_user::sources::ebpf::{Backend, EbpfSource, Limits};
use std::io::Write;
use std::os::fd::AsFd;

#[test]
fn a_write_is_reported_and_our_own_is_not() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it needs root");
        return;
    }
    let mut source = EbpfSource::start(Backend::Tracepoint, &Limits::default()).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let artifact = ArtifactId(7);
    source.tracker().track(file.as_file().as_fd(), artifact, FileKind::File, 0).unwrap();
    file.write_all(b"own").unwrap();
    let mut events = Vec::new();
    source.drain(&mut events).unwrap();
    assert!(events.is_empty(), "{events:?}");
    let status = std::process::Command::new("dd")
        .arg(format!("of={}", file.path().display()))
        .args(["if=/dev/zero", "bs=100000", "count=2", "seek=1", "conv=notrunc", "status=none"])
        .status();
    assert!(status.unwrap().success());
    source.drain(&mut events).unwrap();
    let [Event::Dirty { artifact: seen, extents, actor: Some(actor), .. }] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert_eq!((*seen, extents), (artifact, &Extents::Ranges(vec![(65_536, 327_680)])));
    assert_eq!(actor.comm, b"dd");
}
