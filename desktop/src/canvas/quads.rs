//! Large pictures on the screen, drawn by a shader that does nothing else: `quad.wgsl`.

use std::num::NonZeroU64;

use eframe::egui::{PaintCallbackInfo, Rect, Shape, TextureId};
use eframe::egui_wgpu::{Callback, CallbackResources, CallbackTrait, RenderState};
use eframe::wgpu;
use eframe::wgpu::util::DeviceExt as _;

/// What it takes to draw a part of one of egui's textures.
pub(super) struct Quads {
    state: RenderState,
    pipeline: wgpu::RenderPipeline,
}

/// One that is drawn.
struct Quad {
    pipeline: wgpu::RenderPipeline,
    texture: wgpu::BindGroup,
    corners: wgpu::Buffer,
}

impl Quads {
    /// Nothing where the window's pixels are linear light: egui's own shader knows how.
    pub(super) fn new(state: &RenderState) -> Option<Self> {
        let (device, format) = (&state.device, state.target_format);
        if format.is_srgb() {
            return None;
        }
        let module = device.create_shader_module(wgpu::include_wgsl!("quad.wgsl"));
        let textures = device.create_bind_group_layout(&texture_layout());
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("quads"),
            bind_group_layouts: &[Some(&textures)],
            ..Default::default()
        });
        let corners = wgpu::VertexBufferLayout {
            array_stride: 8,
            step_mode: wgpu::VertexStepMode::Vertex,
            attributes: &wgpu::vertex_attr_array![0 => Float32x2],
        };
        let target = wgpu::ColorTargetState {
            format,
            blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
            write_mask: wgpu::ColorWrites::ALL,
        };
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("quads"),
            layout: Some(&layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[Some(corners)],
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..wgpu::PrimitiveState::default()
            },
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("colour"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(target)],
            }),
            multiview_mask: None,
            cache: None,
        });
        Some(Self { state: state.clone(), pipeline })
    }

    /// What of a texture, stretched over `place`, lies within `part`. Nothing of a texture that is not on the device yet.
    pub(super) fn shape(&self, texture: TextureId, place: Rect, part: Rect, pixels_per_point: f32) -> Option<Shape> {
        let texture = self.state.renderer.read().texture(&texture)?.bind_group.clone();
        // On whole pixels, as the viewport will be.
        let part = (part * pixels_per_point).round() / pixels_per_point;
        let [left, top, right, bottom] = uv(place, part);
        let corners = [[left, top], [right, top], [left, bottom], [right, bottom]];
        let corners: Vec<u8> = corners.into_iter().flatten().flat_map(f32::to_le_bytes).collect();
        let corners = self.state.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("quad"),
            contents: &corners,
            usage: wgpu::BufferUsages::VERTEX,
        });
        let quad = Quad { pipeline: self.pipeline.clone(), texture, corners };
        Some(Shape::Callback(Callback::new_paint_callback(part, quad)))
    }
}

impl CallbackTrait for Quad {
    fn paint(&self, _: PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, _: &CallbackResources) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.texture, &[]);
        pass.set_vertex_buffer(0, self.corners.slice(..));
        pass.draw(0..4, 0..1);
    }
}

/// Where the edges of `part` are in a texture that is stretched over `place`, from 0 to 1.
fn uv(place: Rect, part: Rect) -> [f32; 4] {
    let [min, max] = [part.min, part.max].map(|at| (at - place.min) / place.size());
    [min.x, min.y, max.x, max.y]
}

/// As egui has it, whose bind groups are used.
fn texture_layout() -> wgpu::BindGroupLayoutDescriptor<'static> {
    const FLAGS: Option<NonZeroU64> = NonZeroU64::new(16);
    const fn entry(binding: u32, ty: wgpu::BindingType) -> wgpu::BindGroupLayoutEntry {
        wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::FRAGMENT, ty, count: None }
    }
    const ENTRIES: [wgpu::BindGroupLayoutEntry; 3] = [
        entry(
            0,
            wgpu::BindingType::Texture {
                multisampled: false,
                sample_type: wgpu::TextureSampleType::Float { filterable: true },
                view_dimension: wgpu::TextureViewDimension::D2,
            },
        ),
        entry(1, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering)),
        entry(
            2,
            wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: false,
                min_binding_size: FLAGS,
            },
        ),
    ];
    wgpu::BindGroupLayoutDescriptor { label: Some("a texture of egui"), entries: &ENTRIES }
}

#[cfg(test)]
mod tests {
    use eframe::egui::{pos2, vec2};

    use super::*;

    #[test]
    fn a_part_has_its_place_in_the_texture() {
        let place = Rect::from_min_size(pos2(10.0, 20.0), vec2(200.0, 100.0));
        assert_eq!(uv(place, place), [0.0, 0.0, 1.0, 1.0]);
        let part = Rect::from_min_size(pos2(60.0, 70.0), vec2(100.0, 25.0));
        assert_eq!(uv(place, part), [0.25, 0.5, 0.75, 0.75]);
    }
}
