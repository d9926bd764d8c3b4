//! Trained tokenizers, on captions of the shapes world and on open text.

use burn::tensor::Device;

use super::{base, train_tokenizer};
use crate::nn::Init;
use crate::noise::{Purpose, Stream};
use crate::text::{T5Config, T5Encoder, TextEncoder, Tokenizer, TokenizerError};
use crate::world::{Mix, draw};

fn captions(count: u64) -> Vec<String> {
    (0..count).map(|index| draw(&mut Stream::new(3, Purpose::Scene, index), &Mix::default()).caption).collect()
}

fn trained(vocab_size: usize) -> Tokenizer {
    Tokenizer::from_bytes(&train_tokenizer(captions(4000).into_iter(), vocab_size).unwrap()).unwrap()
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<i32> {
    tokenizer.encode(&[text], usize::MAX).unwrap().ids
}

#[test]
fn a_closed_grammar_gets_one_token_per_word() {
    let tokenizer = trained(600);
    assert!(tokenizer.vocab_size() <= 600);
    for caption in captions(500) {
        // A full stop and a comma are tokens of their own, as is `</s>`.
        let marks = caption.matches(|c: char| c.is_ascii_punctuation()).count();
        let expected = caption.split(' ').count() + marks + 1;
        let actual = ids(&tokenizer, &caption).len();
        assert_eq!(actual, expected, "{caption:?}");
    }
    assert_eq!(ids(&tokenizer, "a red circle").len(), 4);
}

#[test]
fn special_tokens_and_bytes_have_their_ids() {
    let json: serde_json::Value =
        serde_json::from_slice(&train_tokenizer(captions(50).into_iter(), 400).unwrap()).unwrap();
    let vocab = &json["model"]["vocab"];
    for (token, id) in [("<pad>", 0), ("</s>", 1), ("<unk>", 2), ("<0x00>", 3), ("<0x0A>", 13), ("<0xFF>", 258)] {
        assert_eq!(vocab[token], id, "{token}");
    }
    assert!(vocab["▁"].as_u64().unwrap() > 258);
}

#[test]
fn the_same_sentences_give_the_same_bytes() {
    let sentences = captions(300);
    // So little room that words compete, and with many of equal count.
    let reference = train_tokenizer(sentences.iter().cloned(), 380).unwrap();
    for _ in 0..3 {
        assert_eq!(train_tokenizer(sentences.iter().rev().cloned(), 380).unwrap(), reference);
    }
    assert_ne!(train_tokenizer(captions(301).into_iter(), 379).unwrap(), reference);
}

#[test]
fn everything_decodes_to_its_normal_form() {
    let tokenizer = trained(600);
    let pairs = [
        ("A Red  circle,\ton a BLUE background.", "a red circle, on a blue background."),
        (" top-left ", "top-left"),
        ("🦀", "🦀"),
        ("a 🦀 by the 🏳️\u{200d}🌈 sea", "a 🦀 by the 🏳️\u{200d}🌈 sea"),
        ("دائرة حمراء", "دائرة حمراء"),
        ("\u{202e}שלום", "\u{202e}שלום"),
        ("nul\0byte", "nul\0byte"),
        ("ﬁve ①", "five 1"),
        ("▁red▁", "red"),
        ("</s> <pad><0x41> <unk>", "</s> <pad><0x41> <unk>"),
    ];
    for (text, normal) in pairs {
        let ids = ids(&tokenizer, text);
        assert_eq!(tokenizer.decode(&ids).unwrap(), normal);
        let (end, text_ids) = ids.split_last().unwrap();
        assert_eq!(*end, 1);
        assert!(text_ids.iter().all(|id| *id > 2), "{text:?} gave {ids:?}");
    }
}

#[test]
fn unknown_letters_become_bytes() {
    let ids = ids(&trained(600), "🦀");
    let bytes = "🦀".bytes().map(|byte| 3 + i32::from(byte));
    assert!(ids[1..5].iter().copied().eq(bytes), "{ids:?}");
    assert_eq!(ids.len(), 6);
}

#[test]
fn blank_text_is_the_end_token() {
    let tokenizer = trained(400);
    for text in ["", "   ", "\n\t", "\u{a0}", "▁▁"] {
        assert_eq!(ids(&tokenizer, text), [1], "{text:?}");
    }
}

#[test]
fn long_prompts_are_cut() {
    let tokenizer = trained(600);
    for text in ["a".repeat(10_000), "red ".repeat(2_500), "🦀".repeat(2_500), "\0".repeat(10_000)] {
        let tokens = tokenizer.encode(&[&text], 256).unwrap();
        assert_eq!((tokens.len, tokens.ids.len(), tokens.ids[255]), (256, 256, 1));
        assert_eq!(tokens.truncated, [true]);
    }
}

#[test]
fn open_text_gets_subwords() {
    // 676 words with one ending: no word is worth as much as the ending, which there is just room for.
    let stems = ('a'..='z').flat_map(|first| ('a'..='z').map(move |second| format!("{first}{second}ing")));
    let json = train_tokenizer(stems, 259 + 27 + 2).unwrap();
    let tokenizer = Tokenizer::from_bytes(&json).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(document["model"]["merges"], serde_json::json!([["i", "n"], ["in", "g"]]));
    // A space, five letters, the ending and the end token.
    let ids = ids(&tokenizer, "sleeping");
    assert_eq!(ids.len(), 1 + 5 + 1 + 1);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "sleeping");
}

#[test]
fn a_vocabulary_without_room_is_refused_and_the_least_works() {
    let least = base().len() + 1;
    assert_eq!(
        train_tokenizer(captions(1).into_iter(), least - 1).unwrap_err(),
        TokenizerError::TooSmall { vocab_size: 259, least: 260 }
    );
    let tokenizer = trained(least);
    assert_eq!(tokenizer.vocab_size(), least);
    assert_eq!(tokenizer.decode(&ids(&tokenizer, "A dot.")).unwrap(), "a dot.");
    let nothing = Tokenizer::from_bytes(&train_tokenizer(std::iter::empty(), 600).unwrap()).unwrap();
    assert_eq!(nothing.vocab_size(), least);
}

#[test]
fn an_encoder_needs_a_vector_for_every_token() {
    let device = Device::flex();
    let tokenizer = trained(500);
    let tokens = tokenizer.vocab_size();
    let config = |vocab_size| T5Config { vocab_size, d_model: 8, d_ff: 8, num_layers: 1, ..T5Config::default() };
    let t5 = T5Encoder::new(&mut Init::seeded(&device, 5), &config(tokens));
    let encoder = TextEncoder::new(tokenizer.clone(), t5, 6).unwrap();
    let encoded = encoder.encode(&["a red dot", "two big blue circles above a small green star"], &device).unwrap();
    assert_eq!(encoded.embedding.tokens.dims(), [2, 6, 8]);
    assert_eq!(encoded.embedding.mask.dims(), [2, 6]);
    assert_eq!(encoded.lengths[1], 6);
    assert_eq!(encoded.truncated, [false, true]);

    let t5 = T5Encoder::new(&mut Init::blank(&device), &config(tokens - 1));
    let error = TextEncoder::new(tokenizer, t5, 6).unwrap_err();
    assert_eq!(error, TokenizerError::Mismatch { tokens, vocab_size: tokens - 1 });
}
