//! Which device does the work.

use std::ffi::OsStr;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, bail};
use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind};
use wgpu::{Backend, DeviceType};

use crate::outcome::say;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first real GPU that works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The adapter of this number in the table of `firefall devices`, where real GPUs come first.
    Gpu(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        match (lower.as_str(), lower.strip_prefix("gpu:").map(str::parse)) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("gpu", _) => Ok(Self::Gpu(0)),
            (_, Some(Ok(n))) => Ok(Self::Gpu(n)),
            _ => Err(format!("no device is called {text:?}; there are auto, cpu, gpu, gpu:N (see `firefall devices`)")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(n) => write!(f, "gpu:{n}"),
        }
    }
}

/// What an adapter is, from the one to be preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// A card of its own.
    Discrete,
    /// Part of the processor.
    Integrated,
    /// Lent by a hypervisor.
    Virtual,
    /// The driver does not say, as is usual under OpenGL.
    Unknown,
    /// The CPU in disguise: slower than our own CPU kernels.
    Software,
}

impl AdapterKind {
    fn of(kind: DeviceType) -> Self {
        match kind {
            DeviceType::DiscreteGpu => Self::Discrete,
            DeviceType::IntegratedGpu => Self::Integrated,
            DeviceType::VirtualGpu => Self::Virtual,
            DeviceType::Cpu => Self::Software,
            DeviceType::Other => Self::Unknown,
        }
    }

    /// Burn's name of the adapter that is the `n`th of its kind; it has none for unknown ones, where the default device
    /// of the graphics API is the best guess.
    fn selector(self, n: usize) -> DeviceKind {
        match self {
            Self::Discrete => DeviceKind::DiscreteGpu(n),
            Self::Integrated => DeviceKind::IntegratedGpu(n),
            Self::Virtual => DeviceKind::VirtualGpu(n),
            Self::Unknown => DeviceKind::DefaultDevice,
            Self::Software => DeviceKind::Cpu,
        }
    }
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Unknown => "unknown",
            Self::Software => "software",
        })
    }
}

/// A wgpu adapter of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// The hardware, as its driver calls it.
    pub name: String,
    /// What it is.
    pub kind: AdapterKind,
    /// The graphics API through which it is reached.
    pub api: &'static str,
    /// Driver and version; empty where unknown.
    pub driver: String,
    selector: DeviceKind,
    backend: WgpuBackend,
}

impl Adapter {
    /// In one line: `NVIDIA H100 (discrete, Vulkan)`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} ({}, {})", self.name, self.kind, self.api)
    }
}

/// The graphics APIs in Burn's order of trying.
const APIS: [(Backend, WgpuBackend, &str); 4] = [
    (Backend::Metal, WgpuBackend::Metal, "Metal"),
    (Backend::Vulkan, WgpuBackend::Vulkan, "Vulkan"),
    (Backend::Dx12, WgpuBackend::Dx12, "DirectX 12"),
    (Backend::Gl, WgpuBackend::Gl, "OpenGL"),
];

/// The adapters of this machine, real GPUs first; `gpu:N` is the `N`th.
///
/// Those of one graphics API only, so that no GPU is listed twice: the first API that reaches a real GPU, else the first
/// that reaches anything, which is also Burn's rule. The drivers are asked once in a process.
pub fn adapters() -> &'static [Adapter] {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(|| {
        let mut software = Vec::new();
        for api in APIS {
            // OpenGL only where nothing else answers: it finds nothing new, and some of its drivers print to stderr.
            if api.0 == Backend::Gl && !software.is_empty() {
                break;
            }
            let adapters = adapters_of(api);
            if adapters.iter().any(|a| a.kind != AdapterKind::Software) {
                return adapters;
            }
            if software.is_empty() {
                software = adapters;
            }
        }
        software
    })
}

