//! The text `parameters`, in which many programs and sites tell each other how a picture was made: the prompt, what it
//! should not show, and a line of settings.

use serde_json::{Map, Value, json};

use super::{Origin, TEXT_MAX};
use crate::cascade::request::MAX_STEPS;

/// Its keyword.
pub(super) const KEY: &str = "parameters";
/// What begins the part that says what the picture should not show.
const NEGATIVE: &str = "Negative prompt:";
/// A line with fewer fields belongs to the prompt; other programs count alike.
const FIELDS_MIN: usize = 3;
/// The strongest guidance that is believed.
const SCALE_MAX: f64 = 1000.0;
/// Letters of a hash, as other programs have it.
const HASH: usize = 10;
/// Samplers by our names and by those of other programs.
const SAMPLERS: [(&str, &str); 4] = [("ddpm", "DDPM"), ("ddim", "DDIM"), ("dpm++2m", "DPM++ 2M"), ("heun", "Heun")];

/// What a picture of this size says; nothing without a prompt, or if it is longer than a text may be.
pub(super) fn written(origin: &Origin, [width, height]: [u32; 2]) -> Option<String> {
    let mut lines = vec![origin.prompt.clone()?];
    if let Some(negative) = origin.negative.as_deref().filter(|text| !text.is_empty()) {
        lines.push(format!("{NEGATIVE} {negative}"));
    }
    let none = Value::Null;
    let settings = origin.settings.as_ref().unwrap_or(&none);
    let stage = &settings["stages"][0];
    let sampler = |ours: &str| {
        let found = SAMPLERS.iter().find(|(name, _)| *name == ours);
        found.map_or(ours, |(_, theirs)| *theirs).to_owned()
    };
    let fields = [
        ("Steps", stage["steps"].as_u64().map(|steps| steps.to_string())),
        ("Sampler", stage["sampler"].as_str().map(sampler)),
        ("CFG scale", stage["cond_scale"].as_f64().map(|scale| scale.to_string())),
        ("Seed", origin.seed.map(|seed| seed.to_string())),
        ("Size", Some(format!("{width}x{height}"))),
        ("Model hash", origin.model.as_ref().map(|hash| hash.chars().take(HASH).collect::<String>())),
        ("Model", settings["model"].as_str().map(str::to_owned)),
    ];
    let said = fields.into_iter().filter_map(|(key, value)| Some((key, value.filter(|text| !text.is_empty())?)));
    let said: Vec<String> = said.map(|(key, value)| format!("{key}: {}", quoted(&value))).collect();
    if said.len() >= FIELDS_MIN {
        lines.push(said.join(", "));
    }
    let text = lines.join("\n").replace('\0', "\u{fffd}");
    (text.len() <= TEXT_MAX).then_some(text)
}

/// A value as it is, or in quotes if it could be taken for more than one.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '"', '\n', '\r']) { Value::from(value).to_string() } else { value.to_owned() }
}

