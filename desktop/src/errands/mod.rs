//! Work that would keep the window waiting: files, dialogs, thumbnails, edits of whole pictures. Each errand runs on a
//! thread of its own and leaves an outcome.

mod purpose;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Result, anyhow, bail};
use eframe::egui::{self, ColorImage};
use firefall_cli::files::Existing;
use firefall_cli::pictures::Photo;
use firefall_cli::{pictures, png_text};
use firefall_core::image::{Mask, Picture, resized};
use firefall_core::inpaint::Job;
use firefall_core::png::Origin;

use crate::document::{Adjustment, Edit, Layers, MaskEdit};
use crate::shelf::{self, Entry};

pub(crate) use purpose::{Folder, Purpose, with_ending};

/// The longer side of a thumbnail, pixels.
pub(crate) const THUMBNAIL: usize = 96;
/// The most thumbnails that are made at a time.
const THUMBNAILS: usize = 4;
/// The largest region of which a preview is blended as the result will be; of larger ones the raw square is shown.
const BLENDED: usize = 1024;

/// What an errand brought.
pub(crate) enum Outcome {
    /// A picture was read, with what it says of itself.
    Opened { path: PathBuf, photo: Photo, origin: Origin },
    /// A mask was read.
    Mask(Mask),
    /// The picture was saved.
    Saved { path: PathBuf, safe: Safe },
    /// Something else was written.
    Wrote(PathBuf),
    /// A picture of the gallery, small.
    Thumbnail { path: PathBuf, picture: Picture },
    /// The models that can be chosen were looked at.
    Surveyed(Vec<Entry>),
    /// A folder was chosen.
    Folder { what: Folder, path: PathBuf },
    /// An edit was worked out, or why not; that of an accepted picture has its origin.
    Edited { edit: Result<Edit, String>, origin: Option<Origin> },
    /// A mask that is only tried on was worked out, or why not.
    Tried { adjustment: Adjustment, edit: Result<Edit, String> },
    /// What the canvas shows of a variation, with the number under which it was asked for, if it could be worked out.
    Patch { shown: Option<(u64, ColorImage)> },
    /// The system has no dialog to choose a path with.
    NoDialog { purpose: Purpose, suggested: PathBuf },
    /// It did not work, in a sentence.
    Failed(String),
    /// The user thought better of it.
    Unchosen,
}

/// What is in a file once it is saved.
#[derive(Debug)]
pub(crate) enum Safe {
    /// All that the user wanted to keep of these.
    All(Layers),
    /// A picture in the history, which has no mask.
    Picture(Arc<Picture>),
}

/// The errands that are under way.
#[derive(Debug)]
pub(crate) struct Errands {
    send: Sender<Outcome>,
    done: Receiver<Outcome>,
    context: egui::Context,
    /// Shared by the thumbnails under way.
    thumbnails: Arc<()>,
}

impl Errands {
    pub(crate) fn new(context: egui::Context) -> Self {
        let (send, done) = channel();
        Self { send, done, context, thumbnails: Arc::default() }
    }

    /// What was brought since this was last asked.
    pub(crate) fn done(&self) -> Vec<Outcome> {
        self.done.try_iter().collect()
    }

    fn run(&self, work: impl FnOnce() -> Result<Outcome> + Send + 'static) {
        self.spawn(move || work().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}"))), Outcome::Failed);
    }

    /// Does work that ends in an outcome whatever happens: `failed` makes one where the work was not done.
    fn spawn(&self, work: impl FnOnce() -> Outcome + Send + 'static, failed: fn(String) -> Outcome) {
        let (send, context) = (self.send.clone(), self.context.clone());
        let errand = move || {
            let outcome = caught(|| Ok(work())).unwrap_or_else(|error| failed(format!("{error:#}")));
            // A window that has gone needs no outcome.
            let _ = send.send(outcome);
            context.request_repaint();
        };
        if let Err(error) = std::thread::Builder::new().name("errand".into()).spawn(errand) {
            let _ = self.send.send(failed(format!("the system has no thread to give: {error}")));
        }
    }

