use proptest::prelude::*;

use super::*;

fn read(text: &[u8]) -> Vec<Result<SegmentRow, RowError>> {
    SegmentReader::new(text, "list.csv").collect()
}

fn row(text: &str) -> SegmentRow {
    let mut rows = read(text.as_bytes());
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0).unwrap()
}

fn fault(text: &str) -> RowError {
    let mut rows = read(text.as_bytes());
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0).unwrap_err()
}

const PUBLISHED: &str = "# Segments csv created Sun Mar  5 10:54:25 2017\n\
    # num_ytids=20371, num_segs=20371, num_unique_labels=527, num_positive_labels=51804\n\
    # YTID, start_seconds, end_seconds, positive_labels\n\
    --4gqARaEJE, 0.000, 10.000, \"/m/068hy,/m/07q6cd_,/m/0bt9lr,/m/0jbk\"\n\
    --BfvyPmVMo, 20.000, 30.000, \"/m/03l9g\"\n";

#[test]
fn the_published_format_is_read() {
    let rows: Vec<SegmentRow> = read(PUBLISHED.as_bytes()).into_iter().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].youtube_id, "--4gqARaEJE");
    assert_eq!(rows[0].segment, Segment { start_ms: 0, end_ms: 10_000 });
    assert_eq!(rows[0].labels, ["/m/068hy", "/m/07q6cd_", "/m/0bt9lr", "/m/0jbk"]);
    assert_eq!((rows[0].line, rows[1].line), (4, 5));
}

#[test]
fn header_byte_order_mark_and_windows_line_ends_are_no_rows() {
    let text = "\u{feff}YTID,start_seconds,end_seconds,positive_labels\r\nabc,1.5,2,\"/m/1\"\r\n";
    let row = row(text);
    assert_eq!((row.youtube_id.as_str(), row.segment.start_ms, row.line), ("abc", 1_500, 2));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_id() {
    assert_eq!(row("\u{feff}abc,1,2,/m/1\n").youtube_id, "abc");
}

#[test]
fn a_header_further_down_is_a_broken_row() {
    let rows = read(b"abc,1,2,/m/1\nYTID,start_seconds,end_seconds,positive_labels\n");
    assert_eq!(rows[1].as_ref().unwrap_err().problem, "the time is not a number");
}

#[test]
fn blank_lines_and_comments_count_as_lines_and_are_no_rows() {
    let text = "\r\n# a comment, with \"a quote\nabc,1,2,/m/1\n\n\nx,1\n";
    let rows = read(text.as_bytes());
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].as_ref().unwrap().line, 3);
    assert_eq!(rows[1].as_ref().unwrap_err().line, 6);
}

#[test]
fn a_last_line_without_line_end_is_read() {
    assert_eq!(row("abc,1,2,\"/m/1, /m/2\"").labels, ["/m/1", "/m/2"]);
}

#[test]
fn a_repeated_label_counts_once() {
    assert_eq!(row("abc,1,2,\"/m/1,/m/2,/m/1\"").labels, ["/m/1", "/m/2"]);
}

#[test]
fn a_quoted_id_may_hold_commas() {
    assert_eq!(row("\"my dog, barking\", 0, 10, \"/m/0bt9lr\"").youtube_id, "my dog, barking");
}

#[test]
fn a_broken_row_names_file_line_value_and_remedy_and_the_next_row_is_read() {
    let rows = read(b"abc,x,2,/m/1\nabc,1,2,\"/m/1\ndef,1,2,/m/1\n");
    assert_eq!(
        rows[0].as_ref().unwrap_err().to_string(),
        "list.csv, line 1: the time is not a number: `x`; give seconds, e.g. 30.000"
    );
    assert_eq!(rows[1].as_ref().unwrap_err().problem, "a quote is not closed");
    assert_eq!(rows[2].as_ref().unwrap().youtube_id, "def");
}

