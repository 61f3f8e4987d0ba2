//! A connection on which the server speaks without being asked (RESP3).

use std::sync::Arc;

use petiole_results::redis::{Connection, Endpoint, Timeouts};
use redis::{PushInfo, PushKind};
use tokio::sync::Notify;

/// Makes a connection, and what wakes the one who waits for the server to speak. `hear` takes what the server says,
/// and answers whether it is worth waking up for; a connection that was cut off always is.
pub(super) fn listening(
    endpoint: Endpoint,
    timeouts: Timeouts,
    hear: impl Fn(PushInfo) -> bool + Send + Sync + 'static,
) -> (Connection, Arc<Notify>) {
    let woken = Arc::new(Notify::new());
    let notify = woken.clone();
    let connection = Connection::new(endpoint, timeouts).with_pushes(Arc::new(move |push| {
        let cut = push.kind == PushKind::Disconnection;
        if hear(push) || cut {
            notify.notify_one();
        }
    }));
    (connection, woken)
}
