//! The sheet of shortcuts.

use eframe::egui::{Context, Grid, Id, Modal};

/// What the keys do; the one place where it is said.
const KEYS: [(&str, &str); 26] = [
    ("Ctrl+Enter", "Generate"),
    ("Esc", "Cancel, within a step; let go of what is begun or tried on"),
    ("Enter", "Accept the variation"),
    ("Backspace", "Discard the variations"),
    ("Left, Right", "Look at another variation"),
    ("B, E, R, L", "Brush, eraser, rectangle, lasso"),
    ("R, arrows, Enter", "A rectangle by keys: a cursor, its first corner, its second; Shift+Enter erases"),
    ("Shift+arrows", "The same by single pixels"),
    ("Right button", "Erase with any tool"),
    ("[ and ], Alt+wheel", "Smaller and larger brush"),
    ("Delete, I", "Clear, invert the mask"),
    ("Ctrl+A", "Mark everything"),
    ("Ctrl+Z", "Undo"),
    ("Ctrl+Y, Ctrl+Shift+Z", "Redo"),
    ("Tab, held", "The picture as it was opened, where no field is in focus"),
    ("Wheel, + and -", "Zoom"),
    ("Space or middle button, drag", "Pan"),
    ("0", "As large as fits"),
    ("1", "One to one"),
    ("Ctrl+O", "Open"),
    ("Ctrl+S", "Save as PNG, with its settings"),
    ("Ctrl+C, Ctrl+V", "Copy the picture, paste one"),
    ("Drop", "A picture, or with Shift a mask"),
    ("F6", "To the prompt; from there Tab goes from field to field"),
    ("F1 or ?", "This sheet"),
    ("Ctrl+Q", "Close; the session comes back"),
];

/// Whether it stays open.
pub(crate) fn sheet(ctx: &Context) -> bool {
    let shown = Modal::new(Id::unique("shortcuts")).show(ctx, |ui| {
        ui.heading("Shortcuts");
        Grid::new("keys").num_columns(2).striped(true).show(ui, |ui| {
            for (key, what) in KEYS {
                ui.strong(key);
                ui.label(what);
                ui.end_row();
            }
        });
        ui.button("Close").clicked()
    });
    !(shown.inner || shown.should_close())
}
