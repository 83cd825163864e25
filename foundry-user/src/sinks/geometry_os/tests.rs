//! The bridge as Geometry OS's map meets it: the WebSocket, and what lies there when it speaks.

use super::tiles::tests::{brick_path, fold};
use super::*;
use crate::artifact::ArtifactId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn committed(path: &[u8]) -> Arc<Update> {
    Arc::new(Update::Committed {
        artifact: ArtifactId(1),
        path: path.to_vec(),
        generation: 1,
        size: 5,
        changed_tiles: None,
        actor: None,
        found: false,
    })
}

/// Asks for a WebSocket, and gives the answer's first line.
async fn meet(address: SocketAddr, origin: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let text = String::from_utf8(head).unwrap();
    (stream, text.lines().next().unwrap().to_owned())
}

/// The next text message: shorter than 64 KiB.
async fn hear(stream: &mut TcpStream) -> String {
    assert_eq!(stream.read_u8().await.unwrap(), 0x81, "a whole text message");
    let len = match stream.read_u8().await.unwrap() {
        126 => usize::from(stream.read_u16().await.unwrap()),
        short => usize::from(short),
    };
    let mut text = vec![0; len];
    stream.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn whoever_hears_of_a_tile_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tree")).unwrap();
    let before = fold(dir.path(), "tree/before", b"folded before the bridge");
    let updates = broadcast::Sender::new(16);
    let config = BridgeConfig {
        dir: dir.path().join("builder"),
        roots: vec![dir.path().join("tree").to_str().unwrap().as_bytes().to_vec()],
        listen: "127.0.0.1:0".parse().unwrap(),
        brick_path: brick_path(dir.path()),
    };
    let bridge = start(config, updates.subscribe()).unwrap();
    let manifest = dir.path().join("builder/map/manifest.json");

    let (_, refused) = meet(bridge.address(), "http://example.com").await;
    assert!(refused.contains("403"), "{refused}");
    let (_, refused) = meet(bridge.address(), "http://localhost.example.com").await;
    assert!(refused.contains("403"), "{refused}");
    let (mut stream, met) = meet(bridge.address(), "http://localhost:8080").await;
    assert!(met.contains("101"), "{met}");

    let fresh = fold(dir.path(), "tree/<img onerror=1>", b"fresh");
    updates.send(committed(&fresh)).unwrap();
    let find = async {
        loop {
            let text = hear(&mut stream).await;
            if text.contains("img_onerror") {
                return text;
            }
        }
    };
    let said = tokio::time::timeout(PATIENCE, find).await.expect("a tile_update");
    assert!(said.starts_with(r#"{"type":"tile_update","x":"#), "{said}");
    let name = said.split('"').find(|part| part.ends_with(".rts.png")).unwrap();
    let listed = std::fs::read_to_string(&manifest).unwrap();
    assert!(listed.contains(name) && listed.contains("tree_before"), "{listed}");
    let picture = std::fs::read(dir.path().join("builder/queue").join(name)).unwrap();
    assert_eq!(foundry_brick::export::read_rts_png(&picture).unwrap().payload, b"fresh");

    std::fs::remove_file(std::str::from_utf8(&before).unwrap()).unwrap();
    updates.send(Arc::new(Update::Removed { artifact: ArtifactId(2), path: before })).unwrap();
    drop(updates);
    tokio::task::spawn_blocking(|| bridge.stop()).await.unwrap();
    let listed = std::fs::read_to_string(&manifest).unwrap();
    assert!(listed.contains(name) && !listed.contains("tree_before"), "{listed}");
}
