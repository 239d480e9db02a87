//! Free loopback ports that stay ours while their server is down.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use super::ServerError;

/// Below Linux' ephemeral range (32768 and up): while a server is down, an outgoing connection must
/// not be given its port, and a client that retries must not connect to itself.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A loopback port reserved until this value is dropped. The reservation is a locked file, so two
/// test runs on one machine do not take each other's ports.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: File,
}

impl Port {
    /// Finds a port on which nobody listens and that no other run has reserved.
    ///
    /// # Errors
    /// When none of them is free, or the directory of reservations cannot be written.
    pub fn reserve() -> Result<Self, ServerError> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let user = rustix::process::geteuid().as_raw();
        let directory = env::temp_dir().join(format!("walferry-ports-{user}"));
        fs::create_dir_all(&directory).map_err(ServerError::file(&directory))?;
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            let number = FIRST + (start + step) % COUNT;
            let Ok(reservation) = File::create(directory.join(number.to_string())) else {
                continue; // another user's
            };
            if reservation.try_lock().is_ok()
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Ok(Self {
                    number,
                    _reservation: reservation,
                });
            }
        }
        Err(ServerError::Missing {
            part: "a free port".to_owned(),
            advice: format!("free one of 127.0.0.1:{FIRST} to {}", FIRST + COUNT - 1),
        })
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}
