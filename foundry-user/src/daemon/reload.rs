//! A configuration that is read again while the daemon runs, and what tasks ask it to watch.
//!
//! Knows: which keys can change at run time, how roots come and go. Must never know: why somebody
//! wants it.
//! Keeps: a file that is not good changes nothing; roots that stay are not touched, so they lose no
//! event; the bricks of roots that go stay; what cannot change at run time is said, and stays as it was.

use super::FatalError;
use super::run_loop::Loop;
use super::tasks::Wish;
use crate::clock;
use crate::config::{WatchConfig, Wishes};
use crate::event::UnixNs;
use crate::pipeline::input::Input;
use crate::schedule::Every;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

impl Loop {
    /// SIGHUP: reads the configuration again.
    pub(super) async fn reload(&mut self) -> Result<(), FatalError> {
        self.service.reloading();
        let said = match self.read_again() {
            Ok(config) => self.take_on(config).await?,
            Err(why) => {
                tracing::error!("{why}; everything stays as it was");
                format!("not reloaded: {why}")
            }
        };
        self.service.reloaded(&said);
        Ok(())
    }

    fn read_again(&self) -> Result<WatchConfig, String> {
        let Some(reload) = &self.parts.config.file else {
            return Err("there is no --config FILE to read again".to_owned());
        };
        let file = Wishes::read(&reload.path).map_err(|e| e.to_string())?;
        let mut config = reload.typed.clone().or(file).watch().map_err(|e| e.to_string())?;
        if let Some(root) = config.roots.iter().find(|root| root.starts_with(&config.store)) {
            return Err(format!("{} lies in the store: a store cannot be watched", root.display()));
        }
        config.file = Some(reload.clone());
        Ok(config)
    }

    /// Takes on what can change, and says what cannot.
    async fn take_on(&mut self, config: WatchConfig) -> Result<String, FatalError> {
        let mut said = Vec::new();
        let fixed = self.parts.config.fixed_differences(&config);
        if !fixed.is_empty() {
            said.push(format!("needs a restart: {}", fixed.join(", ")));
        }
        let mut wanted = config.roots.clone();
        wanted.extend(self.asked.watch.iter().cloned());
        let wanted = crate::config::outermost(wanted);
        // What goes comes first: what comes may hold it, or lie in it.
        for root in self.parts.roots.clone() {
            if !wanted.contains(&root) {
                self.leave(&root).await?;
                said.push(format!("{} is watched no more", root.display()));
            }
        }
        for root in wanted {
            if !self.parts.roots.contains(&root) {
                match self.enter(&root).await? {
                    Ok(()) => said.push(format!("{} is watched", root.display())),
                    Err(why) => said.push(why),
                }
            }
        }
        self.tasks.projects(config.projects.clone());
        self.parts.config.take(config);
        self.set_schedules();
        if said.is_empty() {
            said.push("nothing to change".to_owned());
        }
        let said = said.join("; ");
        tracing::info!("the configuration was read again: {said}");
        Ok(said)
    }

    /// Watches a root from now on. The inner error says why it cannot be.
    pub(super) async fn enter(&mut self, root: &Path) -> Result<Result<(), String>, FatalError> {
        // The sandbox lets a closed directory be found, but not read.
        let listed = std::fs::read_dir(root).map(drop);
        let added = listed.and_then(|()| self.parts.reader.add_root(root));
        let opened = added.and_then(|()| self.parts.reader.root_stat(root));
        let stat = match opened {
            Ok(stat) => stat,
            Err(error) => {
                self.parts.reader.remove_root(root);
                let why = error.to_string().to_lowercase();
                return Ok(Err(format!(
                    "{} cannot be watched before a restart: {why}",
                    root.display()
                )));
            }
        };
        self.parts.roots.push(root.to_owned());
        let root = root.as_os_str().as_bytes().to_vec();
        self.feed(Input::Watch { root, stat }).await?;
        Ok(Ok(()))
    }

    /// Watches a root no more; its bricks stay as they are. What the source has said until now belongs
    /// to the time before.
    async fn leave(&mut self, root: &Path) -> Result<(), FatalError> {
        self.drain().await?;
        self.parts.reader.remove_root(root);
        self.parts.roots.retain(|other| other != root);
        self.closed.remove(root);
        self.feed(Input::Unwatch { root: root.as_os_str().as_bytes().to_vec() }).await
    }

