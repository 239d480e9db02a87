//! A throw-away Postgres of this test's own, reached by unix socket only, gone when dropped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Client, Config, NoTls};

/// One running server.
pub(crate) struct Server {
    bin: PathBuf,
    dir: PathBuf,
}

impl Server {
    /// Starts a server with these settings, or says why the test is skipped.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Option<Self> {
        let Some(bin) = std::env::var_os("WALFERRY_TEST_POSTGRES_BIN") else {
            eprintln!("skipped: WALFERRY_TEST_POSTGRES_BIN does not name Postgres' programs");
            return None;
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("wfpf-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).expect("a fresh directory");
        let server = Self {
            bin: PathBuf::from(bin),
            dir,
        };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&server.dir));
        }
        let data = server.dir.join("data");
        run(server
            .program("initdb")
            .args([
                "-U",
                "postgres",
                "--auth=trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data));
        let mut conf = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\n",
            server.dir.display()
        );
        for (name, value) in settings {
            conf.push_str(&format!("{name} = '{value}'\n"));
        }
        let file = data.join("postgresql.conf");
        let default = std::fs::read_to_string(&file).expect("initdb wrote it");
        std::fs::write(&file, default + &conf).expect("writable");
        server.pg_ctl("start", "fast");
        Some(server)
    }

    /// Restarts the server, for settings that need it.
    pub(crate) fn restart(&self) {
        self.pg_ctl("restart", "fast");
    }

    /// A session as this role.
    pub(crate) async fn client(&self, user: &str, database: &str) -> Client {
        let (client, connection) = Config::new()
            .host_path(&self.dir)
            .user(user)
            .dbname(database)
            .application_name("preflight_live")
            .connect(NoTls)
            .await
            .expect("the server answers");
        tokio::spawn(connection);
        client
    }

    fn pg_ctl(&self, verb: &str, mode: &str) {
        let mut command = self.program("pg_ctl");
        command
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(["-w", "-s", "-m", mode, "-l"]);
        run(command.arg(self.dir.join("log")).arg(verb));
    }

    /// The server refuses to run as root, so root runs it as `postgres`.
    fn program(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "--",
            ]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.dir);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.dir.join("data");
        if Path::new(&data).join("postmaster.pid").exists() {
            let mut stop = self.program("pg_ctl");
            let _ = stop
                .arg("-D")
                .arg(&data)
                .args(["-s", "-m", "immediate", "stop"])
                .status();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt as _;
        own.uid() == 0
    })
}

fn run(command: &mut Command) {
    // The started server must not inherit a pipe of ours, or waiting for the output would not end.
    let status = command.stdout(std::process::Stdio::null()).status();
    assert!(
        status.as_ref().is_ok_and(|s| s.success()),
        "{command:?}: {status:?}"
    );
}
