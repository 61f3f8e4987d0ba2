//! The broker on Redis conforms, and does what only it has to.

mod bounds;
mod celery;
mod effects;
mod faults;
mod give_up;
mod kombu;
mod lost;
mod reach;
mod subject;

use self::subject::{redis, redis_apart};

/// Results in the broker's database.
mod together {
    use super::redis;

    petiole_broker::conformance!(redis);
}

/// Results in another database of the same server, keys behind prefixes.
mod apart {
    use super::redis_apart;

    petiole_broker::conformance!(redis_apart);
}
