//! The captions that a run's tokenizer is made from.

use crate::noise::{Purpose, Stream};
use crate::text::tokenizer_training::train_tokenizer;
use crate::train::config::{Data, TrainConfig};
use crate::train::error::TrainError;
use crate::train::pictures::Pictures;
use crate::world::{Mix, digit_captions, draw};

/// Captions the tokenizer is made from.
const TOKENIZER_CAPTIONS: u64 = 20_000;

/// A tokenizer from all captions there are, or from captions of all kinds.
pub(super) fn tokenizer(config: &TrainConfig, pictures: Option<&Pictures>) -> Result<Vec<u8>, TrainError> {
    if let Some(pictures) = pictures {
        let captions: Vec<String> = pictures.captions().map(str::to_owned).collect();
        return Ok(train_tokenizer(captions.into_iter(), config.vocabulary)?);
    }
    if config.data == Data::Digits {
        return Ok(train_tokenizer((0..10).flat_map(digit_captions), config.vocabulary)?);
    }
    let mix = Mix { synonyms: 0.5, digits: 0.5, ..Mix::default() };
    let caption = |i: u64| draw(&mut Stream::new(config.seed, Purpose::Caption, i), &mix).caption;
    Ok(train_tokenizer((0..TOKENIZER_CAPTIONS).map(caption), config.vocabulary)?)
}
