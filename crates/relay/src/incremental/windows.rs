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

    /// How many transactions had come before the first of them was opened.
    pub(super) fn opened_first(&self) -> Option<u64> {
        self.open.iter().map(|it| it.opened_at).min()
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
        let gave_way = self.make_room(relation, Mark::COST);
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

#[cfg(test)]
mod tests {
    use pgoutput::{Cell, CommitLsn, Lsn, Message, TupleBuf, Update};

    use super::*;

    fn writer(xid: u32) -> Writer {
        let commit_lsn = CommitLsn(Lsn::new(u64::from(xid) * 8));
        Writer { xid, commit_lsn }
    }

    /// A row of about so many bytes, without its large value.
    fn partial(bytes: usize) -> Arc<Partial> {
        let text = "x".repeat(bytes);
        let cells = [Cell::Text(text.as_bytes()), Cell::Unchanged];
        let new: TupleBuf = cells.into_iter().collect();
        let update = Message::Update(Update {
            relation: 1,
            old: None,
            new: new.tuple(),
        });
        Partial::of(&update, &envelope::Options::new("srv", "db")).unwrap()
    }

    fn open(windows: &mut Windows, id: u64, relation: u32) {
        windows.open(Window::new(id, relation, (0, Lsn::ZERO)));
    }

    /// Those that have overflown.
    fn overflown(windows: &Windows) -> Vec<u64> {
        let ids = 0..20;
        ids.filter(|id| windows.has_overflown(*id)).collect()
    }

    fn keeping(changes: usize, bytes: usize) -> Windows {
        let mut windows = Windows::default();
        windows.keep_at_most(KeptChanges { changes, bytes });
        windows
    }

    /// Opens eight windows one after the other, while so many changes come; how many bytes were ever held.
    fn bytes_held(changes: u32, change: impl Fn(&mut Windows, u32)) -> u64 {
        let most = KeptChanges::default();
        let held = allocation_counter::measure(|| {
            let mut windows = Windows::default();
            for number in 0..changes {
                if number % 10_000 == 0 && number < 80_000 {
                    open(&mut windows, u64::from(number) / 10_000, 1);
                }
                change(&mut windows, number);
                assert!(windows.kept().fits(most), "{:?}", windows.kept());
            }
            assert_eq!(overflown(&windows).len(), 8);
            assert_eq!(windows.kept(), KeptChanges::NONE);
        });
        held.bytes_max
    }

    #[test]
    fn eight_windows_keep_no_more_than_one() {
        let one_transaction = bytes_held(400_000, |windows, number| {
            windows.touched(1, writer(7), u128::from(number), None);
        });
        // While a list grows, it is there one and a half times.
        assert!(one_transaction <= 7 << 20, "{one_transaction}");
        let many_transactions = bytes_held(400_000, |windows, number| {
            windows.touched(1, writer(number), u128::from(number), None);
        });
        assert!(many_transactions <= 16 << 20, "{many_transactions}");
        let rows = bytes_held(200_000, |windows, number| {
            windows.touched(1, writer(7), u128::from(number), Some(&partial(600)));
        });
        assert!(rows <= 36 << 20, "{rows}");
        let emptied = bytes_held(400_000, |windows, number| {
            windows.marked(1, Mark::Emptied(writer(number)));
        });
        assert!(emptied <= 10 << 20, "{emptied}");
    }

    #[test]
    fn the_oldest_window_gives_way_to_what_the_others_need() {
        let mut windows = keeping(3, 1 << 20);
        for id in 0..4 {
            open(&mut windows, id, 1);
            windows.touched(1, writer(7), u128::from(id), None);
        }
        assert_eq!(overflown(&windows), [0]);
        assert_eq!(windows.kept().changes, 3);
        let seen = ChunkSnapshot::parse("1:1:").unwrap();
        for id in 1..4 {
            assert!(windows.leave(id));
            assert_eq!(windows.obstacle(&seen, 0), None);
            let since = windows.looked_at().unwrap();
            let unseen = since.unseen(&seen);
            let newer = (0..4).filter(|key| since.newer(&unseen, *key).is_some());
            assert!(newer.eq(u128::from(id)..4), "window {id}");
        }
        windows.left();
        assert!(windows.leave(0));
        let too_much = Some(Reread::TooMuchChanged);
        assert_eq!(windows.obstacle(&seen, 0), too_much);
        windows.left();
        assert_eq!(windows.kept(), KeptChanges::NONE);
    }

    #[test]
    fn the_table_that_takes_most_gives_way() {
        let mut windows = keeping(100, 4_000);
        open(&mut windows, 1, 1);
        open(&mut windows, 2, 2);
        for number in 0..10 {
            windows.touched(1, writer(7), number, None);
        }
        assert!(!windows.touched(2, writer(7), 0, Some(&partial(3_000))));
        assert!(windows.touched(1, writer(7), 10, Some(&partial(1_000))));
        assert_eq!(overflown(&windows), [2]);
        assert_eq!(windows.kept().changes, 11);
        assert!(windows.touched(1, writer(7), 11, Some(&partial(5_000))));
        assert_eq!(overflown(&windows), [1, 2]);
        assert_eq!(windows.kept(), KeptChanges::NONE);
    }

    #[test]
    fn a_chunk_that_leaves_keeps_what_it_looks_at() {
        let mut windows = keeping(100, 1 << 20);
        let unseen = ChunkSnapshot::parse("1:1:").unwrap();
        open(&mut windows, 1, 1);
        windows.touched(1, writer(7), 5, None);
        open(&mut windows, 2, 1);
        windows.marked(1, Mark::Emptied(writer(8)));
        assert!(windows.leave(1));
        // Given up meanwhile, as the other one.
        windows.close(1);
        windows.close(2);
        let since = windows.looked_at().unwrap();
        assert!(since.newer(&since.unseen(&unseen), 5).is_some());
        assert!(since.is_emptied_unseen(&unseen));
        windows.left();
        assert_eq!(windows.kept(), KeptChanges::NONE);
        assert!(!windows.leave(1) && windows.looked_at().is_none());
    }

    #[test]
    fn a_mark_is_kept_once_and_each_window_has_it() {
        let mut windows = keeping(100, 1 << 20);
        let unseen = ChunkSnapshot::parse("1:1:").unwrap();
        let mark = Mark::Unknown(writer(7));
        for id in 0..3 {
            open(&mut windows, id, 1);
            windows.marked_all(mark);
            windows.marked_all(mark);
        }
        assert_eq!(windows.kept().bytes, 3 * size_of::<Mark>());
        for id in 0..3 {
            windows.leave(id);
            let not_yet = Some(Reread::NotVisibleYet);
            assert_eq!(windows.obstacle(&unseen, 0), not_yet, "window {id}");
        }
    }

    #[test]
    fn memory_is_given_back_once_much_is_not_needed() {
        let held = || {
            let mut windows = Windows::default();
            open(&mut windows, 1, 1);
            for number in 0..200_000 {
                windows.touched(1, writer(number), u128::from(number), None);
            }
            open(&mut windows, 2, 1);
            windows.touched(1, writer(7), 0, None);
            windows.close(1);
            windows
        };
        let mut windows = Windows::default();
        let info = allocation_counter::measure(|| windows = held());
        assert!(info.bytes_current <= 4096, "{}", info.bytes_current);
        assert_eq!(windows.kept().changes, 1);
    }
}
