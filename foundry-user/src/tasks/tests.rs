//! Tasks in a project of a test's own, done by a worker without a daemon.

use super::worker::{Asked, Halt, Helper, Mailbox, Message, Worker};
use super::*;
use crate::config::Operation;
use crate::event::UnixNs;
use crate::schedule::Every;
use foundry_brick::export::{read_rts_png, read_v2br_v1};
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A daemon that does what it is asked, and says what that was.
#[derive(Clone, Default)]
struct Willing(Arc<Mutex<Vec<String>>>, Arc<Mutex<Asked>>);

impl Willing {
    fn did(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl Helper for Willing {
    fn watch(&self, path: &Path) -> Result<(), Halt> {
        self.did(format!("watch {}", path.display()));
        Ok(())
    }

    fn schedule(&self, path: &Path, every: &Every) -> Result<(), Halt> {
        self.did(format!("schedule {} {every}", path.display()));
        Ok(())
    }

    fn annotate(&self, path: &Path) -> Result<Asked, Halt> {
        self.did(format!("annotate {}", path.display()));
        Ok(self.1.lock().unwrap().clone())
    }
}

struct Stage {
    dir: tempfile::TempDir,
    project: Project,
    helper: Willing,
}

struct Running(Mailbox, JoinHandle<()>);

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for name in ["store", "allowed", "private", "p/openspec/tasks/system_foundry"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        let path = base.join("p");
        let project = Project {
            results: "out".into(),
            allow: vec![path.clone(), base.join("allowed")],
            operations: vec![
                Operation::Fold,
                Operation::Export,
                Operation::Verify,
                Operation::Analyze,
                Operation::Annotate,
            ],
            path,
        };
        Self { dir, project, helper: Willing::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn inbox(&self, name: &str) -> PathBuf {
        self.path("p/openspec/tasks/system_foundry").join(name)
    }

    fn drop_task(&self, name: &str, text: &str) {
        fs::write(self.inbox(name), text.replace("BASE", self.path("").to_str().unwrap())).unwrap();
    }

    fn start(&self) -> Running {
        let projects = vec![self.project.clone()];
        let helper = Box::new(self.helper.clone());
        let (worker, mailbox) = Worker::new(projects, &self.path("store"), helper);
        Running(mailbox, std::thread::spawn(move || worker.run()))
    }

    /// Until nothing is left to do.
    fn settle(&self) {
        let Running(mailbox, thread) = self.start();
        let (tx, rx) = tokio::sync::oneshot::channel();
        mailbox.send(Message::Wait(tx)).unwrap();
        rx.blocking_recv().unwrap();
        drop(mailbox);
        thread.join().unwrap();
    }

    fn views(&self) -> Vec<View> {
        let approvals = Approvals::of(&self.path("store"));
        let projects = [self.project.clone()];
        // Nothing is young by this clock.
        let now = UnixNs(i64::MAX);
        look(&projects, &approvals, None, true, now).into_iter().map(|f| f.view).collect()
    }

    fn view(&self, name: &str) -> View {
        let views = self.views();
        views.iter().find(|v| v.name == name).unwrap_or_else(|| panic!("{views:?}")).clone()
    }
}

fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * i + i / 7) % 256).unwrap()).collect()
}

/// As Geometry OS writes it, but for the program.
const DEMO: &str = r#"{"task_id":"demo-ls-conversion","type":"convert_binary",
    "source":"BASEallowed/ls","destination":"bin_ls.brick","texture_size":512,
    "ai_model":"qwen2.5-coder-7b-instruct","unknown":{"kept":[1]}}"#;

#[test]
fn a_binary_becomes_a_brick_of_version_1_where_a_texture_is_asked_for() {
    let stage = Stage::new();
    let bytes = sample(142_312);
    fs::write(stage.path("allowed/ls"), &bytes).unwrap();
    stage.drop_task("demo-ls-conversion.task.json", DEMO);
    let file = fs::read(stage.inbox("demo-ls-conversion.task.json")).unwrap();
    stage.settle();
    let back = read_v2br_v1(&fs::read(stage.path("p/out/bin_ls.brick")).unwrap()).unwrap();
    assert_eq!((back.order, back.payload == bytes, back.hash_matches), (9, true, true));
    // The file itself is what is marked, so that what nobody knows of it is kept.
    assert!(!stage.inbox("demo-ls-conversion.task.json").exists());
    let done = stage.inbox("demo-ls-conversion.task.task.json.done");
    assert_eq!(fs::read(done).unwrap(), file);
    let view = stage.view("demo-ls-conversion");
    assert_eq!((view.state, view.kind.as_str()), (State::Done, "convert_binary"));
    assert_eq!(view.results, [stage.path("p/out/bin_ls.brick")]);
    assert!(view.next.contains("bin_ls.brick"), "{view:?}");
}

