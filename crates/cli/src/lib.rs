//! `petiole`: Celery on Kubernetes, from the command line.
//!
//! - [`dev`]: runs task queues and worker pools on this machine, without a cluster.

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
}

impl Petiole {
    /// Does what was asked for.
    pub async fn run(self) -> Result<(), dev::DevError> {
        match self.command {
            Command::Dev(flags) => flags.run().await,
        }
    }
}