    /// Something that a task asks of the daemon.
    pub(super) async fn asked(&mut self, ask: Wish) -> Result<(), FatalError> {
        let (answer, done) = match ask {
            Wish::Watch(path, answer) => (answer, self.watch_for_task(path).await?),
            Wish::Schedule(path, every, answer) => (answer, self.schedule_for_task(path, every)),
            Wish::Settle(path, answer) => return self.settle(&path, answer).await,
        };
        // A worker that ended needs no answer.
        let _heard = answer.send(done).is_ok();
        Ok(())
    }

    async fn settle(
        &mut self,
        path: &Path,
        answer: oneshot::Sender<Result<(), String>>,
    ) -> Result<(), FatalError> {
        if self.stopping() {
            // Dropping the answer refuses.
            return Ok(());
        }
        if !self.parts.roots.iter().any(|root| path.starts_with(root)) {
            let why = format!("{} is not watched: have a step watch it first", path.display());
            drop(answer.send(Err(why)));
            return Ok(());
        }
        let (done, settled) = oneshot::channel();
        tokio::spawn(async move {
            if settled.await.is_ok() {
                // A worker that ended needs no answer.
                drop(answer.send(Ok(())));
            }
        });
        self.sync(done).await
    }

    async fn watch_for_task(&mut self, path: PathBuf) -> Result<Result<(), String>, FatalError> {
        if self.parts.roots.iter().any(|root| path.starts_with(root)) {
            return Ok(Ok(()));
        }
        if !path.is_dir() {
            return Ok(Err(format!("{} is not a directory", path.display())));
        }
        if path.starts_with(self.parts.store.dir()) {
            return Ok(Err("a store cannot be watched".to_owned()));
        }
        if self.parts.roots.iter().any(|root| root.starts_with(&path)) {
            return Ok(Err(format!("{} holds a watched directory", path.display())));
        }
        let entered = self.enter(&path).await?;
        // Where that needs a restart, it is watched after one.
        self.asked.watch.push(path);
        let kept = self.asked.keep().map_err(|e| e.to_string());
        Ok(entered.and(kept))
    }

    fn schedule_for_task(&mut self, path: PathBuf, every: Every) -> Result<(), String> {
        if !self.parts.roots.iter().any(|root| path.starts_with(root)) {
            return Err(format!("{} is not watched: have a step watch it first", path.display()));
        }
        self.asked.schedule.retain(|(other, _)| *other != path);
        self.asked.schedule.push((path, every.to_string()));
        self.asked.keep().map_err(|e| e.to_string())?;
        self.set_schedules();
        Ok(())
    }

    /// What is due again and again: what the configuration says, and what tasks asked for.
    pub(super) fn set_schedules(&mut self) {
        let name = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let said = self.parts.config.schedules.iter().map(|s| (name(&s.path), s.every.clone()));
        let mut wanted: Vec<(Vec<u8>, Every)> = said.collect();
        for (path, every) in &self.asked.schedule {
            let is_said = wanted.iter().any(|(other, _)| *other == name(path));
            let is_watched = self.parts.roots.iter().any(|root| path.starts_with(root));
            if let (false, true, Ok(every)) = (is_said, is_watched, every.parse()) {
                wanted.push((name(path), every));
            }
        }
        let now = clock::wall();
        for (name, every) in &wanted {
            // What nobody ever did begins to count now, whenever the daemon is started again.
            let last = self.kept.last(name).unwrap_or(now);
            if let Err(error) = self.kept.remember(name, last, &every.to_string()) {
                tracing::warn!(%error, "schedules cannot be remembered");
            }
        }
        if let Err(error) = self.kept.retain(&wanted) {
            tracing::warn!(%error, "schedules cannot be forgotten");
        }
        self.schedules.set(&wanted, &self.kept, now);
    }

    /// Begins what is due.
    pub(super) async fn begin_due(&mut self, now: UnixNs) -> Result<(), FatalError> {
        for path in self.schedules.tick(now) {
            self.last_audit += 1;
            self.audits.insert(self.last_audit, path.clone());
            self.feed(Input::Audit { path, ticket: self.last_audit }).await?;
        }
        Ok(())
    }

    /// A comparison is done.
    pub(super) fn audited(&mut self, ticket: u64, files: u64, differing: u64) {
        let Some(path) = self.audits.remove(&ticket) else { return };
        let shown = String::from_utf8_lossy(&path).into_owned();
        tracing::info!(files, differing, "{shown} was compared with its bricks");
        let every = self.schedules.list().into_iter().find(|due| due.name == path);
        if let (Some(at), Some(due)) = (self.schedules.done(&path), every)
            && let Err(error) = self.kept.remember(&path, at, &due.every)
        {
            tracing::warn!(%error, "schedules cannot be remembered");
        }
    }
}
