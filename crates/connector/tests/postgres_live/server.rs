//! A throw-away server with TLS, and the certificates around it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use connector::postgres::sql::sql;
use connector::postgres::{Conninfo, PostgresError, SqlClient};
use tokio_postgres::SimpleQueryMessage;

/// A running server; stopped and removed when dropped.
pub(crate) struct Server {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) owner: Option<(u32, u32)>,
    bin: PathBuf,
    child: Option<Child>,
}

const SETTINGS: &str = "
wal_level = logical
fsync = off
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
ssl_ca_file = 'ca.crt'
listen_addresses = '127.0.0.1,::1'
max_wal_senders = 10
max_replication_slots = 10
timezone = 'Asia/Tokyo'
datestyle = 'SQL, DMY'
";

const HBA: &str = "
local     all all                  trust
hostssl   all certuser all         cert
hostssl   all clear    all         password
hostnossl all clear    all         password
host      all md5user  all         md5
host      all all      all         scram-sha-256
";

const ROLES: &str = "
CREATE ROLE certuser LOGIN REPLICATION;
SET password_encryption = 'md5';
CREATE ROLE md5user LOGIN REPLICATION PASSWORD 'md5-canary';
SET password_encryption = 'scram-sha-256';
CREATE ROLE clear LOGIN REPLICATION PASSWORD 'clear-canary';
CREATE ROLE scram LOGIN SUPERUSER REPLICATION PASSWORD 'scram-canary-пароль';
";

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// Starts one, or says that it is skipped.
    pub(crate) fn start() -> Option<Server> {
        let Some(bin) = std::env::var_os("WALFERRY_TEST_POSTGRES_BIN").map(PathBuf::from) else {
            println!("skipped: WALFERRY_TEST_POSTGRES_BIN names no Postgres");
            return None;
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("walferry-live-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let owner = unprivileged();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut server = Server {
            directory,
            port,
            owner,
            bin,
            child: None,
        };
        server.give(&server.directory.clone());
        let data = server.data();
        let initdb = server.bin.join("initdb");
        server.run(
            Command::new(initdb)
                .args(["-A", "trust", "-U", "postgres", "-E", "UTF8"])
                .args(["--no-sync", "--locale=C", "-D"])
                .arg(&data),
        );
        server.certificates();
        fs::write(data.join("postgresql.auto.conf"), SETTINGS).unwrap();
        fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        server.boot();
        server.sql(ROLES);
        Some(server)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Starts the process and waits until it takes connections.
    pub(crate) fn boot(&mut self) {
        let mut command = Command::new(self.bin.join("postgres"));
        command
            .arg("-D")
            .arg(self.data())
            .arg("-p")
            .arg(self.port.to_string());
        command.arg("-k").arg(&self.directory);
        let log = fs::File::create(self.directory.join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(self.as_owner(&mut command).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.try_sql("SELECT 1").is_err() {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it as `pg_ctl stop -m fast` (SIGINT) or `-m immediate` (SIGQUIT) would; how long it
    /// took.
    pub(crate) fn stop(&mut self, signal: &str) -> Duration {
        let started = Instant::now();
        if let Some(mut child) = self.child.take() {
            let sent = Command::new("kill")
                .args(["-s", signal, &child.id().to_string()])
                .status();
            assert!(sent.unwrap().success());
            child.wait().unwrap();
        }
        started.elapsed()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Runs SQL as the superuser; the last statement's first cell.
    pub(crate) fn sql(&self, text: &str) -> String {
        self.try_sql(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// On a thread of its own, for the tests' runtime must not be blocked by another.
    fn try_sql(&self, text: &str) -> Result<String, PostgresError> {
        let conninfo = self.conninfo("user=postgres dbname=postgres host=DIR port=PORT");
        std::thread::scope(|scope| {
            let run = || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.unwrap().block_on(async {
                    let client = SqlClient::connect(&conninfo).await?;
                    let messages = client.simple_query(text).await.map_err(sql("test"))?;
                    let cells = messages.iter().filter_map(|message| match message {
                        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default()),
                        _ => None,
                    });
                    Ok(cells.last().unwrap_or_default().to_owned())
                })
            };
            scope.spawn(run).join().unwrap()
        })
    }

    pub(crate) fn conninfo(&self, text: &str) -> Conninfo {
        self.conninfo_with(text, &[])
    }

    pub(crate) fn conninfo_with(&self, text: &str, environment: &[(&str, String)]) -> Conninfo {
        let text = text
            .replace("PORT", &self.port.to_string())
            .replace("DIR", &self.directory.display().to_string());
        Conninfo::parse(&text, &|name| {
            environment
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
        })
        .unwrap()
    }

    /// A file of ours in the server's directory, private unless said otherwise.
    pub(crate) fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// An authority, a server certificate for `localhost` and 127.0.0.1, one for `certuser`.
    fn certificates(&self) {
        let directory = &self.directory;
        let openssl = |arguments: &str| {
            let output = Command::new("openssl")
                .args(arguments.split(' ').map(|word| word.replace('~', " ")))
                .current_dir(directory)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        let new = "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
        for authority in ["ca", "other-ca"] {
            openssl(&format!(
                "{new} -x509 -days 3 -subj /CN=walferry~{authority} \
                -keyout {authority}.key -out {authority}.crt"
            ));
        }
        fs::write(
            directory.join("server.ext"),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
        )
        .unwrap();
        fs::write(
            directory.join("client.ext"),
            "extendedKeyUsage=clientAuth\n",
        )
        .unwrap();
        for (name, subject) in [("server", "localhost"), ("client", "certuser")] {
            openssl(&format!(
                "{new} -subj /CN={subject} -keyout {name}.key -out {name}.csr"
            ));
            openssl(&format!(
                "x509 -req -days 3 -in {name}.csr -CA ca.crt -CAkey ca.key \
                -CAcreateserial -extfile {name}.ext -out {name}.crt"
            ));
        }
        for file in ["server.crt", "server.key", "ca.crt"] {
            let path = self.data().join(file);
            fs::copy(directory.join(file), &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            self.give(&path);
        }
        let key = fs::Permissions::from_mode(0o600);
        fs::set_permissions(directory.join("client.key"), key).unwrap();
    }

    fn give(&self, path: &Path) {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    fn run(&self, command: &mut Command) {
        let output = self.as_owner(command).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn as_owner<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.current_dir(&self.directory);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.stop("QUIT");
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Postgres refuses root: then the user `postgres`, by the password file.
fn unprivileged() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("a user postgres").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}
