//! Muon's direction: a gradient's matrix with all its directions made about equally long.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use super::params::Flat;

/// Coefficients of the odd polynomial that is iterated; its slope at 0 matters more than where it ends, which is anywhere
/// from 0.7 to 1.2.
const QUINTIC: [f32; 3] = [3.4445, -4.775, 2.0315];
/// Iterations.
const ITERATIONS: usize = 5;
/// The least length of a gradient that is divided by it.
const LEAST: f32 = 1e-7;
/// Times `sqrt(max(rows, cols))`, so that a step is as long as one of AdamW
/// (<https://arxiv.org/abs/2502.16982>, section 2.2).
const LENGTH: f32 = 0.2;

/// The matrix that a parameter stands for: a convolution's `[c_out, c_in, k, k]` has `c_out` rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matrix {
    /// Length of the first axis.
    pub rows: usize,
    /// Product of the others.
    pub cols: usize,
}

/// Puts in place of each gradient that stands for a matrix `U V^T` of its singular value decomposition `U S V^T`, roughly,
/// times AdamW's usual length (Muon, <https://kellerjordan.github.io/posts/muon/>). Matrices of one shape are worked on
/// together.
///
/// # Shapes
/// - grads: flat, as many as `matrices`
pub fn orthogonalize(grads: &mut Flat, matrices: &[Option<Matrix>]) {
    let mut alike: BTreeMap<Matrix, Vec<usize>> = BTreeMap::new();
    for (i, matrix) in matrices.iter().enumerate() {
        if let Some(matrix) = matrix {
            alike.entry(*matrix).or_default().push(i);
        }
    }
    let mut groups: Vec<_> = alike.into_iter().collect();
    groups.sort_by_key(|(Matrix { rows, cols }, places)| Reverse(places.len() * rows * cols * rows.min(cols)));
    let Some(device) = grads.first().map(Tensor::device) else { return };
    let done = each(groups, &device, |(matrix, places)| {
        let Matrix { rows, cols } = matrix;
        let together = places.iter().map(|&i| grads[i].clone()).collect();
        let x = Tensor::cat(together, 0).reshape([places.len(), rows, cols]);
        let x = newton_schulz(x) * (LENGTH * (rows.max(cols) as f32).sqrt());
        (places, x.reshape([-1, (rows * cols) as i32]))
    });
    for (places, x) in done {
        let rows: Vec<Tensor<2>> = x.split(1, 0);
        for (i, row) in places.into_iter().zip(rows) {
            grads[i] = row.flatten(0, 1);
        }
    }
}

/// All of `items` through `work`: on the cores of a CPU at once, as most matrices are too small to be shared out
/// themselves, on a GPU one after the other.
#[cfg(feature = "native")]
fn each<T: Send, R: Send>(items: Vec<T>, device: &Device, work: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
    use rayon::prelude::*;
    if *device == Device::flex() {
        return items.into_par_iter().with_max_len(1).map(work).collect();
    }
    items.into_iter().map(work).collect()
}

#[cfg(not(feature = "native"))]
fn each<T, R>(items: Vec<T>, _device: &Device, work: impl Fn(T) -> R) -> Vec<R> {
    items.into_iter().map(work).collect()
}

/// The iteration is a polynomial in `X X^T` times `X`, so it goes on in the smaller square alone: a convolution's matrix
/// is nine times as wide as high, and is met twice instead of ten times.
///
/// # Shapes
/// - x: `[n, rows, cols]`
/// - output: the same, each matrix with singular values near 1
fn newton_schulz(x: Tensor<3>) -> Tensor<3> {
    let [n, rows, cols] = x.dims();
    let squares = (x.clone() * x.clone()).reshape([n, rows * cols]).sum_dim(1);
    let mut x = x / squares.sqrt().clamp_min(LEAST).reshape([n, 1, 1]);
    let tall = rows > cols;
    if tall {
        x = x.swap_dims(1, 2);
    }
    let [a, b, c] = QUINTIC;
    let mut gram = x.clone().matmul(x.clone().swap_dims(1, 2));
    let mut product = Tensor::<2>::eye(rows.min(cols), &x.device()).unsqueeze::<3>().repeat_dim(0, n);
    for _ in 0..ITERATIONS {
        // One step is times `P = a + more`, and `P` and the square commute.
        let more = gram.clone() * b + gram.clone().matmul(gram.clone()) * c;
        product = product.clone() * a + more.clone().matmul(product);
        gram = gram.clone() * a + more.clone().matmul(gram);
        gram = gram.clone() * a + more.matmul(gram);
    }
    let x = product.matmul(x);
    if tall { x.swap_dims(1, 2) } else { x }
}

#[cfg(test)]
mod tests {
    use super::{ITERATIONS, Matrix, QUINTIC, newton_schulz, orthogonalize};
    use crate::noise::{Purpose, Stream};
    use crate::testing::{Golden, close, numbers};
    use burn::tensor::{Device, Tensor, TensorData};

    #[test]
    fn shapes_are_sorted_out_and_put_back() {
        let golden = Golden::read("muon");
        let wide = Matrix { rows: 4, cols: 6 };
        let tall = Matrix { rows: 6, cols: 4 };
        let mut grads: Vec<_> = (0..4).map(|i| golden.row("in.grads", i)).collect();
        let untouched = grads[2].clone();
        orthogonalize(&mut grads, &[Some(wide), Some(tall), None, Some(wide)]);
        for (i, name) in [(0, "wide"), (1, "tall"), (3, "wide")] {
            close(&grads[i], &golden.row(&format!("out.{name}"), i), 2e-5);
        }
        close(&grads[2], &untouched, 0.0);
    }

    /// The iteration as it is written down, on matrices whose rows are nearly alike, as a gradient's are.
    #[test]
    fn in_the_square_as_outside_it() {
        let (rows, cols) = (24, 216);
        let mut stream = Stream::new(3, Purpose::Evaluation, 0);
        let common = stream.normals(cols);
        let mut values = Vec::new();
        for row in 0..2 * rows {
            let own = 10f32.powi(-((row % 4) as i32));
            values.extend(common.iter().zip(stream.normals(cols)).map(|(common, noise)| common + own * noise));
        }
        let x = Tensor::<3>::from_data(TensorData::new(values, [2, rows, cols]), &Device::flex());
        let squares = (x.clone() * x.clone()).reshape([2, rows * cols]).sum_dim(1);
        let mut expected = x.clone() / squares.sqrt().reshape([2, 1, 1]);
        let [a, b, c] = QUINTIC;
        for _ in 0..ITERATIONS {
            let gram = expected.clone().matmul(expected.clone().swap_dims(1, 2));
            let more = gram.clone() * b + gram.clone().matmul(gram) * c;
            expected = expected.clone() * a + more.matmul(expected);
        }
        let flat = |x: Tensor<3>| x.flatten(0, 2);
        // Entries are about 0.07.
        close(&flat(newton_schulz(x.clone())), &flat(expected.clone()), 5e-4);
        close(&flat(newton_schulz(x.swap_dims(1, 2))), &flat(expected.swap_dims(1, 2)), 5e-4);
    }

    #[test]
    fn no_gradient_is_no_step() {
        let mut grads = vec![Tensor::zeros([6], &Device::flex())];
        orthogonalize(&mut grads, &[Some(Matrix { rows: 2, cols: 3 })]);
        assert_eq!(numbers(&grads[0]), [0.0; 6]);
    }
}
