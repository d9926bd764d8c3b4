//! A mouse and a keyboard that nobody holds.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::PATIENCE;
use super::display::Display;
use crate::shell::output;

/// Drives what is on a display.
pub(super) struct Hand<'a> {
    display: &'a Display,
}

impl<'a> Hand<'a> {
    pub(super) fn new(display: &'a Display) -> Self {
        Self { display }
    }

    fn tool(&self, words: &[&str]) -> Result<String> {
        output(Command::new("xdotool").args(words).env("DISPLAY", &self.display.name))
    }

    /// Waits for a window of this name and gives it the keyboard.
    pub(super) fn focus(&self, name: &str) -> Result<()> {
        let window = self.window(name)?;
        self.tool(&["windowfocus", "--sync", &window]).map(drop)
    }

    fn window(&self, name: &str) -> Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            // Where there is none, the tool fails.
            let found = self.tool(&["search", "--onlyvisible", "--name", name]).unwrap_or_default();
            if let Some(window) = found.lines().next() {
                return Ok(window.to_owned());
            }
            sleep(Duration::from_millis(50));
        }
        bail!("no window {name} has come");
    }

    /// Gives the window another size, and waits until it has it.
    pub(super) fn resize(&self, name: &str, [width, height]: [usize; 2]) -> Result<()> {
        let window = self.window(name)?;
        self.tool(&["windowsize", &window, &width.to_string(), &height.to_string()])?;
        let (begun, want) = (Instant::now(), [format!("WIDTH={width}"), format!("HEIGHT={height}")]);
        while begun.elapsed() < PATIENCE {
            let is = self.tool(&["getwindowgeometry", "--shell", &window])?;
            if want.iter().all(|line| is.lines().any(|is| is == line)) {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        bail!("the window does not become {width} x {height} pixels");
    }

    /// Presses a key, as `ctrl+s`.
    pub(super) fn key(&self, key: &str) -> Result<()> {
        self.tool(&["key", key]).map(drop)
    }

    /// Presses a key and keeps it down.
    pub(super) fn hold(&self, key: &str) -> Result<()> {
        self.tool(&["keydown", key]).map(drop)
    }

    /// Lets go of a key.
    pub(super) fn let_go(&self, key: &str) -> Result<()> {
        self.tool(&["keyup", key]).map(drop)
    }

    /// Types.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        self.tool(&["type", "--delay", "15", text]).map(drop)
    }

    /// Moves the pointer.
    pub(super) fn go(&self, [x, y]: [i32; 2]) -> Result<()> {
        self.tool(&["mousemove", &x.to_string(), &y.to_string()]).map(drop)
    }

    /// Presses the button at a place.
    pub(super) fn press(&self, at: [i32; 2]) -> Result<()> {
        self.go(at)?;
        self.tool(&["mousedown", "1"]).map(drop)
    }

    /// Lets go of it.
    pub(super) fn release(&self) -> Result<()> {
        self.tool(&["mouseup", "1"]).map(drop)
    }

    /// A stroke through some places.
    pub(super) fn stroke<const N: usize>(&self, places: [[i32; 2]; N]) -> Result<()> {
        self.press(places[0])?;
        places[1..].iter().try_for_each(|at| self.go(*at))?;
        self.release()
    }
}