fn adapters_of((api, backend, name): (Backend, WgpuBackend, &'static str)) -> Vec<Adapter> {
    if !wgpu::Instance::enabled_backend_features().contains(api.into()) || (api == Backend::Gl && no_desktop()) {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: api.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let found = pollster::block_on(instance.enumerate_adapters(api.into()));
    let mut adapters: Vec<Adapter> = Vec::new();
    for info in found.iter().map(wgpu::Adapter::get_info) {
        let kind = AdapterKind::of(info.device_type);
        let n = adapters.iter().filter(|a| a.kind == kind).count();
        let driver = [info.driver, info.driver_info].join(" ").trim().to_owned();
        let name = (info.name.trim().to_owned(), name);
        adapters.push(Adapter { name: name.0, kind, api: name.1, driver, selector: kind.selector(n), backend });
    }
    // Stable: the numbers within a kind stay the driver's.
    adapters.sort_by_key(|a| a.kind);
    adapters
}

/// Whether OpenGL is not worth asking: without a desktop it reaches nothing that Vulkan does not, and its libwayland
/// complains on stderr. (So may Vulkan's own layers, of which nothing can be done here.)
fn no_desktop() -> bool {
    cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none()
}

/// What `auto` takes of `adapters`, and why.
#[must_use]
pub fn auto(adapters: &[Adapter]) -> (DeviceChoice, &'static str) {
    match adapters.iter().position(|a| a.kind != AdapterKind::Software) {
        Some(n) => (DeviceChoice::Gpu(n), "the first real GPU"),
        None if adapters.is_empty() => (DeviceChoice::Cpu, "there is no GPU"),
        None => (DeviceChoice::Cpu, "there is no GPU, only software that acts as one, which is slower"),
    }
}

/// Opens the device of `choice` and describes it: `CPU (4 threads)`, `NVIDIA H100 (discrete, Vulkan)`.
///
/// The kernels are tried first. Where one is wrong or refused on a GPU, and where `auto` found a GPU that does not open, a
/// warning goes to stderr and the CPU does the work; where one is wrong on the CPU, a warning says what Burn's own
/// operations do instead. With `FIREFALL_KERNELS=off` they do it all.
///
/// # Errors
/// There is no adapter of that number (the message lists them), it does not open, or `FIREFALL_KERNELS` is neither on nor
/// off.
pub fn open(choice: DeviceChoice) -> Result<(Device, String)> {
    let kernels = switch_kernels()?;
    let opened = if choice == DeviceChoice::Cpu { Ok(cpu()) } else { open_of(adapters(), choice, open_adapter) };
    opened.map(|(device, what)| (device, if kernels { what } else { format!("{what}, kernels off") }))
}

/// Opens the device of `choice` anew: a GPU that was lost, or that had a failure after which nobody knows what it has, is
/// opened once more in a process.
///
/// # Errors
/// Those of [`open`], and a GPU that was opened anew before.
pub fn reopen(choice: DeviceChoice) -> Result<(Device, String)> {
    if let Some(adapter) = number_of(adapters(), choice).and_then(|(n, _)| adapters().get(n)) {
        with_kept(|kept| kept.forget(adapter));
    }
    open(choice)
}

/// The environment variable that switches the kernels off.
const KERNELS: &str = "FIREFALL_KERNELS";

/// Switches the kernels as the environment says; whether they are on.
pub(crate) fn switch_kernels() -> Result<bool> {
    let on = kernels(std::env::var_os(KERNELS).as_deref())?;
    firefall_shaders::switch_kernels(on);
    Ok(on)
}

fn kernels(value: Option<&OsStr>) -> Result<bool> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(true) };
    match value.to_ascii_lowercase().to_str() {
        Some("on") => Ok(true),
        Some("off") => Ok(false),
        _ => bail!("{KERNELS} is {}; it can be on or off", value.display()),
    }
}

/// A device opened, or inside why it cannot be used.
type Opened = Result<Tried>;

/// A device that may be used, with what is wrong with our kernels there, if anything; or what is wrong with it.
type Tried = Result<(Device, Option<String>), String>;

fn open_of(adapters: &[Adapter], choice: DeviceChoice, opens: impl Fn(&Adapter) -> Opened) -> Result<(Device, String)> {
    let Some((n, asked)) = number_of(adapters, choice) else { return Ok(cpu()) };
    let adapter = pick(adapters, n)?;
    match opens(adapter) {
        Ok(Ok((device, fault))) => Ok((device, named(adapter.describe(), fault.as_deref()))),
        Ok(Err(failure)) => Ok(instead_of(adapter, &failure)),
        Err(failure) if asked => Err(failure).with_context(|| format!("cannot open gpu:{n}, {}", adapter.describe())),
        Err(failure) => Ok(instead_of(adapter, &format!("{failure:#}"))),
    }
}

