//! The live page: in a real browser while a run goes on in other processes, and as other programs read it.

#![allow(clippy::expect_used, reason = "a broken expectation is how a test fails")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use counterpoint_tests::{
    browser::{Browser, Page},
    check_page,
    demo::{judge, planned, with_models},
    live_page::LivePage,
    out::{number, rejected_by},
    program::Program,
    shared,
    workplace::{Workplace, small, video},
};
use serde_json::{Value, json};

/// A script that gives the number that stands large on the page beside a name.
fn fact(name: &str) -> String {
    format!(
        "(() => {{ const fact = [...document.querySelectorAll('#now .facts div')]
             .find((fact) => fact.querySelector('dt').textContent === '{name}');
           return fact && Number(fact.querySelector('.large').textContent.replaceAll(',', '')); }})()"
    )
}

/// Waits until that number is this.
fn comes(page: &Page, name: &str, number: u64) {
    let fact = fact(name);
    page.wait_until(&format!("{number} {name}"), &format!("{fact} === {number} || {fact}"))
        .expect("the number");
}

/// Waits for a state of the run.
fn is(page: &Page, state: &str) {
    let now = "document.querySelector('#now .lead').dataset.state";
    page.wait_until(&format!("the run is {state}"), &format!("{now} === '{state}' || {now}"))
        .expect("the state");
}

/// Cells of a stage's row.
fn row(page: &Page, stage: &str) -> Vec<String> {
    let script = format!(
        "[...document.querySelectorAll('.stages-live tr[data-key={stage}] td')].map((cell) => cell.textContent)"
    );
    let cells = page.evaluate(&script).expect("a row");
    cells.as_array().into_iter().flatten().map(|cell| cell.as_str().unwrap_or_default().to_owned()).collect()
}

fn stages(workplace: &Workplace, stages: &str) -> Program {
    small(Program::counterpoint(["run", "--stages", stages, "--ontology"]))
        .with([shared("ontology.json")])
        .with(["--out".as_ref(), workplace.path("out").as_os_str()])
}

#[test]
fn a_page_that_is_open_while_a_run_goes_on_shows_it_to_its_end_and_its_models() {
    let workplace = Workplace::with_clips(8);
    workplace.add("broken", b"no film");
    let out = workplace.path("out");
    let live = LivePage::of(&out);
    let browser = Browser::start().expect("a browser");
    // The last one opened is in front; a browser loads no players of the others.
    let [other, page] = [(); 2].map(|()| browser.open(&live.url).expect("a page"));
    is(&page, "not-begun");
    page.evaluate("window.isTheSamePage = true").expect("a mark");
    assert!(!out.exists(), "a page that only looks makes nothing");

    let first = workplace.run().with(["--stages", "source,curator,decoder"]).start();
    for page in [&page, &other] {
        comes(page, "clips decoded", 8);
        is(page, "going-on");
    }
    page.evaluate("document.querySelector('.stages-live').isTheSameTable = true").expect("a mark");
    comes(&page, "accepted", 0);
    comes(&page, "samples composed", 0);
    assert_eq!(row(&page, "gate")[2..], ["not begun", "nobody"]);
    // Eight clips in their normal form, and one turned away.
    assert_eq!(row(&page, "decoder")[0], "9");
    let rejected = "document.querySelector('.turned-away').textContent.includes('not_media')";
    page.wait_until("the broken file is told", rejected).expect("its reason");

    let second = stages(&workplace, "gate,coordinator,composer,reporter").start();
    for process in [first, second] {
        process.wait().done();
    }
    let summary = workplace.out().summary();
    let samples = summary["composed"].as_object().expect("recipes").values().map(number).sum();
    for page in [&page, &other] {
        is(page, "finished");
        comes(page, "files found", number(&summary["found"]));
        comes(page, "accepted", number(&summary["accepted"]));
        comes(page, "samples composed", samples);
        comes(page, "turned away", rejected_by(&summary, "decoder"));
    }

    // A training that is on its way, and a model that is asked.
    let losses = out.join("models/base.training/part-1");
    fs::create_dir_all(&losses).expect("a folder");
    let lines: String =
        (1..=50).map(|step| format!("{{\"step\":{step},\"loss\":{}}}\n", 3.0 / step as f64)).collect();
    fs::write(losses.join("losses.jsonl"), lines).expect("losses");
    let exam = |step: u64| {
        json!({"part": 1, "step": step, "asked": "audio", "right": step / 5, "of": 10}).to_string() + "\n"
    };
    fs::write(losses.join("exams.jsonl"), [0, 25, 50].map(exam).concat()).expect("exams");
    let model = workplace.model("looks", |sample, _| sample["lineage"]["host"]["class"].clone());
    Program::counterpoint(["evaluate", "--model", &model, "--samples"])
        .with([&out])
        .with(["--out".into(), workplace.path("scores")])
        .run()
        .done();
    let told =
        |what: &str| format!("document.getElementById('models').textContent.includes({})", json!(what));
    for what in [
        "Loss of the base model, not at its end",
        "The sound of conflicts, base model, not at its end",
        "from 0.0\u{a0}% to 100.0\u{a0}%",
        &model,
        "of 4 answers about the sound",
    ] {
        page.wait_until(what, &told(what)).expect("the models are told");
    }

    let facts = check_page(&page, "live").expect("the page passes");
    assert!(facts.players >= 8, "{} players", facts.players);
    assert_eq!(page.evaluate("window.isTheSamePage").expect("the mark"), true, "it was not loaded again");
    let table = page.evaluate("document.querySelector('.stages-live').isTheSameTable").expect("the mark");
    assert_eq!(table, true, "what stays is not made anew: it may be scrolled or have the focus");
    live.program.interrupt();
    live.program.wait().ended_with(0, &[]);
}

