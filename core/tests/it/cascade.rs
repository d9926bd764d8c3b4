//! Runs of a tiny cascade: what they tell, what a picture depends on, and what goes wrong in an orderly way.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use firefall_core::cascade::{Canvas, Event, Model, PictureRequest, Request, RequestError, Run, StageSettings};
use firefall_core::diffusion::{Resampling, SamplerKind, Threshold};
use firefall_core::image::{Mask, Picture};
use firefall_core::weights::named;

use crate::tiny::{apart, changed, events, model, pictures, request, shared, told_what_is_known, try_pictures, wgpu};

const PROMPT: &str = "a red circle";
/// Other lengths than [`PROMPT`], on both sides.
const LONGER: &str = "three small green stars above a big purple hexagon on a black background";
const SHORTER: &str = "7";

fn one() -> Request {
    request(&[(PROMPT, 1)])
}

fn with(settings: StageSettings, request: Request) -> Request {
    Request { stages: vec![settings; 2], ..request }
}

fn cond_scale(value: f64) -> StageSettings {
    StageSettings { cond_scale: Some(value), ..StageSettings::default() }
}

fn negative(text: &str) -> Request {
    let mut request = with(cond_scale(3.0), one());
    request.pictures[0].negative = Some(text.to_owned());
    request
}

fn short(event: &Event) -> String {
    match event {
        Event::Encoded { tokens } => format!("encoded {}", tokens.len()),
        Event::StageStarted { stage, stages, size, steps } => format!("stage {stage}/{stages} {size} px {steps}"),
        Event::Step { stage, step, steps, preview } => {
            format!("step {stage}: {step}/{steps}{}", if preview.is_some() { " seen" } else { "" })
        }
        Event::StageDone { stage } => format!("done {stage}"),
        Event::Done { pictures } => format!("{} pictures of {} px", pictures.len(), pictures[0].width),
        Event::Warning { message } => format!("warning: {message}"),
    }
}

fn told(request: Request) -> Vec<String> {
    events(&shared(), request).iter().map(short).collect()
}

#[test]
fn events_come_in_order() {
    let want = [
        "encoded 2",
        "stage 1/2 8 px 3",
        "step 1: 1/3",
        "step 1: 2/3",
        "step 1: 3/3",
        "done 1",
        "stage 2/2 16 px 3",
        "step 2: 1/3",
        "step 2: 2/3",
        "step 2: 3/3",
        "done 2",
        "2 pictures of 16 px",
    ];
    assert_eq!(told(request(&[(PROMPT, 1), (LONGER, 2)])), want);
}

#[test]
fn the_tokens_are_those_of_each_prompt() {
    let lengths = |wishes: &[(&str, u64)]| match &events(&shared(), request(wishes))[0] {
        Event::Encoded { tokens } => tokens.clone(),
        other => panic!("{other:?}"),
    };
    let both = lengths(&[(PROMPT, 1), (LONGER, 2)]);
    assert_eq!(both, [lengths(&[(PROMPT, 1)]), lengths(&[(LONGER, 2)])].concat());
    assert!(both[0] < both[1], "{both:?}");
}

#[test]
fn a_run_stops_after_any_event_and_leaves_nothing_behind() {
    let model = Arc::new(model(7, &Device::flex()));
    let want = pictures(&model, one());
    for stop in 0..12 {
        let mut run = Run::new(model.clone(), one()).unwrap();
        for _ in 0..stop {
            assert!(pollster::block_on(run.next()).unwrap().is_some());
        }
        drop(run);
        assert_eq!(Arc::strong_count(&model), 1, "after {stop} events");
    }
    assert_eq!(pictures(&model, one()), want);
}

#[test]
fn nothing_comes_after_the_pictures() {
    let mut run = Run::new(shared(), one()).unwrap();
    while let Some(event) = pollster::block_on(run.next()).unwrap() {
        if matches!(event, Event::Done { .. }) {
            break;
        }
    }
    for _ in 0..3 {
        assert_eq!(pollster::block_on(run.next()).unwrap(), None);
    }
}

