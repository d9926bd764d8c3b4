//! Painting by a tiny cascade: what each stage knows of the picture, and how much work it is.

use std::cell::Cell;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use firefall_core::cascade::{Canvas, Event, Model, Request, StageSettings};
use firefall_core::diffusion::{Known, Level, Resampling, Sampler, SamplerKind};
use firefall_core::image::{Mask, Picture, resized_rest};

use crate::tiny::{apart, events, pictures, request, shared, told_what_is_known};

const PROMPT: &str = "a red circle";

/// A picture as large as those of the second stage, of which the left half is to be painted.
fn canvas(resampling: Resampling, strength: f64) -> Canvas {
    let rgb = (0..256).flat_map(|i| [i % 16 * 16, i / 16 * 16, 200]).map(|v: usize| v as u8).collect();
    let alpha = (0..256).map(|i| if i % 16 < 8 { 255 } else { 0 }).collect();
    Canvas {
        picture: Picture { width: 16, height: 16, rgb },
        mask: Some(Mask { width: 16, height: 16, alpha }),
        strength,
        resampling,
    }
}

fn painting(canvas: Canvas) -> Request {
    Request { canvas: Some(canvas), ..request(&[(PROMPT, 1)]) }
}

/// What is known is in every stage's picture as it was, and what is not known is not.
#[test]
fn every_stage_keeps_what_is_known() {
    for (resampling, strength) in [(Resampling::QUICK, 1.0), (Resampling { jump: 1, repeats: 2 }, 0.7)] {
        let canvas = canvas(resampling, strength);
        let mask = canvas.mask.clone().unwrap();
        let small = resized_rest(&canvas.picture, &mask, 8, 8);
        for (stage, (want, mask)) in [(1, small), (2, (canvas.picture.clone(), mask))] {
            let request = Request { stop_after: Some(stage), ..painting(canvas.clone()) };
            let got = pictures(&shared(), request).remove(0);
            assert_eq!((got.width, got.height), (want.width, want.height));
            let mut changed = 0;
            for (x, y) in (0..got.height).flat_map(|y| (0..got.width).map(move |x| (x, y))) {
                let same = got.pixel(x, y) == want.pixel(x, y);
                assert!(same || mask.is_painted(x, y), "stage {stage}: ({x}, {y}) is known");
                changed += usize::from(!same);
            }
            assert!(changed * 4 > got.width * got.height, "stage {stage}: {changed} pixels painted");
        }
    }
}

#[test]
fn the_second_stage_may_be_told_what_is_known() {
    let [plain, deaf, listening] = told_what_is_known(1);
    let painted = |model: &Arc<Model>| pictures(model, painting(canvas(Resampling::QUICK, 1.0))).remove(0);
    let plain = painted(&plain);
    assert!(apart(&painted(&deaf), &plain) <= 1);
    assert!(apart(&painted(&listening), &plain) > 1);
}

/// Calls of a denoiser by the samplers that a run of the request makes.
fn counted(model: &Model, request: &Request) -> usize {
    let (calls, device) = (Cell::new(0), Device::flex());
    let denoiser = |x_t: Tensor<4>, _: Level| {
        calls.set(calls.get() + 1);
        x_t
    };
    let nothing = |channels: usize| -> Tensor<4> { Tensor::zeros([1, channels, 2, 2], &device) };
    for (stage, settings) in model.config.stages.iter().zip(&request.stages) {
        let kind = settings.sampler.unwrap();
        let levels = kind.levels(&stage.process, settings.steps.unwrap());
        let mut sampler = match &request.canvas {
            None => Sampler::new(kind, levels, nothing(3)),
            Some(canvas) => {
                let known = Known { x0: nothing(3), keep: nothing(1) };
                let sampler = Sampler::from_picture(kind, &levels, canvas.strength, nothing(3), nothing(3));
                sampler.painting(known, canvas.resampling)
            }
        };
        while sampler.step(&denoiser, &mut |_| nothing(3)).is_some() {}
    }
    calls.get()
}

#[test]
fn a_run_is_the_work_that_it_was_said_to_be() {
    let (model, often) = (shared(), Resampling { jump: 2, repeats: 3 });
    let quick = Resampling::QUICK;
    let ways = [None, Some((quick, 1.0)), Some((quick, 0.5)), Some((often, 1.0)), Some((often, 0.5))];
    for name in ["ddpm", "dpm++2m", "heun"] {
        let sampler = Some(SamplerKind::from_name(name).unwrap());
        let settings = |steps| StageSettings { steps: Some(steps), sampler, ..StageSettings::default() };
        for way in ways {
            let alone = Request { stages: vec![settings(5), settings(3)], ..request(&[(PROMPT, 1)]) };
            let canvas = way.map(|(resampling, strength)| canvas(resampling, strength));
            let request = Request { canvas, ..alone.clone() };
            let said = request.calls(&model.config);
            if let Some((resampling, strength)) = way {
                assert_eq!(alone.calls_painting(&model.config, resampling, strength), said, "{name} {way:?}");
            }
            let all = events(&model, request.clone());
            let steps = all.iter().filter(|event| matches!(event, Event::Step { .. })).count();
            let made = counted(&model, &request);
            let turns = way.is_some_and(|(resampling, _)| resampling == often);
            match name {
                // Two a step but for those that end without noise, and the way turns there up to twice a stage.
                "heun" if turns => assert!((made..=made + 4).contains(&said), "{way:?}: {said} said, {made} made"),
                "heun" => assert_eq!((2 * steps - 2, made), (said, said), "{way:?}"),
                _ => assert_eq!((steps, made), (said, said), "{name} {way:?}"),
            }
        }
    }
}
