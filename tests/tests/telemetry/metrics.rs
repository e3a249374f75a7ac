//! Every metric of the catalogue, by name, from real runs: what Prometheus reads and what a collector gets.

use std::collections::{BTreeMap, BTreeSet};

use counterpoint_messages::{RecipeName, StageName, Topic};
use counterpoint_servers::{Collector, free_ports, get};
use counterpoint_telemetry::catalogue;
use counterpoint_tests::{
    film::{self, Film, Streams},
    program::{Program, Running, until},
    workplace::{CLASSES, Workplace, video},
};

/// Events of models that are trained, which no run without models has.
const OF_TRAININGS: [&str; 2] = ["TrainingStep", "TrainingEnded"];

/// Label values of each metric and label.
type Labels = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The address that a program says it serves metrics at.
fn address(running: &mut Running) -> String {
    let said = |running: &Running| {
        let stderr = running.stderr();
        let (_, rest) = stderr.split_once("metrics are served at ")?;
        Some(rest.split_whitespace().next()?.to_owned())
    };
    running.until("it serves metrics", |running| said(running).is_some());
    said(running).unwrap()
}

/// What a scrape has, if the program still answers: each metric's labels, and each line's value.
fn scrape(url: &str) -> Option<(Labels, BTreeMap<String, f64>)> {
    let answer = get(url).ok()?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (mut labels, mut values) = (Labels::new(), BTreeMap::new());
    let kinds: BTreeMap<_, _> =
        answer.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    for line in answer.body.lines().filter(|line| line.starts_with("counterpoint_")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        values.insert(series.to_owned(), value.parse().unwrap());
        let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|ending| name.strip_suffix(ending))
            .find(|name| kinds.get(name) == Some(&"histogram"))
            .unwrap_or(name);
        let found = labels.entry(name.to_owned()).or_default();
        for label in rest.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').unwrap();
            if key != "le" {
                found.entry(key.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
            }
        }
    }
    Some((labels, values))
}

fn join(all: &mut Labels, more: Labels) {
    for (name, labels) in more {
        let known = all.entry(name).or_default();
        for (label, values) in labels {
            known.entry(label).or_default().extend(values);
        }
    }
}

/// Everything that a label may be.
fn closed_sets() -> BTreeMap<&'static str, BTreeSet<String>> {
    let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<BTreeSet<_>>();
    BTreeMap::from([
        ("stage", StageName::ALL.iter().map(|stage| stage.as_str().to_owned()).collect()),
        ("topic", Topic::MESSAGES.iter().map(ToString::to_string).collect()),
        ("recipe", RecipeName::ALL.iter().map(|recipe| recipe.as_str().to_owned()).collect()),
        ("signal", set(&["traces", "metrics", "logs"])),
        ("cause", set(&["queue_full", "not_delivered"])),
    ])
}

fn assert_complete(found: &Labels, where_from: &str) {
    let names: BTreeSet<_> = found.keys().map(String::as_str).collect();
    let of_runs = || catalogue().filter(|metric| !OF_TRAININGS.contains(&metric.event));
    let wanted: BTreeSet<_> = of_runs().map(|metric| metric.name).collect();
    let missing: Vec<_> = wanted.difference(&names).collect();
    assert!(missing.is_empty(), "{where_from} lacks {missing:?}");
    assert!(names.is_subset(&wanted), "{where_from} has {:?}", names.difference(&wanted));
    let closed = closed_sets();
    for metric in of_runs() {
        let labels = &found[metric.name];
        assert_eq!(
            labels.keys().collect::<Vec<_>>(),
            sorted(metric.labels),
            "{} in {where_from}",
            metric.name
        );
        for (label, values) in labels {
            let is_word =
                |value: &String| value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let is_closed = match label.as_str() {
                // The names of enums, of which there are three.
                "reason" => values.iter().all(is_word),
                label => values.is_subset(&closed[label]),
            };
            assert!(is_closed, "{} {label}: {values:?}", metric.name);
        }
    }
}

fn sorted<'a>(labels: &[&'a str]) -> Vec<&'a str> {
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    labels
}

