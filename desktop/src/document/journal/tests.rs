//! What is left on the disk, whatever happens.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use firefall_core::png::Origin;
use serde_json::json;

use super::*;
use crate::document::Document;
use crate::document::random::Random;
use crate::document::recovery::Found;

/// Where a child process is to save; a test that finds it set is that child.
const ROOT: &str = "FIREFALL_TEST_JOURNAL";
/// What the child is to do.
const WORK: &str = "FIREFALL_TEST_JOURNAL_WORK";

/// The `k`th state of a session that goes on: the picture changes every third time, the mask every second.
fn state(k: u32, before: Option<&Saved>) -> Saved {
    let noise = |seed: u32, n: usize| -> Vec<u8> {
        let mut random = Random::new(u64::from(seed));
        (0..n).map(|_| random.bits() as u8).collect()
    };
    let (width, height) = (90, 70);
    let picture = |seed: u32| Arc::new(Picture { width, height, rgb: noise(seed, 3 * width * height) });
    let mask = |seed: u32| Arc::new(Mask { width, height, alpha: noise(1000 + seed, width * height) });
    let kept = |every: u32| before.filter(|_| !k.is_multiple_of(every));
    Saved {
        picture: kept(3).map_or_else(|| picture(k / 3), |b| Arc::clone(&b.picture)),
        original: before.map_or_else(|| picture(0), |b| Arc::clone(&b.original)),
        mask: kept(2).map_or_else(|| mask(k / 2), |b| Arc::clone(&b.mask)),
        settings: json!({ "prompt": format!("state {k}"), "k": k, "strength": 0.25 }),
        source: Some("/somewhere/a picture.png".into()),
        origin: Origin { prompt: Some(format!("\"{k}\"")), settings: Some(json!({ "k": [k] })), ..Origin::default() },
        profile: before.map_or_else(|| Some(noise(2000, 700).into()), |b| b.profile.clone()),
        is_saved: k.is_multiple_of(2),
        is_kept: k.is_multiple_of(3),
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap())).collect()
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().collect()
}

/// What a program finds that starts when these files are left.
fn found_in(files: &BTreeMap<String, Vec<u8>>) -> (Option<Saved>, Vec<String>) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("session-1-1-0");
    fs::create_dir(&folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let found = Journal::abandoned(root.path()).unwrap();
    (found.sessions.first().map(|s| s.read().unwrap()), found.damaged.into_iter().map(|d| d.reason).collect())
}

#[test]
fn a_save_writes_what_changed_and_removes_what_it_replaced() {
    let root = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(root.path()).unwrap();
    let first = Document::new(Picture::filled(5, 4, [1, 2, 3])).snapshot(json!({}), None);
    journal.save(&first).unwrap();
    assert_eq!(names(journal.folder()), ["lock", "mask-2.png", "picture-1.png", "session.json"]);
    let before = files(journal.folder());
    journal.save(&first.clone()).unwrap();
    assert_eq!(files(journal.folder()), before);
    let prompt = Saved { settings: json!("a fox"), ..first.clone() };
    journal.save(&prompt).unwrap();
    assert_eq!(names(journal.folder()), ["lock", "mask-2.png", "picture-1.png", "session.json"]);
    let edited = Saved { picture: Arc::new(Picture::filled(5, 4, [0; 3])), ..prompt };
    journal.save(&edited).unwrap();
    assert_eq!(names(journal.folder()), ["lock", "mask-2.png", "picture-1.png", "picture-3.png", "session.json"]);
    let again = Saved { picture: Arc::new(Picture::filled(5, 4, [9; 3])), ..edited };
    journal.save(&again).unwrap();
    assert_eq!(names(journal.folder()), ["lock", "mask-2.png", "picture-1.png", "picture-4.png", "session.json"]);
    drop(journal);
    assert_eq!(Journal::abandoned(root.path()).unwrap().sessions[0].read().unwrap(), again);
}

#[test]
fn an_edited_state_is_another_however_it_is_shared() {
    let root = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(root.path()).unwrap();
    let mut document = Document::new(Picture::filled(40, 40, [7; 3]));
    for i in 0..6 {
        document.fill_rectangle([0.0, 0.0], [4.0 + i as f32, 9.0], crate::document::Mode::Paint);
        if i % 2 == 1 {
            document.accept(Picture::filled(40, 40, [i; 3])).unwrap();
            document.undo();
        }
        journal.save(&document.snapshot(json!(i), None)).unwrap();
    }
    drop(journal);
    let found = Journal::abandoned(root.path()).unwrap();
    assert_eq!(found.sessions[0].read().unwrap(), document.snapshot(json!(5), None));
}

