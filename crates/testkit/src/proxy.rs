//! A TCP proxy that can lose answers: what a client asks arrives, what the server answers does not.

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
    mute: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy on a free port in front of this port.
    pub async fn start(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let mute = Arc::new(AtomicBool::new(false));
        let accepting = tokio::spawn(accept(listener, (Ipv4Addr::LOCALHOST, server).into(), mute.clone()));
        Ok(Self { port, mute, accepting })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, closes the connection when the server answers, instead of passing the answer on. So whoever
    /// asks learns of an error once the server has done what was asked.
    pub fn lose_answers(&self) {
        self.mute.store(true, Ordering::SeqCst);
    }

    /// Passes answers on again.
    pub fn answer_again(&self) {
        self.mute.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mute: Arc<AtomicBool>) {
    // Dropped with this task, and with it the connections.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let mute = mute.clone();
        connections.spawn(async move {
            // A connection that fails is closed: that is what its client sees, too.
            let _ = pass(client, server, &mute).await;
        });
    }
}

async fn pass(client: TcpStream, server: SocketAddr, mute: &AtomicBool) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_server.read(&mut buffer).await?;
            if length == 0 || mute.load(Ordering::SeqCst) {
                return Ok(());
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
