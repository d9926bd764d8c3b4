//! Rust text without what is not code: a tokenizer's first half.

/// The source with comments and the insides of strings and characters as spaces, line for line.
pub(super) fn bare(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match chars[i] {
            '/' if chars.get(i + 1) == Some(&'/') => line_end(&chars, i),
            '/' if chars.get(i + 1) == Some(&'*') => block_end(&chars, i),
            '"' => string_end(&chars, i),
            'r' if !follows_word(&chars, i) => raw_end(&chars, i).unwrap_or(i),
            '\'' => char_end(&chars, i).unwrap_or(i),
            _ => i,
        };
        if end == i {
            out.push(chars[i]);
            i += 1;
        } else {
            out.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    out
}

fn follows_word(chars: &[char], i: usize) -> bool {
    // `br"…"` is a raw string too.
    let before = |n: usize| i.checked_sub(n).map(|at| chars[at]);
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if before(1) == Some('b') { word(before(2)) } else { word(before(1)) }
}

fn line_end(chars: &[char], i: usize) -> usize {
    chars[i..].iter().position(|&c| c == '\n').map_or(chars.len(), |n| i + n)
}

/// Block comments nest.
fn block_end(chars: &[char], i: usize) -> usize {
    let (mut at, mut depth) = (i, 0);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], i: usize) -> usize {
    let mut at = i + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `r"…"` or `r#"…"#`, if one starts here.
fn raw_end(chars: &[char], i: usize) -> Option<usize> {
    let hashes = chars[i + 1..].iter().take_while(|&&c| c == '#').count();
    let start = i + 1 + hashes;
    if chars.get(start) != Some(&'"') {
        return None;
    }
    let closes =
        |at: usize| chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    Some((start + 1..chars.len()).find(|&at| closes(at)).map_or(chars.len(), |at| at + 1 + hashes))
}

/// The end of a character; a lifetime has none.
fn char_end(chars: &[char], i: usize) -> Option<usize> {
    match chars.get(i + 1)? {
        '\\' => chars.get(i + 3..)?.iter().position(|&c| c == '\'').map(|n| i + 4 + n),
        _ => (chars.get(i + 2) == Some(&'\'')).then_some(i + 3),
    }
}

/// [`bare`] code without what only tests compile: modules and items under `#[cfg(test)]`, as empty lines.
pub(super) fn shipped(source: &str) -> String {
    let mut code = bare(source);
    while let Some(start) = code.find("#[cfg(test)]") {
        let rest = &code[start..];
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let end = match rest.find('{') {
            Some(brace) if brace < semicolon => brace + closing(&rest[brace..]),
            _ => (semicolon + 1).min(rest.len()),
        };
        let blank: String = rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..start + end, &blank);
    }
    code
}

/// Bytes up to and with the brace that closes the first one.
pub(super) fn closing(code: &str) -> usize {
    let mut depth = 0usize;
    for (i, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return i + 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

/// Whether `word` stands at `at` as a whole word.
pub(super) fn whole_word(code: &str, at: usize, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part)
}

/// The line of a byte, from 1.
pub(super) fn line_of(code: &str, at: usize) -> usize {
    code[..at].bytes().filter(|&b| b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blank() {
        let source = "a // x{\nb /* /* { */ \n */ c \"\\\"{\" d r#\"\"{\"# e '{' f '\\'' g<'a> br\"{\" h '\\u{1f}' i";
        let code = bare(source);
        assert_eq!(code.lines().count(), source.lines().count());
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "c", "d", "e", "f", "g<'a>", "b", "h", "i"]);
        for cut in ["\"", "r#\"", "'", "'\\", "/*", "'\\u", "r"] {
            bare(cut);
        }
    }

    #[test]
    fn what_tests_compile_does_not_ship() {
        let source =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { println!() }\n}\n#[cfg(test)]\nmod c;\nfn d() {}\n";
        let code = shipped(source);
        assert_eq!(code.split_whitespace().collect::<String>(), "fna(){}fnd(){}");
        assert_eq!(line_of(&code, code.find("d()").unwrap()), 8);
    }

    #[test]
    fn words_are_whole() {
        let code = "reprint print_all print";
        let at: Vec<usize> =
            code.match_indices("print").map(|m| m.0).filter(|&at| whole_word(code, at, "print")).collect();
        assert_eq!(at, [18]);
    }
}
