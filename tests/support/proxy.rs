//! A TCP proxy that misbehaves on demand: holds bytes, resets connections, delays, sends one byte at
//! a time. Stands between walferry and a server; loopback only.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a waiting direction looks whether its instructions have changed.
const TICK: Duration = Duration::from_millis(10);

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// They pass.
    Forward,
    /// Sockets stay open, new connections are accepted, nothing passes: a cable pulled.
    BlackHole,
    /// New connections are closed at once; open ones go on.
    Refuse,
    /// They pass this much later, in each direction.
    Delay(Duration),
    /// They pass one at a time, each a packet.
    OneByOne,
    /// Each connection but those for replication passes so many from the server, and then stands
    /// still: what is longer (a COPY) is under way for as long as a test likes.
    StandStillAfter(usize),
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    sockets: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    closed: AtomicBool,
}

/// A listening proxy; its connections are reset when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the port");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Forward),
            sockets: Mutex::new(Vec::new()),
            accepted: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let ours = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, target, &ours));
        Self { shared, address }
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on, also for open connections.
    pub fn set(&self, behaviour: Behaviour) {
        *self
            .shared
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// Ends all open connections by RST, on both sides.
    pub fn reset_all(&self) {
        let mut sockets = self
            .shared
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for socket in sockets.drain(..) {
            // Closing with a linger of zero sends RST; shutdown wakes the directions that wait.
            let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// How many connections have been accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.reset_all();
        let _ = TcpStream::connect(self.address); // wakes accept
    }
}

impl Shared {
    fn behaviour(&self) -> Behaviour {
        *self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Holds the caller while nothing may pass on a connection that `course` tells of.
    fn wait_while_held(&self, course: &Course) {
        let held = || match self.behaviour() {
            Behaviour::BlackHole => true,
            Behaviour::StandStillAfter(bytes) => course.stands_still_after(bytes),
            _ => false,
        };
        while held() && !self.is_closed() {
            thread::sleep(TICK);
        }
    }
}

/// What has passed on one connection.
#[derive(Default)]
struct Course {
    from_server: AtomicUsize,
    for_replication: AtomicBool,
    /// The client has closed it: what the server says then is refused at once, as a host does.
    client_is_gone: AtomicBool,
}

impl Course {
    fn stands_still_after(&self, bytes: usize) -> bool {
        let goes_on = [&self.for_replication, &self.client_is_gone];
        self.from_server.load(Ordering::Relaxed) >= bytes
            && !goes_on.iter().any(|flag| flag.load(Ordering::Relaxed))
    }

    /// The startup message, which is the first, tells what the connection is for.
    fn note_upwards(&self, bytes: &[u8]) {
        let word = b"\0replication\0";
        if bytes.windows(word.len()).any(|part| part == word) {
            self.for_replication.store(true, Ordering::Relaxed);
        }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

fn accept(listener: &TcpListener, target: u16, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_closed() {
            return;
        }
        let Ok(client) = client else { continue };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        if shared.behaviour() == Behaviour::Refuse {
            continue; // dropped
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            shared.wait_while_held(&Course::default());
            let _ = join(&client, target, &shared); // an end is an end
        });
    }
}

fn join(client: &TcpStream, target: u16, shared: &Arc<Shared>) -> std::io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    for socket in [client, &server] {
        socket.set_nodelay(true)?;
        // So that a waiting direction can see that it is black.
        socket.set_read_timeout(Some(TICK))?;
    }
    let mut sockets = shared
        .sockets
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    sockets.extend([client.try_clone()?, server.try_clone()?]);
    drop(sockets);
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let course = Arc::new(Course::default());
    let (upwards, its) = (Arc::clone(shared), Arc::clone(&course));
    thread::spawn(move || copy(from_client, to_server, Way::Up, &its, &upwards));
    copy(server, client.try_clone()?, Way::Down, &course, shared);
    Ok(())
}

/// One direction, until either side ends it.
fn copy(mut from: TcpStream, mut to: TcpStream, way: Way, course: &Course, shared: &Shared) {
    let nothing = Course::default();
    // What goes up is never held for what came down.
    let held_by = if way == Way::Down { course } else { &nothing };
    let mut buffer = vec![0; 64 << 10];
    while !shared.is_closed() {
        shared.wait_while_held(held_by);
        let passed = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let bytes = &buffer[..length];
                match way {
                    Way::Up => course.note_upwards(bytes),
                    Way::Down => {
                        course.from_server.fetch_add(length, Ordering::Relaxed);
                    }
                }
                pass(bytes, &mut to, shared)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
            Err(_) => break,
        };
        if passed.is_err() {
            // Nobody takes it: what comes after is refused, and does not fill a buffer for ever.
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    // An end that was read just before passes no more than bytes do.
    shared.wait_while_held(held_by);
    if way == Way::Up {
        course.client_is_gone.store(true, Ordering::Relaxed);
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn pass(bytes: &[u8], to: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    match shared.behaviour() {
        Behaviour::OneByOne => bytes.chunks(1).try_for_each(|byte| to.write_all(byte)),
        Behaviour::Delay(delay) => {
            thread::sleep(delay);
            to.write_all(bytes)
        }
        Behaviour::BlackHole => {
            shared.wait_while_held(&Course::default());
            to.write_all(bytes)
        }
        Behaviour::Forward | Behaviour::Refuse | Behaviour::StandStillAfter(_) => {
            to.write_all(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("the port").port();
        thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut reader = socket.try_clone().expect("a clone");
                    let _ = std::io::copy(&mut reader, &mut socket);
                });
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect("the proxy");
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a timeout");
        socket
    }

    fn round_trip(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        socket.write_all(bytes)?;
        let mut answer = vec![0; bytes.len()];
        socket.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn bytes_pass_whole_delayed_and_one_by_one() {
        let proxy = Proxy::to(echo());
        let mut socket = connect(&proxy);
        assert_eq!(
            round_trip(&mut socket, b"whole").expect("an echo"),
            b"whole"
        );
        proxy.set(Behaviour::OneByOne);
        assert_eq!(
            round_trip(&mut socket, b"one by one").expect("an echo"),
            b"one by one"
        );
        proxy.set(Behaviour::Delay(Duration::from_millis(60)));
        let start = Instant::now();
        assert_eq!(round_trip(&mut socket, b"late").expect("an echo"), b"late");
        assert!(
            start.elapsed() >= Duration::from_millis(120),
            "{:?}",
            start.elapsed()
        );
    }

    #[test]
    fn a_black_hole_keeps_sockets_and_gives_all_back_later() {
        let proxy = Proxy::to(echo());
        let mut socket = connect(&proxy);
        round_trip(&mut socket, b"before").expect("an echo");
        proxy.set(Behaviour::BlackHole);
        let error = round_trip(&mut socket, b"hidden").expect_err("nothing passes");
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
        let mut second = connect(&proxy);
        assert!(round_trip(&mut second, b"also hidden").is_err());
        proxy.set(Behaviour::Forward);
        let mut answer = [0; 6];
        socket.read_exact(&mut answer).expect("what was held");
        assert_eq!(&answer, b"hidden");
    }

    #[test]
    fn a_black_hole_swallows_the_end_of_a_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let proxy = Proxy::to(listener.local_addr().expect("the port").port());
        let mut client = connect(&proxy);
        let (mut server, _) = listener.accept().expect("a connection");
        client.write_all(b"x").expect("it goes up");
        let mut byte = [0];
        server.read_exact(&mut byte).expect("it arrives");
        proxy.set(Behaviour::BlackHole);
        drop(client);
        server
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a timeout");
        server
            .read(&mut byte)
            .expect_err("neither bytes nor an end");
        proxy.set(Behaviour::Forward);
        assert_eq!(server.read(&mut byte).expect("the end"), 0);
    }

    #[test]
    fn a_long_answer_stands_still_unless_it_is_a_replication_stream() {
        let proxy = Proxy::to(echo());
        proxy.set(Behaviour::StandStillAfter(100));
        let mut socket = connect(&proxy);
        round_trip(&mut socket, &[7; 99]).expect("less than the bound");
        round_trip(&mut socket, &[7; 9]).expect("the bound may be passed by one read");
        assert!(round_trip(&mut socket, b"held").is_err());
        let mut replication = connect(&proxy);
        round_trip(&mut replication, b"user\0me\0replication\0database\0\0").expect("an echo");
        round_trip(&mut replication, &[7; 200]).expect("no bound");
        round_trip(&mut replication, &[7; 200]).expect("no bound");
        proxy.set(Behaviour::Forward);
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).expect("what was held");
        assert_eq!(&answer, b"held");
    }

    #[test]
    fn reset_and_refusal_end_connections() {
        let proxy = Proxy::to(echo());
        let mut socket = connect(&proxy);
        round_trip(&mut socket, b"before").expect("an echo");
        proxy.reset_all();
        let error = round_trip(&mut socket, b"after").expect_err("it is reset");
        assert!(
            !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
        proxy.set(Behaviour::Refuse);
        assert!(round_trip(&mut connect(&proxy), b"x").is_err());
        proxy.set(Behaviour::Forward);
        round_trip(&mut connect(&proxy), b"again").expect("an echo");
        assert_eq!(proxy.accepted(), 3);
    }
}
