//! Progress, previews and variations, fed with events.

use super::*;

#[test]
fn times_are_short() {
    let words = [0.04, 9.4, 31.0, 600.0].map(|s| in_words(Duration::from_secs_f64(s)));
    assert_eq!(words, ["0.0 s", "9.4 s", "31 s", "10 min"]);
    assert_eq!(a_step(Duration::from_millis(1250)), "1.25 s a step");
}

#[test]
fn steps_and_their_total_count_the_same() {
    let ctx = Context::default();
    for (sampler, of_step) in [("ddpm", 1), ("heun", 2)] {
        let mut making = Making::default();
        let batch = batch_by(Some(sampler));
        let calls = batch.calls.clone();
        assert_eq!((calls[0], calls[1]), (0, of_step * 4 + 1 - of_step), "{sampler}");
        making.begin(1);
        making.began(1, batch);
        let mut shares = Vec::new();
        for (stage, all) in calls.iter().enumerate().skip(1) {
            making.hear(&ctx, 1, Event::StageStarted { stage, stages: calls.len() - 1, size: 8, steps: 4 });
            for step in 1..=4 {
                making.hear(&ctx, 1, Event::Step { stage, step, steps: 4, preview: None });
                shares.push(making.run.as_ref().unwrap().share());
            }
            assert_eq!(making.run.as_ref().unwrap().progress.calls[0], *all, "{sampler}");
        }
        assert!(shares.is_sorted() && shares[0] < shares[3] && shares.last() == Some(&1.0), "{sampler}: {shares:?}");
    }
}

#[test]
fn what_is_made_in_parts_counts_as_one() {
    let (ctx, mut making) = (Context::default(), Making::default());
    let pictures = |n: usize| (0..n).map(|_| Picture::filled(2, 2, [1; 3])).collect::<Vec<_>>();
    making.begin(1);
    making.began(1, batch());
    assert_eq!(making.run.as_ref().unwrap().part_in_words(), None);
    let (mut shares, mut words) = (Vec::new(), Vec::new());
    for (made, size) in [(0, 2), (2, 1), (3, 1)] {
        making.part(1, made, size);
        making.part(7, 0, 4);
        for stage in 1..=2 {
            making.hear(&ctx, 1, Event::StageStarted { stage, stages: 2, size: 8, steps: 4 });
            for step in 1..=4 {
                making.hear(&ctx, 1, Event::Step { stage, step, steps: 4, preview: Some(pictures(made + size)) });
                shares.push(making.run.as_ref().unwrap().share());
            }
        }
        words.extend(making.run.as_ref().unwrap().part_in_words());
        assert_eq!((making.variations.len(), shares.last()), (made + size, Some(&((made + size) as f32 / 4.0))));
    }
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!(words, ["pictures 1 to 2 of 4", "picture 3 of 4", "picture 4 of 4"]);
    making.hear(&ctx, 1, Event::Done { pictures: pictures(4) });
    assert!(making.is_done && making.variations.len() == 4 && making.last == Some((1, 4)));
}

#[test]
fn a_step_is_timed_by_the_steps_of_its_stage() {
    let (mut run, start) = (Run::new(1), Instant::now());
    let at = |ms: u64| start + Duration::from_millis(ms);
    run.step([1, 1, 9], at(5000));
    assert_eq!(run.per_step, None, "what comes before the first step says nothing");
    run.step([1, 2, 9], at(5100));
    run.step([1, 3, 9], at(5300));
    assert_eq!(run.per_step, Some(Duration::from_millis(150)));
}

#[test]
fn what_was_stopped_does_not_say_that_it_can_be_made_again() {
    let (ctx, mut making) = (Context::default(), Making::default());
    let preview = || vec![Picture::filled(2, 2, [1; 3])];
    making.begin(1);
    making.began(1, batch());
    making.hear(&ctx, 1, Event::Step { stage: 1, step: 1, steps: 2, preview: Some(preview()) });
    assert!(making.end(1) && making.is_done);
    let told = |making: &Making| making.told(making.waiting().unwrap().1);
    assert_eq!((told(&making).prompt.as_deref(), told(&making).seed, told(&making).settings), (Some("a"), None, None));
    assert_eq!(making.variations[0].origin.seed, Some(1), "it can still be used again");
    making.begin(2);
    making.began(2, batch());
    making.hear(&ctx, 2, Event::Done { pictures: preview() });
    assert!(told(&making).seed == Some(1) && told(&making).settings.is_some());
}

