//! `petiole`: see the library of the same crate.

use std::process::ExitCode;

use clap::Parser;
use petiole_cli::Petiole;
use petiole_process::log::{self, Chain, Format};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::start(Format::Text);
    match Petiole::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}