    pub(crate) fn open(&self, path: PathBuf) {
        self.run(move || purpose::open(&path));
    }

    pub(crate) fn open_mask(&self, path: PathBuf) {
        self.run(move || Ok(Outcome::Mask(pictures::read_mask(&path)?)));
    }

    /// Makes a thumbnail, unless enough of them are under way. Whether it does.
    pub(crate) fn thumbnail(&self, path: PathBuf) -> bool {
        let share = self.thumbnails.clone();
        if Arc::strong_count(&share) > THUMBNAILS + 1 {
            return false;
        }
        self.run(move || {
            // Held until this ends, in whatever way.
            let _share = share;
            let picture = pictures::read(&path)?;
            let scale = THUMBNAIL as f64 / picture.width.max(picture.height) as f64;
            let side = |n: usize| ((n as f64 * scale).round() as usize).clamp(1, THUMBNAIL);
            let small = resized(&picture, side(picture.width), side(picture.height));
            Ok(Outcome::Thumbnail { path, picture: small })
        });
        true
    }

    /// Puts an accepted picture into the history, with how it was made and its ICC profile.
    pub(crate) fn keep(&self, path: PathBuf, picture: Arc<Picture>, origin: Origin, profile: Option<Arc<[u8]>>) {
        self.run(move || {
            let existing = Existing::Number;
            let path = png_text::write_with_profile(&path, &picture, &origin, profile.as_deref(), existing)?;
            Ok(Outcome::Saved { path, safe: Safe::Picture(picture) })
        });
    }

    /// Asks for a path, by the system's dialog, and goes there.
    pub(crate) fn ask(&self, purpose: Purpose, suggested: PathBuf) {
        let dialog = purpose.dialog(&suggested);
        self.run(move || purpose.wait(dialog, suggested));
    }

    /// Goes to a path that is known. A file that is there is replaced.
    pub(crate) fn go(&self, purpose: Purpose, path: PathBuf) {
        self.run(move || purpose.go(&path));
    }

    /// Looks at the models that can be chosen: those of the run of the training panel, and of folders that are remembered.
    pub(crate) fn survey(&self, run: PathBuf, runs: Vec<PathBuf>, models: Vec<PathBuf>) {
        let work = move || Outcome::Surveyed(shelf::survey(&run, &runs, &models));
        // Another look may come.
        self.spawn(work, |_| Outcome::Surveyed(Vec::new()));
    }

    /// Works out an edit of the whole mask.
    pub(crate) fn edit_mask(&self, layers: Layers, edit: MaskEdit) {
        self.edit(None, move || layers.masked(edit));
    }

    /// Works out a mask that is only tried on.
    pub(crate) fn try_mask(&self, layers: Layers, adjustment: Adjustment) {
        let work = move || layers.masked(MaskEdit::Adjust(adjustment)).map_err(|error| format!("{error:#}"));
        self.spawn(
            move || Outcome::Tried { adjustment, edit: work() },
            |why| Outcome::Tried { adjustment: Adjustment::default(), edit: Err(why) },
        );
    }

    /// Works out a picture with room around it.
    pub(crate) fn extend(&self, layers: Layers, margins: [usize; 4]) {
        self.edit(None, move || layers.extended(margins));
    }

    /// Works out the picture with a variation in it.
    pub(crate) fn accept(&self, layers: Layers, job: Arc<Job>, painted: Arc<Picture>, origin: Origin) {
        self.edit(Some(origin), move || {
            let picture = onto(&layers.picture, &job, &painted)?;
            layers.painted(picture)
        });
    }

    fn edit(&self, origin: Option<Origin>, work: impl FnOnce() -> Result<Edit> + Send + 'static) {
        let work = move || Outcome::Edited { edit: work().map_err(|error| format!("{error:#}")), origin };
        self.spawn(work, |why| Outcome::Edited { edit: Err(why), origin: None });
    }

