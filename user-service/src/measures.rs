//! What this program's metrics mean, and their units.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes them all, once.
pub(crate) fn describe() {
    describe_counter!("parlor_users_registrations_total", Unit::Count, "Accounts registered.");
    describe_counter!("parlor_users_logins_total", Unit::Count, "Logins, by outcome: granted, refused or failed.");
    describe_counter!(
        "parlor_users_refreshes_total",
        Unit::Count,
        "Refreshes, by outcome: granted, refused or failed."
    );
    describe_counter!(
        "parlor_users_revocation_checks_skipped_total",
        Unit::Count,
        "Tokens accepted without asking Redis about their session, which was down."
    );
    describe_gauge!("parlor_users_revocations", Unit::Count, "Ended sessions whose access tokens may still be valid.");
    describe_gauge!("parlor_users_revocation_watchers", Unit::Count, "Streams of revocations being served.");
    describe_histogram!("parlor_users_password_hash_seconds", Unit::Seconds, "Time to compute one Argon2id hash.");
    describe_histogram!(
        "parlor_users_password_wait_seconds",
        Unit::Seconds,
        "Time that a password waited for its turn."
    );
}
