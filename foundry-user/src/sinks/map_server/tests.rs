//! The server as a client meets it: every example of API.md, the guard, live messages.

mod examples;

use super::*;
use crate::artifact::ArtifactId;
use crate::event::Actor;
use foundry_brick::storage::MemStorage;
use foundry_brick::{Editor, Meta, Writer};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Fixture {
    dir: tempfile::TempDir,
    updates: broadcast::Sender<Arc<Update>>,
    server: MapServer,
}

/// Folds a file into its brick, as another generation where there is one.
fn fold(dir: &Path, path: &Path, at_ns: i64) -> Vec<u64> {
    let content = std::fs::read(path).unwrap();
    let stat = std::fs::metadata(path).unwrap();
    let mut meta = Meta {
        path: path.to_str().unwrap().as_bytes().to_vec(),
        mtime_ns: stat.mtime() * 1_000_000_000 + stat.mtime_nsec(),
        ..Meta::default()
    };
    (meta.identity.dev, meta.identity.ino) = (stat.dev(), stat.ino());
    let brick = brick_of(dir, &meta.path);
    let mut storage = match std::fs::read(&brick) {
        Ok(bytes) => MemStorage::from(bytes),
        Err(_) => MemStorage::new(),
    };
    let mut editor = if brick.exists() {
        Editor::open(&mut storage).unwrap()
    } else {
        Editor::create(&mut storage, meta.clone()).unwrap()
    };
    editor.set_meta(meta);
    editor.resize(content.len() as u64).unwrap();
    if !content.is_empty() {
        editor.put(0, &content).unwrap();
    }
    let writer = Writer { exe: b"/usr/bin/dd".to_vec(), at_ns, ..Writer::default() };
    editor.set_writer(0..content.len() as u64, writer);
    let committed = editor.commit(at_ns).unwrap();
    drop(editor);
    std::fs::write(brick, storage.bytes()).unwrap();
    committed.changed_tiles.unwrap_or_default()
}

fn brick_of(dir: &Path, path: &[u8]) -> PathBuf {
    dir.join("store").join(&blake3::hash(path).to_hex()[..20])
}

/// A brick of process 7, which maps two pages of `file` from its second page on, and has anonymous memory.
fn fold_process(dir: &Path, file: &Path) {
    use foundry_brick::parts::{
        Link, PAGE_BYTES, PAGE_ORDER, PageRun, Part, PartKind, Parts, page,
    };
    let part = |kind, length, pages: Vec<PageRun>| Part { kind, length, pages, ..Part::default() };
    let run = |count, state| PageRun { count, state };
    let path: Arc<[u8]> = file.to_str().unwrap().as_bytes().into();
    let mut parts = Parts::new(PAGE_ORDER);
    let states = vec![run(1, page::RESIDENT | page::FILE | page::SAMPLED), run(1, 0)];
    let link = Some(Link { path: path.clone(), offset: PAGE_BYTES });
    let mapped = part(PartKind::MAPPED_FILE, 2 * PAGE_BYTES, states);
    parts.add(Part { link, name: path, address: Some(0x4000_0000), ..mapped }).unwrap();
    let states = vec![run(5, page::RESIDENT | page::DIRTY), run(1, page::SWAPPED)];
    parts.add(part(PartKind::HEAP, 6 * PAGE_BYTES, states)).unwrap();
    let path = b"pid:7".to_vec();
    let brick = brick_of(dir, &path);
    let meta = Meta { path, kind: foundry_brick::Kind::Process, pid: Some(7), ..Meta::default() };
    let mut storage = MemStorage::new();
    let mut editor = Editor::create(&mut storage, meta).unwrap();
    editor.resize(parts.content_size()).unwrap();
    editor.put_hole(0, parts.content_size()).unwrap();
    editor.set_parts(&parts);
    let comm = foundry_brick::FactValue::Text("bash".to_owned());
    editor.set_facts(&foundry_brick::Facts::from([("comm".to_owned(), comm)]));
    let region = foundry_brick::Region {
        name: "r-xp a.txt".to_owned(),
        kind: "mapping".to_owned(),
        start: 0,
        end: 4096,
        address: Some(0x40_0000),
    };
    editor.set_regions(&[region]);
    editor.commit(5_000_000_000).unwrap();
    drop(editor);
    std::fs::write(brick, storage.bytes()).unwrap();
}

