//! The commands, one a file.

mod config;
mod devices;
mod eval;
mod paint;
mod sample;
mod show;
mod train;
mod world;

use anyhow::Result;

use crate::args::Command;

/// Does what the command line says.
///
/// # Errors
/// What went wrong; [`crate::outcome::exit_code`] tells it.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Sample(args) => sample::run(args),
        Command::Inpaint(args) => paint::inpaint(args),
        Command::Outpaint(args) => paint::outpaint(args),
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::World(args) => world::run(args),
        Command::Config(args) => config::run(args),
        Command::Devices => devices::run(),
        Command::Show(args) => show::run(args),
    }
}
