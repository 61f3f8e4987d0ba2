//! The sun's events at a place, as Celery has them by `PyEphem`.
#![expect(
    clippy::cast_possible_truncation,
    reason = "a day has fewer seconds than a double has digits; the cast of a float saturates"
)]

mod sun;

use jiff::Timestamp;

use self::sun::{Sun, half_turn};

const DAY: i64 = 86_400;

/// So many days are looked at, as Celery does, before an event counts as one that never comes.
const DAYS: i64 = 366;

/// An event of the sun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The centre is 18 degrees below the horizon, and rises.
    DawnAstronomical,
    /// 12 degrees.
    DawnNautical,
    /// 6 degrees.
    DawnCivil,
    /// The upper rim is at the horizon, where the air lifts it by 34 minutes of arc.
    Sunrise,
    /// It stands highest.
    SolarNoon,
    /// The upper rim is at the horizon, and sets.
    Sunset,
    /// The centre is 6 degrees below the horizon, and sinks.
    DuskCivil,
    /// 12 degrees.
    DuskNautical,
    /// 18 degrees.
    DuskAstronomical,
}

impl Event {
    /// In their order in a day.
    pub const ALL: [Self; 9] = [
        Self::DawnAstronomical,
        Self::DawnNautical,
        Self::DawnCivil,
        Self::Sunrise,
        Self::SolarNoon,
        Self::Sunset,
        Self::DuskCivil,
        Self::DuskNautical,
        Self::DuskAstronomical,
    ];

    /// Celery's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DawnAstronomical => "dawn_astronomical",
            Self::DawnNautical => "dawn_nautical",
            Self::DawnCivil => "dawn_civil",
            Self::Sunrise => "sunrise",
            Self::SolarNoon => "solar_noon",
            Self::Sunset => "sunset",
            Self::DuskCivil => "dusk_civil",
            Self::DuskNautical => "dusk_nautical",
            Self::DuskAstronomical => "dusk_astronomical",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    /// On which side of noon: -1 before, 1 after.
    const fn side(self) -> f64 {
        match self {
            Self::DawnAstronomical | Self::DawnNautical | Self::DawnCivil | Self::Sunrise => -1.0,
            Self::SolarNoon => 0.0,
            Self::Sunset | Self::DuskCivil | Self::DuskNautical | Self::DuskAstronomical => 1.0,
        }
    }

    /// How high the centre of the sun then stands, in degrees, from the earth's centre.
    fn height(self, sun: &Sun) -> f64 {
        sun.parallax
            + match self {
                Self::DawnAstronomical | Self::DuskAstronomical => -18.0,
                Self::DawnNautical | Self::DuskNautical => -12.0,
                Self::DawnCivil | Self::DuskCivil => -6.0,
                Self::Sunrise | Self::Sunset | Self::SolarNoon => -34.0 / 60.0 - sun.semidiameter,
            }
    }
}

/// An event of the sun at a place. Its times are those of whole seconds: two machines that differ in a sine's last digit
/// still agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solar {
    event: Event,
    latitude: f64,
    longitude: f64,
}

/// Why there is no such place.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoPlace {
    /// The latitude.
    #[error("latitude {0} is not between -90 (the south pole) and 90 (the north pole)")]
    Latitude(f64),
    /// The longitude.
    #[error("longitude {0} is not between -180 (west) and 180 (east)")]
    Longitude(f64),
}

impl Solar {
    /// At this place, in degrees to the north and to the east.
    pub fn new(event: Event, latitude: f64, longitude: f64) -> Result<Self, NoPlace> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(NoPlace::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(NoPlace::Longitude(longitude));
        }
        Ok(Self { event, latitude, longitude })
    }

    /// The first one later than `after`; none, where there is none within a year, as at a pole.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let first = (after.as_second() + self.ahead()).div_euclid(DAY) - 1;
        let mut on = (first..=first + DAYS + 1).filter_map(|day| self.on(day));
        let second = on.find(|second| Timestamp::from_second(*second).is_ok_and(|at| at > after))?;
        Timestamp::from_second(second).ok()
    }

    /// Seconds by which the sun's day is ahead of that of UTC here.
    fn ahead(&self) -> i64 {
        (self.longitude * 240.0) as i64
    }

    /// The second at which it happens on this day since 1970 of the place, or none where it does not.
    fn on(&self, day: i64) -> Option<i64> {
        let noon = self.noon(day * DAY + DAY / 2 - self.ahead());
        let side = self.event.side();
        if side == 0.0 {
            return Some(noon.round() as i64);
        }
        // The sun moves on until then: three steps are exact to a second, also where it sets slowly.
        let mut at = noon;
        let mut exists = false;
        for _ in 0..8 {
            let sun = Sun::at(at.round() as i64);
            let latitude = self.latitude.to_radians();
            let over = self.event.height(&sun).to_radians().sin() - latitude.sin() * sun.declination.sin();
            let cosine = over / (latitude.cos() * sun.declination.cos());
            exists = cosine.abs() <= 1.0;
            let angle = cosine.clamp(-1.0, 1.0).acos().to_degrees();
            // How far the sun has come since noon: near to what time alone says, also around midnight.
            let about = (at - noon) / 240.0;
            let now = about + half_turn(self.longitude - sun.east - about);
            let wrong = side * angle - now;
            at += wrong * 240.0;
            if wrong.abs() * 240.0 < 0.25 {
                break;
            }
        }
        exists.then_some(at.round() as i64)
    }

    /// When the sun stands over the meridian, next to this second.
    fn noon(&self, near: i64) -> f64 {
        let mut at = near;
        let mut exact = 0.0;
        for _ in 0..2 {
            exact = to_float(at) + half_turn(Sun::at(at).east - self.longitude) * 240.0;
            at = exact.round() as i64;
        }
        exact
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 have a third of a double's digits")]
fn to_float(seconds: i64) -> f64 {
    seconds as f64
}
