//! Directories: what is at which name, by listing and by looking.
//!
//! Knows: names, the order in which answers may be believed. Must never know: content, bricks' insides.
//! Keeps: answers about one name are taken in the order in which the disk was asked. So a directory
//! is either listed or looked at, never both at once; a name has at most one look under way; and a
//! change that is heard of meanwhile wants another.

use super::Pipeline;
use super::debts::Seq;
use super::effect::Effect;
use super::input::{BrickHead, Listing, ReadFailure};
use super::registry::{Child, ListRun};
use crate::artifact::{ArtifactId, FileKind, OsBytes, Stat};
use crate::event::Actor;

/// A look to repeat: its directory was not where it was thought to be.
#[derive(Debug)]
pub(super) struct Retry {
    pub(super) dir: ArtifactId,
    pub(super) name: OsBytes,
    pub(super) seq: Seq,
    pub(super) actor: Option<Actor>,
}

impl Pipeline {
    pub(super) fn on_watch(&mut self, root: OsBytes, stat: &Stat) {
        if stat.kind != FileKind::Directory {
            return;
        }
        let known = self.registry.find(&stat.identity).filter(|id| self.registry.is(*id, stat));
        let id = known.unwrap_or_else(|| self.registry.add(stat));
        let is_this = |r: &ArtifactId| {
            self.registry.dir(*r).is_some_and(|d| d.root.as_deref() == Some(&root[..]))
        };
        let before = self.roots.iter().copied().find(is_this);
        let returned = self.limbo.remove(&id).is_some();
        let Some(dir) = self.registry.dir_mut(id) else { return };
        dir.root = Some(root.clone());
        dir.fold.stat = Some(*stat);
        if !self.roots.contains(&id) {
            self.roots.push(id);
        }
        self.touched(id, self.seq);
        if let Some(before) = before {
            self.watch_again(&root, before, id, returned);
            return;
        }
        let Some(dir) = self.registry.dir_mut(id) else { return };
        dir.settled_path = Some(root.clone());
        self.sync.first_seq = self.seq;
        self.stats.first_fold.complete = false;
        if let Some((seq, _)) = self.recalls.insert(root.clone(), (self.seq, id)) {
            self.debts.pay(seq);
        }
        self.debts.owe(self.seq);
        self.held.push(root);
    }

    /// The path of a root leads to another directory than before, or to the same one once more. What
    /// the store has is known already.
    fn watch_again(&mut self, root: &[u8], before: ArtifactId, now: ArtifactId, returned: bool) {
        let seq = self.seq;
        if before != now {
            self.roots.retain(|r| *r != before);
            let Some(dir) = self.registry.dir_mut(before) else { return };
            dir.root = None;
            let children: Vec<OsBytes> = dir.children.keys().cloned().collect();
            for name in children {
                self.lost(before, &name, seq);
            }
            self.bricks.leave(root, before, self.orphan(seq));
            if self.registry.node(before).is_some_and(|n| n.places.is_empty()) {
                self.limbo.insert(before, self.orphan(seq));
            }
            self.resettle(now, seq, returned);
        }
        match self.recalls.get_mut(root) {
            Some(recall) => recall.1 = now,
            None => self.want_list(now, seq, true),
        }
        // It waits for the store no more.
        self.enqueue_names(before);
    }

    pub(super) fn on_recalled(&mut self, root: &[u8], heads: Vec<BrickHead>) {
        let Some((seq, id)) = self.recalls.remove(root) else { return };
        let orphan = self.orphan(seq);
        for head in heads {
            let shared = |face| self.directories.packages.shared(face);
            let head = BrickHead { face: head.face.map(shared), ..head };
            self.bricks.recalled(head, self.settings.fresh, orphan);
        }
        self.bricks.keep_directory(root, id);
        self.want_list(id, seq, true);
        self.debts.pay(seq);
    }

    /// Lists a directory as soon as may be; `deep` also those below, comparing every file.
    pub(super) fn want_list(&mut self, id: ArtifactId, seq: Seq, deep: bool) {
        let Some(dir) = self.registry.dir_mut(id) else { return };
        self.debts.owe(seq);
        dir.list_wanted = match dir.list_wanted {
            None => Some((seq, deep)),
            Some((s, d)) => Some((self.debts.merge(s, seq), d || deep)),
        };
        self.enqueue_names(id);
    }

    /// Looks at one name as soon as may be.
    pub(super) fn want_look(
        &mut self,
        id: ArtifactId,
        name: &[u8],
        seq: Seq,
        actor: Option<Actor>,
    ) {
        let Some(dir) = self.registry.dir_mut(id) else { return };
        self.debts.owe(seq);
        let look = dir.looks.entry(name.to_vec()).or_default();
        look.wanted = match look.wanted.take() {
            None => Some((seq, actor)),
            Some((s, a)) => Some((self.debts.merge(s, seq), actor.or(a))),
        };
        self.enqueue_names(id);
    }

