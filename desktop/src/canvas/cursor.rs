//! A rectangle by keys alone: arrows move a cursor over the picture, Enter sets the corners.

use eframe::egui::{Color32, Key, Modifiers, Painter, Pos2, Rect, Stroke, StrokeKind, Ui, Vec2, vec2};

use super::{Hand, View};
use crate::document::{Document, Mode};

/// So many presses of an arrow lead across the longer side of the picture.
const PRESSES: f32 = 32.0;
/// Half of the cross, in points of the screen.
const ARM: f32 = 10.0;

/// Where the keys are, and the corner that they have set, in pixels of the picture from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cursor {
    at: Pos2,
    corner: Option<Pos2>,
}

impl Cursor {
    /// As a screen reader says it.
    pub(super) fn words(&self) -> String {
        let Pos2 { x, y } = self.at;
        match self.corner {
            None => format!("cursor at {x}, {y}"),
            Some(corner) => format!("rectangle from {}, {} to {x}, {y}", corner.x, corner.y),
        }
    }

    pub(super) fn draw(&self, painter: &Painter, view: &View) {
        let at = view.to_screen(self.at);
        for stroke in [Stroke::new(3.0, Color32::BLACK), Stroke::new(1.0, Color32::WHITE)] {
            for arm in [vec2(ARM, 0.0), vec2(0.0, ARM)] {
                painter.line_segment([at - arm, at + arm], stroke);
            }
            if let Some(corner) = self.corner {
                let rect = Rect::from_two_pos(view.to_screen(corner), at);
                painter.rect_stroke(rect, 0.0, stroke, StrokeKind::Middle);
            }
        }
    }
}

impl Hand {
    /// What the keys do with the rectangle in hand.
    pub(crate) fn keys(&mut self, ui: &Ui, view: &mut View, document: &mut Document) {
        let picture = document.picture();
        let size = vec2(picture.width as f32, picture.height as f32);
        let pressed = |modifiers: Modifiers, key: Key| ui.input_mut(|input| input.consume_key(modifiers, key));
        let by = moved(ui, (size.max_elem() / PRESSES).round().max(1.0));
        // With Shift first: the plain one would take it too. Until there is a cursor, Space only moves the picture.
        let erases = pressed(Modifiers::SHIFT, Key::Enter);
        let sets = erases
            || pressed(Modifiers::NONE, Key::Enter)
            || (self.cursor.is_some() && pressed(Modifiers::NONE, Key::Space));
        if by == Vec2::ZERO && !sets {
            return;
        }
        let middle = (size / 2.0).floor().to_pos2();
        let Cursor { at, corner } = self.cursor.unwrap_or(Cursor { at: middle, corner: None });
        let at = (at + by).clamp(Pos2::ZERO, size.to_pos2());
        view.reveal(at);
        let corner = match corner {
            None if sets => Some(at),
            Some(from) if sets && from.x != at.x && from.y != at.y => {
                let mode = if erases { Mode::Erase } else { Mode::Paint };
                document.fill_rectangle(from.into(), at.into(), mode);
                None
            }
            other => other,
        };
        self.cursor = Some(Cursor { at, corner });
    }
}

/// How far the arrows have moved: each press by so many pixels, and with Shift by one.
fn moved(ui: &Ui, step: f32) -> Vec2 {
    let ways = [
        (Key::ArrowLeft, vec2(-1.0, 0.0)),
        (Key::ArrowRight, vec2(1.0, 0.0)),
        (Key::ArrowUp, vec2(0.0, -1.0)),
        (Key::ArrowDown, vec2(0.0, 1.0)),
    ];
    ui.input_mut(|input| {
        ways.into_iter().fold(Vec2::ZERO, |by, (key, way)| {
            let fine = input.count_and_consume_key(Modifiers::SHIFT, key) as f32;
            let coarse = input.count_and_consume_key(Modifiers::NONE, key) as f32;
            by + way * (fine + coarse * step)
        })
    })
}
