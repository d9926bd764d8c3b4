//! Firefall in a window: paint a mask over a picture, say what should be there, and choose among what comes of it.
//!
//! [`App`] holds the state and draws it; [`engine`] is the one thread that owns the device, speaks the core's
//! `Request` and `Event`, and never keeps the window waiting; [`document`] is what is worked on, with its history and
//! its journal on the disk. The window knows no network.

#![recursion_limit = "256"]

mod app;
mod canvas;
pub mod document;
pub mod engine;
mod errands;
mod frames;
mod gallery;
mod habits;
mod keys;
mod making;
mod opening;
mod painting;
mod panels;
mod shelf;
#[cfg(test)]
mod tests;
pub mod training;
mod trial;
mod watch;
pub mod wishes;

pub use app::{App, Options};
pub use watch::Watch;
