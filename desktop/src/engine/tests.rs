//! The engine by itself: events of a run, and what becomes of failures of the device.

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
    let told = wait(&engine, |t| matches!(t, Told::Making { event: Event::Done { .. }, ticket } if *ticket == second));
    assert!(!told.iter().any(|t| matches!(t, Told::Making { event: Event::Done { .. }, ticket } if *ticket == first)));
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

/// A worker with the shipped model open, whose runs are made by `next`, and what it tells from then on.
fn worker(next: Next) -> (Worker, Receiver<Told>) {
    let (worker, told) = Worker::new(channel().1, || ());
    let mut worker = Worker { next, ..worker };
    worker.obey(Command::Open { device: DeviceChoice::Cpu, model: None });
    assert!(matches!(told.try_iter().next(), Some(Told::Opened { .. })));
    (worker, told)
}

/// Has the worker make `count` pictures in a few steps.
fn make(worker: &mut Worker, told: &Receiver<Told>, count: usize) -> Vec<Told> {
    let Order { picture, mask, wishes } = order("a red star");
    let order = Order { picture, mask, wishes: Wishes { count, steps: Some(2), ..wishes } };
    worker.wanted.store(9, Ordering::SeqCst);
    worker.obey(Command::Make { ticket: 9, order });
    told.try_iter().collect()
}

fn done(told: &[Told]) -> &[Picture] {
    let Some(Told::Making { event: Event::Done { pictures }, .. }) = told.last() else { panic!("{told:?}") };
    pictures
}

fn notices(told: &[Told]) -> Vec<&str> {
    told.iter().filter_map(|told| if let Told::Notice(text) = told { Some(&text[..]) } else { None }).collect()
}

fn parts(told: &[Told]) -> Vec<[usize; 2]> {
    let part = |told: &Told| if let Told::Part { made, size, .. } = told { Some([*made, *size]) } else { None };
    told.iter().filter_map(part).collect()
}

#[test]
fn a_batch_without_memory_is_made_in_halves() {
    let (mut whole, told) = worker(Box::new(next));
    let want = make(&mut whole, &told, 4);
    assert_eq!((parts(&want), notices(&want).len()), (vec![[0, 4]], 0));
    let (mut worker, told) = worker(Box::new(|run: &mut Run, size: usize| -> Result<Option<Event>> {
        if size > 2 {
            bail!("stage 1: the device failed: out of device memory allocating 123456 bytes");
        }
        next(run, size)
    }));
    let made = make(&mut worker, &told, 4);
    assert_eq!(parts(&made), [[0, 4], [0, 2], [2, 2]]);
    let [notice] = notices(&made)[..] else { panic!("{made:?}") };
    assert!(notice.contains("4 pictures at once; they are made 2 at a time"), "{notice}");
    let apart = |a: &Picture, b: &Picture| a.rgb.iter().zip(&b.rgb).map(|(a, b)| a.abs_diff(*b)).max();
    for (a, b) in done(&want).iter().zip(done(&made)) {
        assert!(apart(a, b) <= Some(2), "{:?}", apart(a, b));
    }
    assert_eq!((done(&want).len(), done(&made).len()), (4, 4));
    let shown =
        |told: &Told| matches!(told, Told::Making { event, .. } if pictures(event).is_some_and(|p| p.len() == 4));
    assert!(made.iter().filter(|told| shown(told)).count() > 1, "the first two are seen with the others");
    let again = make(&mut worker, &told, 3);
    assert_eq!((parts(&again), notices(&again).len(), done(&again).len()), (vec![[0, 2], [2, 1]], 0, 3));
}

#[test]
fn without_memory_for_one_picture_there_is_a_sentence() {
    let (mut worker, told) = worker(Box::new(|_: &mut Run, _: usize| -> Result<Option<Event>> {
        bail!("the device failed: wgpu error: Out of Memory")
    }));
    let told = make(&mut worker, &told, 4);
    assert_eq!(parts(&told), [[0, 4], [0, 2], [0, 1]]);
    let Some(Told::Ended { ticket: 9, failure: Some(why) }) = told.last() else { panic!("{told:?}") };
    assert!(why.contains("one picture of 32 x 32, then 128 x 128 pixels; close other programs"), "{why}");
    assert!(worker.open.is_some(), "the device is not lost");
}

/// Here too, because it is of the whole process: a panic on any thread is heard.
#[test]
fn a_lost_device_is_opened_anew_and_then_the_cpu_goes_on() {
    let losing = |mut times: usize| -> Next {
        Box::new(move |run: &mut Run, size: usize| -> Result<Option<Event>> {
            if times > 0 {
                times -= 1;
                panic!("Parent device is lost");
            }
            next(run, size)
        })
    };
    let (mut worker, told) = worker(losing(1));
    let made = make(&mut worker, &told, 1);
    assert_eq!(done(&made).len(), 1);
    let [notice] = notices(&made)[..] else { panic!("{made:?}") };
    assert!(notice.contains("opened anew, and what was being made is made again"), "{notice}");
    assert!(made.iter().any(|told| matches!(told, Told::Opened { choice: DeviceChoice::Cpu, .. })));

    worker.next = losing(2);
    let told = make(&mut worker, &told, 1);
    let [.., Told::Ended { ticket: 9, failure: Some(why) }, Told::Notice(notice), Told::Opened { device, .. }] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(why, "the device failed: Parent device is lost");
    assert!(notice.contains("the CPU goes on") && device.starts_with("CPU"), "{notice} {device}");
    worker.end(8, Err(anyhow!("the prompt is empty")));
    assert!(worker.open.is_some(), "no failure of the device");

    failure::listen();
    let before = failure::heard();
    let _ = std::thread::spawn::<_, ()>(|| panic!("wgpu error: Out of Memory\n")).join();
    assert!(failure::heard() > before);
}

#[test]
fn a_panic_is_a_failure_and_not_the_end() {
    let error = guarded::<()>(|| panic!("lost {}", 7)).unwrap_err().to_string();
    assert_eq!(error, "the device failed: lost 7");
}