#[test]
fn the_destination_says_what_is_written() {
    let stage = Stage::new();
    let bytes = sample(70_000);
    fs::write(stage.path("allowed/a"), &bytes).unwrap();
    for (name, destination) in
        [("one", "a.brick"), ("two", "sub/a.rts.png"), ("three", "a.v1.brick")]
    {
        let text = format!(
            r#"{{"task_id":"{name}","type":"convert_binary","source":"BASEallowed/a","destination":"{destination}"}}"#
        );
        stage.drop_task(&format!("{name}.task.json"), &text);
    }
    stage.settle();
    let open = crate::store::FileStorage::open_to_read(&stage.path("p/out/a.brick")).unwrap();
    let brick = foundry_brick::Brick::open(open).unwrap();
    assert_eq!(brick.blake3(), Some(*blake3::hash(&bytes).as_bytes()));
    assert!(brick.verify().is_empty());
    let rts = read_rts_png(&fs::read(stage.path("p/out/sub/a.rts.png")).unwrap()).unwrap();
    assert!(rts.payload == bytes && rts.hash_matches == Some(true));
    let v1 = read_v2br_v1(&fs::read(stage.path("p/out/a.v1.brick")).unwrap()).unwrap();
    assert!(v1.payload == bytes);
    assert!(stage.view("one").next.starts_with("foundry-user inspect "));
}

