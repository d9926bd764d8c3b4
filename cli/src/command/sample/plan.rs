//! Which picture goes to which file, known before the first step.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firefall_core::cascade::PictureRequest;

use crate::args::SampleArgs;
use crate::files::{self, Existing};
use crate::naming::{self, numbered};
use crate::outcome::Usage;
use crate::png_text::Origin;
use crate::prompts::{self, Wish};

/// One picture to make, and its file.
#[derive(Debug)]
pub(super) struct Job {
    /// What to make.
    pub(super) picture: PictureRequest,
    /// Where it goes.
    pub(super) path: PathBuf,
    /// What to do if something is there by then.
    pub(super) existing: Existing,
}

/// All pictures that are asked for, each with a file of its own.
///
/// # Errors
/// A file of prompts that cannot be read, a text that no picture can hold, two pictures for one file, or a file that is
/// there already or cannot be written.
pub(super) fn jobs(args: &SampleArgs) -> Result<Vec<Job>> {
    let wishes = match (&args.prompts, &args.prompt) {
        (Some(file), _) => prompts::read(file)?,
        (None, prompt) => vec![Wish { prompt: prompt.clone().unwrap_or_default(), ..Wish::default() }],
    };
    let pictures = pictures(args, &wishes)?;
    let mut places = Places::new(args, pictures.len())?;
    // The names that the user gave come first: ours can step aside.
    let mut named = Vec::new();
    for (wish, nth, _) in &pictures {
        named.push(places.named(wish, *nth)?);
    }
    let place = |((wish, _, picture), named): ((&Wish, u32, PictureRequest), Option<PathBuf>)| {
        let existing = match (args.make.force, named.is_some()) {
            (true, _) => Existing::Replace,
            (false, true) => Existing::Refuse,
            (false, false) => Existing::Number,
        };
        Job { path: named.unwrap_or_else(|| places.ours(&wish.prompt)), picture, existing }
    };
    Ok(pictures.into_iter().zip(named).map(place).collect())
}

/// What each picture shows, with its wish and its number among that wish's pictures, from 1.
fn pictures<'a>(args: &SampleArgs, wishes: &'a [Wish]) -> Result<Vec<(&'a Wish, u32, PictureRequest)>> {
    // Any seed is as good; the one taken is printed and stored in the picture.
    let mut next = args.make.seed.unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
    let mut pictures = Vec::new();
    for wish in wishes {
        let negative = wish.negative.clone().or_else(|| args.make.negative.clone());
        let origin = Origin { prompt: Some(wish.prompt.clone()), negative: negative.clone(), ..Origin::default() };
        origin.check().map_err(|e| Usage(format!("{}{e}", place_of(args, wish))))?;
        for nth in 1..=args.count as u32 {
            let seed = match wish.seed {
                Some(seed) => seed.wrapping_add(u64::from(nth) - 1),
                None => {
                    next = next.wrapping_add(1);
                    next.wrapping_sub(1)
                }
            };
            let picture = PictureRequest { prompt: wish.prompt.clone(), negative: negative.clone(), seed };
            pictures.push((wish, nth, picture));
        }
    }
    Ok(pictures)
}

/// "prompts.txt, line 3: ", for a message.
fn place_of(args: &SampleArgs, wish: &Wish) -> String {
    args.prompts.as_ref().map_or_else(String::new, |file| format!("{}, line {}: ", file.display(), wish.line))
}

/// The names that are given out.
struct Places<'a> {
    args: &'a SampleArgs,
    folder: PathBuf,
    /// The file of the only picture.
    file: Option<PathBuf>,
    /// Each name and who has it: a line of the file of prompts, 0 for an argument.
    taken: HashMap<PathBuf, usize>,
    /// Where to go on counting for a name of ours.
    next: HashMap<PathBuf, u32>,
}

impl<'a> Places<'a> {
    fn new(args: &'a SampleArgs, pictures: usize) -> Result<Self> {
        let (mut folder, mut file) = (PathBuf::from("."), None);
        match &args.out {
            Some(out) if pictures == 1 && args.prompts.is_none() && !out.is_dir() => file = Some(out.clone()),
            Some(out) => {
                std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
                folder.clone_from(out);
            }
            None => {}
        }
        let mut places = Self { args, folder, file, taken: HashMap::new(), next: HashMap::new() };
        if let Some(sheet) = &args.sheet {
            files::check(sheet, Existing::named(args.make.force))?;
            places.taken.insert(sheet.clone(), 0);
        }
        if places.file.is_none() {
            // A name of ours finds a free number, but not another folder.
            let any = places.folder.join(".firefall");
            files::check(&any, Existing::Number)
                .with_context(|| format!("the folder {} takes no files", places.folder.display()))?;
        }
        Ok(places)
    }

