//! How a command ends: exit codes, one message, and the interrupt key.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result};

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The user pressed Ctrl-C, or the system asked the process to end. Exit code 130, as shells have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A mistake on the command line that only shows once a model or a file is known. Exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// From now on the first Ctrl-C only sets [`interrupted`], so that the work can stop between two steps; the second
/// ends the process at once. A SIGTERM asks for the same, politely. SIGHUP is left to the system, so that `nohup` works.
///
/// # Errors
/// The system takes no handler.
pub fn catch_interrupts() -> Result<()> {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        say("\nstopping after this step; once more to stop at once");
    };
    ctrlc::set_handler(handler).context("cannot watch for Ctrl-C")?;
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGTERM, INTERRUPTED.clone())
        .context("cannot watch for SIGTERM")?;
    Ok(())
}

/// Whether Ctrl-C was pressed since [`catch_interrupts`].
#[must_use]
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// An error once Ctrl-C was pressed: `check_interrupt()?` between steps.
///
/// # Errors
/// [`Interrupted`].
pub fn check_interrupt() -> Result<()> {
    if interrupted() { Err(Interrupted.into()) } else { Ok(()) }
}

/// Says a line on stderr. What nobody hears, because the pipe is closed, is no reason to stop the work.
pub fn say(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints lines to stdout.
///
/// # Errors
/// stdout is closed or full; [`exit_code`] forgives a closed one.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Says on stderr, once, what went wrong and why, and gives the process's exit code: 0 done, 1 failed, 2 wrong usage,
/// 130 interrupted.
///
/// A reader that has seen enough (`firefall config train | head`) is no failure.
#[must_use]
pub fn exit_code(outcome: &Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let code = code_of(error);
    if code != 0 {
        say(&format!("error: {error:#}"));
    }
    ExitCode::from(code)
}

fn code_of(error: &anyhow::Error) -> u8 {
    let closed = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(closed) {
        0
    } else if error.downcast_ref::<Interrupted>().is_some() {
        130
    } else if error.downcast_ref::<Usage>().is_some() {
        2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_cause_through_its_context() {
        let code = |e: anyhow::Error| code_of(&e.context("stage 2"));
        assert_eq!(code(Interrupted.into()), 130);
        assert_eq!(code(Usage("3 values for 2 stages".into()).into()), 2);
        assert_eq!(code(io::Error::from(io::ErrorKind::BrokenPipe).into()), 0);
        assert_eq!(code(io::Error::from(io::ErrorKind::NotFound).into()), 1);
        assert_eq!(code(anyhow::anyhow!("anything")), 1);
    }
}
