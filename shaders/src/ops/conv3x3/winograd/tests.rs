//! Winograd against the direct kernel, forwards and backwards, and vectors of eight against wider ones.

use burn::tensor::Shape;

use super::super::kernels;
use super::*;
use crate::vector::Eight;

fn wave(n: usize, seed: f32) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
}

/// Rows and blocks that are full, short and several; more input channels than a task takes; small images that share
/// chunks, the last of them with others missing.
const SHAPES: [([usize; 4], usize); 9] = [
    ([1, 16, 8, 8], 16),
    ([2, 19, 13, 24], 17),
    ([3, 70, 3, 8], 48),
    ([1, 33, 16, 16], 64),
    ([5, 16, 1, 40], 21),
    ([1, 16, 12, 72], 16),
    ([1, 130, 4, 8], 32),
    ([17, 16, 8, 8], 40),
    ([19, 24, 5, 8], 16),
];

/// The root of the mean square of the difference, as a part of that of `want`.
fn error(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |v: f64| v * v;
    let difference: f64 = got.iter().zip(want).map(|(&g, &w)| square(f64::from(g) - f64::from(w))).sum();
    (difference / want.iter().map(|&w| square(f64::from(w))).sum::<f64>()).sqrt()
}

#[test]
fn agrees_with_the_direct_kernel_forwards_and_backwards() {
    for (shape, o) in SHAPES {
        let [b, c, h, w] = shape;
        let size = Size::of(&Shape::new(shape), o);
        assert!(pays(&size), "{shape:?}");
        let (x, dy) = (wave(b * c * h * w, 0.3), wave(b * o * h * w, 1.9));
        let (weight, bias) = (wave(o * c * 9, 1.1), wave(o, 2.0));
        for weights in [Weights::Straight(&weight), Weights::Turned(&weight)] {
            let want = kernels::forward(&size, &x, weights, Some(&bias));
            let got = forward(&size, &x, &pack(weights, &size), Some(&bias));
            assert!(error(&got, &want) < 2e-6, "{shape:?} to {o}: {}", error(&got, &want));
        }
        let (got, want) = (backward_weight(&size, &x, &dy), kernels::backward_weight(&size, &x, &dy));
        assert!(error(&got, &want) < 2e-6, "{shape:?} to {o}, weights: {}", error(&got, &want));
    }
}

/// What a processor with AVX-512 does not run by itself.
#[test]
fn vectors_of_eight_agree_with_wider_ones() {
    let shape = [5, 19, 8, 8];
    let ([b, c, h, w], o) = (shape, 21);
    let size = Size::of(&Shape::new(shape), o);
    let chunks = Chunks::of(&size, true);
    let (x, dy, weight) = (wave(b * c * h * w, 0.3), wave(b * o * h * w, 1.9), wave(o * c * 9, 1.1));
    let packed = pack(Weights::Straight(&weight), &size);
    let mut eight = packed.clone();
    for (block, to) in eight.chunks_exact_mut(POINTS * c * BLOCK).enumerate() {
        pack_block_body::<Eight, false>(Weights::Straight(&weight), block * BLOCK, [o, c], to);
    }
    assert!(error(&eight, &packed) < 1e-6);

    let narrow = [carry_inputs_body::<Eight, false> as Carry, carry_gradient_body::<Eight, false>];
    let at_points = [(&x, c, carry_inputs as Carry, narrow[0]), (&dy, o, carry_gradient, narrow[1])].map(
        |(maps, channels, wide, narrow)| {
            [wide, narrow].map(|carry| {
                let mut at_points = carried(&chunks, [b, channels], maps, carry);
                clear_gaps(&chunks, [b, channels], &mut at_points);
                at_points
            })
        },
    );
    let [[x_wide, x_narrow], [dy_wide, dy_narrow]] = &at_points;
    assert!(error(x_narrow, x_wide) < 1e-6 && error(dy_narrow, dy_wide) < 1e-6);

    let maps = Maps::group(&chunks, c, &x, 0);
    let len = POINTS * c * BLOCK;
    let block = Block { weights: &packed[len..], start: [0.5; BLOCK], channels: o - BLOCK, image: o * h * w };
    let mut y = [(); 2].map(|()| vec![0f32; maps.images * o * h * w]);
    let first = &x_wide[..chunks.len(c)];
    forward_block(&chunks, maps, 0, first, block, &mut y[0][BLOCK * h * w..]);
    forward_block_body::<Eight, false, 4, 2>(&chunks, maps, 0, first, block, &mut y[1][BLOCK * h * w..]);
    assert!(error(&y[1], &y[0]) < 1e-6);

    let mut dw = [(); 2].map(|()| vec![0f32; DEEP * 9 * BLOCK]);
    weight_block(&chunks, [b, c, o], [x_wide, dy_wide], [0, 0], &mut dw[0]);
    weight_block_body::<Eight, false, 4, 2>(&chunks, [b, c, o], [x_wide, dy_wide], [0, 0], &mut dw[1]);
    let there = c * 9 * BLOCK;
    assert!(error(&dw[1][..there], &dw[0][..there]) < 1e-6);
}

/// Zeros where no tile is, and between points.
fn clear_gaps(chunks: &Chunks, [batch, channels]: [usize; 2], at_points: &mut [f32]) {
    let stride = channels.next_multiple_of(BLOCK);
    for (i, chunk) in at_points.chunks_exact_mut(chunks.len(channels)).enumerate() {
        let images = chunks.images.min(batch - i / chunks.count * chunks.images);
        for point in chunk.chunks_exact_mut(chunks.point(channels)) {
            point[chunks.full(images, i % chunks.count) * stride..].fill(0.0);
        }
    }
}
