//! What is worked on: a picture, the mask over it, and everything that was done to them.
//!
//! Edits, undo and what the view has to draw anew are here; [`Journal`] and [`Autosaver`] keep it on the disk, so that
//! a crash loses nothing.

mod adjustment;
mod area;
mod autosave;
mod brush;
mod edit;
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

use anyhow::{Result, ensure};
use firefall_core::image::mask::Bounds;
use firefall_core::image::{Mask, Picture};
use firefall_core::png::Origin;
use serde_json::Value;

use area::whole;
use history::{Change, History, State, Step};
use tiles::Delta;

pub use adjustment::Adjustment;
pub(crate) use area::united;
pub use autosave::Autosaver;
pub use brush::{Brush, Mode};
pub use edit::{Edit, Layers, MaskEdit};
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
    layers: Layers,
    /// The ICC profile in which its colours are meant; sRGB without one.
    profile: Option<Arc<[u8]>>,
    stroke: Option<Stroke>,
    history: History,
    dirty: Dirty,
    revision: u64,
    state: State,
    saved: State,
    /// The picture that is safe in another place, whatever becomes of the mask.
    kept: u64,
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
        let mask = Arc::new(Mask::filled(picture.width, picture.height, 0));
        let picture = Arc::new(picture);
        Self::of(Layers { original: Arc::clone(&picture), picture, mask })
    }

    /// A document as it was saved; nothing can be undone. Unless the user has it in a file too, it counts as changed.
    ///
    /// # Errors
    /// If picture, original and mask are of different sizes, or have not the bytes that their sizes say.
    pub fn restored(saved: &Saved) -> Result<Self> {
        saved.check()?;
        let Saved { picture, original, mask, origin, profile, is_saved, is_kept, .. } = saved.clone();
        let is_marked = mask.alpha.iter().any(|v| *v > 0);
        let is_touched = !is_saved || is_marked || picture != original;
        let mut document = Self::of(Layers { picture, original, mask }).with_origin(origin).with_profile(profile);
        if is_touched {
            document.state = document.fresh(true);
        }
        if is_saved {
            document.saved = document.state.clone();
        }
        if is_kept {
            document.kept = document.state.picture;
        }
        Ok(document)
    }

    fn of(layers: Layers) -> Self {
        let all = whole(layers.picture.width, layers.picture.height);
        Self {
            layers,
            profile: None,
            stroke: None,
            history: History::new(HISTORY_MEMORY_MAX),
            dirty: Dirty { picture: all, mask: all },
            revision: 0,
            state: State::default(),
            saved: State::default(),
            kept: 0,
            next: 1,
        }
    }

    /// With how the picture was made.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.state.origin = Arc::new(origin);
        // To say so is no change.
        self.saved.origin = Arc::clone(&self.state.origin);
        self
    }

    /// With the ICC profile in which its colours are meant.
    #[must_use]
    pub fn with_profile(self, profile: Option<Arc<[u8]>>) -> Self {
        Self { profile, ..self }
    }

    /// With at most `bytes` of memory for steps to undo, or for one if that alone takes more. Forgets all steps.
    #[must_use]
    pub fn with_history_memory(self, bytes: usize) -> Self {
        Self { history: History::new(bytes), ..self }
    }

    /// The picture as it is.
    #[must_use]
    pub fn picture(&self) -> &Arc<Picture> {
        &self.layers.picture
    }

    /// How the picture as it is was made, as far as that is known.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.state.origin
    }

    /// The ICC profile in which its colours are meant; sRGB without one.
    #[must_use]
    pub fn profile(&self) -> Option<&Arc<[u8]>> {
        self.profile.as_ref()
    }

    /// The picture as it was opened.
    #[must_use]
    pub fn original(&self) -> &Arc<Picture> {
        &self.layers.original
    }

    /// What is marked to be painted anew, of the picture's size.
    #[must_use]
    pub fn mask(&self) -> &Arc<Mask> {
        &self.layers.mask
    }

    /// Picture and mask, to work out an edit of; a stroke that goes on ends.
    pub fn layers(&mut self) -> Layers {
        self.end_stroke();
        self.layers.clone()
    }

    /// Everything that the journal keeps, with the `settings` of the window and the file that the picture came from.
    #[must_use]
    pub fn snapshot(&self, settings: Value, source: Option<PathBuf>) -> Saved {
        let Layers { picture, original, mask } = self.layers.clone();
        let (origin, is_saved, is_kept) = (self.origin().clone(), !self.is_changed(), self.is_kept());
        let profile = self.profile.clone();
        Saved { picture, original, mask, settings, source, origin, profile, is_saved, is_kept }
    }

    /// What changed since this was last asked; `None` if nothing did.
    pub fn take_dirty(&mut self) -> Option<Dirty> {
        Some(std::mem::take(&mut self.dirty)).filter(|dirty| *dirty != Dirty::default())
    }

    /// Another number after every change, be it an edit, a part of a stroke, an undo, or that it was saved.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether anything was done since the picture was opened, saved or not. What is undone was not done.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.state.document != 0
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

    /// Whether something would be lost with the document: marks, or a picture that is in no file.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        let is_marked = self.layers.mask.alpha.iter().any(|v| *v > 0);
        self.is_changed() && (is_marked || !self.is_kept())
    }

    /// Whether the picture is in a file, whatever is marked.
    fn is_kept(&self) -> bool {
        [self.kept, self.saved.picture].contains(&self.state.picture)
    }

    /// Says that the user has these layers in a file of theirs; no word if they are others by now.
    pub fn mark_saved(&mut self, layers: &Layers) {
        if layers.are(&self.layers) {
            self.saved = self.state.clone();
            self.revision += 1;
        }
    }

    /// Says that a picture, without the mask, is safe in a file; no word if it is another by now.
    pub fn mark_kept(&mut self, picture: &Arc<Picture>) {
        if Arc::ptr_eq(picture, &self.layers.picture) {
            self.kept = self.state.picture;
            self.revision += 1;
        }
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
        let before = Arc::clone(&self.layers.mask);
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
        let touched = brush::draw(Arc::make_mut(&mut self.layers.mask), &stroke.brush, stroke.mode, from, to);
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
            self.layers.mask = stroke.before;
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

    /// Does something to the whole mask, here and now.
    ///
    /// # Errors
    /// Those of [`Layers::masked`].
    pub fn edit_mask(&mut self, edit: MaskEdit) -> Result<()> {
        let edit = self.layers().masked(edit)?;
        self.take(edit)
    }

    /// Takes a picture that was generated, here and now.
    ///
    /// # Errors
    /// Those of [`Layers::painted`].
    pub fn accept(&mut self, picture: Picture) -> Result<()> {
        let edit = self.layers().painted(picture)?;
        self.take(edit)
    }

    /// Takes an edit that was worked out of the [`layers`](Self::layers).
    ///
    /// # Errors
    /// If these are others by now; nothing changes.
    pub fn take(&mut self, edit: Edit) -> Result<()> {
        self.take_made(edit, None)
    }

    /// The same for an edit whose picture was made as `origin` says; without one it was made as before.
    ///
    /// # Errors
    /// Those of [`take`](Self::take).
    pub fn take_made(&mut self, edit: Edit, origin: Option<Origin>) -> Result<()> {
        self.end_stroke();
        let Edit { name, before, after, change } = edit;
        ensure!(before.are(&self.layers), "what was to be changed is another by now; do it again");
        if change.is_empty() {
            return Ok(());
        }
        self.layers = after;
        self.dirty.add(&change, &self.layers);
        self.commit(name, change, origin);
        Ok(())
    }

    /// Undoes the last step; a stroke that goes on ends before and is that step. False if there is none.
    pub fn undo(&mut self) -> bool {
        self.end_stroke();
        let Some(step) = self.history.undo() else { return false };
        self.state = step.before.clone();
        step.change.apply(0, &mut self.layers);
        self.dirty.add(&step.change, &self.layers);
        self.revision += 1;
        true
    }

    /// Does again what was undone last. False if nothing was, or something else was done since.
    pub fn redo(&mut self) -> bool {
        self.end_stroke();
        let Some(step) = self.history.redo() else { return false };
        self.state = step.after.clone();
        step.change.apply(1, &mut self.layers);
        self.dirty.add(&step.change, &self.layers);
        self.revision += 1;
        true
    }
}

