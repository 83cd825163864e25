//! The examples of API.md: what is asked, and what the answer is like.

use serde_json::Value;
use std::collections::BTreeSet;

/// A line that begins with `>`, and those after it that begin with `<` and `=`.
pub(super) struct Example {
    pub(super) request: String,
    /// What is special about it.
    pub(super) special: String,
    pub(super) status: u16,
    pub(super) kind: Option<String>,
    /// Names in a JSON answer: `a.b[].c`; `a.*` stands for any, a `?` behind one says that it may be missing.
    pub(super) keys: Vec<String>,
}

pub(super) fn all() -> Vec<Example> {
    let text = include_str!("../../../../../API.md");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = |(at, line): (usize, &&str)| line.starts_with("> ").then_some(at);
    lines.iter().enumerate().filter_map(begins).map(|at| example(&lines[at..])).collect()
}

fn example(lines: &[&str]) -> Example {
    let (request, special) = match lines[0][2..].split_once(" (") {
        Some((request, special)) => (request, special.trim_end_matches(')')),
        None => (&lines[0][2..], ""),
    };
    let mut expected =
        lines[1].strip_prefix("< ").unwrap_or_else(|| panic!("{}", lines[1])).split(' ');
    let status = expected.next().unwrap().parse().unwrap();
    let keys = lines[2..].iter().map_while(|line| line.strip_prefix("= "));
    let keys = keys.flat_map(|line| line.split(' ').map(str::to_owned)).collect();
    let (request, special) = (request.to_owned(), special.to_owned());
    Example { request, special, status, kind: expected.next().map(str::to_owned), keys }
}

/// Names that the answer has and the document does not, and the other way round.
pub(super) fn unlike(keys: &[String], answer: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    names(answer, "", keys, &mut found);
    let known: BTreeSet<&str> = keys.iter().map(|key| key.trim_end_matches('?')).collect();
    let unsaid = found.iter().filter(|name| !known.contains(name.as_str()));
    let unsaid = unsaid.map(|name| format!("not in API.md: {name}"));
    let wanted = keys.iter().filter(|key| !key.ends_with('?') && !found.contains(*key));
    unsaid.chain(wanted.map(|key| format!("not in the answer: {key}"))).collect()
}

fn names(value: &Value, at: &str, keys: &[String], found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let any = format!("{at}*");
            for (name, value) in fields {
                if keys.contains(&any) {
                    found.insert(any.clone());
                } else {
                    let name = format!("{at}{name}");
                    names(value, &format!("{name}."), keys, found);
                    found.insert(name);
                }
            }
        }
        Value::Array(items) => {
            let inside = format!("{}[].", at.trim_end_matches('.'));
            items.iter().for_each(|item| names(item, &inside, keys, found));
        }
        _ => {}
    }
}

#[test]
fn a_name_too_many_and_one_too_few_are_seen() {
    let answer = serde_json::json!({"a": [{"b": 1}, {"c": {}}], "facts": {"x.y": 1}});
    let unlike = |keys: &str| {
        let keys: Vec<String> = keys.split(' ').map(str::to_owned).collect();
        super::examples::unlike(&keys, &answer)
    };
    assert_eq!(unlike("a a[].b a[].c d? facts facts.*"), Vec::<String>::new());
    assert_eq!(unlike("a a[].c facts facts.*"), ["not in API.md: a[].b"]);
    assert_eq!(unlike("a a[].b a[].c d facts facts.*"), ["not in the answer: d"]);
}