impl Fixture {
    /// Has process 7 captured, and gives its node.
    async fn capture(&self) -> u64 {
        fold_process(self.dir.path(), &self.file());
        self.updates.send(Arc::new(Update::Captured { pid: 7 })).unwrap();
        let there = async {
            while self.get("/api/v1/path?path=pid:7").await.status != 200 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, there).await.expect("the map hears of it");
        self.node(Path::new("pid:7")).await
    }

    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("sub")).unwrap();
        std::fs::create_dir_all(dir.path().join("store")).unwrap();
        std::fs::write(tree.join("a.txt"), "hello ".repeat(4000)).unwrap();
        std::fs::write(tree.join("sub/<img onerror=alert(1)>"), vec![7; 200_000]).unwrap();
        for name in ["a.txt", "sub/<img onerror=alert(1)>"] {
            fold(dir.path(), &tree.join(name), 5_000_000_000);
        }
        let (updates, receiver) = broadcast::channel(64);
        let root = dir.path().to_path_buf();
        let config = MapConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            roots: vec![tree.to_str().unwrap().as_bytes().to_vec()],
            store: dir.path().join("store"),
            saved: dir.path().join("store/map.layout"),
            brick_path: Arc::new(move |path: &[u8]| brick_of(&root, path)),
        };
        let server = start(config, receiver).await.unwrap();
        let fixture = Self { dir, updates, server };
        fixture.until_scanned().await;
        fixture
    }

    fn key(&self) -> String {
        self.server.link().split("key=").nth(1).unwrap().to_owned()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("tree/a.txt")
    }

    async fn until_scanned(&self) {
        let deadline = tokio::time::timeout(PATIENCE, async {
            loop {
                let status = self.get("/api/v1/status").await;
                if status.text().contains("\"scanning\":false,")
                    || status.text().ends_with("false}")
                {
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
        deadline.await.expect("the bricks that are there are read");
    }

    async fn get(&self, path: &str) -> Answer {
        let key = format!("Authorization: Bearer {}\r\n", self.key());
        self.send("GET", path, &key).await
    }

    async fn send(&self, method: &str, path: &str, headers: &str) -> Answer {
        let address = self.server.address();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let host =
            if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
        let request =
            format!("{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = vec![];
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        let body = bytes[split + 4..].to_vec();
        Answer { status: head[9..12].parse().unwrap(), head, body }
    }

    /// The number after `"name":` in the first match of an answer.
    async fn number(&self, path: &str, name: &str) -> u64 {
        let text = self.get(path).await.text();
        let after = text.split(&format!("\"{name}\":")).nth(1).unwrap_or_else(|| panic!("{text}"));
        let digits = after.trim_start_matches('"');
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap();
        digits[..end].parse().unwrap()
    }

    /// Gives the file another content, and waits until the map has heard of it.
    async fn rewrite(&self, content: &[u8]) {
        let before = self.number("/api/v1/world", "seq").await;
        std::fs::write(self.file(), content).unwrap();
        fold(self.dir.path(), &self.file(), 7_000_000_000);
        let update = Update::Committed {
            artifact: ArtifactId(1),
            path: self.file().to_str().unwrap().as_bytes().to_vec(),
            generation: 2,
            size: content.len() as u64,
            changed_tiles: None,
            actor: None,
            found: false,
        };
        self.updates.send(Arc::new(update)).unwrap();
        let heard = async {
            while self.number("/api/v1/world", "seq").await <= before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("the map hears of it");
    }

    async fn node(&self, path: &Path) -> u64 {
        let text = self.get(&format!("/api/v1/path?path={}", path.display())).await.text();
        let last = text.rsplit("\"id\":").next().unwrap();
        last[..last.find(',').unwrap()].parse().unwrap()
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let name = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&name))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_documentation_answers_as_it_says() {
    let f = Fixture::new().await;
    let file = f.node(&f.file()).await;
    let world = "/api/v1/world";
    let (epoch, seq) = (f.number(world, "epoch").await, f.number(world, "seq").await);
    let top = f.number(world, "top_level").await;
    let brick = f.get(&format!("/api/v1/artifacts/{file}/brick")).await;
    let process = f.capture().await;
    let values = [
        ("{token}", f.key()),
        ("{root}", "0".to_owned()),
        ("{file}", file.to_string()),
        ("{process}", process.to_string()),
        ("{top}", top.to_string()),
        ("{epoch}", epoch.to_string()),
        ("{seq}", seq.to_string()),
        ("{brick-etag}", brick.header("etag").unwrap().to_owned()),
    ];
    let examples = examples::all();
    assert!(examples.len() > 30, "the examples are found");
    for examples::Example { request, special, status, kind, keys } in examples {
        let request = values.iter().fold(request, |text, (name, value)| text.replace(name, value));
        let (method, path) = request.split_once(' ').unwrap();
        let mut headers = format!("Authorization: Bearer {}\r\n", f.key());
        match special.as_str() {
            "no key" => headers.clear(),
            "" | "no upgrade" => {}
            fields => fields.split("; ").for_each(|one| headers.push_str(&format!("{one}\r\n"))),
        }
        let headers = values.iter().fold(headers, |text, (name, value)| text.replace(name, value));
        let answer = f.send(method, path, &headers).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{request} ({special}): {text}");
        if let Some(kind) = kind {
            let found = answer.header("content-type").unwrap_or_default();
            assert!(found.starts_with(&kind), "{request}: {found}");
        }
        if status == 200 && answer.header("content-type") == Some("application/json") {
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(examples::unlike(&keys, &answer), Vec::<String>::new(), "{request}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiles_are_kept_as_long_as_they_are_true() {
    let f = Fixture::new().await;
    let world = "/api/v1/world";
    let (epoch, seq) = (f.number(world, "epoch").await, f.number(world, "seq").await);
    let tile = format!("/api/v1/tiles/3/0?epoch={epoch}&seq={seq}");
    let answer = f.get(&tile).await;
    assert!(answer.header("cache-control").unwrap().contains("immutable"));
    let etag = answer.header("etag").unwrap().to_owned();
    let again = format!("Authorization: Bearer {}\r\nIf-None-Match: {etag}\r\n", f.key());
    assert_eq!(f.send("GET", &tile, &again).await.status, 304);
    // Something changed elsewhere: this tile is what it was, and says so.
    let changed = f.number(&format!("/api/v1/path?path={}", f.file().display()), "index").await;
    let other = format!("/api/v1/tiles/0/{}", u64::from(changed >> 16 == 0));
    let answer = f.get(&other).await;
    assert!(answer.body.len() > 65_536, "the other file lies there");
    let etag = answer.header("etag").unwrap().to_owned();
    let again = format!("Authorization: Bearer {}\r\nIf-None-Match: {etag}\r\n", f.key());
    f.rewrite(b"other words").await;
    assert!(f.number(world, "seq").await > seq);
    assert_eq!(f.send("GET", &other, &again).await.status, 304);
    let own = format!("/api/v1/tiles/0/{}", changed >> 16);
    let etag = f.get(&own).await.header("etag").unwrap().to_owned();
    let again = format!("Authorization: Bearer {}\r\nIf-None-Match: {etag}\r\n", f.key());
    f.rewrite(b"words of another length").await;
    assert_eq!(f.send("GET", &own, &again).await.status, 200);
    let old = f.get(&format!("/api/v1/tiles/3/0?epoch={epoch}&seq=0")).await;
    assert_eq!(old.header("cache-control"), Some("no-cache"));
    assert!(old.header("content-security-policy").unwrap().contains("default-src 'none'"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_say_where_they_are_from_and_whether_they_still_agree() {
    let f = Fixture::new().await;
    let file = f.node(&f.file()).await;
    let path = format!("/api/v1/artifacts/{file}/bytes?at=0&len=6");
    let answer = f.get(&path).await;
    assert_eq!(
        (answer.text().as_str(), answer.header("foundry-source")),
        ("hello ", Some("artifact"))
    );
    assert_eq!(answer.header("foundry-differs"), None);
    let mut changed = std::fs::read(f.file()).unwrap();
    changed[9000] = b'!';
    std::fs::write(f.file(), changed).unwrap();
    assert_eq!(f.get(&path).await.header("foundry-differs"), Some("true"));
    std::fs::remove_file(f.file()).unwrap();
    assert_eq!(f.get(&path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_leads_to_its_file_and_a_file_to_who_maps_it() {
    let f = Fixture::new().await;
    let process = f.capture().await;
    let file = f.node(&f.file()).await;
    let named = f.get("/api/v1/path?path=pid:7").await.text();
    assert!(named.contains("\"label\":\"bash (7)\""), "{named}");
    // The brick says where its parts lie: the two pages of the file are somewhere on its plane.
    let back = f.get(&format!("/api/v1/artifacts/{file}/mapped?at=8200")).await.text();
    let at: u64 = back.split("\"at\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(back.contains("\"path\":\"pid:7\"") && back.contains("\"state\":[]"), "{back}");
    let page = f.get(&format!("/api/v1/artifacts/{process}/page?at={at}")).await.text();
    assert!(page.contains("\"offset\":8192") && page.contains("a.txt"), "{page}");
    assert!(page.contains(&format!("\"address\":{}", 0x4000_1000)), "{page}");
    let resident = f.get(&format!("/api/v1/artifacts/{process}/page?at={}", at - 64)).await.text();
    assert!(resident.contains("\"state\":[\"resident\",\"file\",\"sampled\"]"), "{resident}");
    // The first page of the file is not mapped, and memory has no bytes to show.
    let nobody = f.get(&format!("/api/v1/artifacts/{file}/mapped?at=5")).await.text();
    assert_eq!(nobody, "{\"mappers\":[]}");
    assert_eq!(f.get(&format!("/api/v1/artifacts/{process}/bytes?at=0&len=9")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_names_and_bytes() {
    let f = Fixture::new().await;
    let hits = f.get("/api/v1/search?q=onerror").await.text();
    assert!(
        hits.contains("<img onerror=alert(1)>") && hits.contains("\"complete\":true"),
        "{hits}"
    );
    let hits = f.get("/api/v1/search?q=%22lo%20hel%22").await.text();
    assert!(hits.contains("\"kind\":\"bytes\"") && hits.contains("\"start\":3"), "{hits}");
}

/// A WebSocket client of a few lines: masked binary frames out, whole frames in.
struct Live {
    stream: TcpStream,
}

impl Live {
    async fn open(f: &Fixture) -> Self {
        let address = f.server.address();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /api/v1/live HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            f.key()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self { stream }
    }

    async fn say(&mut self, message: &[u8]) {
        assert!(message.len() < 126);
        let mut frame = vec![0x82, 0x80 | u8::try_from(message.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(message);
        self.stream.write_all(&frame).await.unwrap();
    }

    async fn hear(&mut self) -> Vec<u8> {
        let read = async {
            loop {
                let first = self.stream.read_u8().await.unwrap();
                let short = self.stream.read_u8().await.unwrap();
                let len = match short {
                    126 => usize::from(self.stream.read_u16().await.unwrap()),
                    127 => usize::try_from(self.stream.read_u64().await.unwrap()).unwrap(),
                    n => usize::from(n),
                };
                let mut bytes = vec![0; len];
                self.stream.read_exact(&mut bytes).await.unwrap();
                if first & 15 == 2 {
                    return bytes;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a message")
    }

    async fn hear_kind(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let message = self.hear().await;
            if message[0] == kind {
                return message;
            }
        }
    }

    async fn subscribe(&mut self, level: u8, first: u64, end: u64) {
        let mut message = vec![1, 1, 0, level];
        message.extend_from_slice(&first.to_le_bytes());
        message.extend_from_slice(&end.to_le_bytes());
        self.say(&message).await;
    }
}

fn actor() -> Actor {
    Actor { pid: 77, comm: b"dd".to_vec(), exe: Some(b"/usr/bin/dd".to_vec()), ..Actor::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_told_with_its_tile_and_its_author() {
    let f = Fixture::new().await;
    let mut live = Live::open(&f).await;
    assert_eq!(live.hear_kind(1).await.len(), 19);
    live.subscribe(0, 0, 16).await;
    // An answer to the resume shows that the subscription was taken.
    let mut resume = vec![2];
    resume.extend_from_slice(&f.number("/api/v1/world", "epoch").await.to_le_bytes());
    resume.extend_from_slice(&0_u64.to_le_bytes());
    live.say(&resume).await;
    live.hear_kind(2).await;

    // What was there before is shown, and told as nobody's deed.
    for (at, date, actor) in [(50, 6_000_000_000, None), (100, 7_000_000_000, Some(actor()))] {
        let mut content = std::fs::read(f.file()).unwrap();
        content[at] = b'#';
        std::fs::write(f.file(), &content).unwrap();
        let update = Update::Committed {
            artifact: ArtifactId(1),
            path: f.file().to_str().unwrap().as_bytes().to_vec(),
            generation: 2,
            size: content.len() as u64,
            changed_tiles: Some(fold(f.dir.path(), &f.file(), date)),
            found: actor.is_none(),
            actor,
        };
        assert_eq!(f.updates.send(Arc::new(update)).unwrap(), 1);
        let told = live.hear_kind(2).await;
        assert!(u32::from_le_bytes(told[9..13].try_into().unwrap()) >= 1);
    }
    let activity = live.hear_kind(4).await;
    assert_eq!(activity[7], 1, "a change");
    assert!(activity.windows(11).any(|w| w == b"/usr/bin/dd"));

    let stranger = [9, 9, 9];
    live.say(&stranger).await;
    let mut rest = vec![];
    let closed = tokio::time::timeout(PATIENCE, live.stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "who speaks another protocol must go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_slows_nobody() {
    let f = Fixture::new().await;
    let mut slow = Live::open(&f).await;
    slow.subscribe(0, 0, 16).await;
    let path = f.file().to_str().unwrap().as_bytes().to_vec();
    for n in 0..20_000_u32 {
        let actor = Actor { pid: n, exe: Some(path.clone()), ..actor() };
        drop(f.updates.send(Arc::new(Update::Exec { actor })));
        if n % 32 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Others are served meanwhile, and a newcomer hears the newest.
    let mut quick = Live::open(&f).await;
    quick.hear_kind(1).await;
    let actor = Actor { pid: 424_242, exe: Some(path), ..actor() };
    f.updates.send(Arc::new(Update::Exec { actor })).unwrap();
    let told = quick.hear_kind(4).await;
    assert!(told.windows(4).any(|w| w == 424_242_u32.to_le_bytes()));
    drop(slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_outlive_the_server() {
    let f = Fixture::new().await;
    let chain = |text: String| text.split("\"runs\":").last().unwrap()[..20].to_owned();
    let query = format!("/api/v1/path?path={}", f.file().display());
    let before = chain(f.get(&query).await.text());
    let Fixture { dir, updates, server } = f;
    drop(updates);
    server.stop();
    // Something larger would have come first, had the tree been placed anew.
    std::fs::write(dir.path().join("tree/0"), vec![1; 400_000]).unwrap();
    let (updates, receiver) = broadcast::channel(64);
    let root = dir.path().to_path_buf();
    let config = MapConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        roots: vec![dir.path().join("tree").to_str().unwrap().as_bytes().to_vec()],
        store: dir.path().join("store"),
        saved: dir.path().join("store/map.layout"),
        brick_path: Arc::new(move |path: &[u8]| brick_of(&root, path)),
    };
    let server = start(config, receiver).await.unwrap();
    let f = Fixture { dir, updates, server };
    f.until_scanned().await;
    assert_eq!(chain(f.get(&query).await.text()), before);
}

#[test]
fn the_key_outlives_the_daemon_but_not_other_eyes() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store/map.key");
    let key = keep_key(&path).unwrap();
    assert_eq!(key.len(), 48);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keep_key(&path).unwrap(), key);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let fresh = keep_key(&path).unwrap();
    assert_ne!(fresh, key, "somebody else may have read it");
    std::fs::write(&path, "short").unwrap();
    assert_ne!(keep_key(&path).unwrap(), fresh);
}
