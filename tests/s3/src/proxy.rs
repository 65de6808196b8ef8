//! A bad network between a program and the server: by a seed, connections break before a request has arrived, or after it has had
//! its effect and before the answer is back.
//!
//! **Invariants.** The server closes a connection after each answer, so one connection is one request. All threads end when
//! their connection does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use wallaroo_crash::random::Random;

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// It is cut after so many bytes.
    CutRequest(usize),
    /// It has its effect, and no answer comes back.
    NoAnswer,
}

/// A proxy that listens until the process ends.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    spoilt: Arc<AtomicU64>,
}

impl Proxy {
    /// A proxy to `server` that spoils one of twenty requests in each of the two ways.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn to(server: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("has an address");
        let spoilt = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(&spoilt);
        spawn(move || {
            let mut random = Random(seed);
            for client in listener.incoming().flatten() {
                let fate = match random.between(0, 19) {
                    0 => Fate::CutRequest(random.between(1, 2000) as usize),
                    1 => Fate::NoAnswer,
                    _ => Fate::Good,
                };
                if fate != Fate::Good {
                    counts.fetch_add(1, Ordering::SeqCst);
                }
                spawn(move || serve(client, server, fate));
            }
        });
        Proxy { address, spoilt }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests were spoilt.
    #[must_use]
    pub fn spoilt(&self) -> u64 {
        self.spoilt.load(Ordering::SeqCst)
    }
}

fn serve(client: TcpStream, server: SocketAddr, fate: Fate) {
    let Ok(server) = TcpStream::connect(server) else {
        return;
    };
    let (Ok(from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let limit = match fate {
        Fate::CutRequest(bytes) => bytes,
        Fate::Good | Fate::NoAnswer => usize::MAX,
    };
    spawn(move || {
        if !copy(&from_client, &mut to_server, limit) {
            let _ = from_client.shutdown(Shutdown::Both);
            let _ = to_server.shutdown(Shutdown::Both);
        }
    });
    if fate == Fate::NoAnswer {
        // its first byte says that the request was handled
        let _ = (&server).read(&mut [0; 1]);
    } else {
        copy(&server, &mut &client, usize::MAX);
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// Copies until the end; false if that is because of the limit.
fn copy(mut from: &TcpStream, to: &mut impl Write, mut limit: usize) -> bool {
    let mut buffer = [0; 16 << 10];
    while let Ok(found @ 1..) = from.read(&mut buffer) {
        let found = found.min(limit);
        limit -= found;
        if to.write_all(&buffer[..found]).is_err() {
            return true;
        }
        if limit == 0 {
            return false;
        }
    }
    true
}

fn spawn(run: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name("proxy".to_owned());
    thread.spawn(run).expect("a thread");
}