/// With every sampler, so that noise added on the way is the picture's own as well.
#[test]
fn a_picture_does_not_depend_on_its_batch() {
    for name in SamplerKind::NAMES {
        let settings =
            StageSettings { sampler: Some(SamplerKind::from_name(name).unwrap()), ..StageSettings::default() };
        let with = |wishes: &[(&str, u64)]| pictures(&shared(), with(settings, request(wishes)));
        let together = with(&[(LONGER, 9), (PROMPT, 1), (SHORTER, 2)]);
        for (picture, wish) in together.iter().zip([(LONGER, 9), (PROMPT, 1), (SHORTER, 2)]) {
            let alone = &with(&[wish])[0];
            assert!(apart(picture, alone) <= 1, "{name}, {wish:?}: {} apart", apart(picture, alone));
        }
    }
}

#[test]
fn a_run_repeats_itself_to_the_byte() {
    assert_eq!(pictures(&shared(), one()), pictures(&shared(), one()));
}

#[test]
fn another_seed_or_prompt_is_another_picture() {
    let first = &pictures(&shared(), one())[0];
    for other in [(PROMPT, 2), (PROMPT, u64::MAX), ("a blue circle", 1), (LONGER, 1)] {
        let picture = &pictures(&shared(), request(&[other]))[0];
        assert!(apart(first, picture) > 5, "{other:?}: {} apart", apart(first, picture));
    }
}

#[test]
fn the_negative_prompt_counts_where_there_is_guidance() {
    let plain = &pictures(&shared(), with(cond_scale(3.0), one()))[0];
    let against = &pictures(&shared(), negative("a blue star"))[0];
    assert!(apart(plain, against) > 5, "{} apart", apart(plain, against));
    for empty in ["", "  ", "\0\u{200b}"] {
        assert!(apart(plain, &pictures(&shared(), negative(empty))[0]) <= 1, "{empty:?} is no negative prompt");
    }
    // Guidance away from the prompt itself is no guidance, whatever its scale.
    let itself = &pictures(&shared(), negative(PROMPT))[0];
    let unguided = &pictures(&shared(), with(cond_scale(1.0), one()))[0];
    assert!(apart(itself, unguided) <= 1, "{} apart", apart(itself, unguided));
    let ignored = Request { stages: vec![cond_scale(1.0); 2], ..negative("a blue star") };
    assert_eq!(&pictures(&shared(), ignored)[0], unguided);
}

/// At scale 0 only what stands against the prompt is left, so the two halves cannot be taken for each other.
#[test]
fn without_the_prompt_the_negative_is_what_is_drawn() {
    let against = Request { stages: vec![cond_scale(0.0); 2], ..negative(LONGER) };
    let drawn = &pictures(&shared(), against)[0];
    let wanted = &pictures(&shared(), with(cond_scale(1.0), request(&[(LONGER, 1)])))[0];
    assert!(apart(drawn, wanted) <= 1, "{} apart", apart(drawn, wanted));
    let prompt = &pictures(&shared(), with(cond_scale(1.0), one()))[0];
    assert!(apart(drawn, prompt) > 5, "{} apart", apart(drawn, prompt));
}

/// With all levels in the interval it is as if there were none, with no level in it there is no guidance.
#[test]
fn guidance_is_where_its_interval_is() {
    let drawn = |interval, scale| {
        let mut model = model(7, &Device::flex());
        for stage in &mut model.stages {
            stage.config.sampling.guidance_interval = interval;
        }
        let request = request(&[(PROMPT, 1), (LONGER, 2)]);
        pictures(&Arc::new(model), with(cond_scale(scale), request)).remove(1)
    };
    let [guided, alone] = [3.0, 1.0].map(|scale| drawn(None, scale));
    assert!(apart(&guided, &drawn(Some([0.0, 1e3]), 3.0)) <= 1);
    assert!(apart(&alone, &drawn(Some([1e3, 1e3]), 3.0)) <= 1);
    // Of three levels, 50, 2.4 and 0.01, the middle one.
    let middle = drawn(Some([0.5, 10.0]), 3.0);
    assert!(apart(&middle, &guided) > 1 && apart(&middle, &alone) > 1);
    // Where the prompt counts less than nothing at all, it is so everywhere.
    assert_eq!(drawn(Some([1e3, 1e3]), 0.0), drawn(None, 0.0));
}

