//! Starts a server for a person, until Ctrl-C.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use counterpoint_servers::{ServerError, kafka::KafkaSetup};

/// Starts a server of the kind that the tests use, until Ctrl-C.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum Server {
    /// One Apache Kafka broker
    Kafka {
        /// Port that it listens to
        #[arg(long, default_value_t = 9092)]
        port: u16,
        /// Folder of its data, which stay
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    match serve(Arguments::parse().server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(server: Server) -> Result<(), ServerError> {
    match server {
        Server::Kafka { port, folder } => {
            let mut kafka = KafkaSetup::new().port(port).folder(&folder).start()?;
            eprintln!("Kafka answers, and keeps its data in {}; Ctrl-C ends it", folder.display());
            eprintln!("give --broker {}", kafka.broker());
            // Ctrl-C reaches the broker as well, which then ends in order.
            kafka.wait();
        }
    }
    Ok(())
}
