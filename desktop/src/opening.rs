//! What is opened and saved, and the question that comes before something would be lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use firefall_cli::naming::file_name;
use firefall_cli::pictures::Photo;
use firefall_core::image::Picture;
use firefall_core::png::Origin;

use crate::app::{App, SIDE};
use crate::document::Document;
use crate::errands::{Purpose, beside, with_ending};

/// A picture that is to take the place of the one here.
#[derive(Debug)]
pub(crate) struct Next {
    picture: Picture,
    profile: Option<Arc<[u8]>>,
    source: Option<PathBuf>,
    origin: Origin,
    /// Whether it comes as soon as the one here is saved; else the user is asked.
    pub(crate) is_saving: bool,
}

/// What the user wants done with what is not saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Save,
    Discard,
    Cancel,
}

/// A path that is typed.
#[derive(Debug)]
pub(crate) struct Typing {
    pub(crate) purpose: Purpose,
    pub(crate) path: String,
    /// Whether a file that is there would be replaced.
    pub(crate) replaces: bool,
    /// Whether its field was not shown yet.
    pub(crate) is_new: bool,
}

impl Typing {
    pub(crate) fn new(purpose: Purpose, suggested: &Path) -> Self {
        let path = suggested.to_string_lossy().into_owned();
        let mut typing = Self { purpose, path, replaces: false, is_new: true };
        typing.look();
        typing
    }

    /// Looks what is at the path now.
    pub(crate) fn look(&mut self) {
        self.replaces = self.purpose.writes() && with_ending(Path::new(&self.path)).exists();
    }
}

impl App {
    pub(crate) fn new_picture(&mut self) {
        let side = self.about.as_ref().map_or(SIDE, |about| about.config.size());
        self.show_picture(Picture::filled(side, side, [255; 3]), None, Origin::default());
    }

    /// Shows another picture, after a question if something would be lost.
    pub(crate) fn show_picture(&mut self, picture: Picture, source: Option<PathBuf>, origin: Origin) {
        self.show_photo(Photo { picture, profile: None, lost: Vec::new(), remark: None }, source, origin);
    }

    /// The same with the ICC profile of its file.
    pub(crate) fn show_photo(&mut self, photo: Photo, source: Option<PathBuf>, origin: Origin) {
        let Photo { picture, profile, .. } = photo;
        let next = Next { picture, profile: profile.map(Into::into), source, origin, is_saving: false };
        self.document.end_stroke();
        let is_making = self.making.run.is_some() || self.making.waiting().is_some();
        if self.document.is_unsaved() || self.is_editing || is_making {
            self.next = Some(next);
        } else {
            self.replace(next);
        }
    }

    fn replace(&mut self, next: Next) {
        let Next { picture, profile, source, origin, .. } = next;
        self.engine.stop();
        // A step of it that comes late belongs to the picture that goes.
        self.making.run = None;
        self.making.discard();
        self.hand.let_go(&mut self.document);
        self.put_back();
        let config = self.about.as_ref().map(|about| &about.config);
        self.wishes.adopt(&origin, config);
        self.usual.adopt(&origin, config);
        self.document = Document::new(picture).with_origin(origin).with_profile(profile);
        self.source = source;
        self.view.reset();
        self.kept.0 = u64::MAX;
        let Picture { width, height, .. } = **self.document.picture();
        self.log(&format!("shows a picture of {width} x {height} pixels"));
    }

    /// What becomes of the picture that waits.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let Some(next) = &mut self.next else { return };
        match answer {
            Answer::Cancel => self.next = None,
            Answer::Discard => {
                if let Some(next) = self.next.take() {
                    self.replace(next);
                }
            }
            Answer::Save => {
                next.is_saving = true;
                self.save_as();
            }
        }
    }

    /// Something was saved: what waits for that comes.
    pub(crate) fn go_on(&mut self) {
        if let Some(next) = self.next.take_if(|next| next.is_saving && !self.document.is_unsaved()) {
            self.replace(next);
        }
        self.ask_again();
    }

    /// Nothing was saved: the question stands.
    pub(crate) fn ask_again(&mut self) {
        if let Some(next) = &mut self.next {
            next.is_saving = false;
        }
    }

    pub(crate) fn save_as(&mut self) {
        let stem = self.source.as_ref().and_then(|path| path.file_stem());
        let name = stem
            .map_or_else(|| file_name(&self.wishes.prompt), |stem| format!("{}-painted.png", stem.to_string_lossy()));
        let purpose = self.saving();
        self.errands.ask(purpose, beside(self.source.as_deref(), &name));
    }

    /// The picture as it is now, to be saved with how it was made and its ICC profile.
    fn saving(&mut self) -> Purpose {
        let (origin, profile) = (self.document.origin().clone(), self.document.profile().cloned());
        Purpose::Save { layers: self.document.layers(), origin, profile }
    }

    /// Saves to a place that is known.
    pub fn save_to(&mut self, path: &Path) {
        let purpose = self.saving();
        self.errands.go(purpose, path.to_owned());
    }

    pub(crate) fn export_mask(&mut self) {
        let purpose = Purpose::SaveMask(self.document.layers().mask);
        self.errands.ask(purpose, beside(self.source.as_deref(), "mask.png"));
    }

    /// Asks for a path to read from.
    pub(crate) fn choose(&self, purpose: Purpose) {
        self.errands.ask(purpose, beside(self.source.as_deref(), ""));
    }

    /// The typed path is right, or the user thought better of it.
    pub(crate) fn typed(&mut self, is_right: bool) {
        match self.typing.take() {
            Some(Typing { purpose, path, .. }) if is_right => self.errands.go(purpose, path.into()),
            _ => self.ask_again(),
        }
    }
}
