//! Answers as servers give them, and schemas that say what the parser takes.

use super::*;

const GOOD: &str = r#"{"summary":"Lists files.","purpose":"Shows directories.","category":"command",
 "capabilities":[{"name":"read-files","evidence":["f3"]}],"risk":"none","risk_reasons":[],"confidence":0.876}"#;

#[test]
fn an_answer_is_valid_by_the_schema_and_nothing_else_is() {
    let good = answer(GOOD).unwrap();
    assert_eq!((good.category.as_str(), good.confidence), ("command", 88));
    let change = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        answer(&GOOD.replace(from, to)).unwrap_err()
    };
    for (from, to, words) in [
        (r#""category":"command""#, r#""category":"malware""#, "`category` must be one of"),
        (r#""risk":"none""#, r#""risk":"fatal""#, "`risk` must be one of"),
        ("read-files", "fly", "capabilities[].name"),
        ("0.876", "1.2", "`confidence` must be"),
        ("0.876", "null", "invalid type"),
        (r#""purpose":"Shows directories.","#, "", "missing field `purpose`"),
        (r#""risk_reasons":[]"#, r#""risk_reasons":[],"run":"rm""#, "unknown field `run`"),
        (r#"["f3"]"#, r#""f3""#, "invalid type"),
        ("Lists files.", " ", "`summary` is empty"),
    ] {
        let why = change(from, to);
        assert!(why.contains(words), "{to}: {why}");
    }
    for none in ["", "I cannot do that.", "{", "}{", "[1]", &GOOD[..90], "null"] {
        assert!(answer(none).is_err(), "{none}");
    }
}

#[test]
fn thoughts_and_fences_around_an_answer_are_left_out() {
    for around in [
        format!("```json\n{GOOD}\n```"),
        format!("<think>maybe {{\"summary\": 1}} ...</think>\n{GOOD}"),
        format!("Here it is:\n{GOOD}\nI hope this helps."),
    ] {
        assert_eq!(answer(&around).unwrap(), answer(GOOD).unwrap(), "{around}");
    }
}

#[test]
fn the_schema_is_closed_and_names_what_the_parser_takes() {
    fn closed(schema: &Value) {
        if schema.get("type") == Some(&Value::from("object")) {
            assert_eq!(schema["additionalProperties"], false);
            let names = schema["properties"].as_object().unwrap().keys().cloned();
            let names: Vec<Value> = names.map(Value::from).collect();
            assert_eq!(schema["required"], Value::from(names));
            schema["properties"].as_object().unwrap().values().for_each(closed);
        }
        schema.get("items").into_iter().for_each(closed);
    }
    let schema = schema();
    closed(&schema);
    let good: Value = serde_json::from_str(GOOD).unwrap();
    let fields = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&schema["properties"]), fields(&good));
    // The words that the prompt names are those of the schema.
    for word in CATEGORIES.iter().chain(CAPABILITIES).chain(RISKS) {
        assert!(super::fields().contains(word) && schema.to_string().contains(word), "{word}");
    }
}

#[test]
fn the_nested_form_is_sent_and_no_tools() {
    let message = Message { role: Role::User, text: "x".to_owned() };
    let body: Value = serde_json::from_slice(&request("m", &[message], 9, Some(schema()))).unwrap();
    assert_eq!(body["response_format"]["type"], "json_schema");
    assert_eq!(body["response_format"]["json_schema"]["schema"], schema());
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    assert_eq!((&body["stream"], &body["temperature"]), (&false.into(), &0.into()));
    assert!(body.get("tools").is_none() && body.get("response_format").is_some());
}

#[test]
fn completions_are_read_wherever_the_answer_is() {
    let reply = |message: &str| {
        completion(format!(r#"{{"model":"m","choices":[{{"message":{message}}}]}}"#).as_bytes())
    };
    for (message, text) in [
        (r#"{"content":"a","reasoning_content":"b"}"#, "a"),
        (r#"{"content":"","reasoning_content":"b"}"#, "b"),
        (r#"{"content":null,"reasoning":"c"}"#, "c"),
        (r#"{"content":" "}"#, ""),
    ] {
        assert_eq!(reply(message).unwrap().text, text, "{message}");
    }
    for broken in [&b"{\"choices\":[]}"[..], b"", b"{\"choices\":[{\"mess", b"\xff", b"[]"] {
        assert_eq!(completion(broken), None);
    }
    assert_eq!(reply("{"), None);
    let long = br#"{"choices":[{"message":{"content":"x"},"finish_reason":"length"}],"usage":{"total_tokens":7}}"#;
    let long = completion(long).unwrap();
    assert_eq!((long.cut, long.tokens, long.model), (true, Some(7), None));
}

#[test]
fn each_server_says_its_context_in_its_own_way() {
    let lm = br#"{"models":[{"key":"other","loaded_instances":[{"config":{"context_length":1}}]},
                 {"key":"m","loaded_instances":[{"config":{"context_length":4096}}]}]}"#;
    assert_eq!(context(lm, "m"), Some(4096));
    let lm0 = br#"{"data":[{"id":"m","loaded_context_length":8192}]}"#;
    assert_eq!(context(lm0, "m"), Some(8192));
    let llama = br#"{"default_generation_settings":{"n_ctx":2048}}"#;
    assert_eq!(context(llama, "m"), Some(2048));
    for none in [&b"{}"[..], b"x", br#"{"models":[{"key":"m","loaded_instances":[]}]}"#] {
        assert_eq!(context(none, "m"), None);
    }
    let list = br#"{"data":[{"id":"a"},{"no":1},{"id":"b"}]}"#;
    let ids: Vec<String> = models(list).unwrap().into_iter().map(|m| m.id).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(models(b"<html>"), None);
    assert_eq!(complaint(br#"{"error":{"message":"no\u001b[2J model"}}"#), "no[2J model");
    assert_eq!(complaint(br#"{"error":"plain"}"#), "plain");
    assert!(is_probe_answer("{\"colour\":\"green\"}") && !is_probe_answer("{\"colour\":\"red\"}"));
}

#[test]
fn a_document_says_whether_it_is_of_this_content() {
    let annotation = Annotation {
        answer: Answer {
            summary: "Lists \"files\".".to_owned(),
            purpose: "p".to_owned(),
            category: "command".to_owned(),
            capabilities: vec![Claim {
                what: "shell".to_owned(),
                evidence: vec!["needed".to_owned()],
            }],
            risk: "none".to_owned(),
            reasons: vec![],
            confidence: 88,
        },
        model: "m".to_owned(),
        prompt_version: 1,
        at_ns: 5,
        constrained: true,
        dropped: 2,
    };
    let content = [7; 32];
    let note = document(&annotation, &content);
    let now = shown(&note, Some(&content));
    assert_eq!((&now["version"], &now["current"]), (&VERSION.into(), &true.into()));
    assert_eq!(now["capabilities"][0]["evidence"][0], "needed");
    assert_eq!((&now["confidence"], &now["dropped_claims"]), (&0.88.into(), &2.into()));
    assert_eq!(shown(&note, Some(&[8; 32]))["current"], false);
    let lines: Vec<String> =
        lines(&note, None).into_iter().map(|(n, v)| format!("{n}: {v}")).collect();
    assert!(lines[0].contains("m, 88 % sure; of an EARLIER content"), "{lines:?}");
    assert!(lines.contains(&"  can: shell (needed)".to_owned()), "{lines:?}");
    // What somebody else put there is shown as what it is.
    assert_eq!(shown(b"free text", None), "free text");
    assert_eq!(super::lines(b"free text", None), [("annotation", "free text".to_owned())]);
}
