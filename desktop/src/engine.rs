//! The one thread that owns the device: commands in, events out. The window never waits for it.
//!
//! A device that is lost is opened anew once, and what was being made is made again; where there is not the memory for a batch,
//! its pictures are made in parts.

mod failure;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, bail};
use burn::tensor::Device;
use firefall_cli::device::{self, DeviceChoice};
use firefall_cli::model;
use firefall_core::cascade::{Event, Model, ModelConfig, Request, Run};
use firefall_core::image::Picture;
use firefall_core::train::TrainRun;

use self::failure::{FAILED, Failure};
use crate::training::{Lesson, Taught};
use crate::wishes::{Batch, Order};

/// What the window asks for.
#[derive(Debug)]
pub enum Command {
    /// Open a device and load a model: of a folder, or the shipped one.
    Open {
        /// On what.
        device: DeviceChoice,
        /// From where.
        model: Option<PathBuf>,
    },
    /// Make pictures; stops what is being made.
    Make {
        /// The number that its events carry.
        ticket: u64,
        /// Of what.
        order: Order,
    },
    /// Begin a training run, or go on with one.
    Train(Lesson),
    /// Save the run and stop it.
    StopTraining,
}

/// What there is to know of a model.
#[derive(Debug, Clone)]
pub struct About {
    /// Its config, which requests are checked against.
    pub config: ModelConfig,
    /// SHA-256 of its weights.
    pub hash: String,
    /// Where it comes from and who may do what with it.
    pub licence: String,
    /// Where it was loaded from; the shipped one from nowhere.
    pub folder: Option<PathBuf>,
}

/// What the thread tells.
#[derive(Debug)]
pub enum Told {
    /// A device and a model are ready.
    Opened {
        /// Both in words.
        device: String,
        /// What was asked for; after a failure of the device, that is the CPU.
        choice: DeviceChoice,
        /// The model.
        about: About,
    },
    /// They are not; what was open before stays.
    NotOpened(String),
    /// A run begins.
    Began {
        /// Which.
        ticket: u64,
        /// With what.
        batch: Box<Batch>,
    },
    /// A part of the pictures of a run begins, from its first stage: there is not the memory for all of them at once.
    Part {
        /// Which run.
        ticket: u64,
        /// Pictures that are made.
        made: usize,
        /// Pictures of this part.
        size: usize,
    },
    /// A run goes on. The pictures of an event are those that are made, and then those that are being made.
    Making {
        /// Which.
        ticket: u64,
        /// What happened.
        event: Event,
    },
    /// A run ended before its pictures were done; empty if it was stopped.
    Ended {
        /// Which.
        ticket: u64,
        /// Why.
        failure: Option<String>,
    },
    /// Training goes on.
    Training(Taught),
    /// Something the user should know.
    Notice(String),
}

