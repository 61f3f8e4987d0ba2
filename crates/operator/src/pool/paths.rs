//! Where things stand in a worker pod.

use std::path::PathBuf;

use petiole_api::accept::SecretRef;
use petiole_api::connection::SecretKeyRef;

/// What the names of our volumes begin with.
pub const VOLUME_PREFIX: &str = "petiole-";
/// Volume: the runner, between the init container and the container of the tasks.
pub const RUNNER_VOLUME: &str = "petiole-runner";
/// Volume: the socket, between the worker and the container of the tasks.
pub const SOCKET_VOLUME: &str = "petiole-socket";
/// Volume: the pool's file.
pub const POOL_VOLUME: &str = "petiole-pool";
/// Volume: the keys of Secrets that the pool's file names.
pub const SECRETS_VOLUME: &str = "petiole-secrets";

/// Volume: the Secret with the certificates of those who may sign messages.
pub const CERTIFICATES_VOLUME: &str = "petiole-certificates";

/// Folder of the runner, in the container of the tasks and where it is installed.
pub const RUNNER_FOLDER: &str = "/petiole/bin";
/// The runner, in the container of the tasks.
pub const RUNNER: &str = "/petiole/bin/petiole-runner";
/// Folder of the socket. The runner keeps the tasks' result files beside it.
pub const SOCKET_FOLDER: &str = "/petiole/run";
/// The socket.
pub const SOCKET: &str = "/petiole/run/worker.sock";
/// Folder of the pool's file, in the worker.
pub const POOL_FOLDER: &str = "/etc/petiole/pool";
/// The pool's file, in the ConfigMap and in its folder.
pub const POOL_FILE: &str = "pool.json";
/// Folder of the Secrets' keys, in the worker.
pub const SECRETS_FOLDER: &str = "/etc/petiole/secrets";
/// Folder of the certificates of those who may sign messages, in the worker.
pub const CERTIFICATES_FOLDER: &str = "/etc/petiole/certificates";

/// The worker, in its image.
pub const WORKER_IN_IMAGE: &str = "/petiole-worker";
/// The runner, in the worker's image.
pub const RUNNER_IN_IMAGE: &str = "/petiole-runner";

/// Environment variable: the pod's name.
pub const POD_NAME: &str = "POD_NAME";
/// The node name of a pod's worker, as a value of an environment variable or an argument.
pub const NODE_NAME: &str = "celery@$(POD_NAME)";

/// Where a Secret's key stands below [`SECRETS_FOLDER`].
pub fn of_secret_key(key: &SecretKeyRef) -> String {
    format!("{}/{}", key.name, key.key)
}

/// Where the worker finds a Secret's key.
pub fn in_worker(key: &SecretKeyRef) -> PathBuf {
    PathBuf::from(SECRETS_FOLDER).join(of_secret_key(key))
}

/// Where the worker finds all keys of a Secret. It is told of one such Secret only.
pub fn all_in_worker(_: &SecretRef) -> PathBuf {
    PathBuf::from(CERTIFICATES_FOLDER)
}

/// Whether nobody but us may mount something here, in the container of the tasks.
pub fn is_ours(path: &str) -> bool {
    path == "/petiole" || path.starts_with("/petiole/")
}