/// A run on which everything happens that is counted: a clip without sound, a record that fails once, one that
/// fails always, a worker that dies before its first job (so that the decoder pauses), and a second process
/// that waits for the gate and takes it over while the first stands still.
#[test]
fn each_metric_of_the_catalogue_is_read_by_prometheus_and_sent_to_a_collector() {
    let workplace = Workplace::with_clips(4);
    film::make(&[Film { path: workplace.clip("silentfilm1"), number: 20, streams: Streams::Picture }]);
    workplace.label("silentfilm1", "train", CLASSES[0].1);
    // It takes metrics and traces, and no logs, which is a loss that is counted.
    let collector = Collector::refusing("/v1/logs");
    let run =
        || -> Program { workplace.run().with(["--metrics", "127.0.0.1:0", "--otlp", &collector.url()]) };
    let mut first = run()
        .failing(
            "source::work=750*return(stall:);coordinator::plan=1*return(panic:);\
             curator::plan=return(panic:video000001);reporter::work=350*return(stall:)",
        )
        .start();
    let first_url = address(&mut first);
    let mut seen = Labels::new();
    let mut look = |url: &str| -> BTreeMap<String, f64> {
        let (labels, values) = scrape(url).unwrap_or_default();
        join(&mut seen, labels);
        values
    };
    first.until("its source is at work", |_| {
        look(&first_url).contains_key("counterpoint_records_read_total{stage=\"source\"}")
    });
    first.until("its first worker died", |running| running.kill_workers() > 0);
    let mut second = run().with(["--stages", "gate"]).start();
    let second_url = address(&mut second);
    second.until("it waits for the gate", |_| {
        look(&second_url).contains_key("counterpoint_lease_waits_total{stage=\"gate\"}")
    });
    first.stand_still();
    second.until("it has taken the gate over", |_| {
        look(&second_url).contains_key("counterpoint_stage_paused{stage=\"gate\"}")
    });
    first.go_on();
    first.until("its gate was built again", |_| {
        look(&first_url).contains_key("counterpoint_actors_rebuilt_total{stage=\"gate\"}")
    });
    // To the end: the report takes its time, so that there is a moment for a last look.
    let mut last = BTreeMap::new();
    until("both have ended", || {
        let values = look(&first_url);
        if !values.is_empty() {
            last = values;
        }
        look(&second_url);
        first.has_ended() && second.has_ended()
    });
    first.wait().done();
    second.wait().done();

    assert_complete(&seen, "Prometheus");
    let sent: BTreeSet<_> = collector.metrics().into_iter().collect();
    let sent = sent.into_iter().map(|name| (name.clone(), collector.labels(&name))).collect();
    assert_complete(&sent, "the collector");

    let value = |series: &str| last.get(series).copied();
    for (series, wanted) in [
        ("counterpoint_records_dead_lettered_total{stage=\"curator\"}", 1.0),
        ("counterpoint_attempts_failed_total{stage=\"curator\"}", 3.0),
        ("counterpoint_attempts_failed_total{stage=\"coordinator\"}", 1.0),
        ("counterpoint_clips_rejected_total{reason=\"no_sound\",stage=\"decoder\"}", 1.0),
        // Three clips of four seconds came through, whatever died meanwhile.
        ("counterpoint_media_processed_seconds_total{stage=\"decoder\"}", 3.0 * f64::from(film::SECONDS)),
        ("counterpoint_stage_paused{stage=\"decoder\"}", 0.0),
        ("counterpoint_lag_records{stage=\"curator\",topic=\"clips\"}", 0.0),
    ] {
        assert_eq!(value(series), Some(wanted), "{series} of {last:#?}");
    }
    assert!(value("counterpoint_stage_pauses_total{stage=\"decoder\"}") >= Some(1.0), "{last:#?}");
    assert!(value("counterpoint_workers_replaced_total{reason=\"crashed\"}") >= Some(1.0), "{last:#?}");
    let lost = "counterpoint_export_dropped_total{cause=\"not_delivered\",signal=\"logs\"}";
    assert!(value(lost) >= Some(1.0), "{last:#?}");
}

#[test]
fn metrics_and_share_of_traces_are_settings_and_an_address_in_use_ends_the_run_at_once() {
    let workplace = Workplace::with_clips(2);
    let collector = Collector::start();
    let [port] = free_ports().unwrap();
    let settings = format!(
        "[telemetry]\notlp = \"{}\"\nmetrics = \"127.0.0.1:{port}\"\nsample_share = 0\n",
        collector.url()
    );
    std::fs::write(workplace.path("settings.toml"), settings).unwrap();
    let configured = || workplace.run().with(["--config".into(), workplace.path("settings.toml")]);
    let mut first = configured().failing("source::work=100*return(stall:)").start();
    let url = address(&mut first);
    assert_eq!(url, format!("http://127.0.0.1:{port}/metrics"));
    let words = ["cannot serve metrics", &port.to_string(), "free port"];
    configured().run().ended_with(1, &words);
    first.wait().done();
    assert!(collector.spans().is_empty(), "no trace was to be recorded");
    assert!(!collector.metrics().is_empty());

    workplace.run().with(["--metrics", "here"]).run().ended_with(2, &["`here`", "127.0.0.1:9464"]);
    let share = workplace.run().env("COUNTERPOINT_TELEMETRY__SAMPLE_SHARE", "1.5");
    share.run().ended_with(2, &["1.5", "from 0"]);
    let unknown = workplace.run().env("COUNTERPOINT_TELEMETRY__PROMETHEUS", "x");
    unknown.run().ended_with(2, &["telemetry.prometheus", "sample_share"]);
    assert!(workplace.out().summary()["accepted"].as_u64() > Some(0), "{}", video(0));
}
