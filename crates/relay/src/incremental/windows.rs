//! All open windows, and the changes that they look at, which are bounded for all of them together.
//!
//! Where another change would be too many, the list that takes most gives way: its oldest window ends, which
//! has most to look at, and what no other needs is let go at once. The chunk of that window is read again.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::changes::{Changes, KeptChanges, Mark, Since};
use super::filled::Partial;
use super::snapshot::Writer;
use super::window::Window;
use super::{ChunkSnapshot, Reread};

#[derive(Debug, Default)]
pub(super) struct Windows {
    open: Vec<Window>,
    /// The one whose chunk leaves. What it looks at is kept, too.
    leaving: Option<Window>,
    /// By relation: those at which a window looks.
    changes: BTreeMap<u32, Changes>,
    at_most: KeptChanges,
}

impl Windows {
    pub(super) fn keep_at_most(&mut self, at_most: KeptChanges) {
        self.at_most = at_most;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn open(&mut self, mut window: Window) {
        let changes = self.changes.entry(window.relation).or_default();
        window.from = Some(changes.open());
        self.open.push(window);
    }

    pub(super) fn close(&mut self, id: u64) {
        if let Some(window) = self.take(id) {
            self.let_go(window.relation);
        }
    }

    fn take(&mut self, id: u64) -> Option<Window> {
        let place = self.open.iter().position(|it| it.id == id)?;
        Some(self.open.swap_remove(place))
    }

    /// The window's chunk is about to leave, up to [`Windows::left`]; whether it is open.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        self.left();
        self.leaving = self.take(id);
        self.leaving.is_some()
    }

    pub(super) fn leaving(&self) -> Option<&Window> {
        self.leaving.as_ref()
    }

    pub(super) fn left(&mut self) {
        if let Some(window) = self.leaving.take() {
            self.let_go(window.relation);
        }
    }

    /// What the leaving one looks at.
    pub(super) fn looked_at(&self) -> Option<Since<'_>> {
        let window = self.leaving.as_ref()?;
        let changes = self.changes.get(&window.relation)?;
        Some(changes.since(window.from?))
    }

    /// Why the leaving one cannot tell what happened, if it cannot.
    pub(super) fn obstacle(&self, snapshot: &ChunkSnapshot, shape: u64) -> Option<Reread> {
        let window = self.leaving.as_ref()?;
        let Some(since) = self.looked_at() else {
            return Some(Reread::TooMuchChanged);
        };
        if window.is_altered(shape) {
            return Some(Reread::Altered);
        }
        let is_unknown = since.is_unknown_unseen(snapshot);
        is_unknown.then_some(Reread::NotVisibleYet)
    }

    /// Whether a window looks at this table.
    pub(super) fn look_at(&self, relation: u32) -> bool {
        self.changes.contains_key(&relation)
    }

    pub(super) fn has_overflown(&self, id: u64) -> bool {
        let mut open = self.open.iter();
        open.any(|it| it.id == id && it.from.is_none())
    }

    /// The stream describes a table.
    pub(super) fn described(&mut self, relation: u32, shape: u64) {
        let of = |it: &&mut Window| it.relation == relation;
        let windows = self.open.iter_mut().filter(of);
        windows.for_each(|it| it.described(shape));
    }

    /// Notes a change; whether a window had to give way.
    pub(super) fn touched(
        &mut self,
        relation: u32,
        writer: Writer,
        key: u128,
        partial: Option<&Arc<Partial>>,
    ) -> bool {
        let Some(changes) = self.changes.get(&relation) else {
            return false;
        };
        let gave_way = self.make_room(relation, changes.cost(writer, partial));
        if let Some(changes) = self.changes.get_mut(&relation) {
            changes.touched(writer, key, partial);
        }
        gave_way
    }

    /// Notes a change of a whole table; whether a window had to give way.
    pub(super) fn marked(&mut self, relation: u32, mark: Mark) -> bool {
        let changes = self.changes.get(&relation);
        if changes.is_none_or(|it| it.has(mark)) {
            return false;
        }
        let cost = KeptChanges {
            changes: 0,
            bytes: size_of::<Mark>(),
        };
        let gave_way = self.make_room(relation, cost);
        if let Some(changes) = self.changes.get_mut(&relation) {
            changes.marked(mark);
        }
        gave_way
    }

    /// Notes a change that may be of any table; whether a window had to give way.
    pub(super) fn marked_all(&mut self, mark: Mark) -> bool {
        let relations: Vec<u32> = self.changes.keys().copied().collect();
        let mut gave_way = false;
        for relation in relations {
            gave_way |= self.marked(relation, mark);
        }
        gave_way
    }

    /// Until so much more of a table fits, or no window looks at it; whether a window had to give way.
    fn make_room(&mut self, relation: u32, cost: KeptChanges) -> bool {
        let mut gave_way = false;
        while self.changes.contains_key(&relation) && !self.kept().and(cost).fits(self.at_most) {
            let bytes_of = |it: &Window| {
                let kept = self.changes.get(&it.relation).map(|it| it.kept().bytes);
                let more = (it.relation == relation).then_some(cost.bytes);
                kept.unwrap_or_default() + more.unwrap_or_default()
            };
            let open = self.open.iter().enumerate();
            let looking = open.filter(|(_, it)| it.from.is_some());
            let heaviest = looking.max_by_key(|(_, it)| (bytes_of(it), Reverse(it.from)));
            let Some((place, _)) = heaviest else {
                break;
            };
            let window = self.open.get_mut(place);
            let Some(relation) = window.map(Window::give_way) else {
                break;
            };
            self.let_go(relation);
            gave_way = true;
        }
        gave_way
    }

    pub(super) fn kept(&self) -> KeptChanges {
        let kept = self.changes.values().map(Changes::kept);
        kept.fold(KeptChanges::NONE, KeptChanges::and)
    }

    /// What no window needs any more.
    fn let_go(&mut self, relation: u32) {
        let windows = self.open.iter().chain(&self.leaving);
        let of = windows.filter(|it| it.relation == relation);
        match (
            of.filter_map(|it| it.from).min(),
            self.changes.get_mut(&relation),
        ) {
            (Some(first), Some(changes)) => changes.let_go_before(first),
            _ => {
                self.changes.remove(&relation);
            }
        }
    }
}