/// Which of the adapters is meant, and whether it was asked for by its number; none where the CPU is.
fn number_of(adapters: &[Adapter], choice: DeviceChoice) -> Option<(usize, bool)> {
    match (choice, auto(adapters).0) {
        (DeviceChoice::Gpu(n), _) => Some((n, true)),
        (DeviceChoice::Auto, DeviceChoice::Gpu(n)) => Some((n, false)),
        _ => None,
    }
}

fn cpu() -> (Device, String) {
    (Device::flex(), cpu_with(cpu_fault().as_deref()))
}

/// What the CPU is called if that is wrong with it, which is said as well.
fn cpu_with(fault: Option<&str>) -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    named(format!("CPU ({threads} thread{})", if threads == 1 { "" } else { "s" }), fault)
}

/// What a device is called if that is wrong with our kernels there, which is said as well.
fn named(device: String, fault: Option<&str>) -> String {
    let Some(fault) = fault else { return device };
    say(&format!("warning: on {device} {fault}"));
    format!("{device}, some kernels off")
}

/// What is wrong with the kernels of the CPU, if anything.
pub(crate) fn cpu_fault() -> Option<String> {
    pollster::block_on(firefall_shaders::self_test(&Device::flex())).unwrap_or_else(Some)
}

fn instead_of(adapter: &Adapter, failure: &str) -> (Device, String) {
    say(&format!("warning: {} does not work, the CPU does: {failure}", adapter.describe()));
    cpu()
}

fn pick(adapters: &[Adapter], n: usize) -> Result<&Adapter> {
    let Some(adapter) = adapters.get(n) else {
        if adapters.is_empty() {
            bail!("there is no gpu:{n}: no graphics driver answers; --device cpu always works");
        }
        let list: Vec<String> = adapters.iter().enumerate().map(|(i, a)| format!("gpu:{i} {}", a.describe())).collect();
        bail!("there is no gpu:{n}; there are {}", list.join(", "));
    };
    Ok(adapter)
}

/// What was opened of the adapters. A runtime of Burn opens once in a process and stays, so a device that is opened again is
/// the one that there is, and one that is opened anew is asked for by another name: that of its graphics API, then none,
/// which leads to the same adapter.
#[derive(Debug, Default)]
struct Kept {
    /// Each with how many of its names are taken, and the device while it works or what is wrong with it.
    adapters: Vec<(Adapter, usize, Option<Tried>)>,
}

impl Kept {
    fn of(&mut self, adapter: &Adapter) -> (&mut usize, &mut Option<Tried>) {
        let at = self.adapters.iter().position(|(known, ..)| known == adapter).unwrap_or_else(|| {
            self.adapters.push((adapter.clone(), 0, None));
            self.adapters.len() - 1
        });
        let (_, names, opened) = &mut self.adapters[at];
        (names, opened)
    }

    fn forget(&mut self, adapter: &Adapter) {
        *self.of(adapter).1 = None;
    }

    /// What was opened of an adapter, or what `start` makes under the next of its names.
    fn open(&mut self, adapter: &Adapter, start: impl FnOnce(WgpuBackend) -> Opened) -> Opened {
        let (names, kept) = self.of(adapter);
        if let Some(opened) = kept {
            return Ok(opened.clone());
        }
        let Some(name) = [adapter.backend, WgpuBackend::Auto].get(*names).copied() else {
            bail!("it failed {names} times; start Firefall again to use it");
        };
        let opened = start(name)?;
        *names += 1;
        *kept = Some(opened.clone());
        Ok(opened)
    }
}

fn with_kept<T>(work: impl FnOnce(&mut Kept) -> T) -> T {
    static KEPT: Mutex<Kept> = Mutex::new(Kept { adapters: Vec::new() });
    // Whoever panicked changed nothing by halves.
    work(&mut KEPT.lock().unwrap_or_else(PoisonError::into_inner))
}

