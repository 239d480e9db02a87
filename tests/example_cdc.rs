//! The example of table CDC: a copy of a table in another database is the table again, whatever was
//! killed; and what comes again does not take it back, not even for a moment.

use std::time::Duration;

use e2e::support::example::{self, Program, wait_consumed};
use e2e::support::workload::Dice;
use e2e::support::{kafka, postgres, unique, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(60);
const ROUNDS: u64 = 12;
const SEED: u64 = 20_261_129;

fn rows(postgres: &PostgresServer, database: &str) -> Vec<String> {
    let all =
        "SELECT id || ' ' || name || ' ' || md5(coalesce(note, 'none')) FROM customers ORDER BY id";
    postgres.query_text(database, all).expect("rows")
}

/// One change: a row more, less, another, under another key, with a note that is stored apart.
fn change(dice: &mut Dice, next: &mut u64) -> String {
    let id = 1 + dice.below(*next);
    match dice.below(8) {
        0..=2 => {
            *next += 1;
            let note = ["NULL", "'short'", "repeat('worth storing apart ', 500)"];
            let note = note[usize::try_from(dice.below(3)).unwrap_or(0)];
            format!("INSERT INTO customers VALUES ({next}, 'new', {note})")
        }
        3 | 4 => {
            let name = dice.below(1000);
            format!("UPDATE customers SET name = 'name {name}' WHERE id = {id}")
        }
        5 => format!("UPDATE customers SET note = NULL WHERE id = {id}"),
        6 => format!("DELETE FROM customers WHERE id = {id}"),
        _ => {
            *next += 1;
            format!("UPDATE customers SET id = {next}, note = 'moved' WHERE id = {id}")
        }
    }
}

fn write(postgres: &PostgresServer, dice: &mut Dice, next: &mut u64) {
    for _ in 0..30 {
        let text = change(dice, next);
        postgres.execute("source", &text).expect(&text);
    }
}

/// From now on a change of the copy is an error.
fn refuse_changes(postgres: &PostgresServer) {
    let refuses = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                       $$ BEGIN RAISE 'the copy is taken back'; END $$;
                   CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON customers
                       FOR EACH ROW EXECUTE FUNCTION refuse()";
    postgres.execute("copy", refuses).expect("a trigger");
}

#[test]
fn the_copy_is_the_table_whatever_is_killed() {
    eprintln!("seed {SEED}");
    let mut dice = Dice::new(SEED);
    let postgres = postgres(PostgresOptions::default());
    let table = example::script("cdc/customers.sql");
    example::database(&postgres, "source", &[&table]);
    example::database(&postgres, "copy", &[&table, inbox::SQL]);
    let name = unique("example_cdc");
    let topic = format!("{name}.public.customers");
    let (source, copy) = (postgres.url_for("source"), postgres.url_for("copy"));
    let kafka = kafka().bootstrap_servers();
    let walferry = {
        let (name, kafka) = (name.clone(), kafka.clone());
        move || {
            let mut command = example::walferry("run", "cdc/walferry.yaml");
            command.env("SOURCE", &source).env("KAFKA", &kafka);
            command.env("WALFERRY_NAME", &name);
            command.env("WALFERRY_TOPICS_PREFIX", &name);
            command
        }
    };
    let copying = |group: String| {
        let (copy, kafka, topic) = (copy.clone(), kafka.clone(), topic.clone());
        Program::started("copy", move || {
            let mut command = example::python("cdc/copy.py");
            command.env("COPY", &copy).env("KAFKA", &kafka);
            command.env("TOPIC", &topic).env("GROUP", &group);
            command
        })
    };
    let mut next = 0;
    write(&postgres, &mut dice, &mut next); // rows that are there before anybody copies
    let mut programs = [
        Program::started("walferry", walferry.clone()),
        copying(name.clone()),
    ];
    for round in 0..ROUNDS {
        let seen = format!("SELECT lsn::text FROM walferry_inbox.position WHERE topic = '{topic}'");
        let position = || postgres.query_text("copy", &seen).expect("a position");
        let before = position();
        write(&postgres, &mut dice, &mut next);
        wait_for("the copy goes on", LIMIT, || {
            programs.iter_mut().for_each(Program::assert_running);
            (position() != before).then_some(())
        });
        let killed = usize::try_from(dice.below(3)).unwrap_or(0);
        for (number, program) in programs.iter_mut().enumerate() {
            if killed == number || killed == 2 {
                eprintln!("round {round}: {}", program.name());
                program.start();
            }
        }
    }
    let [mut running, mut consumer] = programs;
    running.kill9();
    let mut catch_up = walferry();
    catch_up.args(["--until", "now"]);
    example::run(catch_up);
    wait_consumed(&kafka, &name, &topic, std::slice::from_mut(&mut consumer));
    assert_eq!(rows(&postgres, "copy"), rows(&postgres, "source"));
    assert!(rows(&postgres, "copy").len() > 40, "rows worth the name");
    assert_eq!(consumer.stop(), 0);

    // The whole topic once more, as after a lost consumer group: no row is touched.
    refuse_changes(&postgres);
    let again = format!("{name}_again");
    let mut consumer = copying(again.clone());
    wait_consumed(&kafka, &again, &topic, std::slice::from_mut(&mut consumer));
    assert_eq!(consumer.stop(), 0);
}
