//! The files in `ops/deploy` agree with the program and with each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use counterpoint_telemetry::catalogue;
use serde_json::Value;
use walkdir::WalkDir;
use yaml_rust2::{Yaml, YamlLoader};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/deploy")
}

fn yaml(name: &str) -> Yaml {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(documents.len(), 1, "{name}");
    documents.into_iter().next().unwrap()
}

fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().into_iter().flatten().filter_map(Yaml::as_str).collect()
}

/// What the containers' ports are on the host, and inside: `(service, inside)` to outside.
fn ports(compose: &Yaml) -> BTreeMap<(String, String), String> {
    let services = compose["services"].as_hash().unwrap();
    let of = |(name, service): (&Yaml, &Yaml)| {
        let ports = texts(&service["ports"]).into_iter();
        ports
            .map(|port| {
                let parts: Vec<_> = port.split(':').map(str::to_owned).collect();
                let [host, outside, inside] = parts.try_into().unwrap();
                assert_eq!(host, "127.0.0.1", "{port} is open to this host only");
                ((name.as_str().unwrap().to_owned(), inside), outside)
            })
            .collect::<Vec<_>>()
    };
    services.iter().flat_map(of).collect()
}

#[test]
fn every_panel_asks_for_metrics_that_exist_and_every_metric_is_on_a_panel() {
    let text = fs::read_to_string(folder().join("grafana/dashboards/counterpoint.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let labels: BTreeSet<_> = catalogue().flat_map(|metric| metric.labels).copied().collect();
    let mut asked = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let place = (panel["gridPos"]["x"].as_u64(), panel["gridPos"]["y"].as_u64());
        assert!(places.insert(place), "two panels at {place:?}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(panel["datasource"]["uid"], "prometheus");
            let query = target["expr"].as_str().unwrap();
            let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let names: Vec<_> = words.filter(|word| word.starts_with("counterpoint_")).collect();
            assert!(!names.is_empty(), "{query}");
            asked.extend(names.into_iter().map(|name| name.trim_end_matches("_bucket").to_owned()));
            let (_, by) = query.split_once("by (").unwrap();
            let by = by.split_once(')').unwrap().0.split(", ").filter(|label| *label != "le");
            for label in by {
                assert!(labels.contains(label), "{label} in {query}");
            }
        }
    }
    let exist: BTreeSet<_> = catalogue().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(asked, exist);
}

#[test]
fn addresses_and_paths_lead_to_what_they_name() {
    let compose = yaml("compose.yaml");
    let ports = ports(&compose);
    let outside = |service: &str, inside: &str| ports[&(service.to_owned(), inside.to_owned())].clone();
    // What the comment tells people to type.
    let text = fs::read_to_string(folder().join("compose.yaml")).unwrap();
    for (name, service, inside) in [
        ("kafka://localhost", "kafka", "9092"),
        ("--otlp http://localhost", "jaeger", "4318"),
        ("Jaeger on http://localhost", "jaeger", "16686"),
        ("Prometheus on http://localhost", "prometheus", "9090"),
        ("http://localhost", "grafana", "3000"),
    ] {
        assert!(text.contains(&format!("{name}:{}", outside(service, inside))), "{name}");
    }
    let advertised = compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].as_str();
    assert_eq!(advertised.unwrap(), format!("PLAINTEXT://localhost:{}", outside("kafka", "9092")));
    let sources = yaml("grafana/provisioning/datasources/counterpoint.yaml");
    for source in sources["datasources"].as_vec().unwrap() {
        let (service, port) =
            source["url"].as_str().unwrap().trim_start_matches("http://").split_once(':').unwrap();
        assert_eq!(source["uid"].as_str(), Some(service));
        assert!(ports.contains_key(&(service.to_owned(), port.to_owned())), "{source:?}");
    }
    let scrape = yaml("prometheus/prometheus.yml");
    let targets = texts(&scrape["scrape_configs"][0]["static_configs"][0]["targets"]);
    let (host, port) = targets[0].split_once(':').unwrap();
    assert!(texts(&compose["services"]["prometheus"]["extra_hosts"])[0].starts_with(host));
    assert!(
        text.contains(&format!("--metrics 0.0.0.0:{port}")),
        "the port that is scraped is the one to give"
    );

    let services = compose["services"].as_hash().unwrap();
    let volumes: BTreeSet<_> =
        compose["volumes"].as_hash().unwrap().keys().filter_map(Yaml::as_str).collect();
    for (name, service) in services {
        let image = service["image"].as_str().unwrap();
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
        assert!(tag.split('.').count() == 3, "{image} is not pinned");
        for volume in texts(&service["volumes"]) {
            let from = volume.split(':').next().unwrap();
            match from.strip_prefix("./") {
                Some(path) => assert!(folder().join(path).exists(), "{name:?}: {volume}"),
                None => assert!(volumes.contains(from), "{name:?}: {volume}"),
            }
        }
    }
    let provider = yaml("grafana/provisioning/dashboards/counterpoint.yaml");
    let path = provider["providers"][0]["options"]["path"].as_str().unwrap();
    let mounted = texts(&compose["services"]["grafana"]["volumes"]);
    assert!(mounted.contains(&format!("./grafana/dashboards:{path}:ro").as_str()), "{mounted:?}");
}

#[test]
fn every_file_of_the_folder_is_read_by_a_test() {
    let files = WalkDir::new(folder()).into_iter().filter_map(Result::ok);
    let files: BTreeSet<_> = files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().strip_prefix(folder()).unwrap().to_string_lossy().into_owned())
        .collect();
    let read = [
        "compose.yaml",
        "grafana/dashboards/counterpoint.json",
        "grafana/provisioning/dashboards/counterpoint.yaml",
        "grafana/provisioning/datasources/counterpoint.yaml",
        "prometheus/prometheus.yml",
    ];
    assert_eq!(files.into_iter().collect::<Vec<_>>(), read);
}