    /// Begins what this directory wants and may have now. False where the limits are reached.
    pub(super) fn start_names(&mut self, id: ArtifactId) -> bool {
        let Some(path) = self.registry.dir_path(id) else {
            self.park_names(id);
            return true;
        };
        if self.recalls.values().any(|recall| recall.1 == id) {
            // Whose the bricks are is asked once it is known which there are: then it is listed.
            return true;
        }
        let Some(node) = self.registry.node(id) else { return true };
        let expect = node.identity;
        let Some(dir) = self.registry.dir_mut(id) else { return true };
        if dir.list_running.is_some() {
            return true;
        }
        if let Some((mut seq, deep)) = dir.list_wanted {
            if 0 < dir.looks_running {
                return true;
            }
            if self.settings.lists <= self.schedule.lists {
                return false;
            }
            // What is listed from now on answers every look that had not begun.
            for (_, look) in std::mem::take(&mut dir.looks) {
                if let Some((s, _)) = look.wanted {
                    seq = self.debts.merge(seq, s);
                }
            }
            dir.list_wanted = None;
            dir.list_running = Some(ListRun { seq, deep, begun: self.seq });
            self.schedule.lists += 1;
            self.lists.insert(id, false);
            self.out.push(Effect::List { dir: id, path, expect });
            return true;
        }
        for (name, look) in &mut dir.looks {
            if look.running.is_some() || look.wanted.is_none() {
                continue;
            }
            if self.settings.looks <= self.schedule.looks {
                return false;
            }
            look.running = look.wanted.take();
            dir.looks_running += 1;
            self.schedule.looks += 1;
            self.out.push(Effect::Look { dir: id, path: path.clone(), expect, name: name.clone() });
        }
        true
    }

    /// No path leads to this directory: whatever was wanted becomes one listing if one ever does.
    fn park_names(&mut self, id: ArtifactId) {
        let Some(dir) = self.registry.dir_mut(id) else { return };
        let mut paid = vec![];
        let mut deep = false;
        if let Some((seq, d)) = dir.list_wanted.take() {
            paid.push(seq);
            deep = d;
        }
        dir.looks.retain(|_, look| {
            paid.extend(look.wanted.take().map(|w| w.0));
            look.running.is_some()
        });
        if !paid.is_empty() {
            dir.parked = Some(deep || dir.parked == Some(true));
        }
        if !paid.is_empty() {
            self.wake_children(id);
        }
        for seq in paid {
            self.debts.pay(seq);
        }
    }

    /// Files of this directory may have waited for an answer that will not come.
    fn wake_children(&mut self, id: ArtifactId) {
        let Some(dir) = self.registry.dir(id) else { return };
        let children: Vec<ArtifactId> = dir
            .children
            .values()
            .filter_map(|child| match child {
                Child::Node(id) => Some(*id),
                Child::Other(..) => None,
            })
            .collect();
        for child in children {
            self.enqueue(child);
        }
    }

    pub(super) fn on_listed(&mut self, id: ArtifactId, outcome: Result<Listing, ReadFailure>) {
        let Some(gone) = self.lists.remove(&id) else { return };
        self.schedule.lists = self.schedule.lists.saturating_sub(1);
        if gone {
            self.out.push(Effect::Untrack { artifact: id });
            return;
        }
        let run = self.registry.dir_mut(id).and_then(|d| d.list_running.take());
        let Some(ListRun { seq, deep, begun }) = run else { return };
        match outcome {
            Ok(listing) => {
                if let Some(dir) = self.registry.dir_mut(id) {
                    dir.read = true;
                }
                let deep = self.set_readable(id, seq) || deep;
                self.set_untracked(id, !listing.tracked, begun);
                self.reconcile(id, listing.entries, seq, deep);
            }
            Err(ReadFailure::Gone) => self.lost_directory(id, None, seq),
            Err(failure @ (ReadFailure::Denied | ReadFailure::Io(_))) => {
                self.set_unreadable(id, failure, seq, begun);
                self.wake_children(id);
            }
        }
        self.debts.pay(seq);
        self.enqueue_names(id);
    }

    fn reconcile(
        &mut self,
        id: ArtifactId,
        mut entries: Vec<(OsBytes, Stat)>,
        seq: Seq,
        deep: bool,
    ) {
        if let Ok(own) = entries.binary_search_by(|e| e.0.as_slice().cmp(b".")) {
            let (_, stat) = entries.remove(own);
            self.own_stat(id, &stat, seq);
        }
        let Some(dir) = self.registry.dir(id) else { return };
        let mut before: Vec<OsBytes> = dir.children.keys().cloned().collect();
        before.retain(|name| entries.binary_search_by(|e| e.0.cmp(name)).is_err());
        for name in before {
            self.lost(id, &name, seq);
        }
        for (name, stat) in entries {
            self.found(id, &name, &stat, seq, Some(deep), None);
        }
    }

