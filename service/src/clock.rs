//! Times as they stand on the wire.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const MILLISECONDS: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Now, as RFC 3339 in UTC with milliseconds.
pub fn now_rfc3339_ms() -> String {
    rfc3339_ms(OffsetDateTime::now_utc())
}

/// `at` as RFC 3339 in UTC with milliseconds.
pub fn rfc3339_ms(at: OffsetDateTime) -> String {
    let utc = at.to_offset(time::UtcOffset::UTC);
    // A fixed format of a complete time cannot fail; should it, the longer form is still RFC 3339.
    utc.format(&MILLISECONDS).unwrap_or_else(|_| utc.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_time_has_three_digits_and_is_utc() {
        assert_eq!(rfc3339_ms(datetime!(2026-11-22 10:00:00.0019 +2)), "2026-11-22T08:00:00.001Z");
        assert_eq!(now_rfc3339_ms().len(), 24);
    }
}
