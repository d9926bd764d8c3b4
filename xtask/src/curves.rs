//! How often the shipped model is right, by steps, time and guidance of its base, and by what it had been trained on.

mod history;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use serde_json::{Value, json};

use crate::shell::{run as run_program, target_dir};
use crate::test::programs;

/// Prompts of each category that the published table is made of, and no setting is chosen by.
const PUBLISHED: usize = 25;
/// What is measured: a word of each kind that the model has begun to follow.
const CATEGORIES: &str = "single,size,position,pair,counting";
const STEPS: [u64; 7] = [4, 6, 9, 12, 18, 27, 40];
const SCALES: [f64; 6] = [1.0, 1.25, 1.5, 2.0, 3.0, 5.0];

/// A part of a picture that is drawn.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Axes on it, of numbers.
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// One setting of the base and what came of it.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    steps: u64,
    cond_scale: f64,
    right: u64,
    pictures: u64,
    seconds: f64,
}

impl Point {
    fn rate(&self) -> f64 {
        self.right as f64 / self.pictures.max(1) as f64
    }

    /// Of a picture, on all cores.
    fn time(&self) -> f64 {
        self.seconds / self.pictures.max(1) as f64
    }

    /// Of the rate, 95 % (Wilson 1927).
    fn interval(&self) -> [f64; 2] {
        let (n, rate, z) = (self.pictures.max(1) as f64, self.rate(), 1.96f64);
        let centre = rate + z * z / (2.0 * n);
        let reach = z * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
        [-1.0, 1.0].map(|side| (centre + side * reach) / (1.0 + z * z / n))
    }

    fn read(json: &Value) -> Result<Self> {
        let number = |key: &str| json[key].as_f64().with_context(|| format!("{key} is no number"));
        let pictures = count(json, "pictures")?;
        Ok(Self {
            steps: count(json, "steps")?,
            cond_scale: number("cond_scale")?,
            right: count(json, "right")?,
            pictures,
            seconds: number("seconds")? * pictures as f64,
        })
    }

    fn json(&self) -> Value {
        let &Self { steps, cond_scale, right, pictures, .. } = self;
        let (seconds, interval) = (self.time(), self.interval());
        json!({ "steps": steps, "cond_scale": cond_scale, "right": right, "pictures": pictures, "interval": interval,
            "seconds": seconds })
    }
}

/// A file of JSON.
fn load(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", path.display()))
}

fn count(json: &Value, key: &str) -> Result<u64> {
    json[key].as_u64().with_context(|| format!("{key} is no whole number"))
}

/// A list, each entry of which must be readable.
fn entries<T>(json: &Value, read: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    let list = json.as_array().context("not a list")?;
    let entry = |(index, json): (usize, &Value)| read(json).with_context(|| format!("entry {}", index + 1));
    list.iter().enumerate().map(entry).collect()
}

/// Draws `assets/curves.svg` from `assets/curves.json`, and the same of `assets/history.json`.
pub(crate) fn draw(root: &Path) -> Result<()> {
    let path = root.join("assets/curves.json");
    let report = load(&path)?;
    let list = |key: &str| entries(&report[key], Point::read).with_context(|| format!("{}: {key}", path.display()));
    let svg = plot(&list("by_steps")?, &list("by_cond_scale")?)?;
    fs::write(root.join("assets/curves.svg"), svg).context("cannot write assets/curves.svg")?;
    history::draw(root)
}

