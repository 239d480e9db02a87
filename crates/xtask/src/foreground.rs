//! `cargo xtask servers`: real servers in the foreground, to try things by hand.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::time::Instant;

use xtask::servers::{KafkaOptions, KafkaServer, PostgresOptions, PostgresServer, versions};

/// Arguments of `cargo xtask servers`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Postgres' major version, 14 to 18
    #[arg(long, default_value_t = versions::POSTGRES_MAJOR_DEFAULT)]
    postgres: u32,
    /// Start Postgres alone
    #[arg(long)]
    no_kafka: bool,
}

/// Starts them, and waits for the end of standard input or a signal; the servers go when we do.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let start = Instant::now();
    let options = PostgresOptions {
        major: arguments.postgres,
        ..PostgresOptions::default()
    };
    // For who tries two-phase commit: Postgres itself allows none.
    let options = options.with("max_prepared_transactions", "20");
    let postgres = PostgresServer::start(&options)?;
    eprintln!(
        "postgres.url: {}   ({:.1?})",
        postgres.url(),
        start.elapsed()
    );
    eprintln!("          or: {}", postgres.socket_url_for("postgres"));
    let kafka_start = Instant::now();
    let kafka = match arguments.no_kafka {
        true => None,
        false => Some(KafkaServer::start(&KafkaOptions::default())?),
    };
    if let Some(kafka) = &kafka {
        let address = kafka.bootstrap_servers();
        eprintln!(
            "bootstrap.servers: {address}   ({:.1?})",
            kafka_start.elapsed()
        );
    }
    eprintln!("Ctrl-C or the end of input stops them and removes their data.");
    let _ = std::io::stdin().read_to_end(&mut Vec::new()); // an unreadable input has ended
    Ok(ExitCode::SUCCESS)
}