#[test]
fn events_of_another_run_mean_nothing() {
    let (ctx, mut making) = (Context::default(), Making::default());
    let done = |ticket: u64| (ticket, Event::Done { pictures: vec![Picture::filled(2, 2, [1; 3])] });
    making.begin(2);
    making.began(1, batch());
    assert!(making.job.is_none());
    making.began(2, batch());
    for (ticket, event) in [done(1), done(2)] {
        assert!(making.variations.is_empty());
        making.hear(&ctx, ticket, event);
    }
    assert!(making.waiting().is_some() && making.is_done && making.run.is_none());
    making.discard();
    assert!(making.waiting().is_none());
}

#[test]
fn a_step_that_comes_late_fills_nothing() {
    let (ctx, mut making) = (Context::default(), Making::default());
    making.begin(1);
    making.began(1, batch());
    making.discard();
    let preview = Some(vec![Picture::filled(2, 2, [1; 3])]);
    making.hear(&ctx, 1, Event::Step { stage: 1, step: 1, steps: 2, preview });
    assert!(making.variations.is_empty() && making.run.is_some());
    making.run = None;
    making.began(1, batch());
    making.hear(&ctx, 1, Event::Done { pictures: vec![Picture::filled(2, 2, [1; 3])] });
    assert!(making.job.is_none() && making.variations.is_empty() && !making.is_done && !making.end(1));
}

#[test]
fn the_seeds_of_a_batch_are_known_once_it_is_over() {
    let (ctx, mut making) = (Context::default(), Making::default());
    making.begin(1);
    assert!(making.end(1) && making.last.is_none(), "it never began");
    making.begin(2);
    making.began(2, batch());
    assert!(making.last.is_none());
    making.hear(&ctx, 2, Event::Done { pictures: vec![Picture::filled(2, 2, [1; 3])] });
    assert_eq!(making.last, Some((1, 4)));
    making.last = None;
    making.begin(3);
    making.began(3, batch());
    assert!(making.end(3));
    assert_eq!(making.last, Some((1, 4)), "stopped");
}

fn batch() -> Batch {
    batch_by(None)
}

/// Four steps in every stage, in the first by a sampler.
fn batch_by(sampler: Option<&str>) -> Batch {
    let mut config = firefall_core::train::TrainConfig::preset("tiny").unwrap().model;
    config.stages.iter_mut().for_each(|stage| stage.sampling.steps = 4);
    let (picture, mask) = (Picture::filled(8, 8, [0; 3]), firefall_core::image::Mask::filled(8, 8, 255));
    let (sampler, resampling) = (sampler.map(str::to_owned), Some(firefall_core::diffusion::Resampling::QUICK));
    let wishes = crate::wishes::Wishes { prompt: "a".into(), sampler, resampling, ..Default::default() };
    let order = crate::wishes::Order { picture: Arc::new(picture), mask: Arc::new(mask), wishes };
    order.prepare(&config, "").unwrap()
}

#[test]
fn patches_come_one_at_a_time_and_those_of_what_is_gone_are_not_shown() {
    let (ctx, mut making) = (Context::default(), Making::default());
    let step = |making: &mut Making| {
        let preview = Some(vec![Picture::filled(2, 2, [1; 3])]);
        making.hear(&ctx, 2, Event::Step { stage: 1, step: 1, steps: 2, preview });
    };
    let image = || ColorImage::filled([1, 1], eframe::egui::Color32::RED);
    making.begin(2);
    making.began(2, batch());
    assert!(making.wants_patch().is_none());
    step(&mut making);
    let (first, ..) = making.wants_patch().unwrap();
    step(&mut making);
    step(&mut making);
    assert!(making.wants_patch().is_none(), "one at a time");
    making.take_patch(Some((first, image())));
    assert_eq!(making.patch.as_ref().unwrap().0, first);
    let (second, ..) = making.wants_patch().unwrap();
    assert!(second > first);
    making.discard();
    making.take_patch(Some((second, image())));
    assert!(making.patch.is_none() && making.wants_patch().is_none());
    making.begin(2);
    making.began(2, batch());
    step(&mut making);
    assert!(making.wants_patch().unwrap().0 > second);
}