#[test]
fn whatever_step_of_a_save_is_the_last_a_state_is_whole() {
    let root = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(root.path()).unwrap();
    let mut old: Option<Saved> = None;
    for k in 0..8 {
        let new = state(k, old.as_ref());
        let before = files(journal.folder());
        journal.save(&new).unwrap();
        let after = files(journal.folder());
        // The pictures that are new come one by one, each as scratch first, then the session, then the old ones go.
        let mut left = before.clone();
        if old.is_none() {
            left.insert(EMPTY.into(), vec![]);
        }
        let fresh: Vec<_> = after.iter().filter(|(name, _)| !before.contains_key(*name)).collect();
        for (name, bytes) in fresh.into_iter().filter(|(name, _)| *name != SESSION) {
            left.insert(".firefall-1-1.part".into(), bytes[..bytes.len() / 2].to_vec());
            assert_eq!(found_in(&left), (old.clone(), vec![]), "{k}: half of {name}");
            left.remove(".firefall-1-1.part");
            left.insert(name.clone(), bytes.clone());
            assert_eq!(found_in(&left), (old.clone(), vec![]), "{k}: all of {name}");
        }
        left.insert(SESSION.into(), after[SESSION].clone());
        assert_eq!(found_in(&left), (Some(new.clone()), vec![]), "{k}");
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            left.remove(name);
            assert_eq!(found_in(&left), (Some(new.clone()), vec![]), "{k}: without {name}");
        }
        left.remove(EMPTY);
        assert_eq!(left, after);
        old = Some(new);
    }
}

/// A session with many files, so that removing it takes its time.
fn large_session(root: &Path) -> Journal {
    let mut journal = Journal::open(root).unwrap();
    journal.save(&state(0, None)).unwrap();
    (0..300).for_each(|i| fs::write(journal.folder().join(format!("mask-old-{i}.png")), "").unwrap());
    journal
}

/// Not a test of its own: the process that others kill.
#[test]
fn works_until_it_is_killed() {
    let Some((root, work)) = std::env::var_os(ROOT).zip(std::env::var_os(WORK)) else { return };
    if work == "close" {
        let journal = large_session(Path::new(&root));
        println!("\nclosing");
        journal.close().unwrap();
        return;
    }
    let mut journal = Journal::open(Path::new(&root)).unwrap();
    let mut before = None;
    for k in 0.. {
        let saved = state(k, before.as_ref());
        journal.save(&saved).unwrap();
        println!("\nsaved {k}");
        before = Some(saved);
    }
}

/// Starts that process, kills it up to `micros` after it said `begun`, and returns what it said after that.
fn killed(root: &Path, work: &str, begun: &str, micros: usize) -> Vec<String> {
    let here = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("{here}::works_until_it_is_killed"), "--exact", "--nocapture", "--test-threads=1"])
        .envs([(ROOT, root.as_os_str()), (WORK, work.as_ref())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == begun), "the child never got to work");
    assert!(Journal::abandoned(root).unwrap().sessions.is_empty(), "it lives");
    std::thread::sleep(Duration::from_micros(micros as u64));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.collect()
}

