//! `petiole-operator`: see the library of the same crate.

use std::process::ExitCode;

use clap::Parser;
use petiole_operator::flags::Flags;
use petiole_operator::operator;
use petiole_process::log::{self, Chain, Format};

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    log::start(Format::Json);
    // Another thread cannot have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match operator::run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}
