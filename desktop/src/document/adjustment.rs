//! What sliders do to a whole mask, to be looked at before it is done.

use firefall_core::image::Mask;

/// Steps in their order; each is left out at 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Adjustment {
    /// Percent, up to 100, from which on a pixel is marked as a whole; with less it is not marked.
    pub threshold: f32,
    /// Pixels by which the mask grows, or below 0 shrinks.
    pub grow: f32,
    /// Pixels over which it fades out.
    pub feather: f32,
}

impl Adjustment {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What becomes of a mask; numbers that are none do nothing.
    pub(super) fn of(self, mask: &Mask) -> Mask {
        let Self { threshold, grow, feather } = self;
        let [does_harden, does_grow, does_shrink, does_feather] =
            [threshold, grow, -grow, feather].map(|by| by > 0.0 && by.is_finite());
        let mut adjusted = mask.clone();
        if does_harden {
            adjusted = adjusted.hardened(Mask::level(f64::from(threshold) / 100.0));
        }
        if does_grow {
            adjusted = adjusted.grown(grow);
        }
        if does_shrink {
            adjusted = adjusted.shrunk(-grow);
        }
        if does_feather {
            adjusted = adjusted.feathered(feather);
        }
        adjusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_works_on_what_the_last_one_left() {
        let mut mask = Mask::filled(60, 1, 0);
        mask.alpha[20..30].fill(100);
        mask.alpha[30..40].fill(255);
        let of = |threshold: f32, grow: f32, feather: f32| Adjustment { threshold, grow, feather }.of(&mask);
        assert_eq!(of(0.0, 0.0, 0.0), mask);
        assert_eq!(of(f32::NAN, f32::INFINITY, f32::NAN), mask);
        let marked = |mask: &Mask| {
            let first = |value: fn(&u8) -> bool| mask.alpha.iter().position(value);
            [first(|v| *v > 0), first(|v| *v == 255)]
        };
        assert_eq!(marked(&of(50.0, 0.0, 0.0)), [Some(30); 2], "100 is less than half");
        assert_eq!(marked(&of(30.0, 0.0, 0.0)), [Some(20); 2], "and more than three tenths");
        assert_eq!(marked(&of(0.0, 3.0, 0.0)), [Some(17), Some(27)]);
        assert_eq!(marked(&of(0.0, -3.0, 0.0)), [Some(23), Some(33)]);
        assert_eq!(marked(&of(50.0, 3.0, 0.0)), [Some(27); 2]);
        assert_eq!(of(50.0, 3.0, 5.0), mask.hardened(128).grown(3.0).feathered(5.0));
        assert!(Adjustment::default().is_nothing() && !Adjustment { grow: -1.0, ..Adjustment::default() }.is_nothing());
    }
}
