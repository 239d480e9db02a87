//! What a process has used so far, remembered beyond its end.
//!
//! A process that has ended but was not waited for still tells its CPU time, while its memory
//! figures are gone. Hence a meter: it is read again and again while the process runs, and keeps
//! the peaks.

use std::time::Duration;

use xtask::servers::process;

/// CPU and memory of one process up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// User and system time of all its threads. None of the competitors starts further processes.
    pub(super) cpu: Duration,
    /// Peak resident set, in bytes (`VmHWM` of proc(5)).
    pub(super) rss_peak_bytes: u64,
}

impl Reading {
    /// The peak in MiB, as people read it.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a process's memory is far below 2^53 bytes"
    )]
    pub(super) fn rss_peak_mib(self) -> f64 {
        self.rss_peak_bytes as f64 / 1_048_576.0
    }
}

/// Reads one process until it has ended.
#[derive(Debug)]
pub(super) struct Meter {
    pid: u32,
    last: Reading,
}

impl Meter {
    /// Watches the process `pid`, a child of ours that nobody else waits for meanwhile.
    #[must_use]
    pub(super) fn new(pid: u32) -> Self {
        Self {
            pid,
            last: Reading::default(),
        }
    }

    /// The reading now; after the end, the processor time at the end and the last peak that was
    /// seen.
    pub(super) fn read(&mut self) -> Reading {
        if let Some(usage) = process::usage(self.pid) {
            self.last.cpu = self.last.cpu.max(usage.cpu);
            self.last.rss_peak_bytes = self.last.rss_peak_bytes.max(usage.rss_peak_bytes);
        }
        self.last
    }

    /// Whether the process has ended.
    #[must_use]
    pub(super) fn has_ended(&self) -> bool {
        !process::is_alive(self.pid)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn keeps_what_a_process_used_beyond_its_end() {
        // About half a second of pure computing in a shell, and then nobody waits for it.
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let mut meter = Meter::new(child.id());
        let mut alive = Reading::default();
        while !meter.has_ended() {
            alive = meter.read();
            thread::sleep(Duration::from_millis(5));
        }
        let ended = meter.read();
        child.wait().unwrap();
        assert!(ended.cpu >= Duration::from_millis(20), "{ended:?}");
        assert!(ended.cpu >= alive.cpu);
        assert!(ended.rss_peak_bytes > 100_000, "{ended:?}");
    }
}
