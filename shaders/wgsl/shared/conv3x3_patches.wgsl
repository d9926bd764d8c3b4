// The maps of all images are cut into patches of 4 x 4 pixels, numbered along rows, then down, then over images. A patch
// of the output is made from 6 x 6 inputs.
struct Patch {
    image: u32,
    top: u32,
    left: u32,
}

fn patch_at(index: u32) -> Patch {
    let across = (params[4] + 3u) / 4u;
    let down = (params[3] + 3u) / 4u;
    let line = index / across;
    return Patch(line / down, (line % down) * 4u, (index % across) * 4u);
}

// Two neighbouring rows of the six cells that a row of a patch has with its border.
struct Rows {
    upper: array<f32, 6>,
    lower: array<f32, 6>,
}

// From three vectors that hold them in order.
fn two_rows(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> Rows {
    return Rows(array<f32, 6>(a.x, a.y, a.z, a.w, b.x, b.y), array<f32, 6>(b.z, b.w, c.x, c.y, c.z, c.w));
}
