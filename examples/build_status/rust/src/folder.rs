//! Watching a folder of reports by looking at it every moment: works on every system and every file
//! system, and a few hundred `stat`s cost less than a millisecond.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::junit::{self, Report};

/// A report that cannot be read may still be being written: it counts as malformed when it has
/// stayed as it is for this long.
const SETTLED: Duration = Duration::from_secs(2);
/// Longest report read.
const MAX_BYTES: u64 = 16 << 20;
/// Fewest digits that make `rust-0001.xml` a build of `rust`, and leave `python-311.xml` alone.
const NUMBER_DIGITS: usize = 4;

/// A new report.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) builder: String,
    pub(crate) report: Report,
    /// When it was finished, in microseconds since 1970.
    pub(crate) finished: i64,
    path: PathBuf,
}

/// A report that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(crate) struct Problem {
    pub(crate) file: String,
    pub(crate) reason: String,
}

#[cfg(test)]
impl Found {
    /// An empty report that was finished then.
    pub(crate) fn for_test(builder: &str, finished: i64) -> Self {
        let report = Report {
            tests: Vec::new(),
            seconds: 0.0,
            finished: Some(finished),
        };
        Self {
            builder: builder.to_owned(),
            report,
            finished,
            path: PathBuf::new(),
        }
    }
}

/// The folder, and what has been seen of it.
pub(crate) struct Folder {
    root: PathBuf,
    files: HashMap<PathBuf, Seen>,
}

#[derive(Default)]
struct Seen {
    /// Time and size when it was last read; `None` if it is to be read again.
    stamp: Option<(SystemTime, u64)>,
    /// What it held when it was last a build: the same again is none.
    content: u64,
    unreadable: Option<Unreadable>,
}

struct Unreadable {
    since: Instant,
    stamp: (SystemTime, u64),
    reason: String,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            files: HashMap::new(),
        }
    }

    /// The reports that are new since the last look, oldest first.
    pub(crate) fn look(&mut self) -> Vec<Found> {
        let present = list(&self.root);
        self.files.retain(|path, _| present.contains_key(path));
        let mut found: Vec<Found> = Vec::new();
        for (path, metadata) in present {
            let seen = self.files.entry(path.clone()).or_default();
            found.extend(read_if_new(&self.root, path, &metadata, seen));
        }
        found.sort_by(|a, b| (a.finished, &a.path).cmp(&(b.finished, &b.path)));
        found
    }

    /// The reports that cannot be read, by file.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let settled = self.files.iter().filter_map(|(path, seen)| {
            let unreadable = seen.unreadable.as_ref()?;
            (unreadable.since.elapsed() >= SETTLED).then(|| Problem {
                file: path
                    .strip_prefix(&self.root)
                    .unwrap_or(path)
                    .to_string_lossy()
                    .into_owned(),
                reason: unreadable.reason.clone(),
            })
        });
        let mut problems: Vec<Problem> = settled.collect();
        problems.sort();
        problems
    }
}

/// The reports in the folder and in the folders right below it. What cannot be listed is empty.
fn list(root: &Path) -> BTreeMap<PathBuf, Metadata> {
    let entries = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            // Follows links; a pipe or a device, which could block, is no report.
            .filter_map(|entry| Some((entry.path(), fs::metadata(entry.path()).ok()?)))
            .collect::<Vec<_>>()
    };
    let (folders, mut files): (Vec<_>, Vec<_>) = entries(root)
        .into_iter()
        .partition(|(_, metadata)| metadata.is_dir());
    files.extend(folders.into_iter().flat_map(|(folder, _)| entries(&folder)));
    let is_xml = |path: &Path| {
        path.extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("xml"))
    };
    files.retain(|(path, metadata)| metadata.is_file() && is_xml(path));
    files.into_iter().collect()
}

fn read_if_new(root: &Path, path: PathBuf, metadata: &Metadata, seen: &mut Seen) -> Option<Found> {
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let stamp = (modified, metadata.len());
    if seen.stamp == Some(stamp) {
        return None;
    }
    match read(&path, metadata.len()) {
        Ok((content, report)) => {
            seen.stamp = Some(stamp);
            seen.unreadable = None;
            if std::mem::replace(&mut seen.content, content) == content {
                return None;
            }
            let since_1970 = modified
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            let modified = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
            let finished = report.finished.unwrap_or(modified);
            Some(Found {
                builder: builder_of(root, &path),
                report,
                finished,
                path,
            })
        }
        Err(reason) => {
            let same = seen
                .unreadable
                .take()
                .filter(|before| before.stamp == stamp);
            let since = same.map_or_else(Instant::now, |before| before.since);
            // Once it has settled, it is read again only when it changes.
            seen.stamp = (since.elapsed() >= SETTLED).then_some(stamp);
            seen.unreadable = Some(Unreadable {
                since,
                stamp,
                reason,
            });
            None
        }
    }
}

fn read(path: &Path, bytes: u64) -> Result<(u64, Report), String> {
    if bytes > MAX_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_BYTES >> 20));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    // Zero means that there was none.
    Ok((hasher.finish() | 1, junit::parse(&bytes)?))
}

/// The builder that a report belongs to: `rust` for `rust.xml`, `rust-0001.xml` and `rust/any.xml`.
fn builder_of(root: &Path, path: &Path) -> String {
    let folder = path.parent().filter(|folder| *folder != root);
    if let Some(name) = folder.and_then(Path::file_name) {
        return name.to_string_lossy().into_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = &*stem;
    while let Some((before, number)) = name.rsplit_once('-')
        && !before.is_empty()
        && number.len() >= NUMBER_DIGITS
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        name = before;
    }
    name.to_owned()
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
