//! How the window looks: light or dark, with how much contrast, and whether anything moves by itself.

use eframe::egui::style::{ScrollAnimation, Selection, WidgetVisuals};
use eframe::egui::{Color32, Context, Stroke, Style, Theme, ThemePreference, Visuals};
use serde_json::{Value, json};

/// Themes by the names under which they are remembered.
const THEMES: [(ThemePreference, &str); 3] =
    [(ThemePreference::System, "auto"), (ThemePreference::Light, "light"), (ThemePreference::Dark, "dark")];

/// What is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Looks {
    /// As the system has it, unless it is said.
    pub(crate) theme: ThemePreference,
    /// Black and white, with edges around everything.
    pub(crate) contrast: bool,
    /// Nothing fades, slides or blinks.
    pub(crate) still: bool,
}

impl Looks {
    /// As they were remembered.
    pub(super) fn of(said: &Value) -> Self {
        let theme = THEMES.iter().find(|(_, name)| said["theme"] == *name);
        let is = |key: &str| said[key].as_bool().unwrap_or_default();
        Self { theme: theme.map(|(theme, _)| *theme).unwrap_or_default(), contrast: is("contrast"), still: is("still") }
    }

    /// To be remembered.
    pub(super) fn said(self) -> Value {
        let theme = THEMES.iter().find(|(theme, _)| *theme == self.theme).map(|(_, name)| *name);
        json!({ "theme": theme, "contrast": self.contrast, "still": self.still })
    }

    /// From now on the window looks so.
    pub(crate) fn apply(self, ctx: &Context) {
        ctx.set_theme(self.theme);
        for theme in [Theme::Dark, Theme::Light] {
            ctx.style_mut_of(theme, |style| self.dress(theme, style));
        }
    }

    fn dress(self, theme: Theme, style: &mut Style) {
        let usual = Style::default();
        style.visuals = if self.contrast { contrasting(theme) } else { theme.default_visuals() };
        if self.still {
            style.animation_time = 0.0;
            style.scroll_animation = ScrollAnimation::none();
            style.visuals.text_cursor.blink = false;
            style.visuals.image_loading_spinners = false;
        } else {
            (style.animation_time, style.scroll_animation) = (usual.animation_time, usual.scroll_animation);
        }
    }
}

/// Black and white; colours only for what is chosen and what is pointed at.
fn contrasting(theme: Theme) -> Visuals {
    let is_dark = theme == Theme::Dark;
    let (back, ink) = if is_dark { (Color32::BLACK, Color32::WHITE) } else { (Color32::WHITE, Color32::BLACK) };
    // Boxes and rails, which are told from what is behind them and from what is on them.
    let middle = if is_dark { Color32::from_gray(110) } else { Color32::from_gray(125) };
    let (chosen, pointed) = if is_dark {
        (Color32::from_rgb(0, 70, 200), Color32::from_rgb(255, 230, 0))
    } else {
        (Color32::from_rgb(255, 220, 0), Color32::from_rgb(0, 0, 160))
    };
    let mut visuals = theme.default_visuals();
    let plain = |widget: &WidgetVisuals| WidgetVisuals {
        bg_fill: middle,
        weak_bg_fill: back,
        bg_stroke: Stroke::new(1.5, ink),
        fg_stroke: Stroke::new(2.0, ink),
        ..*widget
    };
    let widgets = &mut visuals.widgets;
    for widget in [
        &mut widgets.noninteractive,
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        *widget = plain(widget);
    }
    for widget in [&mut widgets.hovered, &mut widgets.active] {
        widget.bg_stroke = Stroke::new(3.0, pointed);
    }
    visuals.selection = Selection { bg_fill: chosen, stroke: Stroke::new(2.0, ink) };
    (visuals.panel_fill, visuals.window_fill, visuals.extreme_bg_color) = (back, back, back);
    (visuals.faint_bg_color, visuals.code_bg_color) = (back, back);
    visuals.window_stroke = Stroke::new(2.0, ink);
    visuals.text_cursor.stroke = Stroke::new(3.0, pointed);
    visuals.hyperlink_color = pointed;
    // What is only a remark can be read as well as the rest.
    visuals.weak_text_color = Some(ink);
    visuals.disabled_alpha = 0.7;
    visuals
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast of two colours as the guidelines for the web reckon it (WCAG 2.2, "contrast ratio").
    fn ratio(a: Color32, b: Color32) -> f64 {
        let light = |colour: Color32| {
            let linear = |v: u8| {
                let v = f64::from(v) / 255.0;
                if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
        };
        let (a, b) = (light(a) + 0.05, light(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn everything_can_be_told_from_what_is_behind_it() {
        assert!((ratio(Color32::WHITE, Color32::BLACK) - 21.0).abs() < 1e-9);
        for theme in [Theme::Dark, Theme::Light] {
            let visuals = contrasting(theme);
            let back = visuals.panel_fill;
            for text in [visuals.text_color(), visuals.weak_text_color(), visuals.hyperlink_color] {
                assert!(ratio(text, back) >= 7.0, "{theme:?}: {text:?}");
            }
            let widgets = &visuals.widgets;
            for widget in [widgets.noninteractive, widgets.inactive, widgets.hovered, widgets.active, widgets.open] {
                assert!(ratio(widget.fg_stroke.color, widget.weak_bg_fill) >= 7.0, "{theme:?}: {widget:?}");
                assert!(ratio(widget.fg_stroke.color, widget.bg_fill) >= 4.5, "{theme:?}: {widget:?}");
                assert!(ratio(widget.bg_fill, back) >= 3.0 && ratio(widget.bg_stroke.color, back) >= 3.0);
                assert!(widget.bg_stroke.width >= 1.5 && widget.fg_stroke.width >= 2.0);
            }
            let Selection { bg_fill, stroke } = visuals.selection;
            assert!(ratio(stroke.color, bg_fill) >= 7.0, "{theme:?}: what is chosen");
        }
    }

    #[test]
    fn they_are_put_on_and_taken_off() {
        let ctx = Context::default();
        let usual = [Theme::Dark, Theme::Light].map(|theme| (*ctx.style_of(theme)).clone());
        let looks = Looks { theme: ThemePreference::Light, contrast: true, still: true };
        looks.apply(&ctx);
        for theme in [Theme::Dark, Theme::Light] {
            let style = ctx.style_of(theme);
            assert_eq!((style.animation_time, style.scroll_animation), (0.0, ScrollAnimation::none()));
            assert!(
                !style.visuals.text_cursor.blink && ratio(style.visuals.text_color(), style.visuals.panel_fill) > 20.0
            );
        }
        assert_eq!(Looks::of(&looks.said()), looks);
        Looks::default().apply(&ctx);
        assert_eq!([Theme::Dark, Theme::Light].map(|theme| (*ctx.style_of(theme)).clone()), usual);
        assert_eq!(Looks::of(&Value::Null), Looks::default());
    }
}