#[test]
fn a_killed_program_leaves_the_last_state_or_the_next() {
    let mut random = Random::new(u64::from(std::process::id()));
    for round in 0..10 {
        let root = tempfile::tempdir().unwrap();
        let lines = killed(root.path(), "save", "saved 0", random.below(80_000));
        let told = lines.iter().filter_map(|line| line.strip_prefix("saved ")?.parse().ok()).next_back().unwrap_or(0);
        let mut found = Journal::abandoned(root.path()).unwrap();
        assert_eq!((found.sessions.len(), found.damaged.len()), (1, 0), "round {round}: {found:?}");
        let session = found.sessions.remove(0);
        let saved = session.read().unwrap();
        let k = saved.settings["k"].as_u64().unwrap() as u32;
        assert!([told, told + 1].contains(&k), "it said {told}, there is {k}");
        let want = (0..=k).fold(None, |before: Option<Saved>, k| Some(state(k, before.as_ref()))).unwrap();
        assert!(saved == want, "state {k} is whole");
        session.discard().unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_program_killed_as_it_closes_leaves_nothing_to_find() {
    let mut random = Random::new(u64::from(std::process::id()));
    for round in 0..10 {
        let root = tempfile::tempdir().unwrap();
        killed(root.path(), "close", "closing", random.below(4000));
        let found = Journal::abandoned(root.path()).unwrap();
        // Killed before it removed anything, it leaves all.
        let whole = found.sessions.iter().all(|session| session.read().is_ok());
        assert!(whole && found.damaged.is_empty(), "round {round}: {found:?}");
        found.sessions.into_iter().for_each(|session| session.discard().unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "round {round}");
    }
}

#[cfg(unix)]
#[test]
fn the_session_is_replaced_in_one_go() {
    let root = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(root.path()).unwrap();
    journal.save(&state(0, None)).unwrap();
    let path = journal.folder().join(SESSION);
    let (mut open, text) = (File::open(&path).unwrap(), fs::read(&path).unwrap());
    journal.save(&state(1, None)).unwrap();
    let mut seen = Vec::new();
    open.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, text, "who reads the old one reads it to its end");
    assert_ne!(fs::read(&path).unwrap(), text);
}

#[test]
fn living_sessions_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let [mut one, mut two] = [(); 2].map(|()| Journal::open(root.path()).unwrap());
    assert_ne!(one.folder(), two.folder());
    let nothing = |found: Found| found.sessions.is_empty() && found.damaged.is_empty();
    assert!(nothing(Journal::abandoned(root.path()).unwrap()));
    one.save(&state(0, None)).unwrap();
    two.save(&state(1, None)).unwrap();
    assert!(nothing(Journal::abandoned(root.path()).unwrap()));
    drop(one);
    let found = Journal::abandoned(root.path()).unwrap();
    assert_eq!(found.sessions.len(), 1);
    let session = &found.sessions[0];
    assert_eq!((session.size(), &session.settings()["k"]), ([90, 70], &json!(0)));
    assert_eq!(session.source(), Some(Path::new("/somewhere/a picture.png")));
    assert!(nothing(Journal::abandoned(root.path()).unwrap()), "who found it has it");
    drop(found);
    let found = Journal::abandoned(root.path()).unwrap();
    for session in found.sessions {
        session.discard().unwrap();
    }
    two.close().unwrap();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    assert!(nothing(Journal::abandoned(&root.path().join("missing")).unwrap()));
}

#[test]
fn folders_with_nothing_in_them_are_removed() {
    let root = tempfile::tempdir().unwrap();
    drop(Journal::open(root.path()).unwrap());
    let half = root.path().join("session-half-removed");
    fs::create_dir(&half).unwrap();
    for name in [LOCK, EMPTY, "picture-3.png"] {
        fs::write(half.join(name), "x").unwrap();
    }
    for name in ["session-just-made", "of another program"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("session-a-file"), "").unwrap();
    let found = Journal::abandoned(root.path()).unwrap();
    assert_eq!((found.sessions.len(), found.damaged.len()), (0, 0), "{found:?}");
    let mut left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["of another program", "session-a-file"]);
    // Whoever was just making one takes another.
    assert!(lock_new(&root.path().join("session-just-made")).unwrap().is_none());
}

/// The folder of a session whose program is gone.
fn left_behind(root: &Path) -> PathBuf {
    let mut journal = Journal::open(root).unwrap();
    journal.save(&state(0, None)).unwrap();
    journal.folder().to_owned()
}

