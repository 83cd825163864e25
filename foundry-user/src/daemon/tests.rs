//! The daemon on a real directory with a real source that needs no privileges, and its recordings.

mod annotated;
mod perturbed;
mod processes;
mod recorded;

use super::*;
use crate::annotate::settings::Section;
use crate::config::{Backend, Payload};
use crate::control::client;
use crate::sources::backends;
use crate::sources::fanotify::Options;
use crate::store::FileStorage;
use foundry_brick::parts::{Attribute, Part, PartKind};
use foundry_brick::{Brick, Editor, FactValue, Facts, Kind};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

/// A directory with a tree, a store and maybe a recording.
struct Stage {
    dir: tempfile::TempDir,
    record: bool,
    annotate: crate::annotate::Settings,
    processes: Vec<String>,
}

struct Running {
    stop: Arc<Notify>,
    thread: JoinHandle<Result<Summary, FatalError>>,
    store: PathBuf,
}

impl Stage {
    fn new(record: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        let section = Section { enabled: Some(false), ..Section::default() };
        Self { dir, record, annotate: section.settings().unwrap(), processes: vec![] }
    }

    fn tree(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("tree").join(name)
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("run.log")
    }

    fn start(&self) -> Running {
        let config = WatchConfig {
            roots: vec![self.tree("").components().collect()],
            processes: self.processes.clone(),
            store: self.store(),
            backend: Backend::Fanotify,
            payload: Payload::Reference,
            record: self.record.then(|| self.log()),
            listen: crate::config::Listen::Off,
            geometry_os: None,
            sweep: None,
            sandbox: false,
            annotate: self.annotate.clone(),
            depth: 8,
            pins: false,
            may_watch: vec![],
            schedules: vec![],
            projects: vec![],
            file: None,
        };
        let listeners = Listeners::default();
        let (stop, mut progress) = (Arc::clone(&listeners.stop), listeners.progress.subscribe());
        let thread = std::thread::spawn(move || {
            let store = Arc::new(Store::open(&config.store, config.payload.into())?);
            // The tests' own changes are what it is about; the store lies outside the tree.
            let options = Options { skip_own: false, ..Options::default() };
            run_with(&config, listeners, store, backends::fanotify(options)?)
        });
        // The socket is there before the first tick is.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let begun = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), progress.changed()).await
        });
        match begun {
            Ok(Ok(())) => {}
            Ok(Err(_)) => panic!("the daemon did not start: {:?}", thread.join()),
            Err(_) => panic!("the daemon takes too long to start"),
        }
        Running { stop, thread, store: self.store() }
    }

    /// Every file of the tree has its brick, true to it; and there is no other brick.
    fn check(&self) {
        let mut want: BTreeMap<Vec<u8>, [u8; 32]> = BTreeMap::new();
        let mut todo = vec![self.tree("")];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let (path, kind) = entry.map(|e| (e.path(), e.file_type().unwrap())).unwrap();
                if kind.is_dir() {
                    todo.push(path);
                } else if kind.is_file() {
                    let hash = blake3::hash(&fs::read(&path).unwrap());
                    want.insert(path.as_os_str().as_bytes().to_vec(), *hash.as_bytes());
                }
            }
        }
        assert_eq!(hashes(&self.store()), want);
        self.check_directories();
    }

    /// Every directory's brick has the entries that are there, and their sizes.
    fn check_directories(&self) {
        let mut todo = vec![self.tree("").components().collect::<PathBuf>()];
        while let Some(dir) = todo.pop() {
            let mut want = BTreeMap::new();
            for entry in fs::read_dir(&dir).unwrap() {
                let entry = entry.unwrap();
                let stat = entry.metadata().unwrap();
                if stat.is_dir() {
                    todo.push(entry.path());
                }
                let size = stat.is_file().then_some(stat.len());
                want.insert(entry.file_name().as_bytes().to_vec(), size);
            }
            let place = crate::store::brick_path(&self.store(), dir.as_os_str().as_bytes());
            let parts = open(place).parts().unwrap().unwrap();
            let entry = |part: &Part| {
                let size = part.numbers.get(&Attribute::SIZE).copied();
                (part.name.to_vec(), size.filter(|_| part.kind == PartKind::FILE))
            };
            let shown: BTreeMap<_, _> = parts.iter().map(|(_, part)| entry(part)).collect();
            assert_eq!(shown, want, "{}", dir.display());
        }
    }
}

