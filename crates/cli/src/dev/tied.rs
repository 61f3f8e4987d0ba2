//! Processes that end with this one, however it ends.

use std::ffi::OsStr;

use tokio::process::Command;

/// A command whose process the kernel tells to stop when this one is gone, also when it was killed. `setpriv` is in
/// util-linux, which every Linux has; it sets the signal and then becomes the program.
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "SIGTERM", "--"]).arg(program);
    command
}