#[test]
fn beside_a_demo_the_page_shows_its_clips_and_how_its_models_learn() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let live = LivePage::of(&out);
    let browser = Browser::start().expect("a browser");
    let page = browser.open(&live.url).expect("a page");
    is(&page, "not-begun");
    let judge = judge(folder.path(), |_, _| "Yes");
    let demo = with_models(&out).env("COUNTERPOINT_PROBER__JUDGE", &judge).start();

    comes(&page, "files found", planned().len() as u64);
    is(&page, "finished");
    assert_eq!(row(&page, "prober")[0], row(&page, "decoder")[0], "the judge was asked about every clip");
    let steps = "(() => { const text = document.getElementById('models').textContent;
        const told = text.match(/Loss of the base model, not at its end[^]*? over ([\\d,]+) steps/);
        return told && Number(told[1].replaceAll(',', '')); })()";
    let learned = || page.evaluate(steps).expect("steps").as_u64().expect("a number");
    page.wait_until("a model learns", &format!("{steps} > 2")).expect("its loss");
    let before = learned();
    page.wait_until("it goes on learning", &format!("{steps} > {before}")).expect("more steps");
    demo.interrupt();
    demo.wait().ended_with(130, &["run the same command again to continue"]);
    assert!(learned() > before, "what was learned stays on the page");

    let facts = check_page(&page, "live-demo").expect("the page passes");
    assert!(facts.players >= 8, "{} players", facts.players);
    live.program.interrupt();
    live.program.wait().ended_with(0, &[]);
}

