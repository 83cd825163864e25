//! A model server in a few lines of TCP: what it does wrong is in a script.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with one chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Error500,
    Stall,
    SlowDrip,
    /// The HTTP body ends early.
    Truncated,
    /// The answer's JSON ends early.
    HalfAnswer,
    Oversized,
    /// Content is empty, the answer is in `reasoning_content`. This is to be survived, not a failure.
    Reasoning,
    OtherModel,
    Redirect,
    /// No schema was kept to.
    Prose,
    Close,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::Error500,
        Self::Stall,
        Self::SlowDrip,
        Self::Truncated,
        Self::HalfAnswer,
        Self::Oversized,
        Self::Reasoning,
        Self::OtherModel,
        Self::Redirect,
        Self::Prose,
        Self::Close,
    ];
}

/// Which fault the nth chat has, and the text of its last message.
type Script = Box<dyn Fn(usize, &str) -> Fault + Send + Sync>;

/// What the server has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Bodies of all requests, as they came.
    pub(crate) bodies: Vec<String>,
    /// Valid answers that were sent whole, by the name of the file they are about.
    pub(crate) answered: BTreeMap<String, usize>,
    /// Of these, the ones that the client took: it went on to use the connection.
    pub(crate) taken: BTreeMap<String, usize>,
    /// How often each fault was played.
    pub(crate) played: BTreeMap<String, usize>,
    chats: usize,
}

pub(crate) struct Mock {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Mock {
    /// Serves until the runtime ends. `elsewhere` is where redirects point.
    pub(crate) async fn start(elsewhere: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Seen>>::default();
        let (shared, script) = (Arc::clone(&seen), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script) = (Arc::clone(&shared), Arc::clone(&script));
                // A client that hangs up is what some of the tests are about.
                tokio::spawn(async move { drop(serve(stream, elsewhere, &seen, &script).await) });
            }
        });
        Self { url, seen }
    }

    /// One that does nothing wrong.
    pub(crate) async fn good() -> Self {
        Self::start(([127, 0, 0, 1], 9).into(), Box::new(|_, _| Fault::None)).await
    }
}

async fn serve(
    mut stream: TcpStream,
    elsewhere: SocketAddr,
    seen: &Mutex<Seen>,
    script: &Script,
) -> std::io::Result<()> {
    let mut sent: Option<String> = None;
    loop {
        let Some((line, body)) = request(&mut stream).await? else { return Ok(()) };
        if let Some(name) = sent.take() {
            *seen.lock().unwrap().taken.entry(name).or_default() += 1;
        }
        if line.starts_with("GET /v1/models ") {
            let models = json!({ "data": [{ "id": "text-embed" }, { "id": "test-model" }] });
            reply(&mut stream, "200 OK", &models.to_string()).await?;
            continue;
        }
        if line.starts_with("GET ") {
            reply(&mut stream, "404 Not Found", "{}").await?;
            continue;
        }
        let (fault, answer, about) = chat(&body, seen, script);
        sent = about;
        match fault {
            Fault::Error500 => reply(&mut stream, "500 Oops", "{\"error\":\"oops\"}").await?,
            Fault::Redirect => {
                let head = format!(
                    "HTTP/1.1 307 Elsewhere\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
            }
            Fault::Stall => {
                // Until the client has had enough.
                drop(request(&mut stream).await);
                return Ok(());
            }
            Fault::SlowDrip => return drip(stream, &answer).await,
            Fault::Truncated => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&answer.as_bytes()[..answer.len() / 2]).await?;
                return stream.shutdown().await;
            }
            Fault::Oversized => {
                let big = format!("{{\"x\":\"{}\"}}", "y".repeat(1 << 20));
                // The client hangs up in the middle.
                return reply(&mut stream, "200 OK", &big).await;
            }
            Fault::Close => return Ok(()),
            _ => reply(&mut stream, "200 OK", &answer).await?,
        }
    }
}

/// The line and the body of the next request.
async fn request(stream: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.lines().find_map(|l| l.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |n| n.parse().unwrap());
    while bytes.len() < head + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let line = String::from_utf8_lossy(&bytes[..head]).lines().next().unwrap().to_owned();
    Ok(Some((line, String::from_utf8(bytes[head..head + length].to_vec()).unwrap())))
}

async fn reply(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

/// A byte now and then: never silent for long, never done.
async fn drip(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
    stream.write_all(head.as_bytes()).await?;
    for byte in answer.as_bytes() {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    Ok(())
}

/// What is answered to a chat, what is wrong with it, and which file a good one is about.
fn chat(body: &str, seen: &Mutex<Seen>, script: &Script) -> (Fault, String, Option<String>) {
    let request: Value = serde_json::from_str(body).unwrap();
    let mut seen = seen.lock().unwrap();
    seen.bodies.push(body.to_owned());
    if body.contains("colour") {
        let colour = json!({ "colour": "green" }).to_string();
        return (Fault::None, completion("test-model", &colour, None), None);
    }
    // The form that LM Studio takes; it answers 400 to `json_object`.
    assert_eq!(request["response_format"]["type"], "json_schema");
    let question = request["messages"][1]["content"].as_str().unwrap();
    let name = question.split("\"file_name\",\"value\":\"").nth(1).unwrap();
    let name = name.split('"').next().unwrap().to_owned();
    let id = |fact: &str| {
        let before = question.split(&format!("\",\"name\":\"{fact}\"")).next().unwrap();
        before.rsplit('"').next().unwrap().to_owned()
    };
    let n = seen.chats;
    seen.chats += 1;
    let fault = script(n, question);
    *seen.played.entry(format!("{fault:?}")).or_default() += 1;
    let answer = json!({
        "summary": format!("about {name}"),
        "purpose": "To be a test.",
        "category": "command",
        "capabilities": [
            { "name": "network-client", "evidence": [id("needed")] },
            { "name": "load-kernel-code", "evidence": ["f99"] },
        ],
        "risk": "low",
        "risk_reasons": [{ "reason": "it holds text", "evidence": [id("strings")] }],
        "confidence": 0.5,
    })
    .to_string();
    let text = match fault {
        Fault::HalfAnswer => completion("test-model", &answer[..answer.len() / 2], None),
        Fault::Reasoning => completion("test-model", "", Some(&answer)),
        Fault::OtherModel => completion("gpt-4", &answer, None),
        Fault::Prose => completion("test-model", "It is a fine file.", None),
        _ => completion("test-model", &answer, None),
    };
    let valid = matches!(fault, Fault::None | Fault::Reasoning);
    if valid {
        *seen.answered.entry(name.clone()).or_default() += 1;
    }
    (fault, text, valid.then_some(name))
}

fn completion(model: &str, content: &str, reasoning: Option<&str>) -> String {
    let message =
        json!({ "role": "assistant", "content": content, "reasoning_content": reasoning });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    json!({ "model": model, "choices": [choice], "usage": { "total_tokens": 100 } }).to_string()
}
