//! Saving on a thread of its own, so that the window never waits for the disk.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};

use super::{Journal, Saved};

/// What the thread is told.
enum Order {
    Save(Box<Saved>),
    /// Answer when everything before is done: what the last save said.
    Flush(Sender<Option<String>>),
}

/// Keeps states in a journal, in the background. Dropped without [`close`](Self::close) it saves what it was given,
/// and the session stays to be recovered.
#[derive(Debug)]
pub struct Autosaver {
    folder: PathBuf,
    /// Gone when the thread is to end.
    orders: Option<Sender<Order>>,
    errors: Receiver<String>,
    thread: Option<JoinHandle<Journal>>,
}

impl Autosaver {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn start(journal: Journal) -> Result<Self> {
        let (orders, received) = channel();
        let (failures, errors) = channel();
        let folder = journal.folder().to_owned();
        let thread = thread::Builder::new()
            .name("autosave".to_owned())
            .spawn(move || serve(journal, &received, &failures))
            .context("cannot start a thread to save with")?;
        Ok(Self { folder, orders: Some(orders), errors, thread: Some(thread) })
    }

    /// Where the session is kept.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has a state saved soon. One that waits is passed over for a later one.
    pub fn save(&self, saved: Saved) {
        self.order(Order::Save(Box::new(saved)));
    }

    /// Why a save failed, in a sentence; one at a time, the oldest first, and each once.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.errors.try_recv().ok()
    }

    /// Waits until everything given so far is on the disk.
    ///
    /// # Errors
    /// If the last save failed.
    pub fn flush(&self) -> Result<()> {
        let (answer, answered) = channel();
        self.order(Order::Flush(answer));
        match answered.recv().context("the thread that saves has ended")? {
            Some(error) => bail!(error),
            None => Ok(()),
        }
    }

    /// Ends the thread and removes the session from the disk: there is nothing to recover.
    ///
    /// # Errors
    /// Those of [`Journal::close`].
    pub fn close(mut self) -> Result<()> {
        match self.end() {
            Some(journal) => journal.close(),
            None => bail!("the thread that saves has ended"),
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // Only a thread that panicked does not listen; a flush tells.
            let _ = orders.send(order);
        }
    }

    fn end(&mut self) -> Option<Journal> {
        self.orders = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Autosaver {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Does as told until nobody can tell any more.
fn serve(mut journal: Journal, orders: &Receiver<Order>, errors: &Sender<String>) -> Journal {
    let mut outcome = None;
    while let Ok(first) = orders.recv() {
        let (mut latest, mut waiting) = (None, Vec::new());
        for order in std::iter::once(first).chain(orders.try_iter()) {
            match order {
                Order::Save(saved) => latest = Some(saved),
                Order::Flush(answer) => waiting.push(answer),
            }
        }
        if let Some(saved) = latest {
            outcome = journal.save(&saved).err().map(|e| format!("{e:#}"));
            if let Some(error) = &outcome {
                // Who does not want to know has gone.
                let _ = errors.send(error.clone());
            }
        }
        for answer in waiting {
            let _ = answer.send(outcome.clone());
        }
    }
    journal
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use firefall_core::image::Picture;
    use serde_json::json;

    use super::*;
    use crate::document::Document;

    fn state(k: u8) -> Saved {
        Document::new(Picture::filled(300, 200, [k; 3])).snapshot(json!(k), None)
    }

    #[test]
    fn the_latest_state_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let journal = Journal::open(root.path()).unwrap();
        let saver = Autosaver::start(journal).unwrap();
        let first = state(0);
        let shared = Arc::downgrade(&first.picture);
        saver.save(first);
        for k in 1..=40 {
            saver.save(state(k));
        }
        saver.flush().unwrap();
        assert_eq!(shared.strong_count(), 0, "nothing of what was saved stays in memory");
        saver.save(state(41));
        drop(saver);
        let found = Journal::abandoned(root.path()).unwrap();
        assert_eq!(found.sessions[0].read().unwrap(), state(41));
        assert_eq!((found.sessions.len(), found.damaged.len()), (1, 0));
    }

    #[test]
    fn states_that_wait_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(root.path()).unwrap();
        let (orders, received) = channel();
        let (failures, errors) = channel();
        let (answer, answered) = channel();
        for k in 0..10 {
            orders.send(Order::Save(Box::new(state(k)))).unwrap();
        }
        orders.send(Order::Flush(answer)).unwrap();
        drop(orders);
        journal = serve(journal, &received, &failures);
        assert_eq!(answered.recv().unwrap(), None);
        let names: Vec<_> = fs::read_dir(journal.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(names.iter().any(|name| name == "picture-1.png"), "the first written is the last given: {names:?}");
        assert!(errors.try_recv().is_err());
        drop(journal);
        assert_eq!(Journal::abandoned(root.path()).unwrap().sessions[0].read().unwrap(), state(9));
    }

    #[test]
    fn a_session_goes_only_when_another_has_it() {
        let root = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(root.path()).unwrap();
        journal.save(&state(1)).unwrap();
        drop(journal);
        let found = || Journal::abandoned(root.path()).unwrap().sessions.remove(0);
        let message = found().hand_over(None).unwrap_err().to_string();
        assert!(message.contains("the last session stays in "), "{message}");
        let saver = Autosaver::start(Journal::open(root.path()).unwrap()).unwrap();
        saver.save(Document::new(Picture::filled(20_000, 1, [0; 3])).snapshot(json!(1), None));
        assert!(found().hand_over(Some(&saver)).is_err(), "it could not be saved");
        let session = found();
        assert_eq!(session.read().unwrap(), state(1));
        saver.save(state(1));
        session.hand_over(Some(&saver)).unwrap();
        drop(saver);
        let left = Journal::abandoned(root.path()).unwrap();
        assert_eq!((left.sessions.len(), left.damaged.len()), (1, 0));
        assert_eq!(left.sessions[0].read().unwrap(), state(1));
    }

    #[test]
    fn errors_come_back_and_closing_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let saver = Autosaver::start(Journal::open(root.path()).unwrap()).unwrap();
        saver.flush().unwrap();
        saver.save(Document::new(Picture::filled(20_000, 1, [0; 3])).snapshot(json!(1), None));
        assert!(saver.flush().unwrap_err().to_string().contains("20000 x 1 pixels"));
        assert!(saver.error().unwrap().contains("20000 x 1 pixels"));
        assert_eq!(saver.error(), None);
        saver.save(state(1));
        saver.flush().unwrap();
        saver.close().unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