/// Measures every setting, prints two tables of Markdown, writes `assets/curves.json` and draws it.
pub(crate) fn run(root: &Path, prompts: usize) -> Result<()> {
    let [steps, cond_scale] = defaults(root)?;
    let steps = steps as u64;
    let firefall = programs(root)?.join("firefall");
    let measure = |steps: u64, cond_scale: f64| measure(root, &firefall, prompts, [steps as f64, cond_scale]);
    let by_steps = STEPS.iter().map(|&steps| measure(steps, cond_scale)).collect::<Result<Vec<_>>>()?;
    let known = |scale: f64| by_steps.iter().find(|point| point.steps == steps && scale == cond_scale).cloned();
    let by_scale = SCALES
        .iter()
        .map(|&scale| known(scale).map_or_else(|| measure(steps, scale), Ok))
        .collect::<Result<Vec<_>>>()?;
    for (name, points) in [("steps", &by_steps), ("cond_scale", &by_scale)] {
        eprintln!("\n{}", table(name, points));
    }
    let list = |points: &[Point]| points.iter().map(Point::json).collect::<Vec<_>>();
    let report = json!({ "categories": CATEGORIES, "by_steps": list(&by_steps), "by_cond_scale": list(&by_scale) });
    fs::write(root.join("assets/curves.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    draw(root)
}

/// Steps and guidance of the shipped model's base.
fn defaults(root: &Path) -> Result<[f64; 2]> {
    let path = root.join("assets/model/model.json");
    let model = load(&path)?;
    let sampling = &model["stages"][0]["sampling"];
    let number = |key: &str| sampling[key].as_f64().with_context(|| format!("{}: no {key}", path.display()));
    Ok([number("steps")?, number("cond_scale")?])
}

fn measure(root: &Path, firefall: &Path, prompts: usize, [steps, cond_scale]: [f64; 2]) -> Result<Point> {
    let file = target_dir(root).join("curve.json");
    let mut eval = Command::new(firefall);
    eval.args(["eval", "--device", "cpu", "--seeds", "1", "--categories", CATEGORIES, "--force"]);
    eval.args(["--skip", &PUBLISHED.to_string(), "--prompts", &prompts.to_string()]);
    eval.args(["--steps", &format!("{steps},8"), "--cond-scale", &cond_scale.to_string()]);
    run_program(eval.arg("--json").arg(&file).arg("--model").arg(root.join("assets/model")))?;
    let report = load(&file)?;
    let rows = report["rows"].as_array().with_context(|| format!("{} has no rows", file.display()))?;
    let sum = |key: &str| {
        let sum = rows.iter().map(|row| row[key].as_f64()).sum::<Option<f64>>();
        sum.with_context(|| format!("{}: a row without {key}", file.display()))
    };
    let (right, pictures) = (sum("right")? as u64, sum("pictures")? as u64);
    Ok(Point { steps: steps as u64, cond_scale, right, pictures, seconds: sum("seconds")? })
}

fn table(name: &str, points: &[Point]) -> String {
    let mut text = format!("| {name} | right | 95 % | seconds a picture |\n| --- | --- | --- | --- |\n");
    for point in points {
        let value = if name == "steps" { point.steps as f64 } else { point.cond_scale };
        let (Point { right, pictures, .. }, [low, high]) = (point, point.interval());
        text += &format!("| {value} | {right} of {pictures} | {low:.3} to {high:.3} | {:.2} |\n", point.time());
    }
    text
}

/// Three panels side by side, as SVG.
fn plot(by_steps: &[Point], by_scale: &[Point]) -> Result<String> {
    let mut svg = String::new();
    {
        let whole = SVGBackend::with_string(&mut svg, (1020, 320)).into_drawing_area();
        whole.fill(&WHITE)?;
        let areas = whole.split_evenly((1, 3));
        panel(&areas[0], "steps of the base", by_steps, |point| point.steps as f64)?;
        panel(&areas[1], "seconds a picture, by steps", by_steps, Point::time)?;
        panel(&areas[2], "cond_scale of the base", by_scale, |point| point.cond_scale)?;
        whole.present()?;
    }
    Ok(svg)
}

/// Axes from 0 to the most of each, under the names of what is on them.
fn axes<'a>(area: &Area<'a>, [x, y]: [&str; 2], [most_x, most_y]: [f64; 2]) -> Result<Chart<'a>> {
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(46)
        .build_cartesian_2d(0.0..most_x, 0.0..most_y)?;
    let label = |number: &f64| format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .label_style(("sans-serif", 13))
        .draw()?;
    Ok(chart)
}

fn panel(area: &Area<'_>, what: &str, points: &[Point], x: impl Fn(&Point) -> f64) -> Result<()> {
    let most = points.iter().map(&x).fold(0.0, f64::max);
    let mut chart = axes(area, [what, "pictures that are right"], [most * 1.05, 1.0])?;
    let line = RGBColor(0xb0, 0x3a, 0x2e);
    chart.draw_series(LineSeries::new(points.iter().map(|point| (x(point), point.rate())), line.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|point| {
        let [low, high] = point.interval();
        ErrorBar::new_vertical(x(point), low, point.rate(), high, line.filled(), 6)
    }))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Point, entries, plot, table};

    fn point(steps: u64, right: u64) -> Point {
        Point { steps, cond_scale: 1.5, right, pictures: 100, seconds: 50.0 }
    }

    /// The interval of 84 of 100 as tables of Wilson's have it.
    #[test]
    fn a_point_has_its_interval() {
        let [low, high] = point(18, 84).interval();
        assert!((low - 0.756).abs() < 1e-3 && (high - 0.899).abs() < 1e-3, "{low} to {high}");
        assert!(table("steps", &[point(18, 84)]).ends_with("| 18 | 84 of 100 | 0.756 to 0.899 | 0.50 |\n"));
    }

    #[test]
    fn every_point_is_in_the_plot() {
        let bars = |svg: &str| svg.matches("<circle").count();
        let svg = plot(&[point(4, 10), point(40, 90)], &[point(18, 50)]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("cond_scale of the base"));
        assert_eq!(bars(&svg), 5);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let points = [point(18, 84), point(4, 10)];
        let mut json: Vec<Value> = points.iter().map(Point::json).collect();
        assert_eq!(entries(&json!(json), Point::read).unwrap(), points);
        json[1]["seconds"] = json!("long");
        let error = format!("{:#}", entries(&json!(json), Point::read).unwrap_err());
        assert_eq!(error, "entry 2: seconds is no number");
    }
}
