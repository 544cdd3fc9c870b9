//! `cargo bench`: the figures of `indelible bench`, at a size that takes a minute.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, without --bench: measuring is not testing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let status = Command::new(env!("CARGO_BIN_EXE_indelible"))
        .args(["bench", "--events", "2000000"])
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
