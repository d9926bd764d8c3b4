//! What was measured, as a table and as JSON.

use std::path::Path;

use anyhow::Result;
use firefall_core::world::{Category, wilson};
use serde::Serialize;

use crate::files::{Existing, write_whole};

/// What was measured of one category.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) category: Category,
    pub(super) right: usize,
    pub(super) pictures: usize,
    /// What making them took.
    pub(super) seconds: f64,
    /// Of the rate, 95 %, after Wilson.
    pub(super) interval: (f64, f64),
    /// Prompts of which every picture is right.
    pub(super) all_right: usize,
    pub(super) prompts: usize,
    /// Of the rate of such prompts, the same.
    pub(super) all_right_interval: (f64, f64),
    /// The parser on clean renders of the same kind of prompt.
    pub(super) parser: f64,
    /// The same pictures judged by other prompts of the category; absent if all say the same.
    pub(super) shuffled: Option<f64>,
    /// Pictures made without text, judged by the category's prompts.
    pub(super) no_text: f64,
    pub(super) verdicts: Vec<Answer>,
}

/// One picture.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Answer {
    pub(super) prompt: String,
    pub(super) seed: u64,
    /// What is wrong with it; absent if nothing is.
    pub(super) fault: Option<String>,
}

/// Everything that is measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) hash: String,
    pub(super) device: String,
    pub(super) seed: u64,
    /// What held-out pairs would score if colour and shape were right independently of each other, each as often as on
    /// pairs that training shows; absent until these are measured, in the categories single and digit.
    pub(super) held_out_product: Option<f64>,
    pub(super) rows: Vec<Row>,
}

impl Row {
    /// Of a category, from the verdicts of its pictures, `seeds` for each prompt.
    pub(super) fn new(category: Category, verdicts: Vec<Answer>, seeds: usize) -> Self {
        let is_right = |answer: &Answer| answer.fault.is_none();
        let right = verdicts.iter().filter(|answer| is_right(answer)).count();
        let each = || verdicts.chunks(seeds.max(1));
        let all_right = each().filter(|answers| answers.iter().all(is_right)).count();
        let (pictures, prompts) = (verdicts.len(), each().count());
        Self {
            category,
            right,
            pictures,
            seconds: 0.0,
            interval: wilson(right, pictures),
            all_right,
            prompts,
            all_right_interval: wilson(all_right, prompts),
            parser: 0.0,
            shuffled: None,
            no_text: 0.0,
            verdicts,
        }
    }

    fn rate(&self) -> f64 {
        self.right as f64 / self.pictures.max(1) as f64
    }

    /// What is said of it while the others are measured.
    pub(super) fn line(&self) -> String {
        format!("{}: {} of {} right, {:.2}", self.category, self.right, self.pictures, self.rate())
    }
}

impl Report {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// Those of [`write_whole`].
    pub(super) fn write(&self, file: &Path, existing: Existing) -> Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        write_whole(file, existing, |out| Ok(out.write_all(&json)?))?;
        Ok(())
    }

    /// The table of Markdown, without the verdicts.
    pub(super) fn table(&self) -> String {
        let mut text = String::from(
            "| category | right | 95 % | all of a prompt right | 95 % | parser | shuffled captions | no text |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for row in &self.rows {
            let [(low, high), (all_low, all_high)] = [row.interval, row.all_right_interval];
            let shuffled = row.shuffled.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.3}"));
            text.push_str(&format!(
                "| {} | {:.3} ({} of {}) | {low:.3} to {high:.3} | {} of {} | {all_low:.3} to {all_high:.3} | {:.3} | \
                 {shuffled} | {:.3} |\n",
                row.category,
                row.rate(),
                row.right,
                row.pictures,
                row.all_right,
                row.prompts,
                row.parser,
                row.no_text
            ));
        }
        if self.rows.iter().any(|row| row.category == Category::HeldOutPair) {
            let product = match self.held_out_product {
                Some(product) => format!("{product:.3}"),
                None => "not known; it takes more pictures of the categories single and digit".to_owned(),
            };
            text.push_str(&format!(
                "\nThe product of the accuracy of these colours and of these shapes on pairs that training shows, to be \
                 held against held-out pair: {product}\n"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(category: Category, faults: &[bool]) -> Row {
        let answer = |fault: &bool| Answer { prompt: "a".into(), seed: 1, fault: fault.then(|| "no".to_owned()) };
        Row::new(category, faults.iter().map(answer).collect(), 2)
    }

    fn report(rows: Vec<Row>, held_out_product: Option<f64>) -> Report {
        let (model, hash, device) = ("m".to_owned(), "h".to_owned(), "d".to_owned());
        Report { model, hash, device, seed: 0, held_out_product, rows }
    }

    #[test]
    fn prompts_are_counted_and_so_are_pictures() {
        let row = row(Category::Single, &[false, false, true, false, true, true]);
        assert_eq!((row.right, row.pictures, row.all_right, row.prompts), (3, 6, 1, 3));
        assert_eq!((row.interval, row.all_right_interval), (wilson(3, 6), wilson(1, 3)));
        assert_eq!(row.line(), "single: 3 of 6 right, 0.50");
    }

    #[test]
    fn the_table_says_what_is_not_known() {
        let mut rows = vec![row(Category::Single, &[false, true]), row(Category::HeldOutPair, &[false, false])];
        rows[1].shuffled = Some(0.125);
        let table = report(rows.clone(), None).table();
        assert!(table.contains("| single | 0.500 (1 of 2) |") && table.contains("| - | 0.000 |"), "{table}");
        assert!(table.contains("| 0.125 | 0.000 |") && table.contains("held-out pair: not known"), "{table}");
        assert!(report(rows.clone(), Some(0.81)).table().ends_with("held-out pair: 0.810\n"));
        assert_eq!(report(rows[..1].to_vec(), Some(0.81)).table().lines().count(), 3);
        let lines: Vec<usize> = table.lines().take(4).map(|line| line.matches('|').count()).collect();
        assert_eq!(lines, [9; 4], "{table}");
    }
}
