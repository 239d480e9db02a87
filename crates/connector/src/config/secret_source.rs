//! Where a secret comes from: written inline (or by environment), a file, or a command's output.
//!
//! The source is kept rather than the text, so that a rotated password is picked up at the next
//! connect.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::secret::Secret;

/// Where a secret comes from. `Debug` shows the place, never the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The text itself.
    Inline(Secret),
    /// A file whose content it is, but for line breaks at its end.
    File(PathBuf),
    /// A shell command whose output it is, but for line breaks at its end.
    Command(String),
}

/// Why a secret could not be had. Names the place, never the text or the command's output.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read.
    #[error("cannot read the file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The command could not be run, or ended badly.
    #[error("the command {command:?} {reason}; run it by hand to see why")]
    Command {
        /// The command as configured.
        command: String,
        /// What happened.
        reason: String,
    },
    /// The text is longer than any password, not UTF-8, or has a zero byte.
    #[error("{place} does not hold a password: {reason}")]
    Malformed {
        /// The file or command.
        place: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl SecretSource {
    /// Reads the secret now. A command may take up to ten seconds, so call this where blocking is
    /// allowed.
    ///
    /// # Errors
    /// The file or the command did not give one.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => read_file(path),
            Self::Command(command) => run(command),
        }
    }

    /// The place in words, for a listing of the configuration.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Inline(_) => crate::secret::REDACTED.to_owned(),
            Self::File(path) => format!("*** (file {})", path.display()),
            Self::Command(command) => format!("*** (command {command:?})"),
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::File {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    secret_of(bytes, || format!("the file {}", path.display()))
}

fn run(command: &str) -> Result<Secret, SecretError> {
    let failed = |reason: String| SecretError::Command {
        command: command.to_owned(),
        reason,
    };
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("could not be started: {error}")))?;
    let output = child.stdout.take();
    // The output is read beside the wait, so that a command which writes and does not end is
    // ended, and one that writes much does not block on its pipe.
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(output.map(read_pipe).transpose());
    });
    wait(&mut child).map_err(&failed)?;
    // Not for ever: a process the command left behind may hold the pipe open.
    let bytes = receiver
        .recv_timeout(Duration::from_secs(1))
        .map_err(|_| failed("left its output open".to_owned()))?
        .map_err(|error| failed(format!("could not be read: {error}")))?
        .unwrap_or_default();
    secret_of(bytes, || format!("the output of {command:?}"))
}

/// Reads what a secret may be long, and the rest into nothing, so that the command ends by itself.
fn read_pipe(mut pipe: ChildStdout) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut pipe)
        .take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    std::io::copy(&mut pipe, &mut std::io::sink())?;
    Ok(bytes)
}

fn wait(child: &mut Child) -> Result<(), String> {
    let deadline = Instant::now() + COMMAND_TIME_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("ended with {status}")),
            Ok(None) if Instant::now() >= deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "did not end within {} s",
                    COMMAND_TIME_MAX.as_secs()
                ));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(format!("could not be waited for: {error}")),
        }
    }
}

fn secret_of(bytes: Vec<u8>, place: impl Fn() -> String) -> Result<Secret, SecretError> {
    let malformed = |reason| SecretError::Malformed {
        place: place(),
        reason,
    };
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(malformed("it is longer than 64 KiB"));
    }
    if bytes.contains(&0) {
        return Err(malformed("it has a zero byte"));
    }
    // Wrapped before it is cut, so that no unwiped copy is left behind.
    let text = String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
    let whole = Secret::new(text);
    let cut = whole.expose().trim_end_matches(['\n', '\r']);
    if cut.is_empty() {
        return Err(malformed("it is empty"));
    }
    Ok(Secret::new(cut))
}

/// Room for a private key in PEM form, far above any password.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Long for a vault on the network, short beside a start that hangs.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gives_its_output_without_the_last_line_break() {
        let source = SecretSource::Command("printf 'pass word \\n'".to_owned());
        assert_eq!(source.read().unwrap().expose(), "pass word ");
    }

    #[test]
    fn failures_name_the_place_and_not_the_text() {
        for (command, reason) in [
            ("echo canary; exit 3", "exit status: 3"),
            ("true", "it is empty"),
            (
                "head -c 100000 /dev/zero | tr '\\0' x",
                "longer than 64 KiB",
            ),
            ("printf 'a\\0b'", "zero byte"),
            ("printf '\\377'", "not UTF-8"),
        ] {
            let error = SecretSource::Command(command.to_owned())
                .read()
                .unwrap_err()
                .to_string();
            assert!(error.contains(reason), "{command}: {error}");
        }
        let missing = SecretSource::File("/nonexistent/pg".into())
            .read()
            .unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot read the file /nonexistent/pg: ")
        );
        let debug = format!("{:?}", SecretSource::Inline(Secret::new("canary")));
        assert!(!debug.contains("canary"), "{debug}");
    }
}