#[test]
fn what_makes_no_sense_is_set_aside_with_its_reason_and_never_lost() {
    let stage = Stage::new();
    fs::write(stage.path("allowed/a"), "x").unwrap();
    let good = r#""task_id":"t","source":"BASEallowed/a","destination":"a.brick""#;
    for (n, (text, why)) in [
        ("{\"task_id\":\"t\",".to_owned(), "EOF while parsing"),
        (format!("{{{good},\"type\":\"convert_binry\"}}"), "unknown variant `convert_binry`"),
        (format!("{{{good}}}"), "missing field `type`"),
        (r#"{"task_id":"t","type":"convert_binary","source":"BASEallowed/a"}"#.to_owned(), "`destination` is missing"),
        (format!("{{{good},\"type\":\"convert_binary\",\"texture_size\":500}}"), "power of two"),
        (r#"{"task_id":"t","type":"convert_binary","source":"BASEallowed/none","destination":"a"}"#.to_owned(), "no such file"),
        (r#"{"task_id":"t","type":"convert_binary","source":"BASEallowed","destination":"../a"}"#.to_owned(), "leads out of"),
        (r#"{"task_id":"t","type":"convert_binary","source":"BASEallowed/a","destination":"/etc/x.brick"}"#.to_owned(), "leads out of"),
        (r#"{"task_id":"t","type":"convert_binary","source":"BASEallowed/a","destination":"b.task.json"}"#.to_owned(), "no name for a result"),
        (r#"{"task_id":"t","type":"foundry-v2"}"#.to_owned(), "made of steps"),
    ]
    .into_iter()
    .enumerate()
    {
        stage.drop_task("bad.task.json", &text);
        let file = fs::read(stage.inbox("bad.task.json")).unwrap();
        stage.settle();
        let aside = match n {
            0 => "bad.task.task.json.failed".to_owned(),
            n => format!("bad.task.task.json.failed.{n}"),
        };
        assert_eq!(fs::read(stage.inbox(&aside)).unwrap(), file, "{text}");
        let said = fs::read_to_string(stage.inbox("bad.task.error.json")).unwrap();
        assert!(said.contains(why), "{text}: {said}");
        assert!(!stage.path("p/out/a.brick").exists(), "{text}");
    }
    assert!(!stage.path("p/a").exists() && !stage.path("a").exists());
    let view = stage.views().remove(0);
    assert_eq!(view.state, State::SetAside);
    assert_eq!(view.next, format!("foundry-user tasks retry {}", view.id));
    retry(&view).unwrap();
    assert!(stage.inbox("bad.task.json").exists());
}

#[test]
fn nothing_outside_is_read_or_written() {
    let stage = Stage::new();
    fs::write(stage.path("private/key"), "secret").unwrap();
    fs::write(stage.path("allowed/a"), "x").unwrap();
    std::os::unix::fs::symlink(stage.path("private"), stage.path("allowed/door")).unwrap();
    std::os::unix::fs::symlink(stage.path("private"), stage.path("p/out")).unwrap();
    std::os::unix::fs::symlink(stage.path("private/key"), stage.inbox("link.task.json")).unwrap();
    let task = |id: &str, source: &str| {
        format!(
            r#"{{"task_id":"{id}","type":"convert_binary","source":"{source}","destination":"k.brick"}}"#
        )
    };
    stage.drop_task("a.task.json", &task("straight", "BASEprivate/key"));
    stage.drop_task("b.task.json", &task("door", "BASEallowed/door/key"));
    stage.drop_task("c.task.json", &task("out", "BASEallowed/a"));
    stage.settle();
    for name in ["straight", "door"] {
        let view = stage.view(name);
        assert_eq!(view.state, State::NeedsApproval, "{view:?}");
        assert_eq!(view.next, format!("foundry-user tasks approve {}", view.id));
    }
    for name in ["out", "link"] {
        let view = stage.view(name);
        assert_eq!(view.state, State::SetAside, "{view:?}");
        assert!(view.detail.unwrap().contains("symbolic link"), "{name}");
    }
    assert_eq!(fs::read_dir(stage.path("private")).unwrap().count(), 1);
    // An approval is of what the file says now, and of nothing else.
    fs::remove_file(stage.path("p/out")).unwrap();
    let approvals = Approvals::of(&stage.path("store"));
    approvals.add(&stage.view("straight").id).unwrap();
    stage.drop_task("b.task.json", &task("door2", "BASEallowed/door/key"));
    stage.settle();
    assert_eq!(stage.view("straight").state, State::Done);
    assert_eq!(stage.view("door2").state, State::NeedsApproval);
    assert!(approvals.add("../../x").is_err());
}

#[test]
fn every_type_of_the_schema_is_carried_out() {
    let stage = Stage::new();
    for n in 0..4 {
        fs::write(stage.path(&format!("allowed/f{n}")), sample(100 * n + 1)).unwrap();
    }
    let mut all = stage.project.clone();
    all.operations.extend([Operation::Watch, Operation::Schedule]);
    let stage = Stage { project: all, ..stage };
    let allowed = r#""source":"BASEallowed""#;
    for (name, rest) in [
        ("directory", format!(r#""type":"convert_directory",{allowed},"max_files":3"#)),
        (
            "system",
            format!(
                r#""type":"crystallize_system",{allowed},"paths":["BASEallowed"],"max_files_per_path":2,"texture_size":256"#
            ),
        ),
        (
            "analysis",
            format!(
                r#""type":"analyze_system",{allowed},"intent":"**Look**","auto_generated":true"#
            ),
        ),
        ("modules", format!(r#""type":"scan_kernel_modules",{allowed}"#)),
        ("watch", format!(r#""type":"watch_path",{allowed},"every":"daily""#)),
        (
            "steps",
            r#""type":"foundry-v2","steps":[
            {"id":"1","op":"fold","path":"BASEallowed/f1","brick":"one.brick"},
            {"id":"2","op":"verify","of":"1"},
            {"id":"3","op":"export","path":"BASEallowed/f1","brick":"one.rts.png"},
            {"id":"4","op":"annotate","of":"1","optional_without_model":true}]"#
                .to_owned(),
        ),
    ] {
        stage.drop_task(&format!("{name}.task.json"), &format!(r#"{{"task_id":"{name}",{rest}}}"#));
    }
    stage.helper.1.lock().unwrap().silent = Some("no model server at X".to_owned());
    stage.settle();
    for view in stage.views() {
        assert_eq!(view.state, State::Done, "{view:?}");
    }
    let steps = fs::read_to_string(stage.inbox("steps.task.result.json")).unwrap();
    assert!(steps.contains("no model server at X; left out, as the step allows"), "{steps}");
    assert_eq!(stage.view("directory").results.len(), 3);
    assert_eq!(stage.view("system").results.len(), 2);
    let analysis = fs::read_to_string(stage.path("p/out/analysis.analysis.json")).unwrap();
    let hash = blake3::hash(&sample(301)).to_hex();
    assert!(analysis.contains(hash.as_str()), "{analysis}");
    let path = stage.path("allowed").display().to_string();
    let did = stage.helper.0.lock().unwrap().clone();
    let annotate = format!("annotate {path}/f1");
    assert_eq!(did, [annotate, format!("watch {path}"), format!("schedule {path} daily")]);
}

/// A step that asks a model waits for the answer, says for what, and goes on with it; what was done
/// before it is not done again, and nothing is written twice.
#[test]
fn a_step_waits_for_the_answer_of_a_model() {
    let stage = Stage::new();
    fs::write(stage.path("allowed/a"), "content").unwrap();
    let answers = |questions, answered, silent: Option<&str>, aside: Option<&str>| {
        let text = |text: &str| text.to_owned();
        let (silent, aside) = (silent.map(text), aside.map(text));
        *stage.helper.1.lock().unwrap() = Asked { questions, answered, aside, silent };
    };
    let task = r#"{"task_id":"t","type":"foundry-v2","steps":[
        {"id":"1","op":"fold","path":"BASEallowed/a","brick":"a.brick"},
        {"id":"2","op":"annotate","of":"1"}]}"#;
    stage.drop_task("t.task.json", task);
    let (Running(mailbox, thread), path) = (stage.start(), stage.path("allowed/a"));
    let look = || {
        let (tx, rx) = tokio::sync::oneshot::channel();
        mailbox.send(Message::Wait(tx)).unwrap();
        rx.blocking_recv().unwrap();
        stage.view("t")
    };
    let result = || fs::read_to_string(stage.inbox("t.task.result.json")).unwrap();
    for (silent, aside, said) in [
        (Some("no model server at X"), None, "step 2: no model server at X; it goes on when"),
        (None, None, "step 2: a model was asked; it goes on with the answer"),
        (None, Some("no JSON"), "(no JSON); `foundry-user annotate --retry` asks again"),
    ] {
        answers(2, 1, silent, aside);
        let view = look();
        assert_eq!(view.state, State::Waiting, "{view:?}");
        assert!(view.detail.as_ref().unwrap().contains(said), "{view:?}");
        assert!(view.next.contains("annotate --status"), "{view:?}");
        assert!(result().contains("\"waiting\"") && result().contains("\"waits\""), "{}", result());
        let (before, brick) = (result(), stage.path("p/out/a.brick"));
        let made = fs::metadata(&brick).unwrap().modified().unwrap();
        look();
        assert_eq!(result(), before, "it is said once");
        assert_eq!(fs::metadata(&brick).unwrap().modified().unwrap(), made, "it is folded once");
    }
    answers(2, 2, None, None);
    let view = look();
    assert_eq!(view.state, State::Done, "{view:?}");
    assert!(result().contains(&format!("{}: 2 annotated", path.display())), "{}", result());
    assert!(result().contains("a.brick") && !result().contains("waits"), "{}", result());
    // What can never be a question is not waited for.
    answers(0, 0, None, None);
    stage.drop_task("u.task.json", &task.replace("\"t\"", "\"u\""));
    look();
    let view = stage.view("u");
    assert_eq!(view.state, State::SetAside, "{view:?}");
    assert!(view.detail.unwrap().contains("nothing of it can be asked about"));
    drop(mailbox);
    thread.join().unwrap();
}

/// The same in a change: its box is ticked with the answer, and the evidence says once what was waited
/// for.
#[test]
fn a_box_waits_for_the_answer_of_a_model() {
    let stage = Stage::new();
    fs::write(stage.path("allowed/a"), "content").unwrap();
    let change = stage.path("p/openspec/changes/ask");
    fs::create_dir_all(&change).unwrap();
    fs::write(change.join("tasks.md"), "- [ ] 1.1 Ask what it is\n").unwrap();
    let steps = "apiVersion: foundry/v2\nsteps:\n  - {id: \"1.1\", op: annotate, path: BASE}\n";
    let steps = steps.replace("BASE", stage.path("allowed/a").to_str().unwrap());
    fs::write(change.join("foundry.yaml"), steps).unwrap();
    let lines =
        || fs::read_to_string(change.join("foundry/evidence.jsonl")).unwrap().lines().count();
    stage.helper.1.lock().unwrap().questions = 1;
    for _ in 0..3 {
        stage.settle();
        let view = stage.view("ask");
        assert_eq!((view.state, view.boxes), (State::Waiting, Some((0, 1))), "{view:?}");
        assert!(view.detail.unwrap().contains("a model was asked"));
        assert!(view.next.contains("annotate --status"), "{}", view.next);
        assert_eq!(lines(), 1);
    }
    stage.helper.1.lock().unwrap().answered = 1;
    stage.settle();
    let view = stage.view("ask");
    assert_eq!((view.state, view.boxes, lines()), (State::Done, Some((1, 1)), 2), "{view:?}");
}

/// A change of OpenSpec goes on step by step; a failed step stops it, and says so, until somebody
/// asks to try again.
#[test]
fn a_change_is_carried_to_its_last_box() {
    let stage = Stage::new();
    let change = stage.path("p/openspec/changes/fold-it");
    fs::create_dir_all(&change).unwrap();
    fs::write(change.join(".openspec.yaml"), "schema: foundry-v2\ncreated: 2026-11-20\n").unwrap();
    assert_eq!(stage.view("fold-it").state, State::Planned);
    let list =
        "## 1. Fold\r\n\r\n- [ ] 1.1 Fold it\r\n- [ ] 1.2 Verify it\r\n- [ ] 2.1 Read it\r\n";
    fs::write(change.join("tasks.md"), list).unwrap();
    let steps = "apiVersion: foundry/v2\nkind: FoundryTask\nsteps:\n\
                 \x20 - {id: \"1.1\", op: fold, path: BASEallowed/a, brick: a.brick}\n\
                 \x20 - {id: 1.2, op: verify, of: \"1.1\"}\n\
                 \x20 - {id: \"2.1\", op: human}\n";
    let steps = steps.replace("BASE", stage.path("").to_str().unwrap());
    fs::write(change.join("foundry.yaml"), steps).unwrap();
    stage.settle();
    let view = stage.view("fold-it");
    assert_eq!((view.state, view.boxes), (State::Failed, Some((0, 3))), "{view:?}");
    assert!(view.detail.as_ref().unwrap().contains("no such file"), "{view:?}");
    let evidence = change.join("foundry/evidence.jsonl");
    let lines = || fs::read_to_string(&evidence).unwrap().lines().count();
    assert_eq!(lines(), 1);
    stage.settle();
    assert_eq!(lines(), 1, "what failed is not tried again by itself");
    fs::write(stage.path("allowed/a"), "content").unwrap();
    retry(&view).unwrap();
    stage.settle();
    let view = stage.view("fold-it");
    assert_eq!((view.state, view.boxes), (State::ForPeople, Some((2, 3))), "{view:?}");
    let now = fs::read_to_string(change.join("tasks.md")).unwrap();
    assert_eq!(now, list.replacen("[ ]", "[x]", 2));
    assert_eq!(lines(), 4);
    fs::write(change.join("tasks.md"), now.replace("[ ]", "[x]")).unwrap();
    let view = stage.view("fold-it");
    assert_eq!(view.state, State::Done);
    assert!(view.next.contains("openspec validate fold-it --strict"), "{}", view.next);
}

#[test]
fn a_change_that_contradicts_itself_is_said_to() {
    let stage = Stage::new();
    let change = stage.path("p/openspec/changes/c");
    fs::create_dir_all(&change).unwrap();
    fs::write(change.join("tasks.md"), "- [ ] 1.1 a\n").unwrap();
    for (steps, why) in [
        ("steps: [{id: \"1.2\", op: fold, path: a}]", "has no box 1.2"),
        ("steps: [{id: \"1.1\", op: run, path: a}]", "run"),
        ("steps: [{op: fold, path: a}]", "has no `id`"),
        ("steps: [{id: \"1.1\", op: verify, of: \"9\"}]", "not before it"),
        ("apiVersion: foundry/v9\nsteps: []", "apiVersion"),
        ("steps: [", "foundry.yaml"),
    ] {
        fs::write(change.join("foundry.yaml"), steps).unwrap();
        stage.settle();
        let view = stage.view("c");
        assert_eq!(view.state, State::Failed, "{steps}: {view:?}");
        assert!(view.detail.as_ref().unwrap().contains(why), "{steps}: {view:?}");
    }
    assert_eq!(fs::read_to_string(change.join("tasks.md")).unwrap(), "- [ ] 1.1 a\n");
}

#[test]
fn a_directory_is_made_ready_once() {
    let dir = tempfile::tempdir().unwrap();
    let made = prepare::prepare(dir.path()).unwrap();
    assert_eq!(made.len(), 5);
    let schema = dir.path().join("openspec/schemas/foundry-v2/schema.yaml");
    fs::write(&schema, "mine").unwrap();
    assert_eq!(prepare::prepare(dir.path()).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_to_string(schema).unwrap(), "mine");
}
