// 3x3 convolution of large maps or batches: a workgroup makes 32 output channels of 16 patches.
// Twin: shaders/src/ops/conv3x3.rs::Conv3x3
const PATCHES: u32 = 16u;  // patches of a workgroup
const QUADS: u32 = 8u;     // groups of four output channels of a workgroup
const SLICES: u32 = 1u;    // threads that share the input channels of one patch and quad
const DEPTH: u32 = 4u;     // input channels in shared memory at a time

#import conv3x3_patches
#import conv3x3
#import conv3x3_tiled

@compute @workgroup_size(128, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    convolve(lane, group.xy);
}
