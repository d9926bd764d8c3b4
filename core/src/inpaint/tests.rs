//! What becomes of masks that are painted in part, and of their edges, against closed forms.

use super::*;
use crate::cascade::{StageConfig, TextModelConfig};
use crate::noise::{Purpose, Stream};

const HARD_EDGE: Blend = Blend { grow: Some(0.0), feather: Some(0.0), match_colour: false };

/// A model of one stage that makes pictures of so many pixels a side.
fn config(size: usize) -> ModelConfig {
    let stages = vec![StageConfig { size, ..StageConfig::default() }];
    ModelConfig { format: 1, name: "none".into(), text: TextModelConfig::default(), stages }
}

/// As wide and high as said, with one value a column.
fn columns(size: [usize; 2], value: impl Fn(usize) -> u8) -> Mask {
    let [width, height] = size;
    Mask { width, height, alpha: (0..width * height).map(|i| value(i % width)).collect() }
}

/// What the model is asked to paint, where one of its pixels is one of the picture.
fn asked(job: &Job, config: &ModelConfig) -> Mask {
    job.canvas(config, Resampling::QUICK, 1.0).mask.unwrap()
}

#[test]
fn a_masks_value_is_the_share_of_what_is_painted() {
    let mut stream = Stream::new(7, Purpose::Evaluation, 0);
    let alpha: Vec<u8> = (0..64 * 64).map(|i| if i % 3 == 0 { 0 } else { stream.below(256) as u8 }).collect();
    let mask = Mask { width: 64, height: 64, alpha: alpha.clone() };
    let (old, new) = (Picture::filled(64, 64, [40, 250, 7]), Picture::filled(64, 64, [200, 10, 7]));
    let config = config(64);
    let job = Job::new(old.clone(), mask.clone(), HARD_EDGE, &config).unwrap();
    let result = job.finish(&new);
    for (i, value) in alpha.iter().enumerate() {
        let share = f64::from(*value) / 255.0;
        let want = [40.0 + 160.0 * share, 250.0 - 240.0 * share, 7.0];
        for (c, want) in want.into_iter().enumerate() {
            let got = f64::from(result.rgb[3 * i + c]);
            assert!((got - want).abs() < 0.5001, "{got} for {want} at {i}, of {value}");
            assert!(*value > 0 || got == f64::from(old.rgb[3 * i + c]), "{i} is not painted");
        }
    }
    // However little is to be seen of it, the model paints all of it.
    assert_eq!(asked(&job, &config), mask.hardened(1));
}

#[test]
fn a_hard_mask_fades_over_its_feather_alone() {
    let (old, new) = (Picture::filled(64, 64, [0; 3]), Picture::filled(64, 64, [255; 3]));
    let mask = columns([64, 64], |x| if x < 20 { 255 } else { 0 });
    let blend = Blend { grow: Some(4.0), feather: Some(7.0), match_colour: false };
    let (config, job) = (config(64), Job::new(old, mask, blend, &config(64)).unwrap());
    let result = job.finish(&new);
    for x in 0..64 {
        let beyond = (x as f64 - 23.0).max(0.0);
        let t = (1.0 - beyond / 8.0).max(0.0);
        let want = (255.0 * t * t * (3.0 - 2.0 * t)).round() as u8;
        assert_eq!(job.weights().alpha[64 * 9 + x], want, "column {x}");
        assert_eq!(result.pixel(x, 9), [want; 3], "column {x}");
    }
    assert_eq!(asked(&job, &config), columns([64, 64], |x| if x < 24 { 255 } else { 0 }));
}

/// A slope that is softer than the feather stays what it is, one that is steeper takes its width.
#[test]
fn softness_and_feather_do_not_add_up() {
    let slope = |x: usize| (255.0 - 6.0 * (x as f32 - 10.0)).clamp(0.0, 255.0) as u8;
    let mask = columns([128, 128], slope);
    let weights = |feather: f32| {
        let blend = Blend { feather: Some(feather), ..HARD_EDGE };
        let job = Job::new(Picture::filled(128, 128, [9; 3]), mask.clone(), blend, &config(128)).unwrap();
        job.weights().alpha[..128].to_vec()
    };
    assert_eq!(weights(0.0), mask.alpha[..128]);
    let gentle = weights(12.0);
    let raised = gentle.iter().zip(&mask.alpha).map(|(weight, value)| weight - value).max();
    assert!(raised < Some(40), "{raised:?}");
    assert!(gentle[70..].iter().all(|v| *v == 0), "{gentle:?}");
    let wide = weights(100.0);
    assert!(wide.is_sorted_by(|a, b| a >= b) && wide[52] > 150 && wide[105] > 0, "{wide:?}");
}

#[test]
fn what_goes_over_into_what_was_there_lies_in_the_region() {
    let mut stream = Stream::new(8, Purpose::Evaluation, 0);
    let given = [None, Some(0.0), Some(3.5), Some(20.0)];
    for _ in 0..60 {
        let [w, h] = [100 + stream.below(120), 100 + stream.below(120)];
        let [wide, high] = [1 + stream.below(60), 1 + stream.below(60)];
        let [left, top] = [stream.below(w - wide), stream.below(h - high)];
        let mut mask = Mask::filled(w, h, 0);
        for y in top..top + high {
            mask.alpha[y * w + left..][..wide].fill(1 + stream.below(255) as u8);
        }
        let blend = Blend { grow: *stream.pick(&given), feather: *stream.pick(&given), match_colour: false };
        let context = stream.range(region::CONTEXTS[0], region::CONTEXTS[1]);
        let job = Job::seeing(context, Picture::filled(w, h, [9; 3]), mask, blend, &config(16)).unwrap();
        let Region { left, top, side } = job.region();
        for (i, weight) in job.weights().alpha.iter().enumerate() {
            let [x, y] = [(i % w) as isize - left, (i / w) as isize - top];
            let is_inside = [x, y].into_iter().all(|at| (0..side as isize).contains(&at));
            assert!(*weight == 0 || is_inside, "{weight} at {i} of {w} x {h} beyond {:?}", job.region());
        }
    }
}

#[test]
fn a_context_that_makes_no_sense_is_refused() {
    for context in [0.0, 8.5, f64::NAN, -1.0] {
        let (picture, mask) = (Picture::filled(8, 8, [0; 3]), Mask::filled(8, 8, 255));
        let error = Job::seeing(context, picture, mask, Blend::default(), &config(8)).unwrap_err();
        assert_eq!(error.to_string(), format!("context is {context}; it must be from 0.5 to 8"));
    }
}
