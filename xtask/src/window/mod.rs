//! The real window on a display of its own, driven by a synthetic mouse and keyboard: what a user does from opening a
//! picture to saving it, a program that is killed ten times, and a disk that is full.

mod display;
mod hand;
mod program;
mod session;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::display::{Display, Image};
use self::hand::Hand;
use self::program::Program;
use self::session::Session;
use crate::shell::{run, succeeds, target_dir};
use crate::system;
use crate::test::programs;

/// How long anything may take on a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long before what was done is done once more: events that come before a window listens are lost.
const AGAIN: Duration = Duration::from_secs(6);
/// A canvas that is the same after this long is still.
const STILL: Duration = Duration::from_millis(600);
/// How often the program is killed.
const KILLS: usize = 10;
/// The picture that is painted in, pixels.
const SIZE: [usize; 2] = [300, 220];
/// How far beyond the mask something may change at most: it grows by 4 pixels and fades over 32 at most.
const REACH: usize = 4 + 32 + 2;
/// Frames a second that a window should reach while pictures are made.
const FRAMES: f64 = 30.0;

/// A test of the window.
type Step = fn(&Stage) -> Result<()>;

const STEPS: [(&str, Step); 3] = [
    ("paint, generate, accept, save", Stage::main_path),
    ("killed ten times", Stage::killed),
    ("a full disk", Stage::full_disk),
];

