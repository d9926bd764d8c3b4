//! How often each shipped state of the model was right, by the pictures that its base had been trained on.
//!
//! New weights are one more entry at the end of `assets/history.json`. The numbers of its rows are those of
//! `firefall eval --prompts 25 --seeds 4`; what was not measured is left out.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use plotters::prelude::*;
use serde_json::Value;

use super::{axes, count, entries, load};

/// A category by its word in the file of `firefall eval --json`, its name in the published table and its line's colour.
type Category = (&'static str, &'static str, RGBColor);
/// A category's measurements: millions of pictures, and of [`OF`] how many were right.
type Line = (Category, Vec<(f64, f64)>);

/// In the order of the published table.
const CATEGORIES: [Category; 11] = [
    ("single", "single", RGBColor(0xb0, 0x3a, 0x2e)),
    ("background", "colour on background", RGBColor(0x80, 0x80, 0x80)),
    ("size", "size", RGBColor(0xd6, 0x89, 0x10)),
    ("position", "position", RGBColor(0x1f, 0x61, 0x8d)),
    ("pair", "two objects", RGBColor(0x7d, 0x3c, 0x98)),
    ("relation", "relation", RGBColor(0xd8, 0x1b, 0x60)),
    ("counting", "counting", RGBColor(0x1e, 0x84, 0x49)),
    ("digit", "digit", RGBColor(0x17, 0x20, 0x2a)),
    ("held-out-pair", "held-out pair", RGBColor(0xe5, 0x98, 0x80)),
    ("held-out-count", "held-out count", RGBColor(0x82, 0xc7, 0x9b)),
    ("paraphrase", "paraphrase", RGBColor(0x3a, 0xa6, 0xc4)),
];
/// Pictures of each category in every evaluation.
const OF: u64 = 100;
/// Fewest measurements that make a line.
const FEWEST: usize = 3;

/// Weights that were shipped.
#[derive(Debug, Clone, PartialEq)]
struct State {
    /// What was trained since the state before.
    part: String,
    /// The day it was shipped, as 2026-11-23.
    date: String,
    /// Pictures that the base had been trained on, those of the bases that it grew from included.
    pictures: u64,
    /// Squares of the super-resolution, likewise.
    squares: u64,
    /// By category; none where nothing was measured.
    right: [Option<u64>; CATEGORIES.len()],
}

impl State {
    fn read(json: &Value) -> Result<Self> {
        let part = json["part"].as_str().context("part is no text")?;
        let date = json["date"].as_str().filter(|date| date.len() == 10).context("date is none like 2026-11-23")?;
        let pictures = count(json, "pictures")?;
        ensure!(pictures > 0, "pictures is 0; it counts those that the base has been trained on");
        let mut right = [None; CATEGORIES.len()];
        for (key, value) in json["rows"].as_object().context("rows is no object of categories")? {
            let known = CATEGORIES.iter().position(|(word, ..)| word == key);
            let at = known.with_context(|| format!("rows.{key} is no category of `firefall eval`"))?;
            let number = value.as_u64().filter(|&number| number <= OF);
            right[at] = Some(number.with_context(|| format!("rows.{key} is {value}, not a number of {OF} pictures"))?);
        }
        Ok(Self { part: part.to_owned(), date: date.to_owned(), pictures, squares: count(json, "squares")?, right })
    }
}

/// Draws `assets/history.svg` from `assets/history.json`, and prints the table of Markdown that goes with it.
pub(super) fn draw(root: &Path) -> Result<()> {
    let states = read(&root.join("assets/history.json"))?;
    eprintln!("\n{}", table(&states));
    fs::write(root.join("assets/history.svg"), plot(&states)?).context("cannot write assets/history.svg")
}

fn read(path: &Path) -> Result<Vec<State>> {
    states(&load(path)?).with_context(|| path.display().to_string())
}

/// The states, which must stand in the order of time.
fn states(json: &Value) -> Result<Vec<State>> {
    let states = entries(json, State::read)?;
    for (index, pair) in states.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        let falls = [
            ("date", after.date < before.date),
            ("pictures", after.pictures < before.pictures),
            ("squares", after.squares < before.squares),
        ];
        if let Some((key, _)) = falls.iter().find(|(_, falls)| *falls) {
            bail!("entry {}: {key} is less than before; states stand in the order of time and count on", index + 2);
        }
    }
    Ok(states)
}

fn table(states: &[State]) -> String {
    let names = CATEGORIES.map(|(_, name, _)| name);
    let mut text = format!("| | pictures | squares | {} |\n|", names.join(" | "));
    text += &(" --- |".repeat(names.len() + 3) + "\n");
    for state in states {
        let cells = state.right.map(|right| right.map_or_else(|| "-".to_owned(), |right| right.to_string()));
        let [pictures, squares] = [state.pictures, state.squares].map(thousands);
        text += &format!("| {} | {pictures} | {squares} | {} |\n", state.part, cells.join(" | "));
    }
    text
}

/// 3,920,600.
fn thousands(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", thousands(number / 1000), number % 1000) }
}