#[test]
fn a_finished_run_is_shown_and_so_is_what_begins_again_and_another_one_in_its_place() {
    let workplace = Workplace::with_clips(2);
    workplace.run().run().done();
    let mut live = LivePage::of(&workplace.path("out"));
    let found = |number: u64| format!("<dt>files found</dt><dd class=\"large\">{number}</dd>");
    live.until_it_says(&["data-state=\"finished\"", &found(2)]);

    let (page, clip) = (live.get(""), "clips/");
    let object: String = page.body.split(clip).nth(1).expect("a clip").chars().take(64).collect();
    let bytes = fs::read(workplace.path("out/objects").join(&object[..2]).join(&object)).expect("the object");
    let asked = |range: &str| {
        raw(&live.url, &format!("GET /clips/{object} HTTP/1.0\r\nhost: localhost\r\n{range}\r\n"))
    };
    let (head, body) = asked("");
    assert!(head.contains(" 200 OK") && head.contains("video/mp4"), "{head}");
    assert!(body == bytes, "{} bytes of {}", body.len(), bytes.len());
    let (head, body) = asked("range: bytes=2-9\r\n");
    assert!(
        head.contains("206 Partial Content") && head.contains(&format!("bytes 2-9/{}", bytes.len())),
        "{head}"
    );
    assert_eq!(body, &bytes[2..10]);
    for missing in ["nothing", "clips/0123", &format!("clips/{}", "0".repeat(64))] {
        assert_eq!(live.get(missing).status, 404, "{missing}");
    }

    let mut readers = [(); 3].map(|()| live.events());
    for reader in &mut readers {
        let first = reader.next();
        assert!(first["now"].as_str().is_some_and(|html| html.contains(&found(2))), "{first}");
    }
    workplace.add_good(2);
    workplace.run().run().done();
    for reader in &mut readers {
        let comes = |event: &Value| event["now"].as_str().is_some_and(|html| html.contains(&found(3)));
        while !comes(&reader.next()) {}
    }
    live.until_it_says(&["data-state=\"finished\"", &found(3)]);

    workplace.run().with(["--seed", "7", "--new-revision"]).run().done();
    live.until_it_says(&["data-state=\"finished\"", "<dt>Revision</dt><dd>2</dd>", &found(3)]);

    fs::rename(workplace.path("out"), workplace.path("elsewhere")).expect("the run is moved away");
    live.until_it_says(&["data-state=\"not-begun\"", "nothing has been run"]);
    fs::remove_file(workplace.clip(&video(0))).expect("a clip is removed");
    workplace.run().run().done();
    live.until_it_says(&["data-state=\"finished\"", &found(2)]);
}

#[test]
fn readers_that_go_away_leave_nothing_behind() {
    let workplace = Workplace::new();
    let mut live = LivePage::of(&workplace.path("out"));
    live.until_it_says(&["data-state=\"not-begun\""]);
    let (url, before) = (live.url.clone(), live.program.open_files());
    for _ in 0..3 {
        let mut readers: Vec<_> = (0..40).map(|_| live.events()).collect();
        readers.iter_mut().for_each(|reader| drop(reader.next()));
        assert!(live.program.open_files() >= readers.len());
        drop(readers);
        live.program.until("their connections are closed", |program| program.open_files() <= before);
    }
    let strange = "GET / HTTP/1.0\r\nhost: example.org\r\n\r\n";
    assert!(raw(&url, strange).0.contains(" 403 "), "a stranger's name leads nowhere");
    assert!(raw(&url, "POST / HTTP/1.0\r\nhost: localhost\r\n\r\n").0.contains(" 405 "));
}

/// Head and body of the answer to this.
fn raw(url: &str, question: &str) -> (String, Vec<u8>) {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("the page is served");
    stream.write_all(question.as_bytes()).expect("a question");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    let body = answer.split_off(head);
    (String::from_utf8_lossy(&answer).into_owned(), body)
}

#[test]
fn what_cannot_be_served_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let serve = |flags: &[&str]| Program::counterpoint(["status", "--serve"]).with(flags).run();
    serve(&[&port]).ended_with(1, &[&format!("127.0.0.1:{port}"), "choose another --serve PORT", "in use"]);
    serve(&["0", "--json"]).ended_with(2, &["--json", "--serve"]);
    serve(&["0", "--audit"]).ended_with(2, &["--audit"]);
    serve(&["0", "a-clip"]).ended_with(2, &["cannot be used with"]);
    serve(&["70000"]).ended_with(2, &["70000"]);
    serve(&["0", "--bind", "nowhere"]).ended_with(2, &["nowhere"]);
    Program::counterpoint(["status", "--bind", "127.0.0.1"]).run().ended_with(2, &["--serve"]);
}
