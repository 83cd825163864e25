//! A step that asks a model, in a daemon that waits for a server of the test's own.

use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A file is watched, then asked about.
const TASK: &str = r#"{"task_id": "ask", "type": "foundry-v2", "steps": [
  {"id": "1", "op": "fold", "path": "TREE/w/tool", "brick": "tool.brick"},
  {"id": "2", "op": "watch", "path": "TREE/w"},
  {"id": "3", "op": "annotate", "path": "TREE/w/tool"}]}"#;

/// An answer to each question, of which only the first fact is cited.
const ANSWER: &str = r#"{"summary": "a tool", "purpose": "to be asked about", "category": "command",
  "capabilities": [], "risk": "none", "risk_reasons": [], "confidence": 0.5}"#;

/// A model server: what it was asked goes to nobody.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        // A client that gave up needs no answer.
        drop(answer(&mut stream));
    }
}

fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    let body_at = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buf)? {
            0 => return Ok(()),
            n => bytes.extend(&buf[..n]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..body_at]).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|l| l.split("\r\n").next());
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    while bytes.len() < body_at + length {
        let n = stream.read(&mut buf)?;
        bytes.extend(&buf[..n]);
    }
    let (code, body) = if head.starts_with("get /v1/models") {
        (200, serde_json::json!({ "data": [{ "id": "tiny" }] }))
    } else if head.starts_with("post /v1/chat/completions") {
        let message = serde_json::json!({ "role": "assistant", "content": ANSWER });
        (200, serde_json::json!({ "model": "tiny", "choices": [{ "message": message }] }))
    } else {
        (404, serde_json::json!({ "error": "no such place" }))
    };
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {code} OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn config(address: SocketAddr) -> String {
    format!(
        "may-watch = [\"TREE\"]\n[[project]]\npath = \"TREE/p\"\nallow = [\"TREE\"]\n\
         operations = [\"fold\", \"watch\", \"annotate\"]\n\
         [annotate]\nurl = \"http://{address}\"\nprivate = true\npause-cpu = 0\npause-memory = 0\n"
    )
}

#[test]
fn a_step_waits_for_a_server_and_goes_on_with_its_answer() {
    let scratch = Scratch::new();
    let inbox = inbox(&scratch);
    let tree = scratch.tree().canonicalize().unwrap();
    fs::create_dir(tree.join("w")).unwrap();
    act::write(&tree.join("w/tool"), b"#!/bin/sh\necho tool\n").unwrap();
    // Its port is taken, and nobody answers there before it listens again.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let served = Served::start(scratch, &config(address), &[]);
    let task = TASK.replace("TREE", tree.to_str().unwrap());
    act::write(&inbox.join("ask.task.json"), task.as_bytes()).unwrap();
    served.ask(&["tasks", "--wait"]).ok();
    let view = || served.ask(&["tasks", "--json"]).ok().json()["tasks"][0].clone();
    let (waiting, said) = (view(), format!("step 3: no model server at http://{address}"));
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    assert!(waiting["detail"].as_str().unwrap().starts_with(&said), "{waiting}");
    assert!(waiting["next"].as_str().unwrap().contains("annotate --status"), "{waiting}");
    let status = served.ask(&["annotate", "--status"]).ok();
    assert!(status.out.contains(&format!("no model server at http://{address}; ")), "{status:?}");

    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || serve(&listener));
    served.ask(&["annotate", "--drain"]).ok();
    served.ask(&["sync"]).ok();
    served.ask(&["tasks", "--wait"]).ok();
    let done = view();
    assert_eq!(done["state"], "done", "{done}\n{}", served.log());
    assert!(inbox.join("ask.task.task.json.done").exists());
    let result = fs::read_to_string(inbox.join("ask.task.result.json")).unwrap();
    assert!(result.contains("w/tool: 1 annotated") && result.contains("tool.brick"), "{result}");
    let tool = tree.join("w/tool");
    let shown = served.ask(&["inspect", tool.to_str().unwrap(), "--json"]).ok().json();
    assert_eq!(shown["annotation"]["summary"], "a tool", "{shown}");
    assert_eq!(shown["annotation"]["current"], true, "{shown}");
}
