//! Edits of a whole mask or picture. They are worked out on whatever thread has the time, of a state that is shared with
//! it; the document only takes what came of it.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use firefall_cli::pictures::widened;
use firefall_core::image::mask::Bounds;
use firefall_core::image::{Mask, Picture};

use super::Document;
use super::adjustment::Adjustment;
use super::area::whole;
use super::history::Change;
use super::stored::check_size;
use super::tiles::{Delta, Layout};

/// Picture and mask at one moment; whoever has them keeps that moment.
#[derive(Debug, Clone)]
pub struct Layers {
    /// The picture.
    pub picture: Arc<Picture>,
    /// The picture as it was opened, of the same size.
    pub original: Arc<Picture>,
    /// What is marked, of the same size.
    pub mask: Arc<Mask>,
}

/// What can be done to a whole mask.
#[derive(Debug, Clone, PartialEq)]
pub enum MaskEdit {
    /// Nothing is marked any more.
    Clear,
    /// All of the picture is marked.
    Everything,
    /// What is not marked is, and only that.
    Invert,
    /// Larger by so many pixels all around.
    Grow(f32),
    /// Smaller by so many pixels all around.
    Shrink(f32),
    /// What is marked fades out over so many pixels.
    Feather(f32),
    /// What was tried on.
    Adjust(Adjustment),
    /// Another mask, of the same size.
    Import(Mask),
}

/// An edit that is worked out.
#[derive(Debug)]
pub struct Edit {
    /// As menus show it.
    pub(super) name: &'static str,
    /// What it was worked out of.
    pub(super) before: Layers,
    /// What came of it.
    pub(super) after: Layers,
    /// What leads from one to the other.
    pub(super) change: Change,
}

impl MaskEdit {
    fn name(&self) -> &'static str {
        match self {
            Self::Clear => "Clear mask",
            Self::Everything => "Mark everything",
            Self::Invert => "Invert mask",
            Self::Grow(_) => "Grow mask",
            Self::Shrink(_) => "Shrink mask",
            Self::Feather(_) => "Feather mask",
            Self::Adjust(_) => "Adjust mask",
            Self::Import(_) => "Import mask",
        }
    }

    /// What becomes of a mask; a radius that is no number above 0 changes nothing.
    fn of(self, mask: &Mask) -> Mask {
        match self {
            Self::Grow(by) | Self::Shrink(by) | Self::Feather(by) if !(by > 0.0 && by.is_finite()) => mask.clone(),
            Self::Clear => Mask::filled(mask.width, mask.height, 0),
            Self::Everything => Mask::filled(mask.width, mask.height, 255),
            Self::Invert => mask.inverted(),
            Self::Grow(by) => mask.grown(by),
            Self::Shrink(by) => mask.shrunk(by),
            Self::Feather(by) => mask.feathered(by),
            Self::Adjust(adjustment) => adjustment.of(mask),
            Self::Import(other) => other,
        }
    }
}

impl Edit {
    /// The mask that came of it.
    pub(crate) fn mask(&self) -> &Arc<Mask> {
        &self.after.mask
    }

    /// Around all that is another in the mask; nothing if it is the same.
    pub(crate) fn bounds(&self) -> Option<Bounds> {
        match &self.change {
            Change::Mask(delta) => delta.bounds(),
            Change::Picture(_) | Change::Size(_) => None,
        }
    }

    /// Whether it was worked out of what a document is now.
    pub(crate) fn is_of(&self, document: &Document) -> bool {
        self.before.are(&document.layers)
    }
}

impl Layers {
    /// Does something to the whole mask.
    ///
    /// # Errors
    /// If another mask is not of the picture's size.
    pub fn masked(self, edit: MaskEdit) -> Result<Edit> {
        if let MaskEdit::Import(mask) = &edit {
            self.check("mask", [mask.width, mask.height])?;
            ensure!(mask.alpha.len() == mask.width * mask.height, "the mask has not one byte a pixel");
        }
        let name = edit.name();
        let mask = edit.of(&self.mask);
        Ok(self.with_mask(name, mask))
    }

    /// Takes another mask, of the same size.
    pub(super) fn with_mask(self, name: &'static str, mask: Mask) -> Edit {
        let area = whole(mask.width, mask.height);
        let change = Change::Mask(Delta::between(self.layout(1), &self.mask.alpha, &mask.alpha, area));
        let after = Self { mask: Arc::new(mask), ..self.clone() };
        Edit { name, before: self, after, change }
    }

    /// Takes a picture that was generated in place of the one here. The mask stays.
    ///
    /// # Errors
    /// If it is of another size.
    pub fn painted(self, picture: Picture) -> Result<Edit> {
        self.check("new picture", [picture.width, picture.height])?;
        ensure!(picture.rgb.len() == self.picture.rgb.len(), "the new picture has not three bytes a pixel");
        let area = whole(picture.width, picture.height);
        let change = Change::Picture(Delta::between(self.layout(3), &self.picture.rgb, &picture.rgb, area));
        let after = Self { picture: Arc::new(picture), ..self.clone() };
        Ok(Edit { name: "Accept", before: self, after, change })
    }

    /// Adds `margins` at the left, the right, the top and the bottom. They show the edge of the picture going on, and
    /// are marked beside what was.
    ///
    /// # Errors
    /// If nothing is added, or more than can be kept.
    pub fn extended(self, margins: [usize; 4]) -> Result<Edit> {
        ensure!(margins != [0; 4], "say by how many pixels the picture is to be extended, on one side at least");
        let [left, right, top, bottom] = margins;
        let [width, height] = [self.mask.width, self.mask.height];
        let sum = |parts: [usize; 3]| parts.into_iter().fold(0, usize::saturating_add);
        check_size(sum([width, left, right]), sum([height, top, bottom]))?;
        let (picture, mut mask) = widened(&self.picture, margins);
        for (row, y) in self.mask.alpha.chunks_exact(width).zip(top..) {
            mask.alpha[y * mask.width + left..][..width].copy_from_slice(row);
        }
        let picture = Arc::new(picture);
        let is_original = Arc::ptr_eq(&self.picture, &self.original);
        let original = if is_original { picture.clone() } else { Arc::new(widened(&self.original, margins).0) };
        let after = Self { picture, original, mask: Arc::new(mask) };
        let change = Change::Size(Box::new([self.clone(), after.clone()]));
        Ok(Edit { name: "Extend", before: self, after, change })
    }

    /// Whether these are the very same, and not only alike.
    pub(super) fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.picture, &other.picture)
            && Arc::ptr_eq(&self.original, &other.original)
            && Arc::ptr_eq(&self.mask, &other.mask)
    }

    pub(super) fn layout(&self, channels: usize) -> Layout {
        Layout { width: self.picture.width, height: self.picture.height, channels }
    }

    /// What they take in memory, in bytes.
    pub(super) fn memory(&self) -> usize {
        let original = if Arc::ptr_eq(&self.picture, &self.original) { 0 } else { self.original.rgb.len() };
        self.picture.rgb.len() + original + self.mask.alpha.len()
    }

    fn check(&self, what: &str, [width, height]: [usize; 2]) -> Result<()> {
        let picture = &self.picture;
        if [width, height] != [picture.width, picture.height] {
            bail!("the {what} has {width} x {height} pixels, the picture {} x {}", picture.width, picture.height);
        }
        Ok(())
    }
}
