//! The key-value service as a program. The service itself is in the library of this package.

use std::process::ExitCode;

use kv_service::{Config, run, with_causes};

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Config::parse(std::env::args().skip(1)) {
        Ok(config) => run(config).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv-service: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}
