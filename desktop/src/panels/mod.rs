//! The panels around the canvas: one file each.

mod bars;
mod help;
mod history;
mod models;
mod prompt;
mod questions;
mod staged;
mod tools;
mod training;

pub(crate) use bars::{menu, status};
pub(crate) use help::sheet;
pub(crate) use history::history;
pub(crate) use models::models;
pub(crate) use prompt::prompt;
pub(crate) use questions::{asking, typing};
pub(crate) use staged::staged;
pub(crate) use tools::tools;
pub(crate) use training::{Classroom, training};
