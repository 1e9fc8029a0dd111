//! Files that hold a secret: only their owner may read them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::locator::{Location, SturdyRef};

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// What the file holds, without white space around it; `None` if there is no file.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(of(path))?;
            Ok(Some(text.trim().to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(of(path)(error)),
    }
}

/// An error that says which file it is about.
fn of(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A file beside that one, which holds the text whole, for `f` to put into its place.
fn beside(path: &Path, text: &str, f: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    // Of a program that was killed while it did this.
    let _ = std::fs::remove_file(&new);
    let write = || -> io::Result<()> {
        let mut file = options().open(&new)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        f(&new)
    };
    let result = write().map_err(of(path));
    let _ = std::fs::remove_file(&new);
    result
}

/// Makes the file, which must not be there; it is whole from the beginning.
pub(crate) fn create(path: &Path, text: &str) -> io::Result<()> {
    beside(path, text, |new| match std::fs::hard_link(new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links.
        Err(_) => std::fs::rename(new, path),
        Ok(()) => Ok(()),
    })
}

/// Puts something else into the file; whoever reads it meanwhile sees the one or the other.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one.
    let path = &std::fs::canonicalize(path).map_err(of(path))?;
    beside(path, text, |new| std::fs::rename(new, path))
}

impl SturdyRef {
    /// The sturdy reference that is kept in a file, so that an object keeps its URI when its program starts
    /// again. If there is no file, one is made for a reference with the swiss number that `fresh` gives: 32
    /// secret random bytes. `location` is where the tub is found now; the file's is brought up to it. Only
    /// its owner may read the file: it holds the right to use the object.
    ///
    /// # Errors
    /// If the file cannot be read or made, holds something else, or a reference to an object of another tub's.
    ///
    /// ```
    /// use marotte::{Location, SturdyRef};
    ///
    /// # let folder = std::env::temp_dir().join(format!("marotte-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// let path = folder.join("status.uri");
    /// let location = Location {
    ///     transport: "noise".to_owned(),
    ///     designator: "me".to_owned(),
    ///     hints: [("host".to_owned(), "::1".to_owned())].into(),
    /// };
    /// let first = SturdyRef::load_or_create(&path, &location, || [7; 32]).unwrap();
    /// let again = SturdyRef::load_or_create(&path, &location, || unreachable!()).unwrap();
    /// assert_eq!(first.swiss, again.swiss);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// ```
    pub fn load_or_create(
        path: &Path,
        location: &Location,
        fresh: impl FnOnce() -> [u8; 32],
    ) -> io::Result<Self> {
        let unfit = |what: &str| io::Error::other(format!("{} {what}", path.display()));
        let location = location.clone();
        let Some(old) = read(path)? else {
            let swiss = fresh().to_vec();
            let made = Self { location, swiss };
            create(path, &made.to_string())?;
            return Ok(made);
        };
        let kept: Self = old
            .parse()
            .map_err(|_| unfit("holds no ocapn:// reference"))?;
        if kept.location.designator != location.designator {
            return Err(unfit(
                "holds a reference to an object of another tub's; a URI is kept only together with the \
                 tub's key file",
            ));
        }
        let swiss = kept.swiss;
        let now = Self { location, swiss };
        let text = now.to_string();
        if text != old {
            replace(path, &text)?;
        }
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(designator: &str, port: &str) -> Location {
        Location {
            transport: "noise".to_owned(),
            designator: designator.to_owned(),
            hints: [("port".to_owned(), port.to_owned())].into(),
        }
    }

    #[test]
    fn a_uri_is_kept_and_follows_its_tub() {
        let folder = std::env::temp_dir().join(format!("marotte-uri-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("it.uri");
        let first = SturdyRef::load_or_create(&path, &location("me", "1"), || [1; 32]).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{first}\n")
        );
        let moved = SturdyRef::load_or_create(&path, &location("me", "2"), || [2; 32]).unwrap();
        assert_eq!(moved.swiss, first.swiss);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{moved}\n")
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        let another = SturdyRef::load_or_create(&path, &location("you", "1"), || [2; 32]);
        assert!(another.unwrap_err().to_string().contains("another tub's"));
        std::fs::write(&path, "something else").unwrap();
        let error = SturdyRef::load_or_create(&path, &location("me", "1"), || [2; 32]).unwrap_err();
        assert!(error.to_string().contains("holds no ocapn:// reference"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "something else");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
