//! One child process: its own process group, a log file, an end for certain; and what `/proc` says
//! of it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{ServerError, leash};

/// How often a wait looks again. Short beside any start-up, cheap beside any test.
const POLL: Duration = Duration::from_millis(20);

/// A running server process, killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    on_our_death: &'static str,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl ServerProcess {
    /// Starts `command` in a process group of its own, with both outputs appended to `log`. Should
    /// we die first, the group gets `on_our_death` (a signal's name without SIG), then SIGKILL.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(
        command: &mut Command,
        log: &Path,
        on_our_death: &'static str,
    ) -> Result<Self, ServerError> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(ServerError::file(log))?;
        let second = file.try_clone().map_err(ServerError::file(log))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(second)
            .spawn()
            .map_err(|error| ServerError::Command {
                command: command.get_program().to_string_lossy().into_owned(),
                outcome: error.to_string(),
                output: String::new(),
            })?;
        leash::hold(on_our_death, child.id())?;
        Ok(Self {
            child,
            on_our_death,
            log: log.to_owned(),
            ended: None,
        })
    }

    /// The process id, which is also its group's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        if let (None, Some(pid)) = (self.ended, pid(self.pid())) {
            let _ = rustix::process::kill_process(pid, signal); // ended meanwhile: nothing to do
        }
    }

    /// Its exit status if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
            if self.ended.is_some() {
                leash::release(self.on_our_death, self.child.id());
            }
        }
        self.ended
    }

    /// Waits for its end, for at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_until(limit, || self.try_wait())
    }

    /// SIGKILL to the whole group, and waits.
    pub fn kill(&mut self) {
        if self.try_wait().is_some() {
            return;
        }
        if let Some(pid) = pid(self.pid()) {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        self.wait(Duration::from_secs(10));
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// The last 25 lines.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// Asks `look` again and again until it answers, for at most `limit`.
pub fn wait_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = look();
        if answer.is_some() || start.elapsed() >= limit {
            return answer;
        }
        thread::sleep(POLL);
    }
}

/// Runs a command to its end. `purpose` names it in the error.
pub(super) fn run(command: &mut Command, purpose: &str) -> Result<(), ServerError> {
    let result = command.stdin(Stdio::null()).output();
    let (outcome, output) = match result {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            (output.status.to_string(), tail(&text))
        }
        Err(error) => (error.to_string(), String::new()),
    };
    let program = command.get_program().to_string_lossy();
    Err(ServerError::Command {
        command: format!("{program} ({purpose})"),
        outcome,
        output,
    })
}

/// The program of that name on PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Are we the superuser, whom Postgres refuses to run as?
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// SIGKILLs a process and all its descendants, whatever their groups: Postgres' backends are each a
/// group of their own. Returns once all of them are gone.
pub fn kill_tree(root: u32) {
    // The parent is stopped first, so that it starts no child between our look and our kill.
    let mut pids = vec![root];
    if let Some(pid) = pid(root) {
        let _ = rustix::process::kill_process(pid, Signal::STOP);
    }
    pids.extend(descendants(root));
    for pid in pids.iter().filter_map(|&number| pid(number)) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    wait_until(Duration::from_secs(10), || {
        (!pids.iter().any(|&pid| is_alive(pid))).then_some(())
    });
}

/// Does it run? A zombie, which only waits for its parent to take note, does not.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    stat_field(pid, 0).is_some_and(|state| state != "Z")
}

/// All descendants of a process, from `/proc`.
#[must_use]
pub fn descendants(root: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parents: Vec<(u32, u32)> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, stat_field(pid, 1)?.parse().ok()?)))
        .collect();
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        let children = parents
            .iter()
            .filter(|(_, of)| *of == parent)
            .map(|(pid, _)| *pid);
        let children: Vec<u32> = children.collect();
        open.extend(&children);
        found.extend(children);
    }
    found
}

/// What a process holds in memory and has used of the processor.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Resident bytes now.
    pub rss_bytes: u64,
    /// The most resident bytes it ever had.
    pub rss_peak_bytes: u64,
    /// What is resident now of files: above all the program itself.
    pub rss_file_bytes: u64,
    /// User and system time, of all its threads.
    pub cpu: Duration,
}

/// Reads `/proc/PID/status` and `stat`; `None` when the process is gone, or where there is no `/proc`.
/// One that has ended but was not waited for still tells its processor time, but holds no memory.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let ticks =
        stat_field(pid, 11)?.parse::<u64>().ok()? + stat_field(pid, 12)?.parse::<u64>().ok()?;
    let micros = ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Some(Usage {
        rss_bytes: bytes("VmRSS:").unwrap_or(0),
        rss_peak_bytes: bytes("VmHWM:").unwrap_or(0),
        rss_file_bytes: bytes("RssFile:").unwrap_or(0),
        cpu: Duration::from_micros(micros),
    })
}

/// A field of `/proc/PID/stat`, counted after the command's name, which may itself hold spaces.
fn stat_field(pid: u32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split_whitespace().nth(index).map(str::to_owned)
}
