//! The program with the window, and what it says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::PATIENCE;
use super::display::Display;

/// It runs until it is told to end; dropped, it is killed, and what was on the screen is kept.
pub(super) struct Program<'a> {
    display: &'a Display,
    child: Child,
    lines: Receiver<String>,
    /// What it said so far.
    heard: Vec<String>,
}

impl<'a> Program<'a> {
    /// Starts it on a display, where it finds no desktop around it: no dialogs, no services.
    pub(super) fn start(mut command: Command, display: &'a Display) -> Result<Self> {
        command.env("DISPLAY", &display.name).env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
        command.env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the desktop app")?;
        let said = BufReader::new(child.stderr.take().context("it has no stderr")?);
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Ok(Self { display, child, lines, heard: Vec::new() })
    }

    /// Waits until it says so, unless it did.
    pub(super) fn knows(&mut self, text: &str) -> Result<()> {
        if self.said(text) { Ok(()) } else { self.hears(text).map(drop) }
    }

    /// Waits until it says a line with `text` in it, after those that were waited for, and gives that line.
    pub(super) fn hears(&mut self, text: &str) -> Result<String> {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if line.contains(text) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("it did not say {text:?}; {}", self.last_words()),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended before it said {text:?}; {}", self.last_words()),
            }
        }
    }

    /// Whether it said so by now.
    pub(super) fn said(&self, text: &str) -> bool {
        self.heard.iter().any(|line| line.contains(text))
    }

    fn last_words(&self) -> String {
        let from = self.heard.len().saturating_sub(20);
        format!("it said:\n{}", self.heard[from..].join("\n"))
    }

    /// Kills it: SIGKILL, which no program hears.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill the desktop app")?;
        self.child.wait().map(drop).context("the killed program does not end")
    }

    /// Waits until it has ended by itself.
    pub(super) fn ends(mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("it ended with {status}; {}", self.last_words()),
                None => sleep(Duration::from_millis(20)),
            }
        }
        bail!("it does not end; {}", self.last_words());
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Where it went wrong. What can be said of it was said.
            let _ = self.display.look().and_then(|image| image.save(&self.display.folder.join("shots/failed.png")));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
