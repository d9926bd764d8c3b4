//! What the window does to the mask and the picture: batches, what is accepted of them, and edits of all of it. Everything
//! that takes long is done by others; the window only begins and ends it.

use firefall_cli::device::DeviceChoice;
use firefall_core::cascade::{Request, StageSettings};
use firefall_core::diffusion::SamplerKind;
use firefall_core::image::Mask;
use firefall_core::png::Origin;

use crate::app::App;
use crate::document::{Edit, Layers, MaskEdit};
use crate::wishes::Order;

impl App {
    pub(crate) fn open_model(&mut self, device: DeviceChoice, model: Option<std::path::PathBuf>) {
        self.device_choice = device;
        self.engine.open(device, model);
    }

    /// Whether mask and picture can be changed: no result is looked at, no edit is under way, and nothing is tried on.
    pub(crate) fn is_free(&self) -> bool {
        self.can_try() && !self.trial.is_on()
    }

    /// Picture and mask, with what the hand has begun.
    pub(crate) fn layers(&mut self) -> Layers {
        self.hand.finish(&mut self.document);
        self.document.layers()
    }

    pub(crate) fn generate(&mut self) {
        let asked = match &self.about {
            None => Err("no model is loaded yet".to_owned()),
            Some(_) if self.is_editing => Err("the mask is still at work; generate when it is done".into()),
            Some(_) if self.trial.is_on() => Err("another mask is tried on; apply it, or put it back first".into()),
            Some(about) => self.wishes.request(&about.config).map(drop),
        };
        if let Err(why) = asked {
            return self.notify(&why);
        }
        self.leave_seeds_behind();
        let layers = self.layers();
        let order = Order { picture: layers.picture, mask: layers.mask, wishes: self.wishes.clone() };
        let ticket = self.engine.make(order);
        self.making.begin(ticket);
        self.notices.clear();
    }

    /// The seeds of the last batch would make the same pictures again: the next ones come, unless they are locked.
    fn leave_seeds_behind(&mut self) {
        let seed = self.wishes.seed;
        if let Some((_, count)) = self.making.last.filter(|(last, _)| *last == seed && !self.wishes.locked) {
            self.wishes.seed = seed.wrapping_add(count as u64);
        }
    }

    /// What a batch costs, in calls of the denoisers.
    pub(crate) fn calls(&self) -> Option<usize> {
        let about = self.about.as_ref()?;
        let sampler = self.wishes.sampler.as_deref().and_then(|name| SamplerKind::from_name(name).ok());
        let settings = StageSettings { steps: self.wishes.steps, sampler, ..StageSettings::default() };
        let request = Request { stages: vec![settings], ..Request::default() };
        Some(request.calls_painting(&about.config, self.wishes.resampling(&about.config), self.wishes.strength))
    }

    /// The variation on the canvas becomes the picture, once that is worked out, and goes into the history.
    pub(crate) fn accept(&mut self) {
        if self.is_editing {
            return;
        }
        let Some((job, variation)) = self.making.waiting() else { return };
        let (job, painted, origin) = (job.clone(), variation.painted.clone(), self.making.told(variation));
        self.is_editing = true;
        let layers = self.layers();
        self.errands.accept(layers, job, painted, origin);
    }

    pub(crate) fn undo(&mut self) {
        if self.is_free() {
            self.document.undo();
        } else {
            self.put_back();
        }
    }

    pub(crate) fn redo(&mut self) {
        if self.is_free() {
            self.document.redo();
        }
    }

    /// Does something to the whole mask, once that is worked out.
    pub(crate) fn edit_mask(&mut self, edit: MaskEdit) {
        if self.is_free() {
            self.is_editing = true;
            let layers = self.layers();
            self.errands.edit_mask(layers, edit);
        }
    }

    pub(crate) fn set_mask(&mut self, mask: Mask) {
        if !self.is_free() {
            return self.notify(match self.trial.is_on() {
                true => "a mask can be imported when what is tried on is applied or put back",
                false => "a mask can be imported when the variations are accepted or discarded",
            });
        }
        self.edit_mask(MaskEdit::Import(mask));
    }

    /// Adds the margins that are set to the picture.
    pub(crate) fn extend(&mut self) {
        if self.is_free() {
            self.is_editing = true;
            let layers = self.layers();
            self.errands.extend(layers, self.margins);
        }
    }

    /// An edit was worked out; that of a variation has its origin.
    pub(crate) fn edited(&mut self, edit: Result<Edit, String>, origin: Option<Origin>) {
        self.is_editing = false;
        let take = |edit| self.document.take_made(edit, origin.clone()).map_err(|error| format!("{error:#}"));
        if let Err(why) = edit.and_then(take) {
            return self.notify(&why);
        }
        let Some(origin) = origin else { return };
        if let Some(gallery) = &self.gallery {
            let place = gallery.place(origin.prompt.as_deref().unwrap_or_default());
            let profile = self.document.profile().cloned();
            self.errands.keep(place, self.document.picture().clone(), origin, profile);
        }
        self.making.discard();
        if !self.wishes.locked {
            self.wishes.seed = self.wishes.seed.wrapping_add(self.wishes.count as u64);
        }
    }

    /// The seed of the variation on the canvas, to use again.
    pub(crate) fn keep_seed(&mut self) {
        let seed = self.making.waiting().and_then(|(_, variation)| variation.origin.seed);
        if let Some(seed) = seed {
            (self.wishes.seed, self.wishes.locked) = (seed, true);
        }
    }

    pub(crate) fn roll_seed(&mut self) {
        use std::hash::{BuildHasher, RandomState};
        // Any seed is as good; this one is shown and stored.
        self.wishes.seed = RandomState::new().hash_one(self.wishes.seed) >> 32;
    }
}
