//! Configuration files as people write them, and as they get them wrong.

use super::check::judge;
use super::*;
use serde::de::DeserializeOwned;

/// The keys that a table takes, as its own parser names them.
fn keys_of<T: DeserializeOwned>() -> Vec<String> {
    let Err(error) = toml::from_str::<T>("there-is-no-such-key = 1") else { return vec![] };
    error.message().split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
}

#[test]
fn every_key_is_read_and_relative_paths_count_from_the_file() {
    let text = "watch = ['/opt', 'here']\nstore = 's'\nbackend = 'fentry'\n\
                payload = 'embedded'\nrecord = '/r.log'\n\
                listen = '127.0.0.1:80'\nno-listen = false\n\
                geometry-os = 'b'\ngeometry-os-listen = '127.0.0.1:81'\n\
                depth = 3\npins = true\nwatch-process = ['java', '7']\nsweep = 9\nlog = 'debug'\nno-sandbox = true\nmay-watch = ['later']\n\
                [annotate]\nenabled = false\njobs_per_hour = 5\n\
                [[schedule]]\npath = 'here'\nevery = 'daily'\n\
                [[project]]\npath = 'p'\nallow = ['/bin']\nresults = 'out'\n\
                operations = ['fold', 'watch']\n";
    let wishes = Wishes::parse(text, Path::new("/etc/foundry")).unwrap();
    assert_eq!(
        wishes,
        Wishes {
            watch: vec!["/opt".into(), "/etc/foundry/here".into()],
            store: Some("/etc/foundry/s".into()),
            backend: Some(Backend::Fentry),
            payload: Some(Payload::Embedded),
            record: Some("/r.log".into()),
            listen: Some(([127, 0, 0, 1], 80).into()),
            no_listen: Some(false),
            geometry_os: Some("/etc/foundry/b".into()),
            geometry_os_listen: Some(([127, 0, 0, 1], 81).into()),
            depth: Some(3),
            pins: Some(true),
            watch_process: vec!["java".into(), "7".into()],
            sweep: Some(9),
            log: Some("debug".to_owned()),
            no_sandbox: Some(true),
            may_watch: vec!["/etc/foundry/later".into()],
            annotate: Some(Section {
                enabled: Some(false),
                jobs_per_hour: Some(5),
                ..Section::default()
            }),
            schedule: vec![ScheduleWish {
                path: "/etc/foundry/here".into(),
                every: "daily".parse().unwrap(),
            }],
            project: vec![ProjectWish {
                path: "/etc/foundry/p".into(),
                allow: vec!["/bin".into()],
                results: Some("out".into()),
                operations: Some(vec![Operation::Fold, Operation::Watch]),
            }],
        }
    );
}

/// Every key of every table is in the example, set or with a mark in front, and explained: some line
/// of prose stands above it. And the example names nothing else.
#[test]
fn the_example_is_valid_and_explains_every_key() {
    let text = include_str!("../../../deploy/foundry.toml");
    let wishes = Wishes::parse(text, Path::new("/etc/foundry")).unwrap();
    assert!(!wishes.watch.is_empty());
    // With every mark removed from what is a key or the head of a table, it still is valid.
    let is_setting = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        let named = key.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        (line.contains('=') && named && !key.is_empty()) || line.starts_with('[')
    };
    let all: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line))
        .collect();
    let whole = all.join("\n");
    Wishes::parse(&whole, Path::new("/etc/foundry")).unwrap_or_else(|e| panic!("{e}\n{whole}"));
    let nested: Vec<String> = all
        .iter()
        .filter_map(|line| line.strip_prefix('[').map(|l| l.trim_matches(['[', ']']).to_owned()))
        .collect();
    let set: Vec<&str> = all
        .iter()
        .filter(|l| is_setting(l))
        .filter_map(|l| l.split('=').next())
        .map(str::trim)
        .collect();
    for key in keys_of::<Wishes>() {
        assert!(
            set.contains(&key.as_str()) || nested.contains(&key),
            "`{key}` is not in the example"
        );
    }
    let tables = [keys_of::<ScheduleWish>(), keys_of::<ProjectWish>(), keys_of::<Section>()];
    // What is spelt in two ways is in the example in one of them.
    for key in tables.into_iter().flatten().filter(|key| !key.contains('_')) {
        assert!(set.contains(&key.as_str()), "`{key}` of a table is not in the example");
    }
    let lines: Vec<&str> = text.lines().collect();
    for (i, line) in all.iter().enumerate().filter(|(_, line)| is_setting(line)) {
        let above = lines[..i].iter().rev().take_while(|l| !l.is_empty());
        let prose = |l: &&str| l.strip_prefix("# ").is_some_and(|rest| !is_setting(rest));
        assert!(above.clone().any(prose), "nothing explains `{line}`");
    }
}