    /// The name that the user gave a picture, if any.
    fn named(&mut self, wish: &Wish, nth: u32) -> Result<Option<PathBuf>> {
        let named = wish.out.as_ref().map(|name| numbered(&in_folder(&self.folder, name), nth));
        let Some(path) = self.file.clone().or(named) else { return Ok(None) };
        if let Some(other) = self.taken.insert(path.clone(), wish.line) {
            let other = if other == 0 { "--sheet".to_owned() } else { format!("line {other}") };
            let place = place_of(self.args, wish);
            return Err(Usage(format!("{place}{} is the file of {other} already", path.display())).into());
        }
        files::check(&path, Existing::named(self.args.make.force))?;
        Ok(Some(path))
    }

    /// A name made from the prompt, which no other picture of this run has; nor, but for `--force`, any other file.
    fn ours(&mut self, prompt: &str) -> PathBuf {
        let base = in_folder(&self.folder, &naming::file_name(prompt));
        let next = self.next.entry(base.clone()).or_insert(1);
        loop {
            let path = numbered(&base, *next);
            *next += 1;
            let there = !self.args.make.force && path.symlink_metadata().is_ok();
            if !there && !self.taken.contains_key(&path) {
                self.taken.insert(path.clone(), 0);
                return path;
            }
        }
    }
}

/// A path in the current folder is the bare name.
fn in_folder(folder: &Path, name: &str) -> PathBuf {
    if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    /// The names of the files in `folder` that `lines` give, or the message.
    fn names(folder: &Path, lines: &str, more: &[&str]) -> Result<Vec<String>, String> {
        let file = folder.join("prompts.jsonl");
        std::fs::write(&file, lines).unwrap();
        let out = folder.join("out");
        let args = ["firefall", "sample", "--prompts", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let Command::Sample(args) = Cli::try_parse_from(args.iter().chain(more)).unwrap().command else { panic!() };
        let jobs = jobs(&args).map_err(|e| format!("{e:#}"))?;
        Ok(jobs.iter().map(|job| job.path.strip_prefix(&out).unwrap().to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn every_picture_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let names = |lines: &str, more: &[&str]| names(folder.path(), lines, more);
        assert_eq!(names("a\na\nb", &[]).unwrap(), ["a.png", "a-2.png", "b.png"]);
        let named = "{\"prompt\": \"a\", \"out\": \"x.png\"}";
        assert_eq!(names(named, &["--count", "3"]).unwrap(), ["x.png", "x-2.png", "x-3.png"]);
        // Ours step aside for those that the user gave, wherever they stand.
        assert_eq!(
            names("x\nx\n{\"prompt\": \"a\", \"out\": \"x.png\"}", &[]).unwrap(),
            ["x-2.png", "x-3.png", "x.png"]
        );
        let message = names(&format!("b\n{named}\n\n{named}"), &[]).unwrap_err();
        assert!(message.contains("line 4") && message.contains("x.png is the file of line 2"), "{message}");
        let second = "{\"prompt\": \"a\", \"out\": \"x-2.png\"}";
        assert!(names(&format!("{named}\n{second}"), &["--count", "2"]).unwrap_err().contains("x-2.png is the file"));
    }

    #[test]
    fn what_is_there_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let names = |lines: &str, more: &[&str]| names(folder.path(), lines, more);
        let named = "a\n{\"prompt\": \"a\", \"out\": \"x.png\"}";
        names(named, &[]).unwrap();
        let out = folder.path().join("out");
        std::fs::write(out.join("x.png"), "").unwrap();
        std::fs::write(out.join("a.png"), "").unwrap();
        assert!(names(named, &[]).unwrap_err().contains("x.png exists; --force overwrites it"));
        assert_eq!(names(named, &["--force"]).unwrap(), ["a.png", "x.png"]);
        assert_eq!(names("a", &[]).unwrap(), ["a-2.png"]);
        let sheet = out.join("sheet.png");
        let with = ["--sheet", sheet.to_str().unwrap()];
        let message = names("{\"prompt\": \"a\", \"out\": \"sheet.png\"}", &with).unwrap_err();
        assert!(message.contains("sheet.png is the file of --sheet"), "{message}");
        std::fs::write(&sheet, "").unwrap();
        assert!(names("a", &with).unwrap_err().contains("sheet.png exists"));
        let long = format!("a\n{}", "x".repeat((64 << 10) + 1));
        let message = names(&long, &[]).unwrap_err();
        assert!(message.contains("line 2: the prompt is 65537 bytes long"), "{message}");
    }

    #[test]
    fn seeds_count_on() {
        let args = ["firefall", "sample", "a", "--seed", "18446744073709551615", "--count", "2"];
        let Command::Sample(args) = Cli::try_parse_from(args).unwrap().command else { panic!() };
        let given = Wish { seed: Some(5), ..Wish::default() };
        let wishes = [Wish::default(), given, Wish::default()];
        let seeds: Vec<u64> = pictures(&args, &wishes).unwrap().iter().map(|(_, _, p)| p.seed).collect();
        assert_eq!(seeds, [u64::MAX, 0, 5, 6, 1, 2]);
    }
}
