//! DPM-Solver++(2M).

use burn::tensor::Tensor;

use crate::diffusion::Level;

/// With `lambda = log(alpha / sigma)`, `h` this step's length and `r` the last one's divided by it:
/// `D = (1 + 1 / 2r) x0_hat - (1 / 2r) last`, `x_to = (sigma_to / sigma) x_t + alpha_to (1 - exp(-h)) D`
/// (<https://arxiv.org/abs/2211.01095>, algorithm 2). The first step, and one that ends without noise, are of first
/// order.
///
/// # Shapes
/// - `x_t`, `x0_hat`, the last estimate, output: `[b, c, h, w]`
#[must_use]
pub fn step(x_t: Tensor<4>, x0_hat: Tensor<4>, [from, to]: [Level; 2], last: Option<(Level, Tensor<4>)>) -> Tensor<4> {
    let lambda = |level: Level| 0.5 * level.log_snr();
    if to.sigma == 0.0 {
        return x0_hat * to.alpha as f32;
    }
    let h = lambda(to) - lambda(from);
    let d = match last {
        Some((level, last)) => {
            let half = 0.5 * h / (lambda(from) - lambda(level));
            x0_hat * (1.0 + half) as f32 - last * half as f32
        }
        None => x0_hat,
    };
    x_t * (to.sigma / from.sigma) as f32 + d * (-to.alpha * (-h).exp_m1()) as f32
}