fn open_adapter(adapter: &Adapter) -> Opened {
    with_kept(|kept| kept.open(adapter, |name| start(adapter, name)))
}

fn start(adapter: &Adapter, name: WgpuBackend) -> Opened {
    let options = Device::wgpu_options().device_kind(adapter.selector.clone()).graphics_api(name);
    let device = options.init().map_err(|e| anyhow::anyhow!(e.to_string()))?;
    // A driver that refuses a kernel is reported by a panic deep inside wgpu.
    let test = catch_unwind(AssertUnwindSafe(|| pollster::block_on(firefall_shaders::self_test(&device))));
    Ok(test.unwrap_or_else(|_| Err("its driver failed in the self-test".to_owned())).map(|fault| (device, fault)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, kind: AdapterKind) -> Adapter {
        let selector = kind.selector(0);
        Adapter {
            name: name.into(),
            kind,
            api: "Vulkan",
            driver: String::new(),
            selector,
            backend: WgpuBackend::Vulkan,
        }
    }

    #[test]
    fn kernels_are_on_unless_they_are_said_to_be_off() {
        let said = |value: &str| kernels(Some(OsStr::new(value)));
        assert!(kernels(None).unwrap() && said("").unwrap() && said("on").unwrap());
        assert!(!said("off").unwrap() && !said("OFF").unwrap());
        assert_eq!(said("0").unwrap_err().to_string(), "FIREFALL_KERNELS is 0; it can be on or off");
    }

    #[test]
    fn a_cpu_whose_kernels_are_wrong_says_so() {
        assert_eq!(cpu_fault(), None, "here they are right");
        assert!(cpu_with(None).ends_with(" threads)") || cpu_with(None) == "CPU (1 thread)");
        let named = cpu_with(Some("Burn's own operations do the work of kernels that are wrong here (silu)"));
        assert_eq!(named, format!("{}, some kernels off", cpu_with(None)));
    }

    #[test]
    fn choices_read_back() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Gpu(0), DeviceChoice::Gpu(12)] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("GPU".parse(), Ok(DeviceChoice::Gpu(0)));
        for text in ["", "gpu:", "gpu:-1", "gpu:x", "cuda", "gpu1", "gpu:99999999999999999999"] {
            let message = text.parse::<DeviceChoice>().unwrap_err();
            assert!(message.contains("auto, cpu, gpu, gpu:N"), "{text:?}: {message}");
        }
    }

    #[test]
    fn auto_takes_a_real_gpu_and_never_software() {
        let soft = adapter("llvmpipe", AdapterKind::Software);
        assert_eq!(auto(&[]).0, DeviceChoice::Cpu);
        assert_eq!(auto(std::slice::from_ref(&soft)).0, DeviceChoice::Cpu);
        for kind in [AdapterKind::Discrete, AdapterKind::Integrated, AdapterKind::Virtual, AdapterKind::Unknown] {
            assert_eq!(auto(&[soft.clone(), adapter("a", kind)]).0, DeviceChoice::Gpu(1), "{kind}");
        }
    }

    #[test]
    fn a_gpu_that_computes_wrongly_leaves_the_work_to_the_cpu() {
        let all = [adapter("broken", AdapterKind::Discrete), adapter("llvmpipe", AdapterKind::Software)];
        let open = |choice, opens: &dyn Fn(&Adapter) -> Opened| open_of(&all, choice, opens);
        let wrong = |_: &Adapter| Ok(Err("norm is 0.5 off".to_owned()));
        let closed = |_: &Adapter| -> Opened { bail!("no memory") };
        let works = |_: &Adapter| Ok(Ok((Device::flex(), None)));
        let partly = |_: &Adapter| Ok(Ok((Device::flex(), Some("attend is off".to_owned()))));
        for choice in [DeviceChoice::Auto, DeviceChoice::Gpu(0)] {
            assert_eq!(open(choice, &works).unwrap().1, "broken (discrete, Vulkan)");
            assert_eq!(open(choice, &partly).unwrap().1, "broken (discrete, Vulkan), some kernels off");
            assert!(open(choice, &wrong).unwrap().1.starts_with("CPU ("), "{choice}");
        }
        // What was asked for by name and does not open is an error.
        assert!(open(DeviceChoice::Auto, &closed).unwrap().1.starts_with("CPU ("));
        let message = format!("{:#}", open(DeviceChoice::Gpu(0), &closed).unwrap_err());
        assert!(message.contains("gpu:0, broken") && message.contains("no memory"), "{message}");
        let never = |_: &Adapter| -> Opened { panic!("software is never opened unasked") };
        assert!(open_of(&all[1..], DeviceChoice::Auto, never).unwrap().1.starts_with("CPU ("));
    }

    #[test]
    fn a_device_is_opened_once_and_anew_when_it_is_lost() {
        let (mut kept, gpu) = (Kept::default(), adapter("a", AdapterKind::Discrete));
        let mut names = Vec::new();
        let mut open = |kept: &mut Kept, of: &Adapter| {
            kept.open(of, |name| {
                names.push(name);
                Ok(Ok((Device::flex(), None)))
            })
        };
        assert!(open(&mut kept, &gpu).is_ok() && open(&mut kept, &gpu).is_ok());
        kept.forget(&gpu);
        assert!(open(&mut kept, &gpu).is_ok() && open(&mut kept, &gpu).is_ok());
        kept.forget(&gpu);
        let message = open(&mut kept, &gpu).unwrap_err().to_string();
        assert!(message.contains("failed 2 times; start Firefall again"), "{message}");
        assert!(open(&mut kept, &adapter("b", AdapterKind::Discrete)).is_ok(), "it is another's matter");
        assert_eq!(names, [WgpuBackend::Vulkan, WgpuBackend::Auto, WgpuBackend::Vulkan]);
    }

    #[test]
    fn what_did_not_open_has_taken_no_name() {
        let (mut kept, gpu) = (Kept::default(), adapter("a", AdapterKind::Discrete));
        for _ in 0..3 {
            let message = kept.open(&gpu, |_| bail!("no memory")).unwrap_err().to_string();
            assert_eq!(message, "no memory");
        }
        for _ in 0..3 {
            let wrong = kept.open(&gpu, |_| Ok(Err("norm is 0.5 off".into()))).unwrap();
            assert_eq!(wrong.unwrap_err(), "norm is 0.5 off", "it is not tried again, nor out of names");
        }
        kept.forget(&gpu);
        assert!(kept.open(&gpu, |_| Ok(Ok((Device::flex(), None)))).unwrap().is_ok(), "the wrong one is not kept");
    }

    #[test]
    fn an_absent_gpu_is_an_error_that_lists_what_there_is() {
        let one = [adapter("llvmpipe", AdapterKind::Software)];
        let message = pick(&one, 7).unwrap_err().to_string();
        assert_eq!(message, "there is no gpu:7; there are gpu:0 llvmpipe (software, Vulkan)");
        assert!(pick(&[], 0).unwrap_err().to_string().contains("--device cpu"));
        assert_eq!(pick(&one, 0).unwrap(), &one[0]);
    }

    /// One test, because a runtime is state of the process: what opens on this machine computes. A driver that does
    /// not open is the machine's matter, but it must say so and not panic.
    #[test]
    fn what_is_listed_opens() {
        let all = adapters();
        assert!(all.is_sorted_by_key(|a| a.kind));
        assert!(open(DeviceChoice::Cpu).is_ok() && open(DeviceChoice::Auto).is_ok());
        let choices = [DeviceChoice::Cpu].into_iter().chain((0..all.len()).map(DeviceChoice::Gpu));
        for choice in choices {
            let (device, description) = match open(choice) {
                Ok(opened) => opened,
                Err(failure) => {
                    assert!(format!("{failure:#}").contains(&choice.to_string()), "{failure:#}");
                    continue;
                }
            };
            let sum = burn::tensor::Tensor::<1>::ones([5], &device).sum().into_data().try_to_vec::<f32>().unwrap();
            assert_eq!(sum, [5.0], "{choice}: {description}");
        }
    }
}
