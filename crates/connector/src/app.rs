//! What each command does, from its words to its exit.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{debug, error, info};

use crate::admin::Admin;
use crate::ask::{self, Ask};
use crate::cli::{
    self, Check, Cli, Command, OutboxCommand, OutboxInit, Run, Snapshot, Status, Verify,
};
use crate::config::{Config, Environment};
use crate::exit::Exit;
use crate::observer::Observer;
use crate::outbox_init::{self, InitError, Wish};
use crate::preflight;
use crate::preflight::report::{Dress, Report};
use crate::signal::Kind;
use crate::start;
use crate::status;
use crate::supervisor::{Outcome, supervise};
use crate::telemetry::{self, Telemetry};
use crate::verify;

/// Does what the command line says.
#[must_use]
pub fn main(cli: Cli) -> Exit {
    match cli.command {
        Command::Run(run) => self::run(&run),
        Command::Check(check) => self::check(&check),
        Command::Verify(verify) => self::verify(verify),
        Command::Status(status) => self::status(&status),
        Command::Snapshot(snapshot) => self::snapshot(snapshot),
        Command::Outbox(OutboxCommand::Init(init)) => outbox_init(&init),
        Command::Completions { shell } => {
            match cli::completions(shell, &mut std::io::stdout().lock()) {
                Ok(()) => Exit::Done,
                Err(error) => complain(&error, Exit::Unexpected),
            }
        }
    }
}

fn run(run: &Run) -> Exit {
    let status_line = match telemetry::init(&run.logs) {
        Ok(line) => line,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let config = match Config::load(&run.config.path, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => return complain(&error, Exit::Usage),
    };
    for set in &config.effective {
        debug!(key = set.path, value = set.value, from = %set.origin, "configuration");
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, Exit::Unexpected),
    };
    let telemetry = Telemetry::new(config.name.as_str());
    let (asked, mut shutdown) = watch::channel(false);
    let outcome = runtime.block_on(async {
        tokio::spawn(on_signals(asked));
        match Admin::bind(&config.admin).await {
            Ok(Some(admin)) => {
                info!(address = %admin.address(), "admin page");
                tokio::spawn(admin.serve(telemetry.clone(), std::future::pending()));
            }
            Ok(None) => {}
            Err(error) => return Err(complain(&error, Exit::Usage)),
        }
        let observer = Observer::new(telemetry.clone(), start::limits(&config, None), &config);
        tokio::select! {
            outcome = supervise(&config, run.until, &observer, &mut shutdown) => Ok(outcome),
            () = status_line.keep(&telemetry) => Err(Exit::Unexpected),
        }
    });
    status_line.clear();
    // Threads that wait for a peer which never answers must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(outcome) => exit(outcome),
        Err(exit) => exit,
    }
}

fn exit(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Exit(exit) => {
            match exit {
                Exit::Done => info!(code = exit.code(), "ended: {}", exit.meaning()),
                _ => error!(code = exit.code(), "ended: {}", exit.meaning()),
            }
            exit
        }
        Outcome::Halted(halted) => {
            error!(code = halted.halt.code(), seen = halted.seen, "halted");
            complain(&halted, Exit::Halted(halted.halt))
        }
        Outcome::Misconfigured(problem) => {
            error!(problem, "the configuration cannot work");
            Exit::Usage
        }
    }
}

fn check(check: &Check) -> Exit {
    if let Err(error) = telemetry::init(&check.logs) {
        return complain(&error, Exit::Usage);
    }
    let config = match Config::load(&check.config.path, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, Exit::Unexpected),
    };
    let report: Report = runtime.block_on(Box::pin(preflight::whole(&config)));
    runtime.shutdown_background();
    let text = match check.json {
        true => report.json(),
        false => report.text(dress()),
    };
    print(&text, report.exit())
}

fn verify(verify: Verify) -> Exit {
    if let Err(error) = telemetry::init(&verify.logs) {
        return complain(&error, Exit::Usage);
    }
    let config = match Config::load(&verify.config.path, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, Exit::Unexpected),
    };
    let (json, request) = (verify.json, verify::Request::from(verify));
    let stop = Arc::new(AtomicBool::new(false));
    let report = runtime.block_on(async {
        let (asked, mut shutdown) = watch::channel(false);
        tokio::spawn(on_signals(asked));
        let stopper = Arc::clone(&stop);
        tokio::spawn(async move {
            if shutdown.wait_for(|asked| *asked).await.is_ok() {
                stopper.store(true, Ordering::Relaxed);
            }
        });
        Box::pin(verify::verify(&config, &request, &stop)).await
    });
    runtime.shutdown_background();
    let text = match json {
        true => report.json(),
        false => report.text(dress()),
    };
    print(&text, report.exit())
}