#[test]
fn the_example_names_every_key_of_the_annotator() {
    let text = include_str!("../../../deploy/foundry.toml");
    let (_, section) = text.split_once("[annotate]\n").unwrap();
    let is_key = |line: &&str| line.starts_with("# ") && line.contains(" = ");
    let keys: Vec<&str> =
        section.lines().filter(is_key).map(|line| line.trim_start_matches("# ")).collect();
    let Section {
        enabled,
        url,
        model,
        remote_hosts,
        private,
        context,
        answer_tokens,
        jobs_per_hour,
        tokens_per_day,
        first_byte_seconds,
        total_seconds,
        pause_cpu,
        pause_memory,
    } = toml::from_str(&keys.join("\n")).unwrap();
    let usual = Section::default().settings().unwrap();
    assert_eq!((enabled, private), (Some(usual.enabled), Some(usual.private)));
    assert_eq!(url.as_deref(), Some(usual.endpoint.base()));
    assert!(model.is_some() && !remote_hosts.is_empty() && context.is_some());
    assert_eq!(answer_tokens, Some(usual.answer_tokens));
    let budgets = (usual.jobs_per_hour, usual.tokens_per_day);
    assert_eq!((jobs_per_hour, tokens_per_day), (Some(budgets.0), Some(budgets.1)));
    let patience = (usual.patience.first_byte.as_secs(), usual.patience.total.as_secs());
    assert_eq!((first_byte_seconds, total_seconds), (Some(patience.0), Some(patience.1)));
    assert_eq!((pause_cpu, pause_memory), (Some(usual.pause_cpu), Some(usual.pause_memory)));
}

#[test]
fn mistakes_are_named_with_their_line_and_a_hint() {
    for (text, words) in [
        ("bakend = 'auto'", "line 1: unknown key `bakend`; did you mean `backend`?"),
        ("\n\nzzz = 1", "line 3: unknown key `zzz`; keys are `watch`"),
        (
            "backend = 'kprobe'",
            "line 1: `backend`: unknown value `kprobe`; values are auto, fentry",
        ),
        ("backend = 'fentri'", "did you mean `fentry`?"),
        ("watch = '/opt'", "line 1: `watch`: invalid type: string"),
        ("watch = [", "line 1: "),
        ("[[schedule]]\npath = '/'\nevery = 'dayly'", "line 3: `every`: `dayly` is neither hourly"),
        ("[[schedule]]\npath = '/'", "line 1: missing field `every`"),
        ("[[project]]\npaht = '/'", "line 2: unknown key `paht`; did you mean `path`?"),
        ("[[project]]\npath = '/'\noperations = ['run']", "unknown value `run`; values are fold"),
    ] {
        let error = Wishes::parse(text, Path::new("")).unwrap_err().to_string();
        let words = words.replace("keys are `watch`", "keys are watch");
        assert!(error.contains(&words), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_check_names_everything_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    std::fs::create_dir(base.join("there")).unwrap();
    let text = "store = '/nowhere'\nwatch = ['there', 'gone']\n[[project]]\npath = 'lost'\n";
    let said: Vec<String> = judge(text, &base).mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("line 2: `watch`: "), "{said:?}");
    assert!(said[1].starts_with("line 4: `project.path`: "), "{said:?}");
    let good = judge("store = '/nowhere'\nwatch = ['there']", &base);
    assert_eq!(good.config.unwrap().roots, [base.join("there")]);
    let inside = judge("watch = ['there']\nstore = '.'", &base);
    assert!(inside.mistakes[0].to_string().contains("a store cannot be watched"), "{inside:?}");
    let apart = "store = '/nowhere'\nwatch = ['there']\n[[schedule]]\npath = '/'\nevery = 'daily'";
    let apart = judge(apart, &base).mistakes;
    assert!(apart[0].to_string().contains("is scheduled and not watched"), "{apart:?}");
}

#[test]
fn a_project_is_watched_and_keeps_its_results_inside() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let plain = judge("store = '/nowhere'\n[[project]]\npath = '.'", &base).config.unwrap();
    assert_eq!(plain.roots, std::slice::from_ref(&base));
    assert_eq!(plain.projects[0].results, Path::new("systems/builder/queue"));
    assert_eq!(plain.projects[0].allow, std::slice::from_ref(&base));
    for outside in ["/tmp", "..", "a/../../b", "."] {
        let text = format!("store = '/nowhere'\n[[project]]\npath = '.'\nresults = '{outside}'");
        assert!(!judge(&text, &base).mistakes.is_empty(), "{outside}");
    }
}

#[test]
fn the_command_line_beats_the_file() {
    let typed = Wishes { backend: Some(Backend::Auto), ..Wishes::default() };
    let file =
        Wishes { watch: vec!["/opt".into()], backend: Some(Backend::Fentry), ..Wishes::default() };
    let both = typed.or(file);
    assert_eq!(both.backend, Some(Backend::Auto));
    assert_eq!(both.watch, [PathBuf::from("/opt")]);
}

#[test]
fn the_default_store_follows_the_xdg_specification() {
    let none = |_: &str| None;
    assert_eq!(default_store(true, none), Some("/var/lib/foundry".into()));
    assert_eq!(default_store(false, none), None);
    let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/u"));
    assert_eq!(default_store(false, home), Some("/home/u/.local/state/foundry".into()));
    let relative = |name: &str| match name {
        "HOME" => Some(PathBuf::from("/home/u")),
        _ => Some(PathBuf::from("state")),
    };
    assert_eq!(default_store(false, relative), Some("/home/u/.local/state/foundry".into()));
    let state = |_: &str| Some(PathBuf::from("/s"));
    assert_eq!(default_store(false, state), Some("/s/foundry".into()));
}

#[test]
fn roots_inside_roots_are_watched_once() {
    let roots = ["/opt/x", "/opt", "/optional", "/opt"].map(PathBuf::from).to_vec();
    assert_eq!(outermost(roots), ["/opt", "/optional"].map(PathBuf::from));
}
