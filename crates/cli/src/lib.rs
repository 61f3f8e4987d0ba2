//! `petiole`: Celery on Kubernetes, from the command line.
//!
//! - [`dev`]: runs task queues and worker pools on this machine, without a cluster.
//! - [`dead_letter`]: what could not be run, listed, put back or dropped.

pub mod dead_letter;
pub mod dev;

use clap::{Parser, Subcommand};

/// Celery on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "petiole", version)]
pub struct Petiole {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the TaskQueues and WorkerPools of YAML files on this machine, without a cluster
    Dev(dev::Flags),
    /// Look at messages that could not be run, put them back, or drop them
    DeadLetter(dead_letter::Flags),
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// See its source.
    #[error(transparent)]
    Dev(dev::DevError),
    /// See its source.
    #[error(transparent)]
    DeadLetter(dead_letter::DeadLetterError),
}

impl Petiole {
    /// Does what was asked for.
    pub async fn run(self) -> Result<(), CliError> {
        match self.command {
            Command::Dev(flags) => flags.run().await.map_err(CliError::Dev),
            Command::DeadLetter(flags) => flags.run().await.map_err(CliError::DeadLetter),
        }
    }
}
