//! The window's own graphics device, watched: a driver that is reset takes it away, and nothing can be drawn any more. The session is
//! saved then, the window closes, and the program opens another.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eframe::egui::{Context, ViewportCommand};
use eframe::egui_wgpu::RenderState;
use eframe::wgpu;
use firefall_cli::outcome::say;

use crate::app::App;
use crate::document::Autosaver;

/// The most different complaints of a device that are told: one that complains in every frame is heard once.
const COMPLAINTS: usize = 4;

/// What is known of the device, shared by the window, the device's callbacks and the program.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Why the device is lost.
    lost: Option<String>,
    /// Whether the window closes because of that.
    is_closing: bool,
    /// What else the device has complained of, and how much of it was told.
    complaints: Vec<String>,
    told: usize,
    /// Where the session is kept.
    session: Option<PathBuf>,
}

impl Watch {
    /// Watches the device of a window, where it has one, and wakes the window when something is wrong with it.
    pub(crate) fn on(state: Option<&RenderState>, ctx: &Context) -> Self {
        let watch = Self::default();
        let Some(RenderState { device, .. }) = state else { return watch };
        let (losing, wake) = (watch.clone(), ctx.clone());
        device.set_device_lost_callback(move |_, why| {
            losing.lose(&why);
            wake.request_repaint();
        });
        let (hearing, wake) = (watch.clone(), ctx.clone());
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            if hearing.hear(&error.to_string()) {
                wake.request_repaint();
            }
        }));
        watch
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device is gone; why, if that is said.
    pub(crate) fn lose(&self, why: &str) {
        let why = if why.trim().is_empty() { "its driver does not say why" } else { why.trim() };
        self.known().lost.get_or_insert_with(|| why.to_owned());
    }

    /// The device complains of something. Whether that is new: one that is lost complains of everything.
    pub(crate) fn hear(&self, complaint: &str) -> bool {
        let mut known = self.known();
        let complaint = complaint.trim();
        let is_known = known.complaints.iter().any(|other| other == complaint);
        if known.lost.is_some() || is_known || known.complaints.len() == COMPLAINTS {
            return false;
        }
        known.complaints.push(complaint.to_owned());
        true
    }

    /// Complaints that were not told yet.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut known = self.known();
        let new = known.complaints[known.told..].to_vec();
        known.told = known.complaints.len();
        new
    }

    /// Why the device is lost, until the window closes because of it.
    pub(crate) fn newly_lost(&self) -> Option<String> {
        let known = self.known();
        known.lost.clone().filter(|_| !known.is_closing)
    }

    /// Whether nothing can be drawn.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.known().lost.is_some()
    }

    /// The window closes because its device is lost.
    pub(crate) fn close(&self) {
        self.known().is_closing = true;
    }

    /// Why the window closed, if that was for its device: another may be opened.
    #[must_use]
    pub fn closed_for(&self) -> Option<String> {
        let known = self.known();
        known.lost.clone().filter(|_| known.is_closing)
    }

    /// The session is kept there.
    pub(crate) fn keeps(&self, session: &Path) {
        self.known().session = Some(session.to_owned());
    }

    /// Whether anything was done that comes back with a session.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.known().session.is_some()
    }

    /// What has become of the device and the session, for those who see no window.
    #[must_use]
    pub fn last_words(&self) -> String {
        let known = self.known();
        let why = known.lost.as_deref().unwrap_or_default();
        let place = known.session.as_ref().map_or_else(
            || "there is no session to come back".to_owned(),
            |place| format!("what was done is kept in {} and comes back with the next window", place.display()),
        );
        format!("the graphics device of the window failed ({why}); {place}")
    }
}

impl App {
    /// Says what the graphics device complains of. Where it is lost, the session is saved and the window closes.
    pub(crate) fn heed(&mut self, ctx: &Context) {
        for complaint in self.watch.complaints() {
            self.notify(&format!("the graphics device of the window complains: {complaint}"));
        }
        if self.watch.newly_lost().is_none() {
            return;
        }
        self.document.end_stroke();
        self.keep(true);
        if let Some(Err(error)) = self.autosaver.as_ref().map(Autosaver::flush) {
            say(&format!("warning: the session was not kept: {error:#}"));
        }
        say(&format!("error: {}", self.watch.last_words()));
        self.watch.close();
        ctx.send_viewport_cmd(ViewportCommand::Close);
    }

    /// What is known of the window's graphics device, also when the window is gone.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_lost_once_and_says_nothing_after() {
        let watch = Watch::default();
        assert!(!watch.is_lost() && watch.newly_lost().is_none());
        assert!(watch.hear(" too large\n") && !watch.hear("too large"));
        assert_eq!(watch.complaints(), ["too large"]);
        assert!(watch.complaints().is_empty());
        watch.lose("Parent device is lost");
        watch.lose("again");
        assert!(!watch.hear("a texture is missing") && watch.complaints().is_empty());
        assert_eq!(watch.newly_lost().as_deref(), Some("Parent device is lost"));
        assert_eq!(watch.closed_for(), None, "the window is still there");
        watch.close();
        assert_eq!((watch.newly_lost(), watch.closed_for().as_deref()), (None, Some("Parent device is lost")));
        assert!(!watch.has_session() && watch.last_words().ends_with("there is no session to come back"));
        watch.keeps(Path::new("/a/session"));
        assert!(watch.has_session());
        let words = watch.last_words();
        assert!(words.contains("(Parent device is lost); what was done is kept in /a/session"), "{words}");
    }

    #[test]
    fn one_that_complains_without_end_is_heard_a_few_times() {
        let watch = Watch::default();
        let heard = (0..100).filter(|i| watch.hear(&i.to_string())).count();
        assert_eq!((heard, watch.complaints().len()), (COMPLAINTS, COMPLAINTS));
        watch.lose("  ");
        assert!(watch.last_words().contains("does not say why"));
    }
}
