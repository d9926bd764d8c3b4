// 3x3 convolution where patches are too few to fill a device: a workgroup makes 32 output channels of 4 patches, and
// four threads share the input channels of each, so that there are four times as many workgroups.
// Twin: shaders/src/ops/conv3x3.rs::Conv3x3
const PATCHES: u32 = 4u;  // patches of a workgroup
const QUADS: u32 = 8u;    // groups of four output channels of a workgroup
const SLICES: u32 = 4u;   // threads that share the input channels of one patch and quad
const DEPTH: u32 = 8u;    // input channels in shared memory at a time

#import conv3x3_patches
#import conv3x3
#import conv3x3_tiled

@compute @workgroup_size(128, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    convolve(lane, group.xy);
}
