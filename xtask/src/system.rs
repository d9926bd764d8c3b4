//! What the checks need from the system, and how it gets there.

use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::shell::{output, run, succeeds};

/// Kernels are tested on lavapipe where there is no GPU. Asked before anything that takes long: without a driver half of
/// the tests fail.
pub(crate) fn software_gpu() -> Result<()> {
    if !cfg!(target_os = "linux") || (has_driver() && has_loader()) {
        return Ok(());
    }
    install("no Vulkan driver, which the tests of the kernels need", &["libvulkan1", "mesa-vulkan-drivers"])
}

/// What the window needs, and what drives it where there is no screen.
pub(crate) fn window() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    // Without a display they say what they can at best, and may fail.
    let starts = |program: &str| Command::new(program).arg("-help").output().is_ok();
    let missing = missing(&libraries().unwrap_or_default());
    if starts("Xvfb") && starts("xdotool") && missing.is_empty() {
        return Ok(());
    }
    let packages = [&["xvfb", "xdotool"], &LIBRARIES.map(|(_, package)| package)[..]].concat();
    install("no Xvfb, xdotool or library that the desktop app's window needs", &packages)
}

/// What the window loads once it opens, and the packages that have it.
const LIBRARIES: [(&str, &str); 6] = [
    ("libX11-xcb.so.1", "libx11-xcb1"),
    ("libXcursor.so.1", "libxcursor1"),
    ("libXi.so.6", "libxi6"),
    ("libxkbcommon.so.0", "libxkbcommon0"),
    ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
    ("libvulkan.so.1", "libvulkan1"),
];

/// Those that a list of libraries does not have; none where there is no list, as then the window will tell.
fn missing(list: &str) -> Vec<&'static str> {
    let has = |name: &str| list.lines().any(|line| line.trim_start().starts_with(&format!("{name} ")));
    LIBRARIES.into_iter().map(|(name, _)| name).filter(|name| !list.is_empty() && !has(name)).collect()
}

/// The first Node.js that the browsers' drivers run on.
const NODE: u32 = 20;

/// What drives the page: Node with its package manager, Chromium, and Firefox where it can be had.
pub(crate) fn browser() -> Result<()> {
    let there = |program: &str| succeeds(Command::new(program).arg("--version"));
    if !(there("node") && there("npm")) {
        install("no Node.js, which drives the tests of the page", &["nodejs", "npm"])?;
    }
    let version = output(Command::new("node").arg("--version"))?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(
        major.is_some_and(|major| major >= NODE),
        "Node.js {NODE} or later drives the tests of the page, and this is {}; nodejs.org has it",
        version.trim()
    );
    if std::env::var_os("FIREFOX").is_none() && !["firefox-esr", "firefox"].into_iter().any(there) {
        // Without it its test is left out, and says so.
        let _ = install("no Firefox, in which the page is tested as well", &["firefox-esr"]);
    }
    let named = std::env::var_os("CHROMIUM").is_some();
    if named || ["chromium", "chromium-browser", "google-chrome"].into_iter().any(there) {
        return Ok(());
    }
    install("no Chromium, in which the page is tested (or name one in $CHROMIUM)", &["chromium"])
}

/// Installs packages on Debian or Ubuntu.
///
/// # Errors
/// What is missing, and the line that installs it, where this may not.
fn install(missing: &str, packages: &[&str]) -> Result<()> {
    let install = [&["apt-get", "install", "-y"], packages].concat();
    let root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let apt = succeeds(Command::new("apt-get").arg("--version"));
    if apt && (root || succeeds(Command::new("sudo").args(["-n", "true"]))) {
        let apt_get = |args: &[&str]| {
            let words = [if root { &[][..] } else { &["sudo", "-n"] }, args].concat();
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        // An old list of packages may still do.
        let _ = run(&mut apt_get(&["apt-get", "update"]));
        return run(&mut apt_get(&install));
    }
    bail!("{missing}; on Debian: sudo {}", install.join(" "));
}

/// Whether a Vulkan driver, lavapipe or that of a GPU vendor, is installed.
fn has_driver() -> bool {
    if ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().any(|name| std::env::var_os(name).is_some()) {
        return true;
    }
    ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten())
        .any(|entry| entry.file_name().to_str().is_some_and(is_driver))
}

/// `lvp_icd.x86_64.json`, `nvidia_icd.json`, and whatever other vendors there are.
fn is_driver(name: &str) -> bool {
    name.contains("_icd") && name.ends_with(".json")
}

/// Whether there is the library that finds drivers; containers for CUDA have a driver without it.
fn has_loader() -> bool {
    // Where nothing lists the libraries, the tests will tell.
    libraries().is_none_or(|list| lists_loader(&list))
}

/// The libraries that the system finds, a line each.
fn libraries() -> Option<String> {
    // Not every user has /sbin on the path.
    ["ldconfig", "/sbin/ldconfig"].iter().find_map(|name| output(Command::new(name).arg("-p")).ok())
}

fn lists_loader(list: &str) -> bool {
    list.lines().any(|line| line.trim_start().starts_with("libvulkan.so.1 "))
}

#[cfg(test)]
mod tests {
    use super::{LIBRARIES, is_driver, lists_loader, missing};

    #[test]
    fn drivers_of_all_vendors_count() {
        for name in
            ["lvp_icd.x86_64.json", "lvp_icd.json", "nvidia_icd.json", "radeon_icd.x86_64.json", "intel_icd.json"]
        {
            assert!(is_driver(name), "{name}");
        }
        assert!(!is_driver("README") && !is_driver("lvp_icd.json.bak") && !is_driver("layer.json"));
    }

    #[test]
    fn the_loader_is_not_a_driver() {
        let driver = "2 libs found\n\tlibvulkan_lvp.so (libc6,x86-64) => /lib/libvulkan_lvp.so\n";
        assert!(!lists_loader(driver));
        assert!(lists_loader(&format!("{driver}\tlibvulkan.so.1 (libc6,x86-64) => /lib/libvulkan.so.1\n")));
    }

    #[test]
    fn what_a_window_loads_is_missed() {
        let all: String =
            LIBRARIES.iter().map(|(name, _)| format!("\t{name} (libc6,x86-64) => /lib/{name}\n")).collect();
        assert!(missing(&all).is_empty() && missing("").is_empty());
        assert_eq!(missing(&all.replace("libXi.so.6", "libXi.so.60")), ["libXi.so.6"]);
    }
}