#[test]
fn damaged_sessions_are_reported_and_stay() {
    let sound = {
        let root = tempfile::tempdir().unwrap();
        files(&left_behind(root.path()))
    };
    assert_eq!(found_in(&sound), (Some(state(0, None)), vec![]));
    let text = String::from_utf8(sound[SESSION].clone()).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1)
    };
    let sessions = [
        (String::new(), "session.json is damaged"),
        ("[".repeat(100_000), "session.json is damaged"),
        (" ".repeat(5 << 20), "longer than"),
        (text[..text.len() / 2].to_owned(), "session.json is damaged"),
        (edited("\"version\": 1", "\"version\": 9"), "version 9"),
        (edited("\"width\": 90", "\"width\": -90"), "session.json is damaged"),
        (edited("\"width\": 90", "\"width\": 91"), ""),
        (text.replace("\"width\": 90", "\"width\": 91"), "not what the session says"),
        (text.replace("\"width\": 90", "\"width\": 16384").replace("\"height\": 70", "\"height\": 9999"), "too short"),
        (text.replace("\"width\": 90", "\"width\": 99999999"), "too large"),
        (edited("picture-1.png", "../picture-1.png"), "no name of a file"),
        (edited("picture-1.png", "picture-8.png"), "picture-8.png is missing"),
        (edited("picture-1.png", "lock"), "lock has 0 bytes"),
    ];
    for (text, reason) in sessions {
        let mut files = sound.clone();
        files.insert(SESSION.into(), text.into_bytes());
        let (session, damaged) = found_in(&files);
        assert!(session.is_none() && damaged.len() == 1 && damaged[0].contains(reason), "{reason}: {damaged:?}");
        assert!(damaged[0].contains("session-1-1-0"), "{damaged:?}");
    }
    for (name, reason) in
        [(SESSION, "no session.json"), (LOCK, "no lock"), ("picture-1.png", "picture-1.png is missing")]
    {
        let mut files = sound.clone();
        files.remove(name);
        let (session, damaged) = found_in(&files);
        assert!(session.is_none() && damaged.len() == 1 && damaged[0].contains(reason), "{name}: {damaged:?}");
    }
}

#[test]
fn damage_in_the_pixels_is_told_when_they_are_read() {
    let root = tempfile::tempdir().unwrap();
    let folder = left_behind(root.path());
    let path = folder.join("picture-1.png");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let found = Journal::abandoned(root.path()).unwrap();
    let message = format!("{:#}", found.sessions[0].read().unwrap_err());
    assert!(message.contains("picture-1.png is damaged") && message.contains("session-"), "{message}");
    assert!(path.exists());
    drop(found);
    fs::write(folder.join(SESSION), "{}").unwrap();
    let mut found = Journal::abandoned(root.path()).unwrap();
    assert!(path.exists(), "nothing is removed that nobody discarded");
    found.damaged.remove(0).discard().unwrap();
    assert!(!folder.exists());
}

#[test]
fn what_cannot_be_kept_is_refused_and_the_state_before_stays() {
    let root = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(root.path()).unwrap();
    let sound = state(0, None);
    journal.save(&sound).unwrap();
    let before = files(journal.folder());
    let refused = [
        (Saved { picture: Arc::new(Picture::filled(20_000, 1, [0; 3])), ..sound.clone() }, "20000 x 1 pixels"),
        (Saved { mask: Arc::new(Mask::filled(9, 9, 0)), ..sound.clone() }, "different sizes"),
        (Saved { original: Arc::new(Picture::filled(9, 9, [0; 3])), ..sound.clone() }, "different sizes"),
        (Saved { mask: Arc::new(Mask { width: 90, height: 70, alpha: vec![] }), ..sound.clone() }, "bytes"),
        (Saved { settings: json!("x".repeat(5 << 20)), ..state(3, None) }, "settings are too long"),
    ];
    for (saved, reason) in refused {
        let message = format!("{:#}", journal.save(&saved).unwrap_err());
        assert!(message.contains(reason), "{message}");
        assert_eq!(files(journal.folder()), before, "{reason}");
    }
    let file = root.path().join("a file");
    fs::write(&file, "").unwrap();
    assert!(format!("{:#}", Journal::open(&file).unwrap_err()).contains("a file"));
}

#[test]
fn a_session_that_does_not_say_how_its_picture_was_made_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let mut left = files(&left_behind(root.path()));
    let mut session: serde_json::Value = serde_json::from_slice(&left[SESSION]).unwrap();
    for key in ["origin", "is_saved", "is_kept"] {
        assert!(session.as_object_mut().unwrap().remove(key).is_some());
    }
    left.insert(SESSION.into(), serde_json::to_vec(&session).unwrap());
    let want = Saved { origin: Origin::default(), is_saved: false, is_kept: false, ..state(0, None) };
    assert_eq!(found_in(&left), (Some(want), vec![]));
}

#[cfg(unix)]
#[test]
fn a_source_that_is_no_text_comes_back() {
    use std::os::unix::ffi::OsStringExt;

    let root = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(root.path()).unwrap();
    let source = Some(PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff, b'"', 0xc3])));
    journal.save(&Saved { source: source.clone(), ..state(0, None) }).unwrap();
    drop(journal);
    assert_eq!(Journal::abandoned(root.path()).unwrap().sessions[0].read().unwrap().source, source);
}