impl Running {
    fn sync(&self) {
        client::sync(&self.store, Duration::from_secs(60)).unwrap();
    }

    fn stop(self) -> Report {
        self.stop.notify_one();
        self.thread.join().unwrap().unwrap().report
    }
}

fn watch_config() -> WatchConfig {
    let wishes = crate::config::Wishes {
        watch: vec!["/".into()],
        store: Some("/nowhere".into()),
        ..crate::config::Wishes::default()
    };
    wishes.watch().unwrap()
}

/// Path and content hash of each brick of a store.
fn hashes(store: &Path) -> BTreeMap<Vec<u8>, [u8; 32]> {
    let hash = |brick: Brick<FileStorage>| (brick.meta().path.clone(), brick.blake3().unwrap());
    let all = crate::store::bricks(store).unwrap().into_iter().map(open);
    all.filter(|brick| brick.meta().kind == Kind::File).map(hash).collect()
}

fn open(file: PathBuf) -> Brick<FileStorage> {
    let brick = Brick::open(FileStorage::open_to_read(&file).unwrap()).unwrap();
    assert!(brick.verify().is_empty(), "{}", file.display());
    brick
}

/// Name and bytes of each brick file.
fn files(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |file: PathBuf| {
        let bytes = fs::read(&file).unwrap();
        (file.strip_prefix(store).unwrap().to_owned(), bytes)
    };
    crate::store::bricks(store).unwrap().into_iter().map(read).collect()
}

/// Some of everything that happens to files.
fn live_through(stage: &Stage, daemon: &Running) {
    let at = |name: &str| stage.tree(name);
    fs::write(at("a"), vec![1; 200_000]).unwrap();
    fs::create_dir_all(at("d/e")).unwrap();
    fs::write(at("d/e/f"), "deep").unwrap();
    daemon.sync();
    stage.check();
    fs::rename(at("d"), at("g")).unwrap();
    fs::hard_link(at("a"), at("g/link")).unwrap();
    fs::write(at("new"), "replaced").unwrap();
    fs::rename(at("new"), at("g/e/f")).unwrap();
    let file = fs::OpenOptions::new().write(true).open(at("a")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"patch", 70_000).unwrap();
    daemon.sync();
    stage.check();
    file.set_len(66_000).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("symlink")).unwrap();
    fs::remove_dir_all(at("g")).unwrap();
    fs::write(at("z"), "").unwrap();
    daemon.sync();
    stage.check();
}

#[test]
fn bricks_follow_the_tree_and_a_recording_makes_the_same_files_again() {
    let stage = Stage::new(true);
    let daemon = stage.start();
    live_through(&stage, &daemon);
    let report = daemon.stop();
    assert_eq!(report.numbers["artifacts"], 2);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(stage.log()).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let live = files(&stage.store());
    for name in ["replayed", "again"] {
        let store = stage.dir.path().join(name);
        let replayed = replay::run(&stage.log(), &store).unwrap();
        assert!(!replayed.truncated);
        assert!(files(&store) == live, "{name} differs");
        let error = replay::run(&stage.log(), &store);
        assert!(matches!(error, Err(replay::ReplayError::NotEmpty(_))));
    }
}

#[test]
fn a_recording_that_was_cut_replays_up_to_there() {
    let stage = Stage::new(true);
    let daemon = stage.start();
    fs::write(stage.tree("a"), "1").unwrap();
    daemon.sync();
    daemon.stop();
    let bytes = fs::read(stage.log()).unwrap();
    fs::write(stage.log(), &bytes[..bytes.len() - 3]).unwrap();
    let replayed = replay::run(&stage.log(), &stage.dir.path().join("r")).unwrap();
    assert!(replayed.truncated);
}

