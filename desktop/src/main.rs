//! `firefall-desktop [PICTURE]`

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::Parser;
use eframe::egui::{ViewportBuilder, vec2};
use firefall_cli::device::DeviceChoice;
use firefall_cli::outcome::say;
use firefall_desktop::{App, Options, Watch};

/// How many windows are opened, each after one whose graphics device was lost.
const WINDOWS: usize = 3;

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
    let mut options =
        Options { picture: args.picture, model: args.model, device: args.device, data, verbose: args.verbose };
    let mut before = None;
    for _ in 0..WINDOWS {
        match window(options.clone(), before) {
            Ok(code) => return code,
            Err(lost) => {
                before = lost.closed_for();
                // The picture comes back with the session, where there is one already.
                options.picture = options.picture.filter(|_| !lost.has_session());
            }
        }
    }
    ExitCode::FAILURE
}

/// Opens a window, where there was one `before` that was lost, and waits for its end.
///
/// # Errors
/// What is known of its graphics device, if the end was that it was lost: another window may be opened.
fn window(options: Options, before: Option<String>) -> Result<ExitCode, Watch> {
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_inner_size(vec2(1280.0, 820.0))
            .with_min_inner_size(vec2(480.0, 360.0)),
        ..eframe::NativeOptions::default()
    };
    let (has_begun, watch) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::<Watch>::new()));
    let (begun, watched) = (has_begun.clone(), watch.clone());
    let app = move |cc: &eframe::CreationContext<'_>| {
        begun.store(true, Ordering::SeqCst);
        let mut app = App::new(cc, options)?;
        if let Some(why) = before {
            app.notify(&format!("the graphics device of the window failed ({why}); the window was opened anew"));
        }
        let _ = watched.set(app.watch());
        Ok(Box::new(app) as Box<dyn eframe::App>)
    };
    // A library that is missing is told by a panic.
    let ended = catch_unwind(AssertUnwindSafe(|| eframe::run_native("Firefall", native, Box::new(app))));
    let watch = watch.get();
    match ended {
        Ok(Ok(())) => match watch.filter(|watch| watch.closed_for().is_some()) {
            Some(lost) => Err(lost.clone()),
            None => Ok(ExitCode::SUCCESS),
        },
        Err(panic) => match watch.filter(|watch| watch.is_lost()) {
            Some(watch) => {
                // The device went while a frame was drawn. The journal has what was done.
                say(&format!("error: {}", watch.last_words()));
                Ok(ExitCode::FAILURE)
            }
            None if has_begun.load(Ordering::SeqCst) => resume_unwind(panic),
            None => Ok(no_window("a library is missing")),
        },
        Ok(Err(error)) => Ok(no_window(&error.to_string())),
    }
}

fn no_window(why: &str) -> ExitCode {
    say(&format!(
        "error: no window opens: {why}; on Linux it needs a display (X11 or Wayland), some libraries and a graphics driver: `apt install libx11-xcb1 libxcursor1 libxi6 libxkbcommon0 libxkbcommon-x11-0 libwayland-client0 libvulkan1 mesa-vulkan-drivers`"
    ));
    ExitCode::FAILURE
}
