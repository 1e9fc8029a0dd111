//! JSON as stages: one value for one frame.

use bytes::{Bytes, BytesMut};
use marotte::tube::{Error, Flowing, Native, Problem, Reason};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::host::PyHost;

/// From JSON, as bytes, to values.
#[derive(Default)]
pub(super) struct FromJson(Option<Py<PyAny>>);

/// From values to JSON, as bytes.
#[derive(Default)]
pub(super) struct ToJson(Option<Bytes>);

fn malformed(py: Python<'_>, error: &PyErr) -> Error {
    Error::new(Problem::Malformed {
        what: "JSON",
        detail: error.value(py).to_string(),
    })
}

impl Native<PyHost> for FromJson {
    fn started(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn received(&mut self, py: Python<'_>, item: Flowing<PyHost>) -> Result<(), Error> {
        let loads = || -> PyResult<_> {
            let item = item.into_host(py);
            py.import("json")?
                .call_method1(intern!(py, "loads"), (item,))
        };
        self.0 = Some(loads().map_err(|error| malformed(py, &error))?.unbind());
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Flowing<PyHost>>, Error> {
        Ok(self.0.take().map(Flowing::Host))
    }

    fn has_gathered(&self) -> bool {
        false
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn stopped(&mut self, _: &Reason) -> Result<(), Error> {
        Ok(())
    }

    fn reassemble(
        &mut self,
        outputs: Vec<Flowing<PyHost>>,
        py: Python<'_>,
    ) -> Vec<Flowing<PyHost>> {
        outputs
            .into_iter()
            .filter_map(|item| dumps(py, item.into_host(py)).ok())
            .map(Flowing::Bytes)
            .collect()
    }
}

fn dumps(py: Python<'_>, value: Py<PyAny>) -> PyResult<Bytes> {
    let encoder = super::parts::parts(py)?.to_json.bind(py);
    let text = encoder.call1((value,))?.cast_into::<PyString>()?;
    let text = text.to_str()?;
    Ok(BytesMut::from(text.as_bytes()).freeze())
}

impl Native<PyHost> for ToJson {
    fn started(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn received(&mut self, py: Python<'_>, item: Flowing<PyHost>) -> Result<(), Error> {
        let item = item.into_host(py);
        self.0 = Some(dumps(py, item).map_err(|error| {
            Error::new(Problem::Unframeable {
                what: "JSON",
                detail: error.value(py).to_string(),
            })
        })?);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Flowing<PyHost>>, Error> {
        Ok(self.0.take().map(Flowing::Bytes))
    }

    fn has_gathered(&self) -> bool {
        false
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn stopped(&mut self, _: &Reason) -> Result<(), Error> {
        Ok(())
    }

    fn reassemble(
        &mut self,
        outputs: Vec<Flowing<PyHost>>,
        py: Python<'_>,
    ) -> Vec<Flowing<PyHost>> {
        let loads = |item: Flowing<PyHost>| {
            let item = item.into_host(py);
            let item = item.bind(py).cast::<PyBytes>().ok()?.clone();
            let json = py.import("json").ok()?;
            json.call_method1(intern!(py, "loads"), (item,)).ok()
        };
        outputs
            .into_iter()
            .filter_map(loads)
            .map(|value| Flowing::Host(value.unbind()))
            .collect()
    }
}
