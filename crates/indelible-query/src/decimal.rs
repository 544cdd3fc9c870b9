//! Numbers as decimals: exact, of any length, compared without being written out.

use std::cmp::Ordering;

/// Digits of an exponent that are computed with; of longer ones see [`Decimal`].
const EXPONENT_DIGITS: usize = 36;
/// Longest number that is written without an exponent, in characters.
const PLAIN: i128 = 64;

/// A decimal number: 0.d₁d₂d₃… × 10^exponent, the first and the last digit not 0.
/// Of exponents with more than 36 digits the place of the point among the digits does not
/// count; what they are written with does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    /// Of one that is too long to compute with only its sign counts.
    exponent: i128,
    /// That one, without leading zeros.
    long: String,
    /// None for 0.
    digits: String,
}

impl Decimal {
    /// Reads a number: a JSON number, or a form of it that people type, such as `.5`,
    /// `+3` or `007`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (rest, None),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if mantissa.len() < 1 + usize::from(mantissa.contains('.'))
            || !is_digits(whole)
            || !is_digits(part)
        {
            return None;
        }
        let (shift, long) = match exponent {
            None => (0, String::new()),
            Some(text) => self::exponent(text)?,
        };
        let all = format!("{whole}{part}");
        let significant = all.trim_start_matches('0');
        if significant.is_empty() {
            return Some(Self {
                negative: false,
                exponent: 0,
                long: String::new(),
                digits: String::new(),
            });
        }
        let leading = all.len() - significant.len();
        let place = whole.len() as i128 - leading as i128;
        let exponent = if long.is_empty() { shift + place } else { shift };
        let digits = significant.trim_end_matches('0').to_owned();
        Some(Self { negative, exponent, long, digits })
    }

    /// The same text for the same number.
    #[must_use]
    pub fn canonical(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        match self.long.is_empty() {
            true => format!("{sign}{}e{}", self.digits, self.exponent),
            false => {
                let of_exponent = if self.exponent < 0 { "-" } else { "" };
                format!("{sign}{}e{of_exponent}{}", self.digits, self.long)
            }
        }
    }

    /// It without an exponent, unless that is long.
    #[must_use]
    pub fn plain(&self) -> Option<String> {
        let len = self.digits.len() as i128;
        if !self.long.is_empty() || len > PLAIN || !(-PLAIN..=PLAIN).contains(&self.exponent) {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        let zeros = |count: i128| "0".repeat(usize::try_from(count).unwrap_or(0));
        Some(if self.digits.is_empty() {
            "0".to_owned()
        } else if self.exponent <= 0 {
            format!("{sign}0.{}{}", zeros(-self.exponent), self.digits)
        } else if self.exponent >= len {
            format!("{sign}{}{}", self.digits, zeros(self.exponent - len))
        } else {
            let at = usize::try_from(self.exponent).unwrap_or(0);
            let (whole, part) = self.digits.split_at_checked(at)?;
            format!("{sign}{whole}.{part}")
        })
    }

    /// Without its sign.
    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let long = |of: &Self| (of.long.len(), of.long.clone());
        let longer = long(self).cmp(&long(other));
        let longer = if self.exponent < 0 { longer.reverse() } else { longer };
        // Digits compare as text: what ends first goes on with zeros.
        self.exponent.cmp(&other.exponent).then(longer).then_with(|| self.digits.cmp(&other.digits))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An exponent to compute with; of a long one the sign, and its digits.
fn exponent(text: &str) -> Option<(i128, String)> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.len() > EXPONENT_DIGITS {
        // Beyond all that can be computed with.
        let beyond = 10_i128.pow(EXPONENT_DIGITS as u32 + 1);
        return Some((if negative { -beyond } else { beyond }, digits.to_owned()));
    }
    let exponent = if digits.is_empty() { 0 } else { digits.parse::<i128>().ok()? };
    Some((if negative { -exponent } else { exponent }, String::new()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn the_same_number_is_the_same_however_it_is_written() {
        let huge = format!("1{}", "0".repeat(10_000));
        for same in [
            ["1000", "1e3", "1000.0", "1E+3", "0.001e6", "10000e-1"],
            ["1.5", "1.50", "15e-1", "+1.5", "01.5", "0.15E1"],
            ["0", "-0", "0.0", "0e99999999999", "-0e-5", ".0"],
            ["-5e-1", "-0.5", "-.5", "-0.50", "-5E-1", "-50e-2"],
            [
                "1e999999999",
                "10e999999998",
                "0.1e1000000000",
                "1E+999999999",
                "1e0999999999",
                "1.0e999999999",
            ],
            [&huge, "1e10000", "10e9999", "0.1e10001", "1.000e10000", "100e9998"],
        ] {
            for (a, b) in same.iter().zip(same.iter().skip(1)) {
                assert_eq!(decimal(a), decimal(b), "{a} {b}");
                assert_eq!(decimal(a).canonical(), decimal(b).canonical());
            }
        }
        for bad in
            ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "0x10", "1_000", "nan", "inf", "1,5", "٣"]
        {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn order_is_exact() {
        let long = format!("1e{}", "9".repeat(50));
        let longer = format!("1e1{}", "0".repeat(50));
        let least = format!("-2e{}", "9".repeat(50));
        let small = format!("3e-{}", "9".repeat(50));
        let rising = [
            least.as_str(),
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1e-9",
            "0",
            &small,
            "1e-400",
            "0.1",
            "0.10000000000000000000001",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993.5",
            "18446744073709551616",
            "1e308",
            "1e400",
            "1e999999999",
            &long,
            &longer,
        ];
        for (at, a) in rising.iter().enumerate() {
            for (other, b) in rising.iter().enumerate() {
                assert_eq!(decimal(a).cmp(&decimal(b)), at.cmp(&other), "{a} {b}");
            }
        }
    }

    proptest! {
        #[test]
        fn integers_are_as_they_are(a: i64, b: i64, zeros in 0usize..30) {
            prop_assert_eq!(decimal(&a.to_string()).cmp(&decimal(&b.to_string())), a.cmp(&b));
            let longer = format!("{a}{}e-{zeros}", "0".repeat(zeros));
            prop_assert_eq!(decimal(&longer).plain().unwrap(), a.to_string());
        }

        #[test]
        fn plain_is_the_same_number(text in "-?[0-9]{1,30}(\\.[0-9]{1,30})?(e-?[0-9]{1,2})?") {
            let number = decimal(&text);
            if let Some(plain) = number.plain() {
                prop_assert_eq!(&decimal(&plain), &number);
                prop_assert_eq!(decimal(&plain).plain().unwrap(), plain);
            }
        }
    }
}