/// A line for each category that was measured often enough, as SVG; what ends highest is named first.
fn plot(states: &[State]) -> Result<String> {
    let line = |(at, category): (usize, Category)| -> Line {
        let point = |state: &State| Some((state.pictures as f64 / 1e6, state.right[at]? as f64));
        (category, states.iter().filter_map(point).collect())
    };
    let mut lines: Vec<Line> = CATEGORIES.into_iter().enumerate().map(line).collect();
    lines.retain(|(_, points)| points.len() >= FEWEST);
    ensure!(!lines.is_empty(), "no category was measured {FEWEST} times");
    let end = |(_, points): &Line| points.last().map_or(0.0, |&(_, right)| right);
    lines.sort_by(|a, b| end(b).total_cmp(&end(a)));
    let most = states.iter().map(|state| state.pictures as f64 / 1e6).fold(0.0, f64::max);
    let mut svg = String::new();
    {
        let whole = SVGBackend::with_string(&mut svg, (1020, 460)).into_drawing_area();
        whole.fill(&WHITE)?;
        let (left, right) = whole.split_horizontally(840);
        let what = ["pictures that the base was trained on, in millions", "right of 100"];
        let mut chart = axes(&left, what, [most * 1.05, OF as f64])?;
        for (at, ((_, name, colour), points)) in lines.iter().enumerate() {
            let style = colour.filled().stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?;
            let y = 16 + 22 * at as i32;
            right.draw(&PathElement::new(vec![(4, y + 6), (28, y + 6)], style))?;
            right.draw(&Text::new(*name, (36, y), ("sans-serif", 13).into_font()))?;
        }
        whole.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::{CATEGORIES, OF, plot, read, states, table};
    use crate::root;

    fn state(pictures: u64, rows: &Value) -> Value {
        json!({ "part": "base", "date": "2026-11-21", "pictures": pictures, "squares": 0, "rows": rows })
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut undated = state(1000, &json!({}));
        undated["date"] = json!("today");
        let mut endless = state(1000, &json!({}));
        endless["squares"] = json!(-1);
        for (json, want) in [
            (json!({}), "not a list"),
            (json!([state(1000, &json!(5))]), "entry 1: rows is no object"),
            (json!([state(1000, &json!({ "circle": 3 }))]), "entry 1: rows.circle is no category"),
            (json!([state(1000, &json!({ "single": 101 }))]), "entry 1: rows.single is 101"),
            (json!([state(0, &json!({}))]), "entry 1: pictures is 0"),
            (json!([undated]), "entry 1: date is none"),
            (json!([endless]), "entry 1: squares is no whole number"),
            (json!([state(2000, &json!({})), state(1000, &json!({}))]), "entry 2: pictures is less"),
        ] {
            let error = format!("{:#}", states(&json).unwrap_err());
            assert!(error.starts_with(want), "{error}");
        }
        let missing = format!("{:#}", read(Path::new("nowhere.json")).unwrap_err());
        assert!(missing.contains("nowhere.json"), "{missing}");
    }

    #[test]
    fn a_table_says_what_is_not_known() {
        let states = states(&json!([state(1_003_000, &json!({ "single": 7, "paraphrase": 0 }))])).unwrap();
        let table = table(&states);
        assert!(table.ends_with("| base | 1,003,000 | 0 | 7 | - | - | - | - | - | - | - | - | - | 0 |\n"), "{table}");
        let bars: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(bars, [15; 3], "{table}");
    }

    /// Equal steps are equal on the paper, more is higher, and two measurements make no line.
    #[test]
    fn what_was_measured_is_in_the_plot() {
        let [first, second] =
            [(1_000_000, 0), (2_000_000, 50)].map(|(n, right)| state(n, &json!({ "single": right, "pair": 10 })));
        let third = state(3_000_000, &json!({ "single": 100 }));
        let svg = plot(&states(&json!([first, second, third])).unwrap()).unwrap();
        assert!(svg.contains("\nsingle\n") && !svg.contains("\ntwo objects\n"), "{svg}");
        let places = |key: &str| -> Vec<i32> {
            svg.split(key).skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
        };
        let (x, y) = (places(" cx=\""), places(" cy=\""));
        assert_eq!((x.len(), y.len()), (3, 3), "{svg}");
        assert!(x[0] < x[1] && ((x[1] - x[0]) - (x[2] - x[1])).abs() <= 1, "{x:?}");
        assert!(y[0] > y[1] && ((y[0] - y[1]) - (y[1] - y[2])).abs() <= 1, "{y:?}");
    }

    /// Whoever ships new weights adds their state to the file, and the table of the file to the text.
    #[test]
    fn the_text_has_the_states_and_the_last_is_the_published_one() {
        let assets = root().unwrap().join("assets");
        let text = fs::read_to_string(assets.join("README.md")).unwrap();
        let states = read(&assets.join("history.json")).unwrap();
        let table = table(&states);
        assert!(text.contains(&table), "assets/README.md does not have the table of assets/history.json:\n{table}");
        let last = states.last().unwrap();
        for ((_, name, _), right) in CATEGORIES.iter().zip(last.right) {
            let row = format!("| {name} | {} of {OF} | ", right.unwrap());
            assert!(text.lines().any(|line| line.starts_with(&row)), "{row}is not in assets/README.md");
        }
    }
}
