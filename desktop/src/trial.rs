//! The mask, tried on: the canvas shows what sliders would make of it, and the document knows nothing of that until it is
//! applied.

use crate::app::App;
use crate::document::{Adjustment, Edit, MaskEdit};

/// What is tried on.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    /// As the sliders are.
    pub(crate) wanted: Adjustment,
    /// What was worked out last: of them as they are, or as they were shortly before.
    made: Option<(Adjustment, Edit)>,
    /// Whether something is worked out.
    is_asking: bool,
}

impl Trial {
    pub(crate) fn is_on(&self) -> bool {
        !self.wanted.is_nothing()
    }

    /// What the canvas shows.
    pub(crate) fn shown(&self) -> Option<&Edit> {
        self.made.as_ref().filter(|_| self.is_on()).map(|(_, edit)| edit)
    }

    /// What is to be worked out now: one at a time, and always the newest.
    fn wants(&mut self) -> Option<Adjustment> {
        let is_made = self.made.as_ref().is_some_and(|(of, _)| *of == self.wanted);
        if !self.is_on() || self.is_asking || is_made {
            return None;
        }
        self.is_asking = true;
        Some(self.wanted)
    }

    /// The mask is as it was. What is still worked out comes too late.
    fn end(&mut self) {
        (self.wanted, self.made) = (Adjustment::default(), None);
    }
}

impl App {
    /// Whether the mask can be tried on: no result is looked at, and no edit is under way.
    pub(crate) fn can_try(&self) -> bool {
        self.making.waiting().is_none() && !self.is_editing
    }

    /// Has worked out what the sliders say, and shows what there is of it.
    pub(crate) fn tend_trial(&mut self) {
        // A result may have been accepted meanwhile.
        let is_gone = |(_, edit): &(Adjustment, Edit)| !self.trial.is_on() || !edit.is_of(&self.document);
        if self.trial.made.as_ref().is_some_and(is_gone) {
            self.trial.made = None;
        }
        if self.can_try()
            && let Some(adjustment) = self.trial.wants()
        {
            let layers = self.layers();
            self.errands.try_mask(layers, adjustment);
        }
        self.view.try_on(self.trial.shown());
    }

    /// Something that was tried on is worked out, or cannot be.
    pub(crate) fn tried(&mut self, adjustment: Adjustment, edit: Result<Edit, String>) {
        self.trial.is_asking = false;
        match edit {
            Ok(edit) => self.trial.made = Some((adjustment, edit)).filter(|_| self.trial.is_on()),
            Err(why) => {
                self.trial.end();
                self.notify(&why);
            }
        }
    }

    /// What is tried on becomes the mask, in one step of the history.
    pub(crate) fn apply_trial(&mut self) {
        let wanted = self.trial.wanted;
        let made = self.trial.made.take().filter(|(of, edit)| *of == wanted && edit.is_of(&self.document));
        self.trial.end();
        match made {
            Some((_, edit)) => self.edited(Ok(edit), None),
            None => self.edit_mask(MaskEdit::Adjust(wanted)),
        }
    }

    /// Nothing is tried on any more.
    pub(crate) fn put_back(&mut self) {
        self.trial.end();
    }
}
