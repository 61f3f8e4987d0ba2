//! The unix socket: connections, and bytes ↔ frames. What the frames mean is [`crate::run`]'s affair.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use petiole_contract::control::{FromRunner, RUNNER, ToRunner};
use petiole_contract::frame::{self, FrameError};
use petiole_contract::serve::{FromHandler, Hello};
use petiole_process::log::Chain;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::run::Peer;

/// Handlers run under the image's user, the worker under its own; both must reach the socket. It lies in a folder
/// that only these two containers mount.
const SOCKET_MODE: u32 = 0o666;

/// Room for one read: a batch of frames. Also what a buffer keeps while it is empty.
const CHUNK: usize = 16 * 1024;

/// What waits to be written is gathered up to about so much for one call.
const GATHERED: usize = 64 * 1024;

/// What happens on the socket.
#[derive(Debug)]
pub enum SocketEvent {
    /// A runner has said hello.
    Runner(Peer),
    /// A handler has said hello.
    Handler(Peer, Hello),
    /// A runner has said something; with its payload.
    FromRunner(FromRunner, Bytes),
    /// A handler has said something; with its payload.
    FromHandler(FromHandler, Bytes),
    /// The connection is gone.
    Gone(Peer),
}

/// Why the socket is not there, or a connection was given up.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path cannot be used.
    #[error("failed to listen on the socket {path}")]
    Listen {
        /// The socket's path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The peer sent something that is no frame.
    #[error("failed to read a frame from the socket")]
    Frame(#[source] FrameError),
    /// The connection broke.
    #[error("failed to read from the socket")]
    Read(#[source] std::io::Error),
    /// The peer's hello names another version of the contract.
    #[error("the peer speaks version {theirs} of the task contract, this worker speaks {ours}", ours = petiole_contract::VERSION)]
    Version {
        /// What it speaks.
        theirs: u32,
    },
    /// The first frame was no hello.
    #[error("the peer did not say hello first")]
    NoHello,
}

/// The first frame of either kind of peer.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum First {
    Hello(Hello),
}

/// The open connections, and what is to be written to them.
#[derive(Debug, Clone, Default)]
pub struct Writers(Arc<Mutex<HashMap<Peer, mpsc::UnboundedSender<Vec<u8>>>>>);

impl Writers {
    /// Writes to a connection; nothing happens when it is gone, which is told by [`SocketEvent::Gone`].
    pub fn write(&self, peer: Peer, bytes: Vec<u8>) {
        let writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writers.get(&peer) {
            let _ = writer.send(bytes);
        }
    }

    /// Ends a connection.
    pub fn close(&self, peer: Peer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
    }

    fn open(&self, peer: Peer, half: OwnedWriteHalf) {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, sender);
        tokio::spawn(write(half, receiver));
    }
}

/// Listens at `path`, in place of whatever socket an earlier worker left there.
pub fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Listen { path: path.display().to_string(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    Ok(listener)
}

/// Accepts connections for ever.
pub async fn accept(listener: UnixListener, writers: Writers, events: mpsc::Sender<SocketEvent>) {
    let next = AtomicU64::new(1);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let peer = next.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(peer, stream, writers.clone(), events.clone()));
            }
            Err(error) => {
                // Out of file descriptors: others must close first.
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(peer: Peer, stream: UnixStream, writers: Writers, events: mpsc::Sender<SocketEvent>) {
    let (reader, writer) = stream.into_split();
    writers.open(peer, writer);
    if let Err(error) = read(peer, reader, &events).await {
        if let SocketError::Version { .. } = error {
            writers.write(peer, refusal(error.to_string()));
        }
        tracing::warn!(error = %Chain(&error), "a connection on the task socket was given up");
    }
    writers.close(peer);
    let _ = events.send(SocketEvent::Gone(peer)).await;
}

/// Tells a peer why it is turned away. A handler's frame has the same bytes as a runner's.
pub(crate) fn refusal(reason: String) -> Vec<u8> {
    let mut frame = Vec::new();
    let refused = ToRunner::Refused { reason };
    match frame::put(&mut frame, &refused, &[]) {
        Ok(()) => frame,
        Err(_) => Vec::new(),
    }
}

async fn read(
    peer: Peer,
    mut half: OwnedReadHalf,
    events: &mpsc::Sender<SocketEvent>,
) -> Result<(), SocketError> {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    let mut kind = None;
    loop {
        buffer.reserve(CHUNK);
        if half.read_buf(&mut buffer).await.map_err(SocketError::Read)? == 0 {
            return Ok(());
        }
        while let Some(found) = frame::cut(&buffer).map_err(SocketError::Frame)? {
            let taken = found.taken;
            let event = match kind {
                None => {
                    let (first, event) = introduce(peer, found.header)?;
                    kind = Some(first);
                    buffer.advance(taken);
                    event
                }
                // A payload that is small beside the buffer is copied: otherwise it would keep all of it.
                Some(kind) if taken < CHUNK => {
                    let event = understand(kind, found.header, Bytes::copy_from_slice(found.payload))?;
                    buffer.advance(taken);
                    event
                }
                Some(kind) => {
                    let header = found.header.len();
                    let rest = BytesMut::from(&buffer[taken..]);
                    let mut whole = std::mem::replace(&mut buffer, rest).freeze();
                    whole.truncate(taken);
                    whole.advance(frame::PREFIX);
                    let header = whole.split_to(header);
                    understand(kind, &header, whole)?
                }
            };
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Runner,
    Handler,
}

fn introduce(peer: Peer, header: &[u8]) -> Result<(Kind, SocketEvent), SocketError> {
    let Ok(First::Hello(hello)) = frame::read::<First>(header) else {
        return Err(SocketError::NoHello);
    };
    if hello.version != petiole_contract::VERSION {
        return Err(SocketError::Version { theirs: hello.version });
    }
    Ok(if hello.handler == RUNNER {
        (Kind::Runner, SocketEvent::Runner(peer))
    } else {
        (Kind::Handler, SocketEvent::Handler(peer, hello))
    })
}

fn understand(kind: Kind, header: &[u8], payload: Bytes) -> Result<SocketEvent, SocketError> {
    Ok(match kind {
        Kind::Runner => SocketEvent::FromRunner(frame::read(header).map_err(SocketError::Frame)?, payload),
        Kind::Handler => SocketEvent::FromHandler(frame::read(header).map_err(SocketError::Frame)?, payload),
    })
}

/// Writes what comes, all that has gathered by one call.
async fn write(mut half: OwnedWriteHalf, mut bytes: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(mut gathered) = bytes.recv().await {
        while gathered.len() < GATHERED
            && let Ok(more) = bytes.try_recv()
        {
            gathered.extend_from_slice(&more);
        }
        if half.write_all(&gathered).await.is_err() {
            // The reading half learns of it and says so.
            return;
        }
    }
}
