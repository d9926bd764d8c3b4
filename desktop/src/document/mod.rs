//! What is worked on: a picture, the mask over it, and everything that was done to them.
//!
//! Edits, undo and what the view has to draw anew are here; [`Journal`] and [`Autosaver`] keep it on the disk, so that
//! a crash loses nothing.

mod area;
mod autosave;
mod brush;
mod history;
mod journal;
#[cfg(test)]
mod random;
mod recovery;
mod session;
mod shapes;
mod stored;
mod tiles;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use firefall_core::image::mask::Bounds;
use firefall_core::image::{Mask, Picture};
use serde_json::Value;

use area::{united, whole};
use history::{History, State, Step, Target};
use tiles::{Delta, Layout};

pub use autosave::Autosaver;
pub use brush::{Brush, Mode};
pub use journal::Journal;
pub use recovery::{Abandoned, Damaged, Found};
pub use session::Saved;

/// What the steps to undo take at most unless said otherwise, in bytes.
pub const HISTORY_MEMORY_MAX: usize = 256 << 20;

/// What changed since the view last looked, in pixels; nothing where nothing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dirty {
    /// Of the picture.
    pub picture: Option<Bounds>,
    /// Of the mask.
    pub mask: Option<Bounds>,
}

/// A picture that is worked on.
///
/// Picture and mask are shared: whoever keeps one keeps that state of it, and later edits make their own.
#[derive(Debug)]
pub struct Document {
    picture: Arc<Picture>,
    original: Arc<Picture>,
    mask: Arc<Mask>,
    stroke: Option<Stroke>,
    history: History,
    dirty: Dirty,
    revision: u64,
    state: State,
    saved: State,
    /// The next number of a state.
    next: u64,
}

/// A stroke that goes on.
#[derive(Debug)]
struct Stroke {
    brush: Brush,
    mode: Mode,
    /// Where it got to, once it was somewhere.
    at: Option<[f64; 2]>,
    before: Arc<Mask>,
    touched: Option<Bounds>,
}

impl Document {
    /// A picture just opened, with nothing marked. The view has all of it to draw.
    ///
    /// # Panics
    /// If the picture has not the bytes that its size says.
    #[must_use]
    pub fn new(picture: Picture) -> Self {
        assert_eq!(picture.rgb.len(), 3 * picture.width * picture.height, "a picture has three bytes a pixel");
        let mask = Mask::filled(picture.width, picture.height, 0);
        let picture = Arc::new(picture);
        Self::of(Arc::clone(&picture), picture, Arc::new(mask))
    }

    /// A document as it was saved; nothing can be undone, and it counts as changed, as only the journal has it.
    ///
    /// # Errors
    /// If picture, original and mask are of different sizes, or have not the bytes that their sizes say.
    pub fn restored(saved: &Saved) -> Result<Self> {
        saved.check()?;
        let mut document = Self::of(Arc::clone(&saved.picture), Arc::clone(&saved.original), Arc::clone(&saved.mask));
        document.state = document.fresh(true);
        Ok(document)
    }

    fn of(picture: Arc<Picture>, original: Arc<Picture>, mask: Arc<Mask>) -> Self {
        let all = whole(picture.width, picture.height);
        Self {
            picture,
            original,
            mask,
            stroke: None,
            history: History::new(HISTORY_MEMORY_MAX),
            dirty: Dirty { picture: all, mask: all },
            revision: 0,
            state: State::default(),
            saved: State::default(),
            next: 1,
        }
    }

    /// With at most `bytes` of memory for steps to undo, or for one if that alone takes more. Forgets all steps.
    #[must_use]
    pub fn with_history_memory(self, bytes: usize) -> Self {
        Self { history: History::new(bytes), ..self }
    }

    /// The picture as it is.
    #[must_use]
    pub fn picture(&self) -> &Arc<Picture> {
        &self.picture
    }

    /// The picture as it was opened.
    #[must_use]
    pub fn original(&self) -> &Arc<Picture> {
        &self.original
    }

    /// What is marked to be painted anew, of the picture's size.
    #[must_use]
    pub fn mask(&self) -> &Arc<Mask> {
        &self.mask
    }

    /// Everything that the journal keeps, with the `settings` of the window and the file that the picture came from.
    #[must_use]
    pub fn snapshot(&self, settings: Value, source: Option<PathBuf>) -> Saved {
        let (picture, original, mask) = (Arc::clone(&self.picture), Arc::clone(&self.original), Arc::clone(&self.mask));
        Saved { picture, original, mask, settings, source }
    }

    /// What changed since this was last asked; `None` if nothing did.
    pub fn take_dirty(&mut self) -> Option<Dirty> {
        Some(std::mem::take(&mut self.dirty)).filter(|dirty| *dirty != Dirty::default())
    }

