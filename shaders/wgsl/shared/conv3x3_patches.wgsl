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
