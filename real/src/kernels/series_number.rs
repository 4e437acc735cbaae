//! The numbers of a series of kernels.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A series of kernels, such as 7.2: all releases `7.2` and `7.2.n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The first number of a release.
    pub major: u32,
    /// The second one.
    pub minor: u32,
}

impl Series {
    /// The series that have shared interface queues or are compared with those that have.
    pub const KNOWN: [Series; 6] = [
        Series::new(6, 18),
        Series::new(6, 19),
        Series::new(7, 0),
        Series::new(7, 1),
        Series::new(7, 2),
        Series::new(7, 3),
    ];

    /// The series `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Series { major, minor }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Series {
    type Err = NoSeries;

    fn from_str(text: &str) -> Result<Self, NoSeries> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        text.split_once('.')
            .and_then(|(major, minor)| Some(Series::new(number(major)?, number(minor)?)))
            .ok_or_else(|| NoSeries(text.to_owned()))
    }
}

/// A text that names no series.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no series of kernels; expected MAJOR.MINOR, such as 7.3")]
pub struct NoSeries(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_ordered_as_numbers() {
        assert!(Series::new(6, 18) < Series::new(7, 0));
        assert!(Series::new(7, 9) < Series::new(7, 10));
        assert!(Series::KNOWN.is_sorted());
    }
}