    /// Works out what the canvas shows of a variation.
    pub(crate) fn patch(&self, number: u64, job: Arc<Job>, painted: Arc<Picture>) {
        let work = move || {
            let blended = (job.region().side <= BLENDED).then(|| job.patch(&painted));
            let shown = blended.as_ref().unwrap_or(&painted);
            let image = ColorImage::from_rgb([shown.width, shown.height], &shown.rgb);
            Outcome::Patch { shown: Some((number, image)) }
        };
        // The next one may come.
        self.spawn(work, |_| Outcome::Patch { shown: None });
    }
}

/// What panics has failed, and the window lives on.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let caught = catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| Err(anyhow!("that failed by a mistake in this program; nothing has changed")))
}

/// The picture as it is now with what was painted: since it was asked for, a step may have been undone.
fn onto(picture: &Picture, job: &Job, painted: &Picture) -> Result<Picture> {
    let (mut finished, weights) = (job.finish(painted), job.weights());
    if [finished.width, finished.height] != [picture.width, picture.height] {
        bail!("the picture has another size by now; generate again");
    }
    let kept = weights.alpha.iter().enumerate().filter(|(_, weight)| **weight == 0);
    kept.for_each(|(i, _)| finished.rgb[3 * i..3 * i + 3].copy_from_slice(&picture.rgb[3 * i..3 * i + 3]));
    Ok(finished)
}

/// Where a path that is typed begins: beside `source`, else where the system keeps pictures.
pub(crate) fn beside(source: Option<&Path>, name: &str) -> PathBuf {
    let here = source.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned);
    let pictures = || {
        let dirs = directories::UserDirs::new()?;
        Some(dirs.picture_dir().unwrap_or(dirs.home_dir()).to_owned())
    };
    here.or_else(pictures).unwrap_or_default().join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_outcome() {
        let errands = Errands::new(egui::Context::default());
        errands.edit(None, || panic!("too much"));
        let outcome = errands.done.recv().unwrap();
        assert!(matches!(outcome, Outcome::Edited { edit: Err(why), .. } if why.contains("nothing has changed")));
    }

    #[test]
    fn few_thumbnails_are_made_at_a_time() {
        let errands = Errands::new(egui::Context::default());
        let mut others: Vec<_> = (1..THUMBNAILS).map(|_| errands.thumbnails.clone()).collect();
        assert!(errands.thumbnail("/no/such.png".into()));
        assert!(matches!(errands.done.recv().unwrap(), Outcome::Failed(_)));
        others.push(errands.thumbnails.clone());
        assert!(!errands.thumbnail("/no/such.png".into()), "enough are under way");
        others.pop();
        assert!(errands.thumbnail("/no/such.png".into()), "one that failed is over");
    }

    #[test]
    fn what_is_not_painted_is_as_it_is_now() {
        use firefall_core::inpaint::Blend;
        let config = firefall_core::train::TrainConfig::preset("tiny").unwrap().model;
        let mut mask = Mask::filled(60, 50, 0);
        mask.alpha[20 * 60 + 20] = 255;
        let blend = Blend { grow: Some(2.0), feather: Some(3.0), match_colour: false };
        let job = Job::new(Picture::filled(60, 50, [9; 3]), mask, blend, &config).unwrap();
        let painted = Picture::filled(32, 32, [200; 3]);
        let now = Picture::filled(60, 50, [70; 3]);
        let picture = onto(&now, &job, &painted).unwrap();
        for (i, weight) in job.weights().alpha.iter().enumerate() {
            assert_eq!(picture.rgb[3 * i] == 70, *weight == 0, "{weight}");
        }
        assert!(job.weights().alpha.contains(&0) && picture.pixel(20, 20) == [200; 3]);
        let message = onto(&Picture::filled(61, 50, [70; 3]), &job, &painted).unwrap_err().to_string();
        assert!(message.contains("generate again"), "{message}");
    }

    #[test]
    fn a_name_goes_beside_its_picture() {
        assert_eq!(beside(Some(Path::new("/a/b.png")), "c.png"), Path::new("/a/c.png"));
        assert!(beside(Some(Path::new("b.png")), "c.png").ends_with("c.png"));
        assert!(beside(None, "c.png").ends_with("c.png"));
    }
}
