//! Runs on a Kafka broker: the same as on the embedded log, whole or split over processes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use counterpoint_servers::kafka::KafkaSetup;
use counterpoint_tests::{
    live_page::LivePage,
    out::Out,
    program::Program,
    shared,
    workplace::{Workplace, small},
};

#[test]
fn a_run_comes_to_the_same_on_either_engine_and_on_any_split() {
    let server = KafkaSetup::new().start().unwrap();
    let workplace = Workplace::with_clips(8);
    let embedded = workplace.out();
    workplace.run().run().done();

    let broker = ["--broker".to_owned(), server.broker()];
    let whole = Out::at(&workplace.path("whole"));
    let page = Program::counterpoint(["status", "--serve", "0", "--out"]).with([whole.path("")]);
    let mut page = LivePage::start(page.with(&broker).env("COUNTERPOINT_TOPICS__PREFIX", "whole"));
    page.until_it_says(&["There is no run to show yet"]);
    workplace
        .run_into(&whole.path(""))
        .with(&broker)
        .env("COUNTERPOINT_TOPICS__PREFIX", "whole")
        .run()
        .done();
    page.until_it_says(&["data-state=\"finished\"", "<dt>accepted</dt><dd class=\"large\">8</dd>"]);
    assert_eq!((whole.manifest(), whole.summary()), (embedded.manifest(), embedded.summary()));

    let split = Out::at(&workplace.path("split"));
    let part = |program: Program, stages: &str, instance: &str| {
        program
            .with(&broker)
            .with(["--stages", stages])
            .env("COUNTERPOINT_TOPICS__PREFIX", "split")
            .env("COUNTERPOINT_TOPICS__INSTANCE", instance)
            .start()
    };
    let rest = || {
        small(Program::counterpoint(["run", "--ontology"]))
            .with([shared("ontology.json")])
            .with(["--out".as_ref(), split.path("").as_os_str()])
    };
    let processes = [
        part(workplace.run_into(&split.path("")), "source,curator", "a"),
        part(rest(), "decoder,gate", "b"),
        part(rest(), "decoder,coordinator,composer,reporter", "c"),
    ];
    for process in processes {
        process.wait().done();
    }
    assert_eq!((split.manifest(), split.summary()), (embedded.manifest(), embedded.summary()));
}

#[test]
fn a_broker_that_does_not_answer_ends_a_run_with_its_name_and_the_remedy() {
    let workplace = Workplace::new();
    workplace.add("x", b"no film");
    let run = workplace.run().with(["--broker", "kafka://127.0.0.1:1"]);
    run.run().ended_with(1, &["kafka://127.0.0.1:1", "check that it runs"]);
}
