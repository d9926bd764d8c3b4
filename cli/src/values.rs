//! Values on the command line: what each may be, and what is said of one that may not.

use std::fmt::Display;
use std::path::PathBuf;

use firefall_core::diffusion::SamplerKind;
use firefall_core::image::Mask;
use firefall_core::inpaint::region;
use firefall_core::train::Data;
use firefall_core::world::Category;
use serde::de::DeserializeOwned;

/// Most sampling steps of a stage; more than a thousand levels of noise cannot be told apart.
const STEPS_MAX: i128 = 1000;
/// Most pictures of a prompt, prompts of a category or pictures of a sheet: a slip of the keyboard, not a wish.
const COUNT_MAX: i128 = 10_000;

/// A setting for each stage of a cascade, given once for all or once a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct PerStage<T>(Vec<T>);

impl<T: Clone> PerStage<T> {
    /// The setting of each of `stages` stages.
    ///
    /// # Errors
    /// A sentence, when there are neither one nor `stages` values.
    pub fn of(&self, stages: usize) -> Result<Vec<T>, String> {
        match self.0.as_slice() {
            [all] => Ok(vec![all.clone(); stages]),
            each if each.len() == stages => Ok(each.to_vec()),
            each => Err(format!("{} values for {stages} stages; give one for all or one a stage", each.len())),
        }
    }

    /// The values as given: one, or one a stage.
    #[must_use]
    pub fn given(&self) -> &[T] {
        &self.0
    }
}

fn per_stage<T>(text: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<PerStage<T>, String> {
    text.split(',').map(|part| one(part.trim())).collect::<Result<_, _>>().map(PerStage)
}

fn whole(text: &str) -> Result<i128, String> {
    text.parse().map_err(|_| format!("{text:?} is no whole number"))
}

fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| format!("{text:?} is no finite number"))
}

fn within<T: PartialOrd + Display>(value: T, low: T, high: T) -> Result<T, String> {
    if value >= low && value <= high { Ok(value) } else { Err(format!("{value} is outside {low} to {high}")) }
}

/// A seed of 64 bits.
///
/// # Errors
/// A sentence, for anything else.
pub fn seed(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is no whole number"));
    }
    if digits.len() < text.len() {
        return Err(format!("{text} is below 0; seeds go from 0 to {}", u64::MAX));
    }
    text.parse().map_err(|_| format!("{text} does not fit in 64 bits; seeds go from 0 to {}", u64::MAX))
}

/// A folder of pictures, or `mnist:` and a folder.
///
/// # Errors
/// A sentence, if nothing follows.
pub fn data(text: &str) -> Result<Data, String> {
    let (folder, of): (&str, fn(PathBuf) -> Data) = match text.strip_prefix("mnist:") {
        Some(folder) => (folder, Data::Mnist),
        None => (text, Data::Folder),
    };
    if folder.is_empty() { Err("names no folder".into()) } else { Ok(of(folder.into())) }
}

/// How many pictures or prompts, 1 to 10000.
///
/// # Errors
/// A sentence, for anything else.
pub fn count(text: &str) -> Result<usize, String> {
    within(whole(text)?, 1, COUNT_MAX).map(|n| n as usize)
}

/// How many are passed over, up to 10000.
///
/// # Errors
/// A sentence, for anything else.
pub fn skipped(text: &str) -> Result<usize, String> {
    within(whole(text)?, 0, COUNT_MAX).map(|n| n as usize)
}

/// How much may change, above 0 and at most 1.
///
/// # Errors
/// A sentence, for anything else.
pub fn strength(text: &str) -> Result<f64, String> {
    let value = finite(text)?;
    if value > 0.0 && value <= 1.0 { Ok(value) } else { Err(format!("{value} is not above 0 and at most 1")) }
}

/// A width in pixels, 0 to 4096.
///
/// # Errors
/// A sentence, for anything else.
pub fn pixels(text: &str) -> Result<f32, String> {
    within(finite(text)?, 0.0, 4096.0).map(|v| v as f32)
}

/// How much is seen beside what is painted, 0.5 to 8 times its length.
///
/// # Errors
/// A sentence, for anything else.
pub fn context(text: &str) -> Result<f64, String> {
    let [least, most] = region::CONTEXTS;
    within(finite(text)?, least, most)
}

/// A level of a mask in percent, 1 to 100, as a byte.
///
/// # Errors
/// A sentence, for anything else.
pub fn level(text: &str) -> Result<u8, String> {
    within(finite(text)?, 1.0, 100.0).map(|percent| Mask::level(percent / 100.0))
}

/// Pixels to add to a side, 0 to 4096.
///
/// # Errors
/// A sentence, for anything else.
pub fn margin(text: &str) -> Result<usize, String> {
    within(whole(text)?, 0, 4096).map(|n| n as usize)
}

