//! `petiole-worker`: see the library of the same crate.

use std::process::ExitCode;

use clap::Parser;
use petiole_process::log::{self, Chain, Format};
use petiole_worker::config::Flags;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::start(Format::Json);
    match Flags::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}
