//! What whoever trains should know before a run begins or goes on.

use std::collections::VecDeque;

use crate::text::TokenizerError;
use crate::train::config::TrainConfig;
use crate::train::folder::{Folder, FolderError};
use crate::train::pictures::Pictures;
use crate::train::trainer::Words;

/// Tells which pictures a run learns from.
const PICTURES: &str = "pictures.sha256";

/// Of captions with more tokens than the text encoder reads.
pub(super) fn truncated(words: &Words, pictures: &Pictures) -> Result<Option<String>, TokenizerError> {
    let (mut cut, mut all) = (0, 0);
    for caption in pictures.captions() {
        let tokens = words.tokenizer.encode(&[caption], words.max_len)?;
        cut += tokens.truncated.iter().filter(|&&cut| cut).count();
        all += 1;
    }
    let most = words.max_len;
    Ok((cut > 0)
        .then(|| format!("{cut} of {all} captions have more than {most} tokens, and nothing after these is learnt")))
}

/// Of pictures that are not those of the run so far; from now on they are.
pub(super) fn changed(folder: &Folder, pictures: &Pictures) -> Result<Option<String>, FolderError> {
    let now = pictures.hash().as_bytes();
    let before = folder.read_optional(PICTURES)?;
    if before.as_deref() == Some(now) {
        return Ok(None);
    }
    folder.write(PICTURES, now)?;
    Ok(before
        .map(|_| "the pictures or captions are not those this run learnt from so far; it goes on with these".into()))
}

/// Of a later stage that keeps its weights while the text encoder, which it knows, is trained on.
pub(super) fn outdated(config: &TrainConfig, folder: &Folder, left: &VecDeque<usize>) -> Option<String> {
    let encoder_stays = config.stages[0].optim.text_share == 0.0 && config.reading.is_none();
    if encoder_stays || !left.contains(&0) || !folder.is_behind(0, config.stages[0].steps) {
        return None;
    }
    let trained = |stage: usize| left.contains(&stage) && folder.is_behind(stage, config.stages[stage].steps);
    let kept = (1..config.stages.len()).find(|&stage| folder.has_checkpoint(stage) && !trained(stage))?;
    let stage = kept + 1;
    Some(format!(
        "stage {stage} knows the text encoder of before, which stage 1 trains on; give stage {stage} more steps"
    ))
}