    /// Another number after every change, be it an edit, a part of a stroke or an undo.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether picture or mask differ from what was saved last, or opened. Undoing back to that is no difference.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.state != self.saved
    }

    /// Whether the picture differs from what was saved last, or opened.
    #[must_use]
    pub fn is_picture_changed(&self) -> bool {
        self.state.picture != self.saved.picture
    }

    /// Says that the user has what is here in a file of theirs.
    pub fn mark_saved(&mut self) {
        self.end_stroke();
        self.saved = self.state;
    }

    /// What all steps to undo and to do again take, in bytes.
    #[must_use]
    pub fn history_memory(&self) -> usize {
        self.history.memory()
    }

    /// The name of the step that [`undo`](Self::undo) would undo.
    #[must_use]
    pub fn undo_name(&self) -> Option<&'static str> {
        let open = self.stroke.as_ref().filter(|stroke| stroke.touched.is_some());
        open.map(|stroke| stroke.name()).or_else(|| self.history.undo_name())
    }

    /// The name of the step that [`redo`](Self::redo) would do again.
    #[must_use]
    pub fn redo_name(&self) -> Option<&'static str> {
        self.history.redo_name()
    }
}

/// Strokes.
impl Document {
    /// Begins a stroke at a point, in pixels of the picture from its upper left corner; a stroke that still goes on
    /// ends. Points may be off the picture; such that are no numbers are passed over.
    pub fn begin_stroke(&mut self, brush: Brush, mode: Mode, at: [f32; 2]) {
        self.end_stroke();
        let before = Arc::clone(&self.mask);
        self.stroke = Some(Stroke { brush, mode, at: None, before, touched: None });
        self.stroke_to(at);
    }

    /// Goes on with the stroke, on a straight line; without one nothing happens.
    pub fn stroke_to(&mut self, to: [f32; 2]) {
        let (Some(stroke), Some(to)) = (&mut self.stroke, brush::position(to)) else { return };
        let from = stroke.at.unwrap_or(to);
        if stroke.at == Some(to) {
            return;
        }
        stroke.at = Some(to);
        let touched = brush::draw(Arc::make_mut(&mut self.mask), &stroke.brush, stroke.mode, from, to);
        if touched.is_some() {
            stroke.touched = united(stroke.touched, touched);
            self.dirty.mask = united(self.dirty.mask, touched);
            self.revision += 1;
        }
    }

    /// Ends the stroke: it becomes one step to undo, unless it changed nothing.
    pub fn end_stroke(&mut self) {
        if let Some(stroke) = self.stroke.take() {
            // The view knows already: a long stroke is not drawn once more at its end.
            self.commit_mask(stroke.name(), stroke.before, stroke.touched);
        }
    }

    /// Takes back the stroke that goes on, as if it had never begun.
    pub fn cancel_stroke(&mut self) {
        if let Some(stroke) = self.stroke.take() {
            self.mask = stroke.before;
            self.dirty.mask = united(self.dirty.mask, stroke.touched);
            self.revision += u64::from(stroke.touched.is_some());
        }
    }

    /// Whether a stroke goes on.
    #[must_use]
    pub fn is_stroking(&self) -> bool {
        self.stroke.is_some()
    }
}

impl Stroke {
    fn name(&self) -> &'static str {
        match self.mode {
            Mode::Paint => "Brush",
            Mode::Erase => "Eraser",
        }
    }
}

/// Edits of the whole; each is one step to undo unless it changes nothing, and ends a stroke that still goes on.
impl Document {
    /// Fills every pixel that the rectangle between two corners touches.
    pub fn fill_rectangle(&mut self, from: [f32; 2], to: [f32; 2], mode: Mode) {
        let name = if mode == Mode::Paint { "Rectangle" } else { "Erase rectangle" };
        self.fill(name, mode, |size, fill| shapes::rectangle([from, to], size, fill));
    }

    /// Fills what a line drawn by hand goes round; its ends are joined. Fewer than three points enclose nothing.
    pub fn fill_lasso(&mut self, points: &[[f32; 2]], mode: Mode) {
        let name = if mode == Mode::Paint { "Lasso" } else { "Erase lasso" };
        self.fill(name, mode, |size, fill| shapes::lasso(points, size, fill));
    }

    /// Marks nothing any more.
    pub fn clear_mask(&mut self) {
        self.edit_mask("Clear mask", |mask| Mask::filled(mask.width, mask.height, 0));
    }

    /// Marks what is not marked, and only that.
    pub fn invert_mask(&mut self) {
        self.edit_mask("Invert mask", Mask::inverted);
    }

    /// Makes what is marked larger by `radius` pixels all around; nothing happens unless that is above 0.
    pub fn grow_mask(&mut self, radius: f32) {
        self.reshape_mask("Grow mask", radius, Mask::grown);
    }

    /// Makes what is marked smaller by `radius` pixels all around; nothing happens unless that is above 0.
    pub fn shrink_mask(&mut self, radius: f32) {
        self.reshape_mask("Shrink mask", radius, Mask::shrunk);
    }

    /// Lets what is marked fade out over `radius` pixels; nothing happens unless that is above 0.
    pub fn feather_mask(&mut self, radius: f32) {
        self.reshape_mask("Feather mask", radius, Mask::feathered);
    }

