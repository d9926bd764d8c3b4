//! The hand that paints: tools, and what the pointer does with them.

use eframe::egui::accesskit::Live;
use eframe::egui::{
    Color32, Context, CursorIcon, Event, EventFilter, Id, Key, Modifiers, Painter, PointerButton, Pos2, Rect, Response,
    Role, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
};

use super::View;
use super::cursor::Cursor;
use crate::document::{Brush, Document, Mode};
use crate::making::Making;

/// The brush's diameter in pixels of the picture, at least and at most.
pub(crate) const SIZE: [f32; 2] = [1.0, 256.0];

/// What the keys can do on the canvas, said by a screen reader.
const BY_KEYS: [&str; 2] = [
    "The rectangle, R, can be drawn by keys.",
    "Arrows move a cursor, with Shift by a pixel. Enter or Space sets a corner, and then the other; Shift and Enter erases. \
     Escape lets go.",
];

/// What the pointer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Brush,
    Eraser,
    Rectangle,
    Lasso,
}

impl Tool {
    pub(crate) const ALL: [Self; 4] = [Self::Brush, Self::Eraser, Self::Rectangle, Self::Lasso];

    /// Its name and its key.
    pub(crate) const fn words(self) -> (&'static str, Key) {
        match self {
            Self::Brush => ("Brush", Key::B),
            Self::Eraser => ("Eraser", Key::E),
            Self::Rectangle => ("Rectangle", Key::R),
            Self::Lasso => ("Lasso", Key::L),
        }
    }
}

/// The tool in hand, and what it has begun.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) tool: Tool,
    /// The brush's diameter in pixels of the picture.
    pub(crate) size: f32,
    /// From 0, soft, to 1.
    pub(crate) hardness: f32,
    /// Pixels by which the mask grows, shrinks or is feathered.
    pub(crate) by: f32,
    /// Places that a rectangle or a lasso has so far, in pixels of the picture, and whether it erases.
    area: Option<(Vec<Pos2>, Mode)>,
    /// Where the keys are, once they were used.
    pub(super) cursor: Option<Cursor>,
    /// The canvas among all that can have the focus.
    id: Option<Id>,
}

impl Default for Hand {
    fn default() -> Self {
        Self { tool: Tool::Brush, size: 24.0, hardness: 0.8, by: 4.0, area: None, cursor: None, id: None }
    }
}

impl Hand {
    /// A larger or smaller brush, by a tenth at least.
    pub(crate) fn resize(&mut self, larger: bool) {
        let step = (self.size * 0.1).max(1.0);
        self.size = (if larger { self.size + step } else { self.size - step }).round().clamp(SIZE[0], SIZE[1]);
    }

    /// Nothing is begun any more.
    pub(crate) fn let_go(&mut self, document: &mut Document) {
        (self.area, self.cursor) = (None, None);
        document.cancel_stroke();
    }

    /// Whether the canvas has the focus, and with it all keys.
    pub(crate) fn has_focus(&self, ctx: &Context) -> bool {
        self.id.is_some_and(|id| ctx.memory(|memory| memory.has_focus(id)))
    }

    /// The canvas with everything on it; the mask can be painted unless it `is_held`: by a result that is looked at, or by
    /// an edit of all of it.
    pub(crate) fn canvas(
        &mut self,
        ui: &mut Ui,
        view: &mut View,
        document: &mut Document,
        making: &Making,
        is_held: bool,
    ) {
        let (response, painter) = ui.allocate_painter(ui.available_size(), Sense::click_and_drag());
        if is_held || self.tool != Tool::Rectangle {
            self.cursor = None;
        }
        response.widget_info(|| {
            let (width, height) = (document.picture().width, document.picture().height);
            let cursor = self.cursor.map_or_else(String::new, |cursor| format!("; {}", cursor.words()));
            WidgetInfo::labeled(Role::Image, true, format!("Canvas, {width} by {height} pixels{cursor}"))
        });
        self.tell(ui, &response);
        let rect = response.rect;
        self.navigate(ui, &response, view);
        let pans = pans(ui, &response);
        if pans {
            let is_dragged = response.dragged() || response.drag_stopped();
            view.pan(if is_dragged { ui.input(|input| input.pointer.delta()) } else { Vec2::ZERO });
            self.finish(document);
        } else if !is_held {
            self.paint(ui, &response, view, document);
        } else {
            self.finish_with(ui, view, document);
        }
        view.draw(&painter, rect, document, making);
        self.draw_area(&painter, view);
        if let Some(cursor) = &self.cursor {
            cursor.draw(&painter, view);
        }
        if response.has_focus() {
            painter.rect_stroke(rect, 0.0, ui.visuals().selection.stroke, StrokeKind::Inside);
        }
        if let Some(at) = response.hover_pos().filter(|_| !is_held) {
            let icon = if pans { CursorIcon::Grab } else { CursorIcon::Crosshair };
            ui.ctx().set_cursor_icon(icon);
            if !pans && matches!(self.tool, Tool::Brush | Tool::Eraser) {
                cursor(&painter, at, self.size / 2.0 * view.zoom);
            }
        }
    }

    /// Tells what keys can do here, and keeps the arrows from leading to the next field.
    fn tell(&mut self, ui: &Ui, response: &Response) {
        self.id = Some(response.id);
        let (is_rectangle, is_begun) = (self.tool == Tool::Rectangle, self.cursor.is_some());
        let has_focus = response.has_focus();
        if has_focus && is_rectangle {
            let filter = EventFilter { tab: false, horizontal_arrows: true, vertical_arrows: true, escape: is_begun };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        }
        ui.ctx().accesskit_node_builder(response.id, |node| {
            node.set_description(BY_KEYS[usize::from(is_rectangle)]);
            // What has the focus is said anyway.
            if is_begun && !has_focus {
                node.set_live(Live::Polite);
            }
        });
    }

