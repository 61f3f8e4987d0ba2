//! The command line.

use std::net::SocketAddr;

use clap::Parser;
use petiole_process::admin;

/// The operator of Petiole: looks after `TaskQueue` and `WorkerPool` objects.
#[derive(Debug, Clone, Parser)]
#[command(name = "petiole-operator", version)]
pub struct Flags {
    /// Namespaces to look after, separated by commas. Default: the operator's own.
    #[arg(long, env = "PETIOLE_NAMESPACES", value_delimiter = ',', conflicts_with = "all_namespaces")]
    pub namespaces: Vec<String>,
    /// Look after every namespace of the cluster.
    #[arg(long, env = "PETIOLE_ALL_NAMESPACES")]
    pub all_namespaces: bool,
    /// Image of the worker, which also holds the runner.
    #[arg(long, env = "PETIOLE_WORKER_IMAGE")]
    pub worker_image: String,
    /// When the kubelet pulls the worker's image.
    #[arg(
        long,
        env = "PETIOLE_WORKER_IMAGE_PULL_POLICY",
        value_parser = ["IfNotPresent", "Always", "Never"],
        default_value = "IfNotPresent",
    )]
    pub worker_image_pull_policy: String,
    /// Namespace of the operator and its Lease. Default: the one that the client's configuration names.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// This replica's name: its pod's.
    #[arg(long, env = "POD_NAME")]
    pub name: String,
    /// Name of the Lease that says which replica leads.
    #[arg(long, env = "PETIOLE_LEASE", default_value = "petiole-operator")]
    pub lease: String,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, default_value_t = SocketAddr::from(([0, 0, 0, 0], admin::PORT)))]
    pub admin: SocketAddr,
    /// Where external.metrics.k8s.io is served, such as 0.0.0.0:9443. Default: nowhere, and no `HorizontalPodAutoscaler` is
    /// made.
    #[arg(long, requires = "external_metrics_service")]
    pub external_metrics: Option<SocketAddr>,
    /// Name of the Service that leads there, and of the Secret for its certificate, in the operator's namespace.
    #[arg(long, requires = "external_metrics")]
    pub external_metrics_service: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn namespaces_are_separated_by_commas() {
        Flags::command().debug_assert();
        let with = |more: &[&str]| {
            let flags = ["petiole-operator", "--worker-image", "a", "--name", "b"].iter().chain(more);
            Flags::try_parse_from(flags)
        };
        assert_eq!(with(&["--namespaces", "a,b"]).unwrap().namespaces, ["a", "b"]);
        assert!(with(&["--namespaces", "a", "--all-namespaces"]).is_err());
    }

    #[test]
    fn external_metrics_need_an_address_and_a_service() {
        let with = |more: &[&str]| {
            let flags = ["petiole-operator", "--worker-image", "a", "--name", "b"].iter().chain(more);
            Flags::try_parse_from(flags)
        };
        assert!(with(&["--external-metrics", "0.0.0.0:1", "--external-metrics-service", "a"]).is_ok());
        assert!(with(&["--external-metrics", "0.0.0.0:1"]).is_err());
        assert!(with(&["--external-metrics-service", "a"]).is_err());
    }

    #[test]
    fn a_pull_policy_is_one_that_the_kubelet_knows() {
        let with = |more: &[&str]| {
            let flags = ["petiole-operator", "--worker-image", "a", "--name", "b"].iter().chain(more);
            Flags::try_parse_from(flags).map(|flags| flags.worker_image_pull_policy)
        };
        assert_eq!(with(&[]).unwrap(), "IfNotPresent");
        assert_eq!(with(&["--worker-image-pull-policy", "Always"]).unwrap(), "Always");
        let refused = with(&["--worker-image-pull-policy", "Sometimes"]).unwrap_err().to_string();
        assert!(refused.contains("IfNotPresent, Always, Never"), "{refused}");
    }
}