#[test]
fn settings_change_the_picture() {
    let plain = &pictures(&shared(), one())[0];
    let settings = [
        StageSettings { steps: Some(5), ..StageSettings::default() },
        cond_scale(6.0),
        StageSettings { sampler: Some(SamplerKind::Ddpm), ..StageSettings::default() },
        StageSettings { lowres_std: Some(0.5), ..StageSettings::default() },
    ];
    for settings in settings {
        let picture = &pictures(&shared(), with(settings, one()))[0];
        assert!(apart(plain, picture) > 1, "{settings:?}: {} apart", apart(plain, picture));
    }
    // Fewer entries than stages leave the others as they are.
    let all = told(Request { stages: vec![StageSettings { steps: Some(1), ..StageSettings::default() }], ..one() });
    assert!(all.contains(&"step 1: 1/1".to_owned()) && all.contains(&"step 2: 3/3".to_owned()), "{all:?}");
}

#[test]
fn previews_are_the_estimates_and_end_on_the_picture() {
    let all = events(&shared(), Request { previews: true, ..request(&[(PROMPT, 1), (LONGER, 2)]) });
    let previews: Vec<_> = all
        .iter()
        .filter_map(|event| match event {
            Event::Step { stage, preview, .. } => Some((stage, preview.as_ref().unwrap())),
            _ => None,
        })
        .collect();
    assert_eq!(previews.len(), 6);
    for (stage, preview) in &previews {
        assert!(preview.len() == 2 && preview.iter().all(|p| p.width == [8, 16][**stage - 1]), "stage {stage}");
    }
    let Some(Event::Done { pictures: done }) = all.last() else { panic!("{all:?}") };
    assert_eq!(previews[5].1, done, "the last estimate is the picture");
    assert_ne!(previews[4].1, previews[5].1);
    assert_eq!(&pictures(&shared(), request(&[(PROMPT, 1), (LONGER, 2)])), done, "looking changes nothing");
}

#[test]
fn a_run_stops_after_the_asked_stage() {
    let first = Request { stop_after: Some(1), ..one() };
    let all = told(first.clone());
    assert_eq!(all[1], "stage 1/1 8 px 3");
    assert_eq!(all.last().unwrap(), "1 pictures of 8 px");
    assert_eq!(all.len(), 7);
    // The second stage changes nothing of the first.
    let previews = events(&shared(), Request { previews: true, ..one() });
    let Event::Step { stage: 1, step: 3, preview: Some(preview), .. } = &previews[4] else { panic!("{previews:?}") };
    assert_eq!(&pictures(&shared(), first), preview);
}

#[test]
fn a_text_beyond_the_models_length_is_cut_with_a_warning() {
    let long = LONGER.repeat(10_000 / LONGER.len() + 1);
    let mut request = request(&[(PROMPT, 1), (&long, 2), (PROMPT, 3)]);
    request.pictures[2].negative = Some(long.clone());
    let all = told(request);
    let warnings: Vec<_> = all.iter().filter(|event| event.starts_with("warning")).collect();
    assert_eq!(warnings.len(), 2, "{all:?}");
    assert!(warnings[0].contains("the prompt of picture 2 is longer than 24 tokens"), "{warnings:?}");
    assert!(warnings[1].contains("the negative prompt of picture 3"), "{warnings:?}");
    assert!(all[2].starts_with("encoded"), "warnings come first: {all:?}");
}

#[test]
fn any_text_runs() {
    let odd = [
        "🔥🦊🌟",
        "\0a red circle\0",
        "نجمة حمراء على خلفية زرقاء",
        "\u{202e}elcric der a",
        "a\u{300}\u{301}\u{302}\u{303} ｆｕｌｌ ﷺ",
        "</s><pad><unk>",
        "\u{10ffff}\u{fffd}\r\n\t",
        "<0x41>",
    ];
    let wishes: Vec<(&str, u64)> = odd.iter().map(|text| (*text, 1)).collect();
    let made = pictures(&shared(), request(&wishes));
    assert_eq!(made.len(), odd.len());
    assert_ne!(made[0], made[2], "what is said makes a difference");
}