/// Builds the programs and drives the window; where there is no X11, says so.
///
/// # Errors
/// What the window did not do, with a screenshot of it.
pub(crate) fn test(root: &Path) -> Result<()> {
    if !cfg!(target_os = "linux") {
        eprintln!("\nthe window is driven on Linux only: left out");
        return Ok(());
    }
    system::window()?;
    let programs = programs(root)?;
    let scratch = target_dir(root).join("window");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(scratch.join("shots")).with_context(|| format!("cannot make {}", scratch.display()))?;
    let display = Display::open(&scratch)?;
    let stage = Stage { programs, scratch, display };
    for (name, step) in STEPS {
        let begun = Instant::now();
        eprintln!("\nwindow: {name}");
        step(&stage).with_context(|| format!("window: {name} (see {})", stage.path("shots").display()))?;
        eprintln!("window: {name}: {:.0} s", begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// What every test of the window has.
struct Stage {
    /// Where the programs are.
    programs: PathBuf,
    scratch: PathBuf,
    display: Display,
}

impl Stage {
    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Keeps what is on the screen, to be looked at.
    fn shot(&self, name: &str) -> Result<PathBuf> {
        let place = self.path(&format!("shots/{name}.png"));
        self.display.look()?.save(&place)?;
        Ok(place)
    }

    /// The middle of the canvas, as it is on the screen.
    fn canvas(&self) -> Result<Image> {
        Ok(self.display.look()?.part([400, 200], [980, 600]))
    }

    /// The same once nothing there moves any more.
    fn still_canvas(&self) -> Result<Image> {
        let mut now = self.canvas()?;
        let still = || {
            sleep(STILL);
            let before = std::mem::replace(&mut now, self.canvas()?);
            Ok(before == now)
        };
        until("the canvas is still", || Ok(()), still)?;
        Ok(now)
    }

    fn hand(&self) -> Hand<'_> {
        Hand::new(&self.display)
    }

    /// The program with its window open, the model loaded and the keyboard on it.
    fn start(&self, data: &Path, more: &[&str]) -> Result<Program<'_>> {
        let mut command = Command::new(self.programs.join("firefall-desktop"));
        // Nor does it find a program that opens dialogs.
        command.args(["--device", "cpu", "--verbose", "--data"]).arg(data).args(more).env("PATH", "/nonexistent");
        self.launch(command)
    }

    fn launch(&self, command: Command) -> Result<Program<'_>> {
        let mut program = Program::start(command, &self.display)?;
        program.knows("Ready on ")?;
        self.hand().focus("Firefall")?;
        Ok(program)
    }

    /// From a picture on the disk to another one, as a user goes.
    fn main_path(&self) -> Result<()> {
        let (start, data, saved) = (self.start_picture()?, self.path("data"), self.path("saved.png"));
        let before = Image::open(&start)?;
        let mut program = self.start(&data, &[&start.to_string_lossy()])?;
        program.knows("Shows a picture of 300 x 220 pixels")?;
        let (hand, session) = (self.hand(), Session::of(&data));
        until(
            "the stroke is in the journal",
            || {
                hand.stroke([[600, 400], [640, 420], [690, 400]])?;
                Ok(())
            },
            || Ok(session.marked()? > 200),
        )?;
        until(
            "the prompt is in the journal",
            || {
                hand.key("F6")?;
                hand.key("ctrl+a")?;
                hand.write("a green star")
            },
            || Ok(session.prompt()?.as_deref() == Some("a green star")),
        )?;
        self.shot("painted")?;
        // The window may be as small as it likes to be in the meantime.
        hand.resize("Firefall", [480, 360])?;
        hand.resize("Firefall", display::SIZE)?;

        hand.key("ctrl+Return")?;
        program.hears("Made 4 pictures")?;
        report(&program.hears(" frames, ")?);
        self.shot("made")?;
        let mask = session.mask()?;
        let history = data.join("history/a_green_star.png");
        until(
            "the picture is in the history",
            || {
                // Out of the field of the prompt first.
                hand.key("Escape")?;
                hand.key("Return")
            },
            || Ok(history.is_file()),
        )?;
        let now = self.still_canvas()?;
        until("the picture is shown as it was", || hand.hold("Tab"), || Ok(self.canvas()? != now))?;
        hand.let_go("Tab")?;
        until("the picture is shown as it is", || Ok(()), || Ok(self.canvas()? == now))?;
        save(&hand, &mut program, &saved)?;
        self.shot("saved")?;

        let after = Image::open(&saved)?;
        ensure!(after == Image::open(&history)?, "the saved picture is not the accepted one");
        compare(&before, &after, &mask)?;
        hand.key("ctrl+q")?;
        program.ends()
    }

    /// A picture that says how it was made: with few steps, so that it is made again soon.
    fn start_picture(&self) -> Result<PathBuf> {
        let (picture, mask, start) = (self.path("picture.png"), self.path("mask.png"), self.path("start.png"));
        let [width, height] = SIZE;
        let noise = |x: usize, y: usize, c: usize| ((x * 97) ^ (y * 57) ^ (c * 31)) % 64;
        let rgb = |x: usize, y: usize| [x / 2, y / 2, 90].map(|v| (v + noise(x, y, v)).min(255) as u8);
        Image::of(SIZE, rgb).save(&picture)?;
        let corner = |x: usize, y: usize| [if x < width / 8 && y < height / 8 { 255 } else { 0 }; 3];
        Image::of(SIZE, corner).save(&mask)?;
        let mut command = Command::new(self.programs.join("firefall"));
        command.args(["inpaint", &picture.to_string_lossy(), "a red circle", "--steps", "4", "--preset", "quick"]);
        command.args(["--device", "cpu", "--mask"]).arg(mask).arg("--out").arg(&start);
        run(&mut command)?;
        Ok(start)
    }

    /// Each time with a stroke more, in the middle of the next.
    fn killed(&self) -> Result<()> {
        let data = self.path("killed");
        let (hand, session) = (self.hand(), Session::of(&data));
        let mut seen = 0;
        for n in 0..=KILLS {
            let program = self.start(&data, &[])?;
            if n > 0 {
                ensure!(program.said("The last session is back"), "after kill {n} no session came back");
                ensure!(session.marked()? == seen, "after kill {n} the mask is not what it was");
                until(
                    &format!("the mask is on the screen after kill {n}"),
                    || Ok(()),
                    || Ok(self.display.look()?.count(is_marked) > 10 * seen),
                )?;
            }
            if n == KILLS {
                self.shot("killed")?;
                hand.key("ctrl+q")?;
                return program.ends();
            }
            let y = 250 + 30 * n as i32;
            until(
                &format!("stroke {n} is in the journal"),
                || hand.stroke([[500, y], [640, y], [780, y]]),
                || Ok(session.marked()? > seen),
            )?;
            seen = session.marked()?;
            hand.press([500, y + 60])?;
            hand.go([600, y + 60])?;
            program.kill()?;
            hand.release()?;
        }
        Ok(())
    }

    /// The disk with history and journal takes nothing more; another does.
    fn full_disk(&self) -> Result<()> {
        if !succeeds(Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])) {
            eprintln!("this system lets nobody make a small disk: left out");
            return Ok(());
        }
        let (data, saved, picture) = (self.path("full"), self.path("safe.png"), self.path("picture.png"));
        fs::create_dir_all(&data)?;
        let mut command = Command::new("unshare");
        let small = "mount -t tmpfs -o size=100k tmpfs \"$0\" && export PATH=/nonexistent && exec \"$@\"";
        command.args(["-rm", "sh", "-c", small]).arg(&data).arg(self.programs.join("firefall-desktop"));
        command.args(["--device", "cpu", "--verbose", "--data"]).arg(&data).arg(&picture);
        let mut program = self.launch(command)?;
        program.knows("Shows a picture of 300 x 220 pixels")?;
        let hand = self.hand();
        hand.stroke([[600, 400], [640, 420], [690, 400]])?;
        program.hears("No space left on device")?;
        save(&hand, &mut program, &saved)?;
        self.shot("full")?;
        ensure!(Image::open(&saved)? == Image::open(&picture)?, "what was saved elsewhere is not the picture");
        hand.key("ctrl+q")?;
        program.ends()
    }
}