    /// The wheel zooms, and with Alt changes the brush.
    fn navigate(&mut self, ui: &Ui, response: &Response, view: &mut View) {
        let Some(at) = response.hover_pos() else { return };
        let (scroll, pinch, modifiers) = ui.input(|i| (i.smooth_scroll_delta, i.zoom_delta(), i.modifiers));
        if pinch != 1.0 {
            view.zoom_at(pinch, at);
        } else if scroll.y != 0.0 || scroll.x != 0.0 {
            match modifiers {
                Modifiers { alt: true, .. } => {
                    self.size = (self.size * (scroll.y / 200.0).exp()).clamp(SIZE[0], SIZE[1]);
                }
                Modifiers { shift: true, .. } => view.pan(scroll),
                _ => view.zoom_at((scroll.y / 300.0).exp(), at),
            }
        }
    }

    /// Everything that the pointer did since the last frame, in its order: frames may be slow and hands fast.
    fn paint(&mut self, ui: &Ui, response: &Response, view: &View, document: &mut Document) {
        for event in ui.input(|input| input.events.clone()) {
            match event {
                Event::PointerButton { pos, button, pressed: true, .. } => {
                    let is_here = response.rect.contains(pos) && ui.ctx().layer_id_at(pos) == Some(ui.layer_id());
                    let erases = button == PointerButton::Secondary;
                    if is_here && (erases || button == PointerButton::Primary) {
                        self.finish(document);
                        // Who paints does not type any more: letters are tools again.
                        ui.memory_mut(|memory| memory.focused().into_iter().for_each(|id| memory.surrender_focus(id)));
                        self.begin(view.to_picture(pos), erases, document);
                    }
                }
                Event::PointerMoved(pos) => self.go_on(view.to_picture(pos), document),
                Event::PointerButton { pos, pressed: false, .. } => {
                    self.go_on(view.to_picture(pos), document);
                    self.finish(document);
                }
                Event::PointerGone => self.finish(document),
                _ => {}
            }
        }
    }

    fn begin(&mut self, at: Pos2, erases: bool, document: &mut Document) {
        self.cursor = None;
        let mode = if erases || self.tool == Tool::Eraser { Mode::Erase } else { Mode::Paint };
        match self.tool {
            Tool::Brush | Tool::Eraser => document.begin_stroke(self.brush(), mode, at.into()),
            Tool::Rectangle | Tool::Lasso => self.area = Some((vec![at], mode)),
        }
    }

    fn go_on(&mut self, at: Pos2, document: &mut Document) {
        if document.is_stroking() {
            document.stroke_to(at.into());
        }
        let Some((places, _)) = &mut self.area else { return };
        if self.tool == Tool::Rectangle {
            places.truncate(1);
        }
        if places.last() != Some(&at) {
            places.push(at);
        }
    }

    /// Ends what was begun, as a result came meanwhile, with the way that the pointer has made until then.
    fn finish_with(&mut self, ui: &Ui, view: &View, document: &mut Document) {
        if document.is_stroking() || self.area.is_some() {
            for event in ui.input(|input| input.events.clone()) {
                match event {
                    Event::PointerMoved(pos) => self.go_on(view.to_picture(pos), document),
                    Event::PointerButton { .. } | Event::PointerGone => break,
                    _ => {}
                }
            }
            self.finish(document);
        }
    }

    /// Ends what was begun.
    pub(crate) fn finish(&mut self, document: &mut Document) {
        document.end_stroke();
        let Some((places, mode)) = self.area.take() else { return };
        match (self.tool, places.as_slice()) {
            (Tool::Rectangle, [from, to]) => document.fill_rectangle((*from).into(), (*to).into(), mode),
            (Tool::Lasso, places) => {
                let places: Vec<[f32; 2]> = places.iter().map(|at| (*at).into()).collect();
                document.fill_lasso(&places, mode);
            }
            _ => {}
        }
    }

    fn brush(&self) -> Brush {
        Brush::new(self.size, self.hardness)
    }

    fn draw_area(&self, painter: &Painter, view: &View) {
        let Some((places, _)) = &self.area else { return };
        let places: Vec<Pos2> = places.iter().map(|at| view.to_screen(*at)).collect();
        for stroke in [Stroke::new(3.0, Color32::BLACK), Stroke::new(1.0, Color32::WHITE)] {
            match (self.tool, places.as_slice()) {
                (Tool::Rectangle, [from, to]) => {
                    painter.rect_stroke(Rect::from_two_pos(*from, *to), 0.0, stroke, StrokeKind::Middle);
                }
                _ => {
                    painter.add(Shape::closed_line(places.clone(), stroke));
                }
            }
        }
    }
}

/// Whether the pointer moves the picture: with the middle button, or with Space where no field has it. A drag that
/// began elsewhere is none of the canvas.
fn pans(ui: &Ui, response: &Response) -> bool {
    let is_free = ui.memory(|memory| memory.focused().is_none_or(|id| id == response.id));
    let (space, middle, is_down) = ui.input(|input| {
        let pointer = &input.pointer;
        (input.key_down(Key::Space), pointer.button_down(PointerButton::Middle), pointer.any_down())
    });
    (middle || (space && is_free)) && (!is_down || response.is_pointer_button_down_on())
}

/// The brush in its true size, seen on every colour.
fn cursor(painter: &Painter, at: Pos2, radius: f32) {
    painter.circle_stroke(at, radius, Stroke::new(2.5, Color32::from_black_alpha(160)));
    painter.circle_stroke(at, radius, Stroke::new(1.0, Color32::WHITE));
}
