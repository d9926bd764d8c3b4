//! Keeping estimates in range.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What is done with values of `x0_hat` outside [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Threshold {
    /// Nothing.
    None,
    /// Clamped.
    #[default]
    Static,
    /// Clamped to the given quantile of a picture's absolute values, at least 1, and divided by it
    /// (Imagen, section 2.3).
    Dynamic {
        /// In (0, 1); the paper's 0.995, imagen-pytorch's 0.95.
        quantile: f64,
        /// Quantiles above count as this, at least 1; the lesson's 1.7.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<f64>,
    },
}

impl Threshold {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(self) -> Result<(), String> {
        match self {
            Self::Dynamic { quantile, .. } if !(quantile > 0.0 && quantile < 1.0) => {
                Err(format!("threshold.dynamic.quantile is {quantile}; it must lie between 0 and 1"))
            }
            Self::Dynamic { most: Some(most), .. } if !(most >= 1.0 && most.is_finite()) => {
                Err(format!("threshold.dynamic.most is {most}; it must be at least 1"))
            }
            _ => Ok(()),
        }
    }

    /// What is NaN or infinite stays so, to be met as what it is: a clamp would make a colour of it.
    ///
    /// # Shapes
    /// - `x0_hat`, output: `[b, c, h, w]`
    #[must_use]
    pub fn apply(self, x0_hat: Tensor<4>) -> Tensor<4> {
        let in_range = match self {
            Self::None => return x0_hat,
            Self::Static => x0_hat.clone().clamp(-1.0, 1.0),
            Self::Dynamic { quantile, most } => {
                let [b, ..] = x0_hat.dims();
                let n = x0_hat.dims()[1..].iter().product::<usize>();
                let s = abs_quantile(x0_hat.clone().reshape([b, n]), quantile).clamp_min(1.0);
                let s = most.map_or(s.clone(), |most| s.clamp_max(most));
                let s = s.reshape([b, 1, 1, 1]);
                x0_hat.clone().max_pair(-s.clone()).min_pair(s.clone()) / s
            }
        };
        let finite = x0_hat.clone().abs().lower_equal_elem(f32::MAX);
        x0_hat.mask_where(finite, in_range)
    }
}

/// Bisections; the error is the largest absolute value divided by 2 to this power.
const BISECTIONS: usize = 20;

/// The smallest value that at least `quantile` of a row's absolute values do not exceed.
///
/// Found by bisection: no sort, which needs the CPU on every GPU backend, and no read-back. `torch.quantile`
/// interpolates between two neighbouring values; this gives the upper one, to within `max / 2^20`.
///
/// # Shapes
/// - x: `[b, n]`
/// - output: `[b, 1]`
#[must_use]
pub fn abs_quantile(x: Tensor<2>, quantile: f64) -> Tensor<2> {
    let x = x.abs();
    let mut high = x.clone().max_dim(1);
    let mut low = high.zeros_like() - 1e-6;
    for _ in 0..BISECTIONS {
        let middle = (low.clone() + high.clone()) * 0.5;
        let share = x.clone().lower_equal(middle.clone()).float().mean_dim(1);
        let below = share.lower_elem(quantile as f32 - 1e-6);
        low = low.mask_where(below.clone(), middle.clone());
        high = middle.mask_where(below, high);
    }
    high
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{Threshold, abs_quantile};
    use crate::noise::{Purpose, Stream};

    #[test]
    fn bisection_finds_the_order_statistic() {
        let (b, n) = (4, 1000);
        let mut stream = Stream::new(5, Purpose::Evaluation, 0);
        let mut values = stream.normals(b * n);
        // One picture with an outlier, which widens the first bracket.
        values[n] = 300.0;
        let x = Tensor::<2>::from_data(TensorData::new(values.clone(), [b, n]), &Device::flex());
        for quantile in [0.5, 0.95, 0.995] {
            let got: Vec<f32> = abs_quantile(x.clone(), quantile).into_data().try_to_vec().unwrap();
            for (row, got) in values.chunks(n).zip(got) {
                let mut sorted: Vec<f32> = row.iter().map(|v| v.abs()).collect();
                sorted.sort_by(f32::total_cmp);
                let want = sorted[(quantile * n as f64).ceil() as usize - 1];
                let max = sorted[n - 1];
                assert!((got - want).abs() <= max / 500_000.0, "{quantile}: {got} not {want}");
            }
        }
    }

    #[test]
    fn dynamic_thresholding_leaves_pictures_in_range_alone() {
        let x = Tensor::<4>::from_data([[[[0.5f32, -0.9], [0.2, 1.0]]]], &Device::flex());
        let same: Vec<f32> =
            Threshold::Dynamic { quantile: 0.9, most: None }.apply(x.clone()).into_data().try_to_vec().unwrap();
        assert_eq!(same, x.into_data().try_to_vec::<f32>().unwrap());
        let wide = Tensor::<4>::from_data([[[[4.0f32, -2.0], [1.0, 0.0]]]], &Device::flex());
        let got: Vec<f32> =
            Threshold::Dynamic { quantile: 0.75, most: None }.apply(wide).into_data().try_to_vec().unwrap();
        for (g, w) in got.iter().zip([1.0f32, -1.0, 0.5, 0.0]) {
            assert!((g - w).abs() < 1e-4, "{got:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_not_made_one() {
        let dynamic = |most| Threshold::Dynamic { quantile: 0.75, most };
        for threshold in [Threshold::None, Threshold::Static, dynamic(None), dynamic(Some(1.7))] {
            let kept = |wrong: f32| -> Vec<f32> {
                let x = Tensor::<4>::from_data([[[[0.5f32, wrong], [-3.0, 0.0]]]], &Device::flex());
                threshold.apply(x).into_data().try_to_vec().unwrap()
            };
            assert!(kept(f32::NAN)[1].is_nan(), "{threshold:?}");
            for infinite in [f32::INFINITY, f32::NEG_INFINITY] {
                assert_eq!(kept(infinite)[1], infinite, "{threshold:?}");
            }
            let largest = if threshold == Threshold::None { f32::MAX } else { 1.0 };
            assert_eq!(kept(f32::MAX)[1], largest, "{threshold:?}");
        }
    }

    #[test]
    fn the_divisor_has_the_asked_bound() {
        let wide = Tensor::<4>::from_data([[[[4.0f32, -2.0], [1.0, 0.0]]]], &Device::flex());
        let bounded = Threshold::Dynamic { quantile: 0.75, most: Some(1.6) };
        let got: Vec<f32> = bounded.apply(wide).into_data().try_to_vec().unwrap();
        for (g, w) in got.iter().zip([1.0f32, -1.0, 0.625, 0.0]) {
            assert!((g - w).abs() < 1e-4, "{got:?}");
        }
        for most in [0.9, f64::NAN, f64::INFINITY] {
            let error = Threshold::Dynamic { quantile: 0.9, most: Some(most) }.validate().unwrap_err();
            assert!(error.contains("threshold.dynamic.most is"), "{error}");
        }
        assert_eq!(bounded.validate(), Ok(()));
    }
}
