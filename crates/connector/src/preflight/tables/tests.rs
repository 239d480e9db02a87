use super::*;

fn relation(oid: u32, name: &str, kind: Kind, ancestors: &[u32]) -> Relation {
    Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind,
        unlogged: false,
        identity: IdentityKind::Default,
        ancestors: ancestors.to_vec(),
        has_children: false,
        owned: true,
        may_select: true,
        may_use_schema: true,
    }
}

/// A plain table, a partitioned one with two leaves, one of them two levels down, and a view.
fn database() -> Vec<Relation> {
    let mut unlogged = relation(7, "scratch", Kind::Table, &[]);
    unlogged.unlogged = true;
    vec![
        relation(1, "users", Kind::Table, &[]),
        relation(2, "orders", Kind::Partitioned, &[]),
        relation(3, "orders_a", Kind::Table, &[2]),
        relation(4, "orders_b", Kind::Partitioned, &[2]),
        relation(5, "orders_b1", Kind::Table, &[4, 2]),
        relation(6, "glance", Kind::View, &[]),
        unlogged,
    ]
}

/// Names of what is captured, listed in a publication, and holding rows.
fn chosen(patterns: &[&str], partitions: Partitions) -> [String; 3] {
    let database = database();
    let captures = |_: &str, name: &str| {
        patterns.iter().any(|pattern| {
            pattern
                .strip_suffix('*')
                .map_or(*pattern == name, |start| name.starts_with(start))
        })
    };
    let selection = select(&database, &captures, partitions);
    [selection.captured, selection.targets, selection.holders].map(|relations| {
        relations
            .iter()
            .map(|r| r.name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    })
}

#[test]
fn under_the_roots_name() {
    let leaves = "orders_a orders_b1";
    assert_eq!(
        chosen(&["*"], Partitions::Root),
        ["users orders", "users orders", &format!("users {leaves}")]
    );
    assert_eq!(
        chosen(&["orders"], Partitions::Root),
        ["orders", "orders", leaves]
    );
    // Without its root, an inner partitioned table stands for its own leaves.
    assert_eq!(
        chosen(&["orders_*"], Partitions::Root),
        ["orders_a orders_b", "orders_a orders_b", leaves]
    );
}

#[test]
fn under_the_leaves_names() {
    let leaves = "orders_a orders_b1";
    assert_eq!(
        chosen(&["*"], Partitions::Leaf),
        [
            &format!("users {leaves}"),
            "users orders",
            &format!("users {leaves}")
        ]
    );
    assert_eq!(chosen(&["orders_b1"], Partitions::Leaf), ["orders_b1"; 3]);
    assert_eq!(chosen(&["orders"], Partitions::Leaf), ["", "orders", ""]);
}

#[test]
fn partitions_that_are_not_in_the_wal() {
    let mut database = database();
    let mut unlogged = relation(8, "orders_u", Kind::Table, &[2]);
    unlogged.unlogged = true;
    database.extend([relation(9, "orders_f", Kind::Foreign, &[2]), unlogged]);
    let named = |captures: &dyn Fn(&str, &str) -> bool, partitions| {
        let selection = select(&database, captures, partitions);
        list(&selection.not_in_wal)
    };
    let both = "public.orders_f, public.orders_u";
    assert_eq!(named(&|_, name| name == "orders", Partitions::Root), both);
    assert_eq!(named(&|_, _| true, Partitions::Root), both);
    assert_eq!(named(&|_, _| true, Partitions::Leaf), both);
    // Nobody asked for them.
    assert_eq!(named(&|_, name| name == "users", Partitions::Root), "");
    assert_eq!(named(&|_, name| name == "orders_a", Partitions::Leaf), "");
}

#[test]
fn a_few_names_and_a_count() {
    let database = database();
    let all: Vec<&Relation> = database.iter().collect();
    assert_eq!(list(&all[..1]), "public.users");
    assert_eq!(
        list(&all),
        "public.users, public.orders, public.orders_a, public.orders_b, public.orders_b1 and 2 more"
    );
    assert_eq!(several(&all[..1]).to_string(), "table public.users");
    assert_eq!(several(&all).to_string(), "7 tables");
}
