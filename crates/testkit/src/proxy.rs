//! A TCP proxy that can lose answers: what a client asks arrives, what the server answers does not. Or only what it
//! says unasked of a key that has changed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy in front of a server on this machine. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    losses: Arc<Losses>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy on a free port in front of this port.
    pub async fn start(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let losses = Arc::<Losses>::default();
        let accepting = tokio::spawn(accept(listener, (Ipv4Addr::LOCALHOST, server).into(), losses.clone()));
        Ok(Self { port, losses, accepting })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, closes the connection when the server answers, instead of passing the answer on. So whoever
    /// asks learns of an error once the server has done what was asked.
    pub fn lose_answers(&self) {
        self.losses.answers.store(true, Ordering::SeqCst);
    }

    /// From now on, makes something unknown of each push of Redis that says that keys have changed.
    pub fn lose_invalidations(&self) {
        self.losses.invalidations.store(true, Ordering::SeqCst);
    }

    /// Passes answers on again.
    pub fn answer_again(&self) {
        self.losses.answers.store(false, Ordering::SeqCst);
    }
}

/// What is lost.
#[derive(Debug, Default)]
struct Losses {
    answers: AtomicBool,
    invalidations: AtomicBool,
}

/// How a push begins, and what is made of it.
const INVALIDATE: &[u8] = b"$10\r\ninvalidate\r\n";
const UNKNOWN: &[u8] = b"$10\r\nunintended\r\n";

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, losses: Arc<Losses>) {
    // Dropped with this task, and with it the connections.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let losses = losses.clone();
        connections.spawn(async move {
            // A connection that fails is closed: that is what its client sees, too.
            let _ = pass(client, server, &losses).await;
        });
    }
}

async fn pass(client: TcpStream, server: SocketAddr, losses: &Losses) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_server.read(&mut buffer).await?;
            if length == 0 || losses.answers.load(Ordering::SeqCst) {
                return Ok(());
            }
            if losses.invalidations.load(Ordering::SeqCst) {
                hush(&mut buffer[..length]);
            }
            to_client.write_all(&buffer[..length]).await?;
        }
    };
    let questions = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    tokio::select! {
        done = answers => done,
        done = questions => done,
    }
}

/// Pushes are short, and come in one piece.
fn hush(said: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = said[from..].windows(INVALIDATE.len()).position(|some| some == INVALIDATE) {
        said[from + at..from + at + UNKNOWN.len()].copy_from_slice(UNKNOWN);
        from += at + UNKNOWN.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Server;

    #[tokio::test]
    async fn an_answer_is_lost_after_the_server_has_done_what_was_asked() {
        let server = Server::start().unwrap();
        let proxy = Proxy::start(server.port()).await.unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        let mut answer = vec![0; 5];
        client.write_all(b"SET a 1\r\n").await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"+OK\r\n");

        proxy.lose_answers();
        client.write_all(b"SET a 2\r\n").await.unwrap();
        assert!(client.read_exact(&mut answer).await.is_err());

        proxy.answer_again();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        client.write_all(b"GET a\r\n").await.unwrap();
        let mut answer = vec![0; 7];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"$1\r\n2\r\n");
    }
}
