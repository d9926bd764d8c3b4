//! Contact sheets: many pictures in one file, which knows the prompt and the seed of each.

use std::path::{Path, PathBuf};

use anyhow::Result;
use firefall_core::cascade::{Model, PictureRequest};
use firefall_core::image::Picture;
use firefall_core::world::sheet;
use serde_json::{Value, json};

use crate::files::Existing;
use crate::outcome::Usage;
use crate::png_text::{Origin, TEXT_MAX, write};

/// Most pixels of a sheet: a file that picture viewers still open.
const PIXELS_MAX: usize = 64 << 20;
/// Bytes of a sheet's settings that are not prompts.
const REST: usize = 4 << 10;

/// Whether `count` pictures of `size` by `size` pixels fit on a sheet.
///
/// # Errors
/// [`Usage`].
pub fn check(count: usize, size: usize) -> Result<()> {
    if count.saturating_mul(size).saturating_mul(size) > PIXELS_MAX {
        return Err(Usage(format!("{count} pictures of {size} x {size} pixels are too many for a sheet")).into());
    }
    Ok(())
}

/// The columns that make a sheet of `count` pictures about square.
#[must_use]
pub fn columns(count: usize) -> usize {
    (1..=count).find(|n| n * n >= count).unwrap_or(1)
}

/// How a sheet of `model`'s pictures was made: `settings` as they are, and row by row the prompt and the seed of each
/// picture. Where these are more than a file can hold, the number of those left out stands for the last ones.
#[must_use]
pub fn origin(model: &Model, mut settings: Value, pictures: &[PictureRequest]) -> Origin {
    let mut room = TEXT_MAX.saturating_sub(REST);
    let mut listed = Vec::new();
    for picture in pictures {
        let pair = json!([picture.prompt, picture.seed]);
        // With a comma. What is written for NUL, an escape, is longer than what it becomes in the file.
        let length = pair.to_string().len() + 1;
        if length > room {
            break;
        }
        room -= length;
        listed.push(pair);
    }
    let more = pictures.len() - listed.len();
    if let Value::Object(settings) = &mut settings {
        settings.insert("model".to_owned(), model.config.name.clone().into());
        settings.insert("pictures".to_owned(), listed.into());
        if more > 0 {
            settings.insert("more_pictures".to_owned(), more.into());
        }
    }
    let hash = Some(model.hash.clone()).filter(|hash| !hash.is_empty());
    Origin { settings: Some(settings), model: hash, ..Origin::default() }
}

/// Writes the sheet.
///
/// # Errors
/// Those of [`write`].
pub fn write_sheet(
    path: &Path,
    pictures: &[Picture],
    columns: usize,
    origin: &Origin,
    existing: Existing,
) -> Result<PathBuf> {
    write(path, &sheet(pictures, columns), origin, existing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_are_about_square_and_bounded() {
        assert_eq!([0, 1, 2, 4, 5, 64, 65].map(columns), [1, 1, 2, 2, 3, 8, 9]);
        assert!(check(64, 1024).is_ok() && check(65, 1024).is_err());
        assert!(check(usize::MAX, usize::MAX).unwrap_err().to_string().contains("too many"));
    }

    #[test]
    fn prompts_and_seeds_fit_in_a_file() {
        let model = crate::model::load(None, &burn::tensor::Device::flex()).unwrap();
        let wish = |prompt: &str, seed| PictureRequest { prompt: prompt.to_owned(), negative: None, seed };
        let few = origin(&model, json!({ "step": 7 }), &[wish("a red \"7\"", 1), wish("星", u64::MAX)]);
        let settings = few.settings.clone().unwrap();
        assert_eq!(settings["pictures"], json!([["a red \"7\"", 1], ["星", u64::MAX]]));
        assert_eq!((&settings["step"], settings.get("more_pictures")), (&json!(7), None));
        assert_eq!(few.model.as_deref(), Some(model.hash.as_str()));
        let prompt = "a\0 🌟".repeat(300);
        let many = origin(&model, json!({}), &vec![wish(&prompt, 0); 1000]);
        many.check().unwrap();
        let settings = many.settings.unwrap();
        let listed = settings["pictures"].as_array().unwrap().len();
        assert!(listed > 10 && settings["more_pictures"] == json!(1000 - listed), "{listed}");
    }
}
