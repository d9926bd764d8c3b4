//! What a failure of the device means: that it is lost, that it has no memory for what was asked, or both.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Error;
use firefall_core::cascade::ModelConfig;

/// How a failure of the device begins.
pub(super) const FAILED: &str = "the device failed";
/// What drivers, wgpu and Burn call memory that cannot be had, in small letters.
const MEMORY: [&str; 4] = ["out of memory", "out of device memory", "not enough memory left", "can't allocate buffer"];
/// What they call a device that does nothing any more.
const LOST: [&str; 2] = ["lost", "poisoned"];

/// A failure of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whether nobody knows what the device still has.
    pub(super) is_lost: bool,
    /// Whether it had no memory.
    pub(super) is_of_memory: bool,
}

impl Failure {
    /// What an error says of the device, where a panic on another thread was `heard` to speak of memory; nothing if the error is
    /// about something else.
    pub(super) fn of(error: &Error, heard: bool) -> Option<Self> {
        let text = format!("{error:#}").to_lowercase();
        let is_of_memory = heard || speaks_of(&text, &MEMORY);
        let is_lost = !is_of_memory || speaks_of(&text, &LOST);
        text.contains(FAILED).then_some(Self { is_lost, is_of_memory })
    }
}

fn speaks_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// Panics that spoke of memory. Burn's own thread tells of memory that it cannot have by a panic that ends there, and whoever
/// waits for it hears of a result that is missing.
static HEARD: AtomicU64 = AtomicU64::new(0);

/// Hears panics from now on; they are told as ever.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str().is_some_and(|text| speaks_of(&text.to_lowercase(), &MEMORY)) {
                HEARD.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
}

/// How many were heard that spoke of memory.
pub(super) fn heard() -> u64 {
    HEARD.load(Ordering::SeqCst)
}

/// Fewer pictures at once.
pub(super) fn half(count: usize) -> usize {
    count.div_ceil(2).max(1)
}

/// What there is to say where fewer pictures are made at once.
pub(super) fn halved(count: usize) -> String {
    let fewer = match half(count) {
        1 => "one at a time".to_owned(),
        n => format!("{n} at a time"),
    };
    format!("The device has not the memory for {count} pictures at once; they are made {fewer}.")
}

/// Why not even one picture can be made, and what to do.
pub(super) fn too_large(config: &ModelConfig) -> String {
    let sizes: Vec<String> = config.stages.iter().map(|stage| format!("{0} x {0}", stage.size)).collect();
    format!(
        "there is not the memory for one picture of {} pixels; close other programs that use the device, or take the CPU or a smaller model under Models",
        sizes.join(", then ")
    )
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn failures_are_told_apart() {
        let of = |text: &str| Failure::of(&anyhow!("{text}"), false).map(|f| (f.is_lost, f.is_of_memory));
        assert_eq!(of("the prompt is empty"), None);
        assert_eq!(of("there is no file lost.png, out of memory"), None, "it is not about the device");
        let (lost, memory, both) = (Some((true, false)), Some((false, true)), Some((true, true)));
        assert_eq!(of("the device failed: Parent device is lost"), lost);
        assert_eq!(of("the device failed: index out of bounds"), lost, "nobody knows what it still has");
        for text in [
            "the device failed: wgpu error: Out of Memory\n",
            "stage 2: the device failed: out of device memory allocating 123 bytes",
            "the device failed: Not enough memory left.",
            "stage 1: the device failed: can't allocate buffer of size: 99",
        ] {
            assert_eq!(of(text), memory, "{text}");
        }
        assert_eq!(of("stage 1: the device failed: The device is poisoned: Unknown: Out of memory"), both);
        let missing = anyhow!("stage 1: the device failed: couldn't find resource for that handle");
        assert!(Failure::of(&missing, false).unwrap().is_lost);
        assert!(Failure::of(&missing, true).unwrap().is_of_memory, "another thread has said why");
    }

    #[test]
    fn halves_end_at_one() {
        let mut counts = vec![8];
        while *counts.last().unwrap() > 1 {
            counts.push(half(*counts.last().unwrap()));
        }
        assert_eq!(counts, [8, 4, 2, 1]);
        assert_eq!([half(3), half(1)], [2, 1]);
        assert!(halved(4).ends_with("for 4 pictures at once; they are made 2 at a time."));
        assert!(halved(2).ends_with("one at a time."));
    }
}
