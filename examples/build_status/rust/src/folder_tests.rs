use super::*;

const REPORT: &str =
    r#"<testsuite timestamp="2026-01-01T00:00:00Z"><testcase name="a"/></testsuite>"#;

/// A folder of its own for one test, gone afterwards.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("build-status-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("is in a folder")).expect("can be made");
        fs::write(path, text).expect("can be written");
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn builders(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| &*found.builder).collect()
}

#[test]
fn builders_are_named_after_files_and_folders() {
    for (path, builder) in [
        ("rust.xml", "rust"),
        ("rust-0001.xml", "rust"),
        ("rust-20260131-120000.XML", "rust"),
        ("python-311.xml", "python-311"),
        ("-0001.xml", "-0001"),
        ("rust/anything.xml", "rust"),
        ("a b ü.xml", "a b ü"),
    ] {
        assert_eq!(
            builder_of(Path::new("reports"), &Path::new("reports").join(path)),
            builder
        );
    }
}

#[test]
fn each_report_is_found_once_and_again_when_it_changes() {
    let temporary = Temporary::new("changes");
    let mut folder = Folder::new(temporary.0.clone());
    assert!(folder.look().is_empty());
    temporary.write("rust.xml", REPORT);
    temporary.write("python/1.xml", &REPORT.replace("2026", "2025"));
    temporary.write(".hidden.xml", REPORT);
    temporary.write("notes.txt", REPORT);
    assert_eq!(builders(&folder.look()), ["python", "rust"], "oldest first");
    assert!(folder.look().is_empty());
    temporary.write("rust.xml", &REPORT.replace("\"a\"", "\"other\""));
    assert_eq!(builders(&folder.look()), ["rust"]);
    assert!(folder.problems().is_empty());
}

#[test]
fn a_half_written_report_is_read_when_it_is_whole() {
    let temporary = Temporary::new("half");
    let mut folder = Folder::new(temporary.0.clone());
    temporary.write("rust.xml", &REPORT[..40]);
    assert!(folder.look().is_empty());
    assert!(
        folder.problems().is_empty(),
        "it may still be being written"
    );
    temporary.write("rust.xml", REPORT);
    assert_eq!(builders(&folder.look()), ["rust"]);
}

#[test]
fn a_malformed_report_becomes_a_problem_until_it_is_mended_or_removed() {
    let temporary = Temporary::new("malformed");
    let mut folder = Folder::new(temporary.0.clone());
    temporary.write("rust.xml", "<testsuite>");
    folder.look();
    std::thread::sleep(SETTLED);
    folder.look();
    let problems = folder.problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].file, "rust.xml");
    temporary.write("rust.xml", REPORT);
    assert_eq!(folder.look().len(), 1);
    assert!(folder.problems().is_empty());
    temporary.write("rust.xml", "<testsuite>");
    folder.look();
    fs::remove_file(temporary.0.join("rust.xml")).expect("is there");
    folder.look();
    assert!(folder.problems().is_empty());
}

#[test]
fn a_missing_folder_is_empty_and_may_come_later() {
    let temporary = Temporary::new("missing");
    let mut folder = Folder::new(temporary.0.join("later"));
    assert!(folder.look().is_empty());
    temporary.write("later/rust.xml", REPORT);
    assert_eq!(folder.look().len(), 1);
}