#[test]
fn every_wrong_request_says_what_is_wrong() {
    let stages = |settings: Vec<StageSettings>| Request { stages: settings, ..one() };
    let steps = |n| StageSettings { steps: Some(n), ..StageSettings::default() };
    let lowres_std = |v| StageSettings { lowres_std: Some(v), ..StageSettings::default() };
    let sampler = |kind| StageSettings { sampler: Some(kind), ..StageSettings::default() };
    let blank = |prompt: &str| request(&[(PROMPT, 1), (prompt, 2)]);
    let cases = [
        (Request::default(), "the request asks for no picture"),
        (blank(" \t"), "the prompt 2 is empty"),
        (blank("\0\u{200b}"), "the prompt 2 is empty"),
        (request(&[("", 1)]), "the prompt is empty"),
        (request(&[("", 1), (PROMPT, 2)]), "the prompt 1 is empty"),
        (stages(vec![steps(3), steps(0)]), "0 steps in stage 2; it must be from 1 to 1000"),
        (stages(vec![steps(1001)]), "1001 steps in stage 1"),
        (stages(vec![steps(usize::MAX)]), "steps in stage 1"),
        (stages(vec![cond_scale(f64::NAN)]), "cond_scale NaN in stage 1"),
        (stages(vec![cond_scale(f64::INFINITY)]), "cond_scale inf in stage 1"),
        (stages(vec![cond_scale(1e200)]), "in stage 1; it must be a finite number"),
        (stages(vec![steps(3), lowres_std(-0.1)]), "lowres_std -0.1 in stage 2"),
        (stages(vec![steps(3), lowres_std(f64::NAN)]), "lowres_std NaN in stage 2"),
        (stages(vec![steps(3), lowres_std(1e155)]), "in stage 2; it must be from 0 to 1000"),
        (
            stages(vec![sampler(SamplerKind::Ddim { eta: 2.0 })]),
            "sampler.ddim.eta is 2; it must be from 0 to 1 in stage 1",
        ),
        (stages(vec![steps(3); 3]), "stage 3; this model has 2"),
        (Request { stop_after: Some(0), ..one() }, "stage 0; this model has 2"),
        (Request { stop_after: Some(3), ..one() }, "stage 3; this model has 2"),
    ];
    for (request, words) in cases {
        let error = Run::new(shared(), request).unwrap_err().to_string();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    }
    let empty = Run::new(shared(), Request { pictures: vec![PictureRequest::default()], ..one() }).unwrap_err();
    assert_eq!(empty, RequestError::EmptyPrompt { index: 0, of: 1 });
}

/// One number of the network is NaN, under every threshold.
#[test]
fn a_network_that_gives_no_numbers_is_an_error() {
    let broken = |part: usize, threshold: Threshold| {
        let mut model = model(7, &Device::flex());
        for stage in &mut model.stages {
            stage.config.sampling.threshold = threshold;
        }
        let nan = |at: usize, i: usize, v: f32| if (at, i) == (1, 0) { f32::NAN } else { v };
        match part {
            0 => model.text.t5 = changed(model.text.t5, nan),
            part => model.stages[part - 1].unet = changed(model.stages[part - 1].unet.clone(), nan),
        }
        Arc::new(model)
    };
    for threshold in [Threshold::None, Threshold::Static, Threshold::Dynamic { quantile: 0.95, most: None }] {
        for (part, stage) in [(0, 1), (1, 1), (2, 2)] {
            for previews in [false, true] {
                let request = Request { previews, ..one() };
                let error = try_pictures(&broken(part, threshold), request).unwrap_err().to_string();
                let words = "the network gave values that are no numbers";
                let right = error.contains(words) && (part == 0 || error.contains(&format!("stage {stage}")));
                assert!(right, "part {part}, {threshold:?}, previews {previews}: {error:?}");
            }
        }
    }
}

/// A network overflows in the last thing it does, where no layer comes that would make NaN of what is infinite.
#[test]
fn a_network_that_overflows_is_an_error() {
    let broken = |stage: usize, wrong: f32, threshold: Threshold| {
        let mut model = model(7, &Device::flex());
        for stage in &mut model.stages {
            stage.config.sampling.threshold = threshold;
        }
        let unet = model.stages[stage].unet.clone();
        let end = named(&unet).iter().position(|p| p.path == "final_conv.bias").unwrap();
        model.stages[stage].unet = changed(unet, |at, _, v| if at == end { wrong } else { v });
        Arc::new(model)
    };
    let dynamic = |most| Threshold::Dynamic { quantile: 0.95, most };
    for threshold in [Threshold::None, Threshold::Static, dynamic(None), dynamic(Some(1.7))] {
        for (stage, wrong) in [(0, f32::INFINITY), (0, f32::NEG_INFINITY), (1, f32::INFINITY)] {
            for previews in [false, true] {
                // Guidance would make NaN of it as well.
                let request = Request { previews, ..with(cond_scale(1.0), one()) };
                let error = try_pictures(&broken(stage, wrong, threshold), request).unwrap_err().to_string();
                let words = format!("stage {}: the network gave values that are no numbers", stage + 1);
                assert_eq!(error, words, "{wrong}, {threshold:?}, previews {previews}");
            }
        }
    }
}

