//! Rectangles of pixels put together.

use firefall_core::image::mask::Bounds;

/// All pixels; nothing if there are none.
pub(super) fn whole(width: usize, height: usize) -> Option<Bounds> {
    (width > 0 && height > 0).then_some(Bounds { left: 0, top: 0, right: width, bottom: height })
}

/// The smallest rectangle around both.
pub(crate) fn united(a: Option<Bounds>, b: Option<Bounds>) -> Option<Bounds> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
    Some(Bounds {
        left: a.left.min(b.left),
        top: a.top.min(b.top),
        right: a.right.max(b.right),
        bottom: a.bottom.max(b.bottom),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_unite() {
        let a = Some(Bounds { left: 3, top: 5, right: 6, bottom: 7 });
        let b = Some(Bounds { left: 4, top: 1, right: 9, bottom: 2 });
        assert_eq!(united(a, b), Some(Bounds { left: 3, top: 1, right: 9, bottom: 7 }));
        assert_eq!((united(a, None), united(None, b), united(None, None)), (a, b, None));
        assert_eq!((whole(0, 4), whole(4, 0)), (None, None));
    }
}