#[test]
fn a_restart_reads_only_what_may_have_changed() {
    let stage = Stage::new(false);
    for i in 0..20 {
        fs::write(stage.tree(&format!("f{i}")), format!("{i}")).unwrap();
    }
    let daemon = stage.start();
    daemon.sync();
    let report = daemon.stop();
    assert_eq!((report.first_fold.files_found, report.first_fold.files_read), (20, 20));
    fs::write(stage.tree("f3"), "other").unwrap();
    fs::remove_file(stage.tree("f4")).unwrap();
    fs::rename(stage.tree("f5"), stage.tree("g5")).unwrap();
    let daemon = stage.start();
    daemon.sync();
    stage.check();
    let first = daemon.stop().first_fold;
    assert!(first.complete && first.files_found == 19 && first.files_done == 19, "{first:?}");
    // f3 and g5 changed. Any other was read only where clocks are too coarse to tell, and was the same.
    assert_eq!(first.files_agreed + first.files_read, 19, "{first:?}");
    assert!(first.files_read <= first.files_unchanged + 2, "{first:?}");
}

/// Records that an earlier program wrote are made anew, all of them, and nothing else is.
#[test]
fn records_of_an_earlier_version_are_made_anew() {
    let stage = Stage::new(false);
    for i in 0..70 {
        fs::write(stage.tree(&format!("f{i}")), format!("words {i}\n")).unwrap();
    }
    // What a coarse clock could hide would be read again at the next start, and dated anew.
    let written = crate::clock::monotonic().0;
    while crate::clock::monotonic().0 < written + 50_000_000 {
        std::thread::yield_now();
    }
    let daemon = stage.start();
    daemon.sync();
    daemon.stop();
    let place = |i: usize| {
        let path = stage.tree(&format!("f{i}"));
        crate::store::brick_path(&stage.store(), path.as_os_str().as_bytes())
    };
    let generation = |i: usize| open(place(i)).generation();
    let before: Vec<u64> = (0..70).map(generation).collect();
    // All but the first were written by a program that knew less.
    for i in 1..70 {
        let mut editor = Editor::open(FileStorage::open(&place(i)).unwrap()).unwrap();
        let version = FactValue::Number(crate::facts::VERSION - 1);
        editor.set_facts(&Facts::from([("facts.version".to_owned(), version)]));
        editor.commit(open(place(i)).at_ns()).unwrap();
    }
    let daemon = stage.start();
    let is_new = |i: usize| {
        let facts = open(place(i)).facts().unwrap();
        facts["facts.version"] == FactValue::Number(crate::facts::VERSION)
            && facts.contains_key("text.lines")
    };
    let begun = crate::clock::monotonic().0;
    while !(0..70).all(is_new) {
        let waited = crate::clock::monotonic().0 - begun;
        assert!(waited < 120_000_000_000, "they are not made anew");
        daemon.sync();
    }
    daemon.sync();
    stage.check();
    daemon.stop();
    assert_eq!(generation(0), before[0], "one that was new");
    assert!((1..70).all(|i| generation(i) == before[i] + 2), "each once");
}

#[test]
fn one_daemon_for_a_store_and_no_store_in_a_tree_of_its_own() {
    let stage = Stage::new(false);
    let daemon = stage.start();
    let busy = Store::open(&stage.store(), foundry_brick::Payload::Reference);
    assert!(matches!(busy, Err(crate::store::StoreError::Busy { .. })));
    daemon.stop();
    let root = stage.tree("").components().collect::<PathBuf>();
    let inside = WatchConfig {
        store: stage.dir.path().to_owned(),
        roots: vec![root.clone()],
        ..watch_config()
    };
    assert!(matches!(check_places(&inside), Err(FatalError::Place { .. })));
    let record = Some(stage.tree("run.log"));
    let recording =
        WatchConfig { store: stage.store(), roots: vec![root], record, ..watch_config() };
    assert!(matches!(check_places(&recording), Err(FatalError::Place { .. })));
}
