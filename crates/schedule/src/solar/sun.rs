//! Where the sun stands: Meeus, Astronomical Algorithms, chapters 12 and 25, and what Venus, Jupiter and the moon do to it
//! (Astronomical Formulae for Calculators, chapter 18). Beside `PyEphem` it is less than 0.003 degrees off.
#![expect(clippy::cast_precision_loss, reason = "seconds since 1970 have a third of a double's digits")]

/// Seconds of Terrestrial Time ahead of Universal Time: what it is in this decade. A minute more moves the sun by 2.5
/// seconds of arc.
const DELTA_T: f64 = 69.2;

/// What the sun looks like from the earth's centre.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sun {
    /// Radians north of the equator.
    pub(super) declination: f64,
    /// Degrees eastwards of Greenwich's meridian, at which it stands highest: from -180 to 180.
    pub(super) east: f64,
    /// Degrees from its centre to its rim.
    pub(super) semidiameter: f64,
    /// Degrees by which it stands lower at the horizon, seen from the ground and not from the earth's centre.
    pub(super) parallax: f64,
}

impl Sun {
    /// At this second since 1970, in UTC.
    pub(super) fn at(second: i64) -> Self {
        // Days and centuries since 2000-01-01T12:00.
        let days = (second - 946_728_000) as f64 / 86_400.0;
        let t = (days + DELTA_T / 86_400.0) / 36_525.0;
        let mean_longitude = 280.466_46 + t * (36_000.769_83 + t * 0.000_303_2);
        let anomaly = (357.529_11 + t * (35_999.050_29 - t * 0.000_153_7)).to_radians();
        let eccentricity = 0.016_708_634 - t * (0.000_042_037 + t * 0.000_000_126_7);
        let center = anomaly.sin() * (1.914_602 - t * (0.004_817 + t * 0.000_014))
            + (2.0 * anomaly).sin() * (0.019_993 - t * 0.000_101)
            + (3.0 * anomaly).sin() * 0.000_289;
        let true_anomaly = anomaly + center.to_radians();
        let distance =
            1.000_001_018 * (1.0 - eccentricity * eccentricity) / (1.0 + eccentricity * true_anomaly.cos());
        // What others pull, by centuries since 1900.
        let c = t + 1.0;
        let pulled = 0.001_34 * (153.23 + 22_518.754_1 * c).to_radians().cos()
            + 0.001_54 * (216.57 + 45_037.508_2 * c).to_radians().cos()
            + 0.002_00 * (312.69 + 32_964.357_7 * c).to_radians().cos()
            + 0.001_79 * (350.74 + 445_267.114_2 * c - 0.001_44 * c * c).to_radians().sin()
            + 0.001_78 * (231.19 + 20.20 * c).to_radians().sin();
        let node = (125.04 - 1934.136 * t).to_radians();
        let nutation = -0.004_78 * node.sin();
        let longitude = (mean_longitude + center + pulled - 0.005_69 + nutation).to_radians();
        let obliquity = (23.439_291_1 - 0.013_004_2 * t + 0.002_56 * node.cos()).to_radians();
        let ascension = (obliquity.cos() * longitude.sin()).atan2(longitude.cos()).to_degrees();
        let sidereal =
            280.460_618_37 + 360.985_647_366_29 * days + 0.000_387_933 * t * t + nutation * obliquity.cos();
        Self {
            declination: (obliquity.sin() * longitude.sin()).asin(),
            east: half_turn(ascension - sidereal),
            semidiameter: 0.266_56 / distance,
            parallax: 0.002_443 / distance,
        }
    }
}

/// The same direction, from -180 to 180 degrees.
pub(super) fn half_turn(degrees: f64) -> f64 {
    let turned = degrees.rem_euclid(360.0);
    if turned > 180.0 { turned - 360.0 } else { turned }
}
