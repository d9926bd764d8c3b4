//! The binary: parse, run, exit code.

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;
use firefall_cli::args::Cli;
use firefall_cli::{command, outcome};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Help and version go to stdout with code 0, mistakes to stderr with code 2; a closed one is no failure.
            let _ = message.print();
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(2));
        }
    };
    // A panic is a mistake of ours and has said so on stderr; the exit code is still one of the four.
    catch_unwind(|| outcome::exit_code(&command::run(&cli.command))).unwrap_or(ExitCode::FAILURE)
}
