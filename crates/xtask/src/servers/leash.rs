//! Ends what we started when we die without a chance to clean up (Ctrl-C, abort, kill -9).
//!
//! The leash is one small shell that reads from a pipe whose only other end is ours. When we are gone
//! it reads the end of the pipe, kills the process groups it was told to hold, and removes our
//! directory. It sits in a process group of its own, so a terminal's Ctrl-C does not reach it.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::ServerError;

/// `+ SIGNAL PID` holds a process, `- SIGNAL PID` lets go of it. At the end: the signal to each group
/// that is held, a moment to end in, then SIGKILL, and the directory `$0` is removed. (`kill -s` and
/// not `kill -TERM`: before `--`, dash knows only the former.)
const SCRIPT: &str = r#"
held=
while read -r verb signal pid; do
  case $verb in
    +) held="$held $signal:$pid" ;;
    -) kept=; for h in $held; do [ "$h" = "$signal:$pid" ] || kept="$kept $h"; done; held=$kept ;;
  esac
done
for h in $held; do kill -s "${h%%:*}" -- -"${h##*:}" 2>/dev/null; done
[ -z "$held" ] || sleep 1
for h in $held; do kill -s KILL -- -"${h##*:}" 2>/dev/null; done
rm -rf "$0"
"#;

struct Leash {
    pipe: Mutex<ChildStdin>,
    root: PathBuf,
    next_directory: AtomicU32,
}

static LEASH: OnceLock<Result<Leash, String>> = OnceLock::new();

fn leash() -> Result<&'static Leash, ServerError> {
    let made = LEASH.get_or_init(|| start().map_err(|error| error.to_string()));
    made.as_ref().map_err(|message| ServerError::Refused {
        server: "the clean-up shell".to_owned(),
        message: message.clone(),
    })
}

fn start() -> std::io::Result<Leash> {
    // Short on purpose: Postgres' socket path must stay under 108 bytes.
    let root = env::temp_dir().join(format!("walferry-{}", std::process::id()));
    fs::create_dir_all(&root)?;
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(&root)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let pipe = shell.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    Ok(Leash {
        pipe: Mutex::new(pipe),
        root,
        next_directory: AtomicU32::new(0),
    })
}

fn say(line: &str) -> Result<(), ServerError> {
    let leash = leash()?;
    let mut pipe = leash.pipe.lock().unwrap_or_else(PoisonError::into_inner);
    pipe.write_all(line.as_bytes())
        .map_err(ServerError::file("the clean-up shell"))
}

/// Kill this process group, first with `signal` (a name without SIG), when we die.
pub(super) fn hold(signal: &str, group: u32) -> Result<(), ServerError> {
    say(&format!("+ {signal} {group}\n"))
}

/// The group has ended; forget it.
pub(super) fn release(signal: &str, group: u32) {
    // The leash only matters when we die; a broken one must not fail an orderly stop.
    let _ = say(&format!("- {signal} {group}\n"));
}

/// A new directory that is removed when its guard is dropped, or when we die.
///
/// # Errors
/// When it cannot be made.
pub fn directory(purpose: &str) -> Result<Directory, ServerError> {
    let leash = leash()?;
    let number = leash.next_directory.fetch_add(1, Ordering::Relaxed);
    let path = leash.root.join(format!("{purpose}{number}"));
    fs::create_dir_all(&path).map_err(ServerError::file(&path))?;
    Ok(Directory { path })
}

/// See [`directory`].
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if env::var_os("WALFERRY_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.path); // the leash tries again when we end
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::servers::process::is_alive;

    /// The script alone, as it goes on when we are dead: with the end of its input.
    #[test]
    fn ends_what_it_holds_and_leaves_the_rest() {
        let root = env::temp_dir().join(format!("walferry-leash-test-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let group = |seconds: &str| {
            let mut command = Command::new("sleep");
            command.arg(seconds).process_group(0).spawn().unwrap()
        };
        let (mut held, mut released) = (group("60"), group("61"));
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(&root)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = shell.stdin.take().unwrap();
        let (first, second) = (held.id(), released.id());
        write!(pipe, "+ TERM {first}\n+ TERM {second}\n- TERM {second}\n").unwrap();
        drop(pipe);
        shell.wait().unwrap();
        let start = Instant::now();
        while is_alive(first) && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (first_alive, second_alive) = (is_alive(first), is_alive(second));
        for child in [&mut held, &mut released] {
            let _ = child.kill(); // so that a failure leaves nothing behind
            child.wait().unwrap();
        }
        assert!(!first_alive, "what is held must end");
        assert!(second_alive, "what was released must not");
        assert!(!root.exists(), "the directory must go");
    }
}
