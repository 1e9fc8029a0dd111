use super::*;

#[test]
fn a_nextest_report() {
    let report = parse(
        br#"<?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="nextest-run" tests="3" failures="1" timestamp="2026-01-31T12:00:00.500+01:00" time="2.75">
          <testsuite name="core" tests="3">
            <testcase name="sends" classname="core" timestamp="2026-01-31T12:00:01+01:00" time="0.012"/>
            <testcase name="breaks" classname="core" time="1.5">
              <failure message="thread panicked" type="test failure">thread panicked at x.rs:1
left: 1</failure><system-out>noise</system-out></testcase>
            <testcase name="later" classname="core"><skipped message="ignored"/></testcase>
          </testsuite>
        </testsuites>"#,
    )
    .expect("well-formed");
    assert_eq!(report.seconds, 2.75);
    assert_eq!(
        iso(report.finished.expect("has a timestamp")),
        "2026-01-31T11:00:03Z"
    );
    let brief: Vec<_> = report
        .tests
        .iter()
        .map(|test| (&*test.name, &*test.outcome, &*test.message))
        .collect();
    assert_eq!(
        brief,
        [
            ("sends", "passed", ""),
            ("breaks", "failed", "thread panicked at x.rs:1\nleft: 1"),
            ("later", "skipped", "ignored"),
        ]
    );
    assert_eq!(report.tests[0].seconds, 0.012);
}

#[test]
fn the_duration_is_found_where_it_stands() {
    let of = |text: &str| parse(text.as_bytes()).expect("well-formed").seconds;
    // pytest: on the suites. Node: on the tests. Some: nowhere.
    assert_eq!(
        of(r#"<testsuites><testsuite time="1.5"/><testsuite time="0.25"/></testsuites>"#),
        1.75
    );
    assert_eq!(
        of(
            r#"<testsuites><testsuite><testcase time="0.1"/><testcase time="0.2"/></testsuite></testsuites>"#
        ),
        0.3
    );
    assert_eq!(
        of(r#"<testsuite time="nonsense"><testcase time="-1"/><testcase time="inf"/></testsuite>"#),
        0.0
    );
}

#[test]
fn what_is_no_report_is_refused_with_a_reason() {
    for (text, reason) in [
        ("", ""),
        ("<testsuites><testsuite>", ""),
        ("<html/>", "not a JUnit report"),
        (
            "<!DOCTYPE x [<!ENTITY a \"b\">]><testsuites>&a;</testsuites>",
            "DTD",
        ),
    ] {
        let error = parse(text.as_bytes()).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
    assert!(
        parse(b"<testsuite name='\xff'/>")
            .expect_err("Latin-1")
            .contains("UTF-8")
    );
}

#[test]
fn odd_characters_and_long_messages() {
    let long = "é".repeat(MESSAGE_LIMIT + 5);
    let text = format!(
        "<testsuite><testcase name='a &lt;b&gt; &#x1F600; ناس' classname='c'><error message='short'>{long}</error></testcase></testsuite>"
    );
    let test = &parse(text.as_bytes()).expect("well-formed").tests[0];
    assert_eq!(test.name, "a <b> \u{1F600} ناس");
    assert!(test.message.starts_with("short\n\né"), "{}", test.message);
    assert!(
        test.message.ends_with("\n… (12 more characters)"),
        "{}",
        test.message
    );
}

#[test]
fn a_deep_report_does_not_overflow_the_stack() {
    let deep = "<testsuite>".repeat(100_000) + &"</testsuite>".repeat(100_000);
    // Read or refused: either is fine.
    let _ = parse(deep.as_bytes());
}
