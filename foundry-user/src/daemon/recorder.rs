//! The recorder: a thread that appends every input to a replay log.
//!
//! Knows: the log. Must never know: what inputs mean.
//! Keeps: an input is in the queue before it is stepped; the file is for its owner only.

use super::FatalError;
use crate::log::{Header, LogError, LogWriter};
use crate::pipeline::input::Input;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// The log being written.
pub(super) struct Recorder {
    queue: mpsc::Sender<Input>,
    thread: JoinHandle<Result<(), LogError>>,
    path: PathBuf,
}

/// Makes the file of a log, where it may only be written later; or opens the one there is.
pub(super) fn make(path: &Path) -> Result<File, FatalError> {
    let error =
        |e: Errno| FatalError::Record { path: path.to_owned(), source: LogError::Io(e.into()) };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::open(path, flags, mode).map_err(error)?;
    // A file that was there may be open to others.
    rustix::fs::fchmod(&file, mode).map_err(error)?;
    Ok(File::from(file))
}

impl Recorder {
    /// Begins a log; an older one of that name is replaced.
    pub(super) fn start(path: &Path, header: &Header) -> Result<Self, FatalError> {
        let error = |source| FatalError::Record { path: path.to_owned(), source };
        let file = make(path)?;
        file.set_len(0).map_err(|e| error(LogError::Io(e)))?;
        let to = BufWriter::with_capacity(1 << 20, file);
        let log = LogWriter::new(to, header).map_err(error)?;
        let (queue, inputs) = mpsc::channel(64);
        let thread = std::thread::Builder::new().name("recorder".to_owned());
        let thread = thread.spawn(move || record(log, inputs));
        let thread = thread.map_err(|source| FatalError::Io { op: "start a thread", source })?;
        Ok(Self { queue, thread, path: path.to_owned() })
    }

    /// Waits where the recorder is behind.
    pub(super) async fn append(&mut self, input: &Input) -> Result<(), FatalError> {
        let sent = self.queue.send(input.clone()).await;
        // It only leaves early where the log cannot be written: `finish` says why.
        sent.map_err(|_| FatalError::Record {
            path: self.path.clone(),
            source: LogError::Io(std::io::ErrorKind::BrokenPipe.into()),
        })
    }

    /// Everything is in the file when this returns.
    pub(super) fn finish(self) -> Result<(), FatalError> {
        drop(self.queue);
        let done = self.thread.join().map_err(|_| FatalError::Panic("the recorder"))?;
        done.map_err(|source| FatalError::Record { path: self.path, source })
    }
}

fn record<W: std::io::Write>(
    mut log: LogWriter<W>,
    mut inputs: mpsc::Receiver<Input>,
) -> Result<(), LogError> {
    while let Some(input) = inputs.blocking_recv() {
        log.append(&input)?;
        if inputs.is_empty() {
            log.flush()?;
        }
    }
    log.flush()
}