    pub(super) fn on_looked(
        &mut self,
        id: ArtifactId,
        name: &[u8],
        outcome: Result<Option<Stat>, ReadFailure>,
    ) {
        self.schedule.looks = self.schedule.looks.saturating_sub(1);
        let Some(dir) = self.registry.dir_mut(id) else { return };
        let Some(look) = dir.looks.get_mut(name) else { return };
        let Some((seq, actor)) = look.running.take() else { return };
        dir.looks_running -= 1;
        if look.wanted.is_none() {
            dir.looks.remove(name);
        }
        match outcome {
            Ok(Some(stat)) => self.found(id, name, &stat, seq, None, actor),
            Ok(None) => self.lost(id, name, seq),
            Err(ReadFailure::Gone) => {
                self.lost_directory(id, Some((name.to_vec(), actor)), seq);
            }
            // When it was begun is not known: another attempt does no harm.
            Err(failure @ (ReadFailure::Denied | ReadFailure::Io(_))) => {
                self.set_unreadable(id, failure, seq, 0);
            }
        }
        // It may have waited for this answer.
        if let Some(Child::Node(child)) = self.registry.dir(id).and_then(|d| d.children.get(name)) {
            self.enqueue(*child);
        }
        self.debts.pay(seq);
        self.enqueue_names(id);
    }

    /// The directory is not where it was: find out where it is, and then ask again.
    fn lost_directory(&mut self, id: ArtifactId, name: Option<(OsBytes, Option<Actor>)>, seq: Seq) {
        let Some(node) = self.registry.node(id) else { return };
        let places = node.places.clone();
        if let Some(dir) = self.registry.dir(id)
            && dir.root.is_some()
        {
            // Nothing is above a root. What was in it is gone with it.
            let children: Vec<OsBytes> = dir.children.keys().cloned().collect();
            for name in children {
                self.lost(id, &name, seq);
            }
            return;
        }
        for place in places {
            self.want_look(place.dir, &place.name, seq, None);
        }
        let (name, actor) = name.unwrap_or_default();
        self.debts.owe(seq);
        self.retries.push(Retry { dir: id, name, seq, actor });
    }

    pub(super) fn retry_looks(&mut self) {
        for retry in std::mem::take(&mut self.retries) {
            if retry.name.is_empty() {
                self.want_list(retry.dir, retry.seq, true);
            } else {
                self.want_look(retry.dir, &retry.name, retry.seq, retry.actor);
            }
            self.debts.pay(retry.seq);
        }
    }

    /// `stat` is at `dir/name`. `listed` says that it was listed, and whether deeply.
    fn found(
        &mut self,
        dir: ArtifactId,
        name: &[u8],
        stat: &Stat,
        seq: Seq,
        listed: Option<bool>,
        actor: Option<Actor>,
    ) {
        let before = self.registry.dir(dir).and_then(|d| d.children.get(name).copied());
        if let Some(Child::Node(id)) = before
            && self.registry.is(id, stat)
        {
            self.still_there(id, stat, seq, listed, actor);
            return;
        }
        self.lost(dir, name, seq);
        match stat.kind {
            FileKind::File | FileKind::Directory => {
                self.arrived(dir, name, stat, seq, listed, actor);
            }
            FileKind::Symlink | FileKind::Other => {
                self.registry.put(dir, name, Child::Other(stat.kind, stat.identity));
                if let Some(d) = self.registry.dir_mut(dir) {
                    d.others.insert(name.to_vec(), *stat);
                }
                self.touched(dir, seq);
            }
        }
    }

    /// The same inode is at the same name; it may have changed, or gone and come again.
    fn still_there(
        &mut self,
        id: ArtifactId,
        stat: &Stat,
        seq: Seq,
        listed: Option<bool>,
        actor: Option<Actor>,
    ) {
        // An inode number may be used again within the granularity of its birth time.
        let young = listed.is_none() && self.wall.0 < stat.identity.btime_ns + 2_000_000_000;
        let deep = listed == Some(true);
        let unreadable = self.unreadable.contains_key(&id);
        if stat.kind == FileKind::Directory {
            self.own_stat(id, stat, seq);
            if deep || young || unreadable {
                self.want_list(id, seq, deep || unreadable);
            }
            return;
        }
        let Some(file) = self.registry.file_mut(id) else { return };
        let same = std::mem::replace(&mut file.stat, *stat) == *stat;
        let compare = deep || young || file.untracked || unreadable;
        if !same {
            self.touched_file(id, seq);
        }
        if self.shows(id, stat, deep) {
            self.enqueue(id);
            return;
        }
        self.mark(id, seq, |d| {
            d.live |= !deep;
            d.check |= compare;
            d.audit |= deep;
            d.blame_all(actor.as_ref());
            false
        });
    }
}