/// What a text of any program says, as far as it is understood; what is not is left out.
pub(super) fn read(text: &str) -> Origin {
    let text = text.trim();
    let (before, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let found = fields(last);
    let (words, found) = if found.len() < FIELDS_MIN { (text, Vec::new()) } else { (before, found) };
    let later = || words.find(&format!("\n{NEGATIVE}")).map(|at| at + 1);
    let at = if words.starts_with(NEGATIVE) { Some(0) } else { later() };
    let (prompt, negative) = match at {
        Some(at) => (&words[..at], &words[at + NEGATIVE.len()..]),
        None => (words, ""),
    };
    let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let value = |key: &str| found.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let seed = value("Seed").and_then(|text| text.parse().ok());
    Origin { prompt: said(prompt), negative: said(negative), seed, settings: settings(value), model: None }
}

/// The settings among the fields as we write them, those of the first stage.
fn settings<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Option<Value> {
    let steps = value("Steps").and_then(|text| text.parse::<usize>().ok());
    let steps = steps.filter(|steps| (1..=MAX_STEPS).contains(steps));
    let scale = value("CFG scale").and_then(|text| text.parse::<f64>().ok());
    let scale = scale.filter(|scale| (0.0..=SCALE_MAX).contains(scale));
    let sampler = value("Sampler").and_then(|text| SAMPLERS.iter().find(|(_, theirs)| *theirs == text));
    let stage: Map<String, Value> = [
        ("steps", steps.map(Value::from)),
        ("cond_scale", scale.map(Value::from)),
        ("sampler", sampler.map(|(ours, _)| Value::from(*ours))),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect();
    (!stage.is_empty()).then(|| json!({ "stages": [stage] }))
}

/// Keys and values of a line of settings. Commas are between them, but for those in quotes.
fn fields(line: &str) -> Vec<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    let between = move |c: char| {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        c == ',' && !quoted
    };
    line.split(between).filter_map(field).collect()
}

/// Key and value; nothing if this is no key.
fn field(part: &str) -> Option<(&str, &str)> {
    let (key, value) = part.split_once(':')?;
    let key = key.trim();
    let inside = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '/');
    let is_key = key.starts_with(char::is_alphanumeric) && key.chars().all(inside);
    is_key.then_some((key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            prompt: Some("a red star\nabove a 7, large".into()),
            negative: Some("blurry, gray".into()),
            seed: Some(7),
            settings: Some(json!({
                "model": "shapes, small",
                "stages": [
                    { "size": 32, "sampler": "ddpm", "steps": 18, "cond_scale": 1.5 },
                    { "size": 128, "sampler": "heun", "steps": 9, "cond_scale": 1.0 },
                ],
            })),
            model: Some("0123456789abcdef".repeat(4)),
        }
    }

    #[test]
    fn other_programs_can_read_what_is_written() {
        let want = "a red star\nabove a 7, large\nNegative prompt: blurry, gray\nSteps: 18, Sampler: DDPM, \
                    CFG scale: 1.5, Seed: 7, Size: 128x96, Model hash: 0123456789, Model: \"shapes, small\"";
        assert_eq!(written(&origin(), [128, 96]).unwrap(), want);
        let alone = Origin { prompt: Some("a \0star".into()), negative: Some(String::new()), ..Origin::default() };
        assert_eq!(written(&alone, [1, 1]).unwrap(), "a \u{fffd}star", "one field is no line of settings");
        assert_eq!(written(&Origin { prompt: None, ..origin() }, [1, 1]), None);
        assert_eq!(written(&Origin { prompt: Some("x".repeat(TEXT_MAX)), ..origin() }, [1, 1]), None);
    }

    #[test]
    fn what_is_written_is_understood() {
        let read = read(&written(&origin(), [128, 96]).unwrap());
        let stage = json!({ "stages": [{ "sampler": "ddpm", "steps": 18, "cond_scale": 1.5 }] });
        assert_eq!(read, Origin { settings: Some(stage), model: None, ..origin() });
    }

    #[test]
    fn texts_of_other_programs_are_understood() {
        let text = "(cat:1.2), <lora:x:0.8>, best\r\nquality\r\nNegative prompt: bad hands,\r\nugly\r\nSteps: 30, Sampler: \
                    Euler a, Schedule type: Karras, CFG scale: 7, Seed: 4294967295, Size: 512x768, Lora hashes: \
                    \"a: 1, Seed: 5, b\\\": 2\", Version: v1.10";
        let got = read(text);
        assert_eq!(got.prompt.as_deref(), Some("(cat:1.2), <lora:x:0.8>, best\r\nquality"));
        assert_eq!(got.negative.as_deref(), Some("bad hands,\r\nugly"));
        assert_eq!(got.seed, Some(4_294_967_295));
        assert_eq!(got.settings, Some(json!({ "stages": [{ "steps": 30, "cond_scale": 7.0 }] })));
    }

    #[test]
    fn odd_texts_are_prompts_or_nothing() {
        for text in ["", " \n\t", "Negative prompt:", "Negative prompt: \nSteps: x, Seed: -1, CFG scale: NaN"] {
            assert_eq!(read(text), Origin::default(), "{text:?}");
        }
        for text in ["(cat:1.2), (dog:1.3), (fox:0.8)", "a: b, c", "🦊:,:,:\":\\", "{\"seed\": 3}", ",,,,::::\"\"\""]
        {
            assert_eq!(read(text), Origin { prompt: Some(text.into()), ..Origin::default() }, "{text:?}");
        }
        let line = |steps: &str, scale: &str, seed: &str| {
            read(&format!("a\nSteps: {steps}, CFG scale: {scale}, Seed: {seed}"))
        };
        for [steps, scale, seed] in [["0", "-1", "-7"], ["1001", "inf", "1e3"], ["\"18", "18", "7"], ["", "", ""]] {
            let got = line(steps, scale, seed);
            assert_eq!((got.seed, got.settings), (None, None), "{steps} {scale} {seed}");
        }
        assert_eq!(line("5", "many", "9").settings, Some(json!({ "stages": [{ "steps": 5 }] })));
        for text in ["\"".repeat(TEXT_MAX), "a:,".repeat(TEXT_MAX / 3), "\n".repeat(TEXT_MAX), "[".repeat(TEXT_MAX)] {
            let _ = read(&text);
        }
    }
}