impl Document {
    fn fill(
        &mut self,
        name: &'static str,
        mode: Mode,
        shape: impl FnOnce([usize; 2], &mut dyn FnMut(usize, std::ops::Range<usize>)),
    ) {
        self.end_stroke();
        let mut filled = Mask::clone(&self.layers.mask);
        let (size, mut area) = ([filled.width, filled.height], None);
        shape(size, &mut |y, columns| {
            let row = Bounds { left: columns.start, top: y, right: columns.end, bottom: y + 1 };
            area = united(area, Some(row));
            filled.alpha[y * size[0]..][columns].fill(mode.value());
        });
        let before = std::mem::replace(&mut self.layers.mask, Arc::new(filled));
        let changed = self.commit_mask(name, before, area);
        self.dirty.mask = united(self.dirty.mask, changed);
    }

    /// Makes a step of what became of the mask within an area, and returns where; where nothing did, the mask is what
    /// it was.
    fn commit_mask(&mut self, name: &'static str, before: Arc<Mask>, within: Option<Bounds>) -> Option<Bounds> {
        let delta = Delta::between(self.layers.layout(1), &before.alpha, &self.layers.mask.alpha, within);
        let changed = delta.bounds();
        if delta.is_empty() {
            self.layers.mask = before;
        } else {
            self.commit(name, Change::Mask(delta), None);
        }
        changed
    }

    fn commit(&mut self, name: &'static str, change: Change, origin: Option<Origin>) {
        let before = self.state.clone();
        self.state = self.fresh(change.is_of_picture());
        if let Some(origin) = origin {
            self.state.origin = Arc::new(origin);
        }
        self.revision += 1;
        self.history.push(Step { name, change, before, after: self.state.clone() });
    }

    /// A state that never was.
    fn fresh(&mut self, picture: bool) -> State {
        let document = self.next;
        self.next += 1;
        let picture = if picture { document } else { self.state.picture };
        State { document, picture, origin: Arc::clone(&self.state.origin) }
    }
}

impl Change {
    /// Does it (`to` is 1) or undoes it (0).
    fn apply(&self, to: usize, layers: &mut Layers) {
        match self {
            Self::Mask(delta) => delta.apply(&mut Arc::make_mut(&mut layers.mask).alpha),
            Self::Picture(delta) => delta.apply(&mut Arc::make_mut(&mut layers.picture).rgb),
            Self::Size(both) => layers.clone_from(&both[to]),
        }
    }
}

impl Dirty {
    /// What a change that led to `layers` has for the view to draw anew.
    fn add(&mut self, change: &Change, layers: &Layers) {
        match change {
            Change::Mask(delta) => self.mask = united(self.mask, delta.bounds()),
            Change::Picture(delta) => self.picture = united(self.picture, delta.bounds()),
            Change::Size(_) => {
                let all = whole(layers.picture.width, layers.picture.height);
                *self = Self { picture: all, mask: all };
            }
        }
    }
}

#[cfg(test)]
mod tests;