impl From<Verify> for verify::Request {
    fn from(verify: Verify) -> Self {
        Self {
            topics: verify.topics,
            part: match verify.skip_topics {
                true => verify::TopicsPart::Skipped,
                false => verify::TopicsPart::Read,
            },
            tables: match verify.all_tables {
                true => verify::Tables::All,
                false => verify::Tables::Named(verify.tables),
            },
            sample: verify.sample,
            wait: Duration::from_secs(verify.wait),
            memory: verify.memory as usize * 1024 * 1024,
        }
    }
}

fn snapshot(snapshot: Snapshot) -> Exit {
    if let Err(error) = telemetry::init(&snapshot.logs) {
        return complain(&error, Exit::Usage);
    }
    let config = match Config::load(&snapshot.config.path, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, Exit::Unexpected),
    };
    let ask = Ask::from(snapshot);
    let asked = runtime.block_on(async {
        let (asked, mut shutdown) = watch::channel(false);
        tokio::spawn(on_signals(asked));
        Box::pin(ask::ask(&config, ask, &mut shutdown)).await
    });
    runtime.shutdown_background();
    asked.unwrap_or_else(|error| complain(&error, error.exit()))
}

impl From<Snapshot> for Ask {
    fn from(snapshot: Snapshot) -> Self {
        if let Some(id) = snapshot.stop {
            return Self::Stop(id);
        }
        match (snapshot.pause, snapshot.resume) {
            (true, _) => Self::Pause,
            (_, true) => Self::Resume,
            _ => Self::Execute {
                tables: snapshot.tables,
                filter: snapshot.filter,
                kind: match snapshot.blocking {
                    true => Kind::Blocking,
                    false => Kind::Incremental,
                },
                surrogate_key: snapshot.surrogate_key,
                detach: snapshot.detach,
            },
        }
    }
}

fn dress() -> Dress {
    match std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => Dress::Colour,
        false => Dress::Plain,
    }
}

fn print(text: &str, exit: Exit) -> Exit {
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Ok(()) => exit,
        Err(error) => complain(&error, Exit::Unexpected),
    }
}

fn status(status: &Status) -> Exit {
    let config = match Config::load(&status.config.path, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, Exit::Unexpected),
    };
    let said = match runtime.block_on(status::ask(&config)) {
        Ok(said) => said,
        Err(error) => return complain(&error, Exit::Unexpected),
    };
    let text = match status.json {
        true => format!("{said}\n"),
        false => status::text(&said),
    };
    match write!(std::io::stdout().lock(), "{text}") {
        Ok(()) => Exit::Done,
        Err(error) => complain(&error, Exit::Unexpected),
    }
}

fn outbox_init(init: &OutboxInit) -> Exit {
    let config = match Config::load(&init.config.path, &Environment::of_process()) {
        Ok(config) => config,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let wish = Wish {
        role: init.role.as_deref(),
        schema: init.schema.as_deref(),
    };
    let script = match outbox_init::script(&config, wish) {
        Ok(script) => script,
        Err(error) => return complain(&error, Exit::Usage),
    };
    for note in &script.notes {
        tell(note);
    }
    if !init.apply {
        return match write!(std::io::stdout().lock(), "{}", script.sql) {
            Ok(()) => Exit::Done,
            Err(error) => complain(&error, Exit::Unexpected),
        };
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, Exit::Unexpected),
    };
    let applied: Result<(), InitError> =
        runtime.block_on(Box::pin(outbox_init::apply(&config, &script.sql, tell)));
    runtime.shutdown_background();
    match applied {
        Ok(()) => Exit::Done,
        Err(error) => complain(&error, Exit::Unexpected),
    }
}

/// The first signal asks to drain; the second ends the process where it stands.
async fn on_signals(asked: watch::Sender<bool>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        error!("signals cannot be listened to; only kill -9 ends this process");
        return;
    };
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if *asked.borrow() {
            std::process::exit(Exit::Interrupted.code().into());
        }
        asked.send_replace(true);
    }
}

/// Two threads: the loop's, and one for everything else: of two, one would wake the other for each
/// message that a task sends to another. librdkafka brings its own.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

fn complain(error: &dyn std::fmt::Display, exit: Exit) -> Exit {
    let _ = writeln!(std::io::stderr().lock(), "{error}");
    exit
}

/// To the person at the terminal, beside what goes to stdout.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
