//! The one thread that owns the device: commands in, events out. The window never waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow, bail};
use burn::tensor::Device;
use firefall_cli::device::{self, DeviceChoice};
use firefall_cli::model;
use firefall_core::cascade::{Event, Model, ModelConfig, Run};
use firefall_core::image::Picture;
use firefall_core::train::TrainRun;

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
    /// A run goes on.
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
        let (commands, receive) = channel();
        let (send, told) = channel();
        let wanted = Arc::new(AtomicU64::new(0));
        let worker = Worker { receive, send, wake: Box::new(wake), wanted: wanted.clone(), open: None, lesson: None };
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

struct Worker {
    receive: Receiver<Command>,
    send: Sender<Told>,
    wake: Box<dyn Fn() + Send>,
    wanted: Arc<AtomicU64>,
    open: Option<(Device, Arc<Model>, Option<PathBuf>)>,
    lesson: Option<TrainRun>,
}

impl Worker {
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
        self.open.as_ref().map(|(device, ..)| device).ok_or_else(|| anyhow!("no device is open yet"))
    }

    fn open(&mut self, choice: DeviceChoice, folder: Option<PathBuf>) -> Result<Told> {
        let (device, description) = device::open(choice)?;
        let model = model::load(folder.as_deref(), &device)?;
        let about = About {
            config: model.config.clone(),
            hash: model.hash.clone(),
            licence: model.licence.trim().to_owned(),
            folder: folder.clone(),
        };
        self.open = Some((device, model, folder));
        Ok(Told::Opened { device: description, choice, about })
    }

    /// A run is over: it came to its end, was stopped, or failed.
    fn end(&mut self, ticket: u64, outcome: Result<bool>) {
        let failure = match outcome {
            Ok(true) => return,
            Ok(false) => None,
            Err(error) => Some(format!("{error:#}")),
        };
        let lost = failure.as_ref().is_some_and(|failure| failure.contains(FAILED));
        self.tell(Told::Ended { ticket, failure });
        if lost && let Some((.., folder)) = self.open.take() {
            self.tell(Told::Notice("The device failed; the CPU goes on instead.".into()));
            self.obey(Command::Open { device: DeviceChoice::Cpu, model: folder });
        }
    }

    /// Whether the run came to its end, and was not stopped.
    fn run(&self, ticket: u64, order: &Order) -> Result<bool> {
        let Some((_, model, _)) = &self.open else { bail!("no model is loaded yet") };
        let batch = order.prepare(&model.config, &model.hash).map_err(anyhow::Error::msg)?;
        let mut run = Run::new(model.clone(), batch.request.clone())?;
        self.tell(Told::Began { ticket, batch: Box::new(batch) });
        while self.wanted.load(Ordering::SeqCst) == ticket {
            let Some(event) = pollster::block_on(run.next())? else { return Ok(true) };
            self.tell(Told::Making { ticket, event });
        }
        Ok(false)
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
            Err(error) => self.tell(Told::Training(Taught::Ended { failure: Some(format!("{error:#}")) })),
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

/// How a failure of the device begins.
const FAILED: &str = "the device failed";

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
mod tests {
    use std::time::{Duration, Instant};

    use firefall_core::image::Mask;

    use super::*;
    use crate::wishes::Wishes;

    fn order(prompt: &str) -> Order {
        let resampling = Some(firefall_core::diffusion::Resampling::QUICK);
        let wishes = Wishes { prompt: prompt.into(), count: 1, resampling, ..Wishes::default() };
        let (picture, mask) = (Picture::filled(128, 128, [255; 3]), Mask::filled(128, 128, 0));
        Order { picture: Arc::new(picture), mask: Arc::new(mask), wishes }
    }

    fn wait(engine: &Engine, mut until: impl FnMut(&Told) -> bool) -> Vec<Told> {
        let (start, mut all) = (Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_secs(120) {
            for told in engine.told() {
                let over = until(&told);
                all.push(told);
                if over {
                    return all;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("nothing more was told: {all:?}");
    }

    fn opened() -> Engine {
        let engine = Engine::start(|| ()).unwrap();
        engine.open(DeviceChoice::Cpu, None);
        wait(&engine, |told| matches!(told, Told::Opened { .. }));
        engine
    }

    #[test]
    fn pictures_come_step_by_step_and_stop_within_one() {
        let mut engine = opened();
        let ticket = engine.make(order("a red star"));
        let told = wait(&engine, |told| matches!(told, Told::Making { event: Event::Done { .. }, .. }));
        let previews = told
            .iter()
            .filter(|t| matches!(t, Told::Making { event, ticket: n } if *n == ticket && pictures(event).is_some()));
        assert!(previews.count() > 10);
        engine.make(order("a red star"));
        wait(&engine, |told| matches!(told, Told::Making { event: Event::Step { .. }, .. }));
        engine.stop();
        let rest = wait(&engine, |told| matches!(told, Told::Ended { failure: None, .. }));
        assert!(rest.len() <= 3, "{} more events", rest.len());
    }

    #[test]
    fn the_latest_wins_and_failures_are_sentences() {
        let mut engine = opened();
        let first = engine.make(order("a red star"));
        let second = engine.make(order("a blue star"));
        let told =
            wait(&engine, |t| matches!(t, Told::Making { event: Event::Done { .. }, ticket } if *ticket == second));
        assert!(
            !told.iter().any(|t| matches!(t, Told::Making { event: Event::Done { .. }, ticket } if *ticket == first))
        );
        engine.make(order(" "));
        let told = wait(&engine, |told| matches!(told, Told::Ended { .. }));
        let Some(Told::Ended { failure: Some(failure), .. }) = told.last() else { panic!("{told:?}") };
        assert!(failure.contains("prompt is empty"), "{failure}");
        engine.open(DeviceChoice::Cpu, Some("/no/such/model".into()));
        let told = wait(&engine, |told| matches!(told, Told::NotOpened(_)));
        assert!(matches!(told.last(), Some(Told::NotOpened(why)) if why.contains("/no/such/model")));
        engine.make(order("a red star"));
        wait(&engine, |told| matches!(told, Told::Making { event: Event::Done { .. }, .. }));
    }

    #[test]
    fn a_lost_device_is_told_and_the_cpu_goes_on() {
        let (_commands, receive) = channel();
        let (send, told) = channel();
        let mut worker =
            Worker { receive, send, wake: Box::new(|| ()), wanted: Arc::default(), open: None, lesson: None };
        worker.obey(Command::Open { device: DeviceChoice::Cpu, model: None });
        worker.end(7, guarded(|| panic!("Parent device is lost")));
        let told: Vec<Told> = told.try_iter().collect();
        let [
            Told::Opened { .. },
            Told::Ended { ticket: 7, failure: Some(why) },
            Told::Notice(notice),
            Told::Opened { device, choice: DeviceChoice::Cpu, .. },
        ] = &told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!(why, "the device failed: Parent device is lost");
        assert!(notice.contains("the CPU goes on") && device.starts_with("CPU"), "{notice} {device}");
        worker.end(8, Err(anyhow!("the prompt is empty")));
        assert!(worker.open.is_some(), "no failure of the device");
    }

    #[test]
    fn a_panic_is_a_failure_and_not_the_end() {
        let error = guarded::<()>(|| panic!("lost {}", 7)).unwrap_err().to_string();
        assert_eq!(error, "the device failed: lost 7");
    }
}