/// The thread as the window sees it.
#[derive(Debug)]
pub struct Engine {
    commands: Option<Sender<Command>>,
    told: Receiver<Told>,
    /// The number of the run that is wanted; one with another number stops within a step.
    wanted: Arc<AtomicU64>,
    tickets: u64,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the thread; `wake` is called whenever it has told something.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(wake: impl Fn() + Send + 'static) -> Result<Self> {
        failure::listen();
        let (commands, receive) = channel();
        let (worker, told) = Worker::new(receive, wake);
        let wanted = worker.wanted.clone();
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || worker.work())?;
        Ok(Self { commands: Some(commands), told, wanted, tickets: 0, thread: Some(thread) })
    }

    /// Opens a device and a model.
    pub fn open(&self, device: DeviceChoice, model: Option<PathBuf>) {
        self.send(Command::Open { device, model });
    }

    /// Makes pictures instead of what is being made; returns the number of the run.
    pub fn make(&mut self, order: Order) -> u64 {
        self.tickets += 1;
        self.wanted.store(self.tickets, Ordering::SeqCst);
        self.send(Command::Make { ticket: self.tickets, order });
        self.tickets
    }

    /// Stops what is being made, within a step.
    pub fn stop(&self) {
        self.wanted.store(0, Ordering::SeqCst);
    }

    /// Begins a training run.
    pub fn train(&self, lesson: Lesson) {
        self.send(Command::Train(lesson));
    }

    /// Saves and stops it.
    pub fn stop_training(&self) {
        self.send(Command::StopTraining);
    }

    /// What was told since this was last asked.
    pub fn told(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }

    fn send(&self, command: Command) {
        // A thread that has died said so before, and takes nothing any more.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        // The thread ends when nobody can command it any more, and saves a training run first.
        self.commands = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The next event of a run of so many pictures.
type Next = Box<dyn FnMut(&mut Run, usize) -> Result<Option<Event>> + Send>;

fn next(run: &mut Run, _: usize) -> Result<Option<Event>> {
    Ok(pollster::block_on(run.next())?)
}

struct Worker {
    receive: Receiver<Command>,
    send: Sender<Told>,
    wake: Box<dyn Fn() + Send>,
    wanted: Arc<AtomicU64>,
    open: Option<Open>,
    lesson: Option<TrainRun>,
    next: Next,
}

/// A device with a model on it.
struct Open {
    choice: DeviceChoice,
    device: Device,
    folder: Option<PathBuf>,
    model: Arc<Model>,
    /// The most pictures that there is the memory for, as far as is known.
    most: usize,
}

impl Worker {
    /// With what it will tell.
    fn new(receive: Receiver<Command>, wake: impl Fn() + Send + 'static) -> (Self, Receiver<Told>) {
        let (send, told) = channel();
        let (wanted, next): (_, Next) = (Arc::default(), Box::new(next));
        (Self { receive, send, wake: Box::new(wake), wanted, open: None, lesson: None, next }, told)
    }

    fn work(mut self) {
        step_back();
        loop {
            // Between two steps of training somebody may want a picture.
            let command = match self.lesson {
                None => self.receive.recv().map_err(|_| TryRecvError::Disconnected),
                Some(_) => self.receive.try_recv(),
            };
            match command {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => self.teach(),
                Err(TryRecvError::Disconnected) => return self.end_lesson(),
            }
        }
    }

    fn tell(&self, told: Told) {
        // A window that has gone hears nothing.
        let _ = self.send.send(told);
        (self.wake)();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open { device, model } => {
                let told = match guarded(|| self.open(device, model)) {
                    Ok(told) => told,
                    Err(error) => Told::NotOpened(format!("{error:#}")),
                };
                self.tell(told);
            }
            Command::Make { ticket, order } => {
                let outcome = guarded(|| self.run(ticket, &order));
                self.end(ticket, outcome);
            }
            Command::Train(lesson) => {
                self.end_lesson();
                match guarded(|| lesson.open(self.device()?)) {
                    Ok((run, warnings)) => {
                        warnings.into_iter().for_each(|warning| self.tell(Told::Notice(warning)));
                        self.lesson = Some(run);
                        self.tell(Told::Training(Taught::Begun));
                    }
                    Err(error) => self.tell(Told::Training(Taught::Ended { failure: Some(format!("{error:#}")) })),
                }
            }
            Command::StopTraining => self.end_lesson(),
        }
    }

    fn device(&self) -> Result<&Device> {
        self.open.as_ref().map(|open| &open.device).ok_or_else(|| anyhow!("no device is open yet"))
    }

    fn open(&mut self, choice: DeviceChoice, folder: Option<PathBuf>) -> Result<Told> {
        self.load(device::open(choice)?, choice, folder)
    }

    /// Puts a model on a device. Until that is done, what was open before stays.
    fn load(&mut self, on: (Device, String), choice: DeviceChoice, folder: Option<PathBuf>) -> Result<Told> {
        let (device, description) = on;
        let model = model::load(folder.as_deref(), &device)?;
        let about = About {
            config: model.config.clone(),
            hash: model.hash.clone(),
            licence: model.licence.trim().to_owned(),
            folder: folder.clone(),
        };
        self.open = Some(Open { choice, device, folder, model, most: usize::MAX });
        Ok(Told::Opened { device: description, choice, about })
    }

    /// Opens a device that is lost anew, with its model. A training run ends; it goes on from what it has saved.
    fn renew(&mut self) -> Result<()> {
        self.end_lesson();
        let Some(Open { choice, folder, .. }) = &self.open else { bail!("no model is loaded yet") };
        let (choice, folder) = (*choice, folder.clone());
        let told = guarded(|| self.load(device::reopen(choice)?, choice, folder))?;
        self.tell(told);
        Ok(())
    }

    /// The device failed once too often: the CPU goes on.
    fn fall_back(&mut self) {
        if let Some(Open { folder, .. }) = self.open.take() {
            self.tell(Told::Notice("The device failed; the CPU goes on instead.".into()));
            self.obey(Command::Open { device: DeviceChoice::Cpu, model: folder });
        }
    }

    /// A run is over: it came to its end, was stopped, or failed.
    fn end(&mut self, ticket: u64, outcome: Result<bool>) {
        let failure = match outcome {
            Ok(true) => return,
            Ok(false) => None,
            Err(error) => Some(error),
        };
        let is_lost = failure.as_ref().and_then(|error| Failure::of(error, false)).is_some_and(|f| f.is_lost);
        self.tell(Told::Ended { ticket, failure: failure.map(|error| format!("{error:#}")) });
        if is_lost {
            self.fall_back();
        }
    }

    /// Whether the run came to its end, and was not stopped.
    fn run(&mut self, ticket: u64, order: &Order) -> Result<bool> {
        let Some(Open { model, .. }) = &self.open else { bail!("no model is loaded yet") };
        let batch = order.prepare(&model.config, &model.hash).map_err(anyhow::Error::msg)?;
        let request = batch.request.clone();
        self.tell(Told::Began { ticket, batch: Box::new(batch) });
        let (mut made, mut is_renewed) = (Vec::new(), false);
        while made.len() < request.pictures.len() {
            let most = self.open.as_ref().map_or(1, |open| open.most);
            let (size, before) = (most.min(request.pictures.len() - made.len()), failure::heard());
            match guarded(|| self.part(ticket, &request, &made, size)) {
                Ok(Some(pictures)) => made.extend(pictures),
                Ok(None) => return Ok(false),
                Err(error) => self.recover(error, failure::heard() > before, size, &mut is_renewed)?,
            }
        }
        self.tell(Told::Making { ticket, event: Event::Done { pictures: made } });
        Ok(true)
    }

    /// Makes `size` of the pictures, after those that are made; nothing if the run is stopped.
    fn part(&mut self, ticket: u64, request: &Request, made: &[Picture], size: usize) -> Result<Option<Vec<Picture>>> {
        let Some(Open { model, .. }) = &self.open else { bail!("no model is loaded yet") };
        let pictures = request.pictures[made.len()..][..size].to_vec();
        let mut run = Run::new(model.clone(), Request { pictures, ..request.clone() })?;
        self.tell(Told::Part { ticket, made: made.len(), size });
        while self.wanted.load(Ordering::SeqCst) == ticket {
            match (self.next)(&mut run, size)? {
                Some(Event::Done { pictures }) => return Ok(Some(pictures)),
                Some(event) => self.tell(Told::Making { ticket, event: after(made, event) }),
                None => bail!("the run ended without pictures"),
            }
        }
        Ok(None)
    }

    /// Makes ready to try again what failed: on a device that is opened anew, once, or with fewer pictures than `size` at a
    /// time. `heard` is whether a panic spoke of memory meanwhile.
    fn recover(&mut self, error: anyhow::Error, heard: bool, size: usize, is_renewed: &mut bool) -> Result<()> {
        let Some(failure) = Failure::of(&error, heard) else { return Err(error) };
        if failure.is_lost {
            if std::mem::replace(is_renewed, true) {
                return Err(error);
            }
            self.tell(Told::Notice(
                "The device failed; it is opened anew, and what was being made is made again.".into(),
            ));
            self.renew().with_context(|| format!("{FAILED}: it is lost and cannot be opened anew"))?;
        }
        let Some(open) = self.open.as_mut().filter(|_| failure.is_of_memory) else { return Ok(()) };
        if size == 1 {
            bail!(failure::too_large(&open.model.config));
        }
        open.most = failure::half(size);
        // What the batch had taken; where that fails, the next one says so.
        let device = open.device.clone();
        let _ = guarded(|| {
            device.memory_cleanup();
            Ok(())
        });
        self.tell(Told::Notice(failure::halved(size)));
        Ok(())
    }

    /// One step of training.
    fn teach(&mut self) {
        let Some(mut run) = self.lesson.take() else { return };
        let outcome = guarded(|| {
            let event = pollster::block_on(run.next())?;
            Ok((event.map(Taught::of).transpose()?, run))
        });
        match outcome {
            Ok((Some(taught), run)) => {
                self.lesson = Some(run);
                if let Some(taught) = taught {
                    self.tell(Told::Training(taught));
                }
            }
            Ok((None, _)) => self.tell(Told::Training(Taught::Ended { failure: None })),
            Err(error) => {
                self.tell(Told::Training(Taught::Ended { failure: Some(format!("{error:#}")) }));
                let is_lost = Failure::of(&error, false).is_some_and(|failure| failure.is_lost);
                if is_lost && self.renew().is_err() {
                    self.fall_back();
                }
            }
        }
    }

    fn end_lesson(&mut self) {
        let Some(mut run) = self.lesson.take() else { return };
        let outcome = guarded(|| Ok(pollster::block_on(run.save())?));
        let failure = outcome.err().map(|error| format!("{error:#}"));
        self.tell(Told::Training(Taught::Ended { failure }));
    }
}

/// Lets the window's thread and everybody else go first. The threads that compute are made by this one and take after it.
fn step_back() {
    #[cfg(target_os = "linux")]
    // One that may not change it works all the same.
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// How far behind: half of the way.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// An event whose pictures come after those that are made.
fn after(made: &[Picture], event: Event) -> Event {
    match event {
        Event::Step { stage, step, steps, preview: Some(pictures) } => {
            Event::Step { stage, step, steps, preview: Some([made, &pictures].concat()) }
        }
        other => other,
    }
}

/// Drivers report what they cannot do by a panic deep inside wgpu: it ends the work and not the program.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
        Err(anyhow!("{FAILED}: {text}"))
    })
}

/// The pictures of an event, if it has any.
#[must_use]
pub fn pictures(event: &Event) -> Option<&[Picture]> {
    match event {
        Event::Step { preview: Some(pictures), .. } | Event::Done { pictures } => Some(pictures),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
