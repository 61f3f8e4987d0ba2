//! A Lua script, called by its hash.

use std::fmt;

use redis::{Cmd, ToRedisArgs};

/// A script. The server is sent its hash; its text only when the server does not know it.
pub struct Script(redis::Script, String);

impl Script {
    /// A script of this text.
    pub fn new(code: &str) -> Self {
        Self(redis::Script::new(code), code.to_owned())
    }

    /// A call with `keys` keys: the first so many arguments.
    pub fn call(&self, keys: usize) -> Call<'_> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.0.get_hash()).arg(keys);
        Call { script: self, command }
    }

    /// The command that makes the server know the script.
    pub(super) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(&self.1);
        command
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Script").field(&self.0.get_hash()).finish()
    }
}

/// A call that is being written: the keys first, then the other arguments.
///
/// The arguments go straight into the command's buffer, which `redis::ScriptInvocation` would copy once more.
pub struct Call<'a> {
    pub(super) script: &'a Script,
    pub(super) command: Cmd,
}

impl Call<'_> {
    /// Adds an argument.
    pub fn arg<T: ToRedisArgs>(&mut self, argument: T) -> &mut Self {
        self.command.arg(argument);
        self
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The arguments are users' data.
        f.debug_tuple("Call").field(&self.script).finish_non_exhaustive()
    }
}