/// Saves under a name that is typed: on this display there is nothing to choose it with.
fn save(hand: &Hand<'_>, program: &mut Program<'_>, place: &Path) -> Result<()> {
    hand.key("ctrl+s")?;
    program.hears("Asks for a path")?;
    hand.key("ctrl+a")?;
    hand.write(&place.to_string_lossy())?;
    hand.key("Return")?;
    program.hears(&format!("Saved {}", place.display())).map(drop)
}

/// The mask's colour, half over white.
fn is_marked([r, g, b]: [u8; 3]) -> bool {
    r > 240 && (110..145).contains(&g) && (210..245).contains(&b)
}

/// What frames took, beside what they should.
fn report(line: &str) {
    let rate = line.split(", ").nth(1).and_then(|part| part.split(' ').next()?.parse::<f64>().ok());
    let verdict = match rate {
        Some(rate) if rate >= FRAMES => "as it should be",
        _ => "fewer than 30 a second: has this machine other work?",
    };
    eprintln!("while four pictures were made on the CPU: {line} ({verdict})");
}

/// Something has changed under the mask, and nothing far from it.
fn compare(before: &Image, after: &Image, mask: &Image) -> Result<()> {
    ensure!(before.size == after.size && before.size == mask.size, "the picture has another size");
    let marked: Vec<[usize; 2]> = mask.places().filter(|at| mask.at(*at)[0] >= 128).collect();
    let mut changed = 0;
    for at in before.places().filter(|at| before.at(*at) != after.at(*at)) {
        let near = |mark: &[usize; 2]| mark[0].abs_diff(at[0]).pow(2) + mark[1].abs_diff(at[1]).pow(2) <= REACH * REACH;
        ensure!(marked.iter().any(near), "the pixel {at:?} changed, far from the mask");
        changed += usize::from(mask.at(at)[0] >= 128);
    }
    ensure!(changed * 4 > marked.len(), "of {} marked pixels only {changed} changed", marked.len());
    eprintln!("{changed} of {} marked pixels changed, and none beyond their reach", marked.len());
    Ok(())
}

/// Does something until a condition holds; once more where it does not after a while.
fn until(what: &str, mut act: impl FnMut() -> Result<()>, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        act()?;
        let acted = Instant::now();
        while acted.elapsed() < AGAIN {
            if holds()? {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
    }
    bail!("waited in vain until {what}");
}
