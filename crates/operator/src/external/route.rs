//! What is asked for, by the path of a request. Pure.

/// The group that is served.
pub const GROUP: &str = "external.metrics.k8s.io";
/// Its version.
pub const VERSION: &str = "v1beta1";
/// The name of the `APIService` that leads here.
pub const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// Whether this server lives: anybody may ask.
    Health,
    /// All groups.
    Groups,
    /// The group and its versions.
    Group,
    /// What there is in the version.
    Resources,
    /// The schema, in the form of version 2.
    OpenApi2,
    /// Where the schemas of version 3 are.
    OpenApi3,
    /// The schema of the version, in the form of version 3.
    OpenApi3OfVersion,
    /// A metric's figures.
    Metric {
        /// In this namespace.
        namespace: &'a str,
        /// This metric.
        metric: &'a str,
    },
}

/// What is asked for; nothing, where there is no such thing.
pub fn route(path: &str) -> Option<Route<'_>> {
    let path = path.strip_prefix('/')?;
    let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).splitn(8, '/').collect();
    match *parts.as_slice() {
        ["healthz" | "livez" | "readyz"] => Some(Route::Health),
        ["apis"] => Some(Route::Groups),
        ["apis", GROUP] => Some(Route::Group),
        ["apis", GROUP, VERSION] => Some(Route::Resources),
        ["apis", GROUP, VERSION, "namespaces", namespace, metric] => {
            Some(Route::Metric { namespace, metric })
        }
        ["openapi", "v2"] => Some(Route::OpenApi2),
        ["openapi", "v3"] => Some(Route::OpenApi3),
        ["openapi", "v3", "apis", GROUP, VERSION] => Some(Route::OpenApi3OfVersion),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_leads_to_what_it_says_and_no_other_anywhere() {
        let metric = Route::Metric { namespace: "photos", metric: "petiole_pool_work" };
        for (path, expected) in [
            ("/livez", Some(Route::Health)),
            ("/apis", Some(Route::Groups)),
            ("/apis/", Some(Route::Groups)),
            ("/apis/external.metrics.k8s.io", Some(Route::Group)),
            ("/apis/external.metrics.k8s.io/v1beta1", Some(Route::Resources)),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/photos/petiole_pool_work", Some(metric)),
            ("/openapi/v2", Some(Route::OpenApi2)),
            ("/openapi/v3/apis/external.metrics.k8s.io/v1beta1", Some(Route::OpenApi3OfVersion)),
            ("", None),
            ("livez", None),
            ("/apis/external.metrics.k8s.io/v1", None),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/photos", None),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/photos/a/b/c/d", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }

    #[test]
    fn the_api_service_is_named_as_kubernetes_names_it() {
        assert_eq!(API_SERVICE, format!("{VERSION}.{GROUP}"));
    }
}
