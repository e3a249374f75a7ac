//! Numbers as people read them.

/// Keeps a number and its unit on one line.
pub const NBSP: char = '\u{a0}';

/// Groups the digits of a whole number by thousands, e.g. `2,041,789`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share of a whole in percent: `0 %` and `100 %` only where they are exact, a decimal where it tells.
/// A share of nothing is `0 %`.
pub fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return format!("0{NBSP}%");
    }
    if part == whole {
        return format!("100{NBSP}%");
    }
    let share = 100.0 * part as f64 / whole as f64;
    if share < 0.1 {
        format!("<{NBSP}0.1{NBSP}%")
    } else if share < 9.95 {
        format!("{share:.1}{NBSP}%")
    } else if share > 99.0 && share < 100.0 {
        // Rounded down, so that nearly all never reads as all.
        format!("{:.1}{NBSP}%", (share * 10.0).floor() / 10.0)
    } else {
        format!("{share:.0}{NBSP}%")
    }
}

/// A measured share, from 0 to 1, in percent with one decimal.
pub fn share(value: f64) -> String {
    format!("{:.1}{NBSP}%", 100.0 * value)
}

/// Both ends of an interval of shares.
pub fn interval([low, high]: [f64; 2]) -> String {
    format!("{:.1} to {}", 100.0 * low, share(high))
}

/// A difference of shares in percentage points, with its sign.
pub fn points(difference: f64) -> String {
    let points = format!("{:.1}", 100.0 * difference.abs());
    match () {
        () if points == "0.0" => points,
        () if difference < 0.0 => format!("\u{2212}{points}"),
        () => format!("+{points}"),
    }
}

/// A number and its unit, kept together, e.g. `9.5 s`.
pub fn with_unit(number: f64, unit: &str) -> String {
    format!("{}{NBSP}{unit}", decimal(number))
}

/// A number with as many decimals as it needs, at most two, and a true minus sign.
pub fn decimal(number: f64) -> String {
    let text = format!("{number:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text.strip_prefix('-') {
        None => text.to_owned(),
        Some("0") => "0".to_owned(),
        Some(digits) => format!("\u{2212}{digits}"),
    }
}

/// A count with its noun, in the singular for one, e.g. `1 clip`, `1,207 clips`.
pub fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(number), if number == 1 { singular } else { plural })
}

/// A name for people from a name for programs: `no_visible_action` becomes `no visible action`.
pub fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// Joins names as a sentence does: `a`, `a and b`, `a, b and c`.
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(2_041_789), "2,041,789");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn nearly_all_is_not_all_and_hardly_any_is_not_none() {
        assert_eq!(percent(0, 20_371), "0\u{a0}%");
        assert_eq!(percent(1, 20_371), "<\u{a0}0.1\u{a0}%");
        assert_eq!(percent(1, 21), "4.8\u{a0}%");
        assert_eq!(percent(3_518, 20_371), "17\u{a0}%");
        assert_eq!(percent(20_370, 20_371), "99.9\u{a0}%");
        assert_eq!(percent(5, 5), "100\u{a0}%");
        assert_eq!(percent(5, 0), "0\u{a0}%");
    }

    #[test]
    fn decimals_stop_where_they_add_nothing() {
        assert_eq!(decimal(2.7), "2.7");
        assert_eq!(decimal(10.0), "10");
        assert_eq!(decimal(-23.456), "\u{2212}23.46");
        assert_eq!(decimal(-0.001), "0");
    }

    #[test]
    fn a_difference_has_a_sign_unless_it_is_none() {
        assert_eq!(points(0.8244), "+82.4");
        assert_eq!(points(-0.005), "\u{2212}0.5");
        assert_eq!(points(-0.0001), "0.0");
        assert_eq!(interval([0.5, 1.0]), "50.0 to 100.0\u{a0}%");
    }

    #[test]
    fn lists_read_as_sentences_do() {
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(listed(&names), "a, b and c");
        assert_eq!(listed(&names[..2]), "a and b");
        assert_eq!(listed(&names[..1]), "a");
        assert_eq!(listed(&[]), "");
        assert_eq!(counted(1, "clip", "clips"), "1 clip");
        assert_eq!(counted(1_207, "clip", "clips"), "1,207 clips");
    }
}