    /// Takes another mask.
    ///
    /// # Errors
    /// If it is not of the picture's size.
    pub fn set_mask(&mut self, mask: Mask) -> Result<()> {
        same_size("mask", [mask.width, mask.height], &self.picture)?;
        ensure!(mask.alpha.len() == mask.width * mask.height, "the mask has not one byte a pixel");
        self.edit_mask("Import mask", |_| mask);
        Ok(())
    }

    /// Takes a picture in place of the one here: one that was generated, of the same size. The mask stays.
    ///
    /// # Errors
    /// If it is of another size.
    pub fn accept(&mut self, picture: Picture) -> Result<()> {
        same_size("new picture", [picture.width, picture.height], &self.picture)?;
        ensure!(picture.rgb.len() == self.picture.rgb.len(), "the new picture has not three bytes a pixel");
        self.end_stroke();
        let all = whole(picture.width, picture.height);
        let delta = Delta::between(self.layout(3), &self.picture.rgb, &picture.rgb, all);
        if !delta.is_empty() {
            self.picture = Arc::new(picture);
            self.dirty.picture = united(self.dirty.picture, delta.bounds());
            self.commit("Accept", Target::Picture, delta);
        }
        Ok(())
    }

    /// Undoes the last step; a stroke that goes on ends before and is that step. False if there is none.
    pub fn undo(&mut self) -> bool {
        self.end_stroke();
        let Some(step) = self.history.undo() else { return false };
        self.state = step.before;
        apply(step, &mut self.mask, &mut self.picture, &mut self.dirty);
        self.revision += 1;
        true
    }

    /// Does again what was undone last. False if nothing was, or something else was done since.
    pub fn redo(&mut self) -> bool {
        self.end_stroke();
        let Some(step) = self.history.redo() else { return false };
        self.state = step.after;
        apply(step, &mut self.mask, &mut self.picture, &mut self.dirty);
        self.revision += 1;
        true
    }
}

impl Document {
    fn layout(&self, channels: usize) -> Layout {
        Layout { width: self.picture.width, height: self.picture.height, channels }
    }

    fn fill(
        &mut self,
        name: &'static str,
        mode: Mode,
        shape: impl FnOnce([usize; 2], &mut dyn FnMut(usize, std::ops::Range<usize>)),
    ) {
        self.edit_mask(name, |mask| {
            let mut filled = mask.clone();
            shape([mask.width, mask.height], &mut |y, columns| {
                filled.alpha[y * mask.width..][columns].fill(mode.value());
            });
            filled
        });
    }

    fn reshape_mask(&mut self, name: &'static str, radius: f32, change: impl FnOnce(&Mask, f32) -> Mask) {
        if radius > 0.0 && radius.is_finite() {
            self.edit_mask(name, |mask| change(mask, radius));
        }
    }

    fn edit_mask(&mut self, name: &'static str, edit: impl FnOnce(&Mask) -> Mask) {
        self.end_stroke();
        let before = Arc::clone(&self.mask);
        self.mask = Arc::new(edit(&before));
        let changed = self.commit_mask(name, before, whole(self.picture.width, self.picture.height));
        self.dirty.mask = united(self.dirty.mask, changed);
    }

    /// Makes a step of what became of the mask within an area, and returns where; where nothing did, the mask is what
    /// it was.
    fn commit_mask(&mut self, name: &'static str, before: Arc<Mask>, within: Option<Bounds>) -> Option<Bounds> {
        let delta = Delta::between(self.layout(1), &before.alpha, &self.mask.alpha, within);
        let changed = delta.bounds();
        if delta.is_empty() {
            self.mask = before;
        } else {
            self.commit(name, Target::Mask, delta);
        }
        changed
    }

    fn commit(&mut self, name: &'static str, target: Target, delta: Delta) {
        let before = self.state;
        self.state = self.fresh(target == Target::Picture);
        self.revision += 1;
        self.history.push(Step { name, target, delta, before, after: self.state });
    }

    /// A state that never was.
    fn fresh(&mut self, picture: bool) -> State {
        let document = self.next;
        self.next += 1;
        State { document, picture: if picture { document } else { self.state.picture } }
    }
}

fn same_size(what: &str, [width, height]: [usize; 2], picture: &Picture) -> Result<()> {
    if [width, height] != [picture.width, picture.height] {
        bail!("the {what} has {width} x {height} pixels, the picture {} x {}", picture.width, picture.height);
    }
    Ok(())
}

/// Does or undoes a step.
fn apply(step: &Step, mask: &mut Arc<Mask>, picture: &mut Arc<Picture>, dirty: &mut Dirty) {
    match step.target {
        Target::Mask => {
            step.delta.apply(&mut Arc::make_mut(mask).alpha);
            dirty.mask = united(dirty.mask, step.delta.bounds());
        }
        Target::Picture => {
            step.delta.apply(&mut Arc::make_mut(picture).rgb);
            dirty.picture = united(dirty.picture, step.delta.bounds());
        }
    }
}

#[cfg(test)]
mod tests;
