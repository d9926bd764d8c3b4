//! The command line of Firefall: `firefall sample "three green stars"`.
//!
//! [`args`] is the command line as data, [`command`] does what it says, and the rest is what the commands share.

#![recursion_limit = "256"]

pub mod args;
pub mod command;
pub mod config_file;
pub mod contact;
pub mod device;
pub mod files;
pub mod model;
pub mod naming;
pub mod outcome;
pub mod pictures;
pub mod png_text;
pub mod progress;
pub mod prompts;
pub mod suggest;
pub mod values;