/// A picture's side in pixels, 8 to 1024.
///
/// # Errors
/// A sentence, for anything else.
pub fn size(text: &str) -> Result<usize, String> {
    within(whole(text)?, 8, 1024).map(|n| n as usize)
}

/// A stage's number, from 1.
///
/// # Errors
/// A sentence, for anything else.
pub fn stage(text: &str) -> Result<usize, String> {
    let n = whole(text)?;
    if (1..=16).contains(&n) { Ok(n as usize) } else { Err(format!("there is no stage {n}; stages count from 1")) }
}

/// The name of a part of a training run, whose meaning the run knows.
///
/// # Errors
/// A sentence, for an empty name.
pub fn stage_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() { Err("a stage's name is empty".to_owned()) } else { Ok(name.to_owned()) }
}

/// Optimiser steps, 1 to 10^9, for all stages or for each.
///
/// # Errors
/// A sentence, for anything else.
pub fn train_steps(text: &str) -> Result<PerStage<u64>, String> {
    per_stage(text, |part| within(whole(part)?, 1, 1_000_000_000).map(|n| n as u64))
}

/// Hours, above 0 and at most 10000.
///
/// # Errors
/// A sentence, for anything else.
pub fn hours(text: &str) -> Result<f64, String> {
    let hours = finite(text)?;
    if hours > 0.0 && hours <= 10_000.0 { Ok(hours) } else { Err(format!("{hours} hours; above 0, at most 10000")) }
}

/// Sampling steps, 1 to 1000, for all stages or for each.
///
/// # Errors
/// A sentence, for anything else.
pub fn steps(text: &str) -> Result<PerStage<usize>, String> {
    per_stage(text, |part| match whole(part)? {
        n @ 1..=STEPS_MAX => Ok(n as usize),
        n => Err(format!("{n} steps; there are 1 to {STEPS_MAX}")),
    })
}

/// Guidance scales, 0 to 1000, for all stages or for each.
///
/// # Errors
/// A sentence, for anything else.
pub fn cond_scales(text: &str) -> Result<PerStage<f64>, String> {
    per_stage(text, |part| within(finite(part)?, 0.0, 1000.0))
}

/// Samplers by name, for all stages or for each.
///
/// # Errors
/// A sentence that lists the names.
pub fn samplers(text: &str) -> Result<PerStage<SamplerKind>, String> {
    per_stage(text, SamplerKind::from_name)
}

/// A category of evaluation prompts, by its name in configurations ("held-out-pair") or in tables ("held-out pair").
///
/// # Errors
/// A sentence that lists the names.
pub fn category(text: &str) -> Result<Category, String> {
    let name = text.trim();
    from_word(name).or_else(|| name.parse().ok()).ok_or_else(|| {
        let names: Vec<String> = Category::ALL.iter().map(|&c| category_name(c)).collect();
        format!("no category is called {name:?}; there are {}", names.join(", "))
    })
}

/// The category's name as a user types it: `held-out-pair`.
#[must_use]
pub fn category_name(category: Category) -> String {
    serde_json::to_value(category).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The value that serde calls `word`.
fn from_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_must_match_the_stages() {
        let three = steps("10, 20,30").unwrap();
        assert_eq!(three.of(3).unwrap(), [10, 20, 30]);
        assert!(three.of(2).unwrap_err().contains("3 values for 2 stages"));
        assert_eq!(three.given().len(), 3);
    }

    #[test]
    fn seeds_cover_all_64_bits() {
        assert_eq!(seed("0").unwrap(), 0);
        assert_eq!(seed("18446744073709551615").unwrap(), u64::MAX);
        for text in ["18446744073709551616", "1e3", "", "-", "-0", "+", "0x10", " 1", "９"] {
            assert!(seed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_category_reads_back() {
        for known in Category::ALL {
            assert_eq!(category(&category_name(known)).unwrap(), known);
            assert_eq!(category(&known.to_string()).unwrap(), known);
        }
        assert!(category("singel").unwrap_err().contains("held-out-pair"));
    }

    #[test]
    fn times_and_sizes_are_bounded() {
        assert!(hours("0").is_err() && hours("inf").is_err() && hours("NaN").is_err());
        assert_eq!(hours("0.5").unwrap(), 0.5);
        assert!(size("7").is_err() && size("1025").is_err());
        assert!(context("0.4").is_err() && context("9").is_err() && context("2") == Ok(2.0));
        assert!(level("0").is_err() && level("101").is_err() && level("50") == Ok(128));
        assert!(train_steps("0").is_err() && train_steps("99999999999999999999999999999999999999999999").is_err());
    }
}