#[test]
fn a_gpu_makes_no_number_of_what_is_none() {
    let Some(device) = wgpu("a_gpu_makes_no_number_of_what_is_none") else { return };
    let dynamic = |most| Threshold::Dynamic { quantile: 0.75, most };
    for threshold in [Threshold::Static, dynamic(None), dynamic(Some(1.7))] {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = Tensor::<4>::from_data([[[[0.5f32, wrong], [-3.0, 0.0]]]], &device);
            let got: Vec<f32> = threshold.apply(x * 0.5).into_data().try_to_vec().unwrap();
            assert!(!got[1].is_finite(), "{threshold:?} of {wrong}: {got:?}");
        }
    }
}

#[test]
fn a_run_that_failed_is_over() {
    let mut model = model(7, &Device::flex());
    model.stages[0].unet = changed(model.stages[0].unet.clone(), |_, _, _| f32::NAN);
    let mut run = Run::new(Arc::new(model), one()).unwrap();
    let failed = (0..20).find_map(|_| pollster::block_on(run.next()).err());
    assert!(failed.is_some());
    assert!(pollster::block_on(run.next()).unwrap().is_none());
}

#[test]
fn a_network_may_be_told_what_is_known() {
    let [plain, deaf, listening] = told_what_is_known(0);
    assert_eq!([&plain, &listening].map(|m| m.config.resampling()), [Resampling::BALANCED, Resampling::QUICK]);
    let alpha = (0..256).map(|i| if i % 16 < 8 { 255 } else { 0 }).collect();
    let canvas = Canvas {
        picture: Picture::filled(16, 16, [200, 30, 90]),
        mask: Some(Mask { width: 16, height: 16, alpha }),
        strength: 1.0,
        resampling: Resampling::QUICK,
    };
    let painting = Request { canvas: Some(canvas), ..one() };
    let painted = |model: &Arc<Model>| pictures(model, painting.clone()).remove(0);
    let drawn = |model: &Arc<Model>| pictures(model, one()).remove(0);
    assert_eq!([drawn(&deaf), drawn(&listening)], [drawn(&plain), drawn(&plain)], "nothing is known");
    assert_eq!(painted(&deaf), painted(&plain));
    assert!(apart(&painted(&listening), &painted(&plain)) > 2);
}

#[test]
fn a_gpu_makes_the_same_picture() {
    let Some(device) = wgpu("a_gpu_makes_the_same_picture") else { return };
    let dynamic = Threshold::Dynamic { quantile: 0.9, most: None };
    let kinds = SamplerKind::NAMES.map(|name| (SamplerKind::from_name(name).unwrap(), Threshold::Static));
    for (kind, threshold) in kinds.into_iter().chain([(SamplerKind::default(), dynamic)]) {
        let [on_cpu, on_gpu] = [&Device::flex(), &device].map(|device| {
            let mut model = model(7, device);
            for stage in &mut model.stages {
                stage.config.sampling.threshold = threshold;
            }
            Arc::new(model)
        });
        let settings = StageSettings { sampler: Some(kind), ..StageSettings::default() };
        let wishes = || with(settings, request(&[(PROMPT, 1), (LONGER, 2)]));
        for (cpu, gpu) in pictures(&on_cpu, wishes()).iter().zip(&pictures(&on_gpu, wishes())) {
            assert!(apart(cpu, gpu) <= 2, "{kind:?}, {threshold:?}: {} apart", apart(cpu, gpu));
        }
    }
}

/// Not all is black or white: tests that compare pictures have something to compare.
#[test]
fn the_pictures_of_these_tests_have_something_on_them() {
    let picture = &pictures(&shared(), one())[0];
    let inside = picture.rgb.iter().filter(|&&v| (1..255).contains(&v)).count();
    assert!(inside * 4 > picture.rgb.len(), "{inside} of {}", picture.rgb.len());
    let _: &Model = &shared();
}
