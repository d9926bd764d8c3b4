//! `firefall-desktop [PICTURE]`

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use eframe::egui::{ViewportBuilder, vec2};
use firefall_cli::device::DeviceChoice;
use firefall_cli::outcome::say;
use firefall_desktop::{App, Options};

/// Paint a mask over a picture, say what should be there, and choose among what comes of it
#[derive(Debug, Parser)]
#[command(name = "firefall-desktop", version, max_term_width = 100)]
struct Args {
    /// A picture to open (PNG, JPEG or WebP) [default: what was worked on last, or a white one]
    picture: Option<PathBuf>,

    /// The model's folder [default: the shipped model]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// auto, cpu, gpu or gpu:N (see `firefall devices`)
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,

    /// Where history and sessions are kept [default: the system's place for such data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Say on stderr what happens, and how long frames take while pictures are made
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(data) =
        args.data.or_else(|| Some(directories::ProjectDirs::from("", "", "firefall")?.data_dir().to_owned()))
    else {
        say("error: this system has no place for a program's data; name one with --data");
        return ExitCode::FAILURE;
    };
    let options =
        Options { picture: args.picture, model: args.model, device: args.device, data, verbose: args.verbose };
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_inner_size(vec2(1280.0, 820.0))
            .with_min_inner_size(vec2(480.0, 360.0)),
        ..eframe::NativeOptions::default()
    };
    let has_begun = Arc::new(AtomicBool::new(false));
    let begun = has_begun.clone();
    let app = move |cc: &eframe::CreationContext<'_>| {
        begun.store(true, Ordering::SeqCst);
        Ok(Box::new(App::new(cc, options)?) as Box<dyn eframe::App>)
    };
    // A library that is missing is told by a panic.
    let ended = catch_unwind(AssertUnwindSafe(|| eframe::run_native("Firefall", native, Box::new(app))));
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Err(panic) if has_begun.load(Ordering::SeqCst) => resume_unwind(panic),
        Ok(Err(error)) => no_window(&error.to_string()),
        Err(_) => no_window("a library is missing"),
    }
}

fn no_window(why: &str) -> ExitCode {
    say(&format!(
        "error: no window opens: {why}; on Linux it needs a display (X11 or Wayland), some libraries and a graphics driver: `apt install libx11-xcb1 libxcursor1 libxi6 libxkbcommon-x11-0 libwayland-client0 mesa-vulkan-drivers`"
    ));
    ExitCode::FAILURE
}