#[test]
fn each_kind_of_broken_row_has_its_own_message() {
    for (text, problem) in [
        ("abc", "the line has no start"),
        ("abc,1", "the line has no end"),
        ("abc,1,2", "the line has no labels"),
        ("abc,1,2,\"\"", "the row has no labels"),
        ("abc,1,2,\" , \"", "the row has no labels"),
        (",1,2,/m/1", "the id is empty"),
        ("abc,1,2,/m/1,/m/2", "the line has more than four fields"),
        ("abc,2,2,/m/1", "the end is not after the start"),
        ("abc,-1,2,/m/1", "the time is out of range"),
        ("abc,1,NaN,/m/1", "the time is out of range"),
        ("abc,1,1e300,/m/1", "the time is out of range"),
    ] {
        assert_eq!(fault(text).problem, problem, "{text}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_one_broken_row() {
    let rows = read(b"\xff\xfe,1,2,/m/1\nabc,1,2,/m/1\n");
    assert_eq!(rows[0].as_ref().unwrap_err().problem, "the text is not UTF-8");
    assert!(rows[1].is_ok());
}

#[test]
fn a_line_without_end_is_one_broken_row_and_does_not_grow() {
    let flood = io::repeat(b'a').take(10 << 20).chain(&b"\nabc,1,2,/m/1\n"[..]);
    let mut rows = SegmentReader::new(flood, "list.csv");
    let error = rows.next().unwrap().unwrap_err();
    assert_eq!((error.problem, error.line), ("the line is longer than 64 KiB", 1));
    assert!(error.value.len() <= SHOWN);
    assert!(rows.record.as_slice().len() <= MAX_LINE + 1);
    let next = rows.next().unwrap().unwrap();
    assert_eq!((next.youtube_id.as_str(), next.line), ("abc", 2));
    assert!(rows.next().is_none());
}

#[test]
fn a_file_that_fails_while_it_is_read_ends_with_one_error() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let rows: Vec<_> = SegmentReader::new((&b"abc,1,2,/m/1\n"[..]).chain(Failing), "list.csv").collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[1].as_ref().unwrap_err().to_string().contains("the disk is gone"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_the_end(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        prop_assert!(read(&bytes).len() <= lines + 1);
    }

    #[test]
    fn any_text_of_csv_characters_is_read_to_the_end(text in "[ab,\"# 0-9.\\r\\n-]{0,400}") {
        for row in read(text.as_bytes()).into_iter().flatten() {
            prop_assert!(row.segment.end_ms > row.segment.start_ms);
            prop_assert!(!row.labels.is_empty() && !row.youtube_id.is_empty());
        }
    }

    #[test]
    fn a_row_written_out_is_read_back(
        id in "[A-Za-z0-9_-]{11}",
        start in 0u64..1_000_000,
        length in 1u64..20_000,
        labels in proptest::collection::hash_set("/[mt]/[a-z0-9_]{4,8}", 1..6),
    ) {
        let labels: Vec<String> = labels.into_iter().collect();
        let end = start + length;
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let line = format!("{id}, {}, {}, \"{}\"\n", seconds(start), seconds(end), labels.join(","));
        let row = row(&line);
        prop_assert_eq!(row.youtube_id, id);
        prop_assert_eq!(row.segment, Segment { start_ms: start, end_ms: end });
        prop_assert_eq!(row.labels, labels);
    }
}

#[test]
fn a_file_without_any_row_that_can_be_read_is_no_list() {
    let refused = |text: &str| check(text.as_bytes(), "list.csv").map_err(|error| error.to_string());
    for list in ["", "# comment only\n", "id,start,end,labels\n", "broken\na,0,10,\"/m/1\"\n"] {
        assert_eq!(refused(list), Ok(()), "{list}");
    }
    let error = refused("# {\n[1, 2]\nmore\n").unwrap_err();
    assert!(error.starts_with("list.csv is no segment list: first broken row in line 2: "), "{error}");
    assert!(error.contains("write `id,start,end"), "{error}");
}
