//! Integers of any size, in decimal. Python itself refuses to print or read more than 4,300 digits at
//! once (`sys.set_int_max_str_digits`), so longer ones go through in pieces.

use pyo3::PyTypeInfo;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

/// Digits of one piece; the lowest limit that Python can be given is 640.
const PIECE: usize = 600;

/// The decimal digits of an integer, with a sign if it is negative.
pub(crate) fn to_decimal(int: &Bound<'_, PyInt>) -> PyResult<String> {
    let py = int.py();
    // Of a subclass, what it is to `int`.
    let plain = PyInt::type_object(py).call_method1(intern!(py, "__int__"), (int,))?;
    let negative = plain.lt(0)?;
    let mut rest = if negative { plain.neg()? } else { plain };
    let modulus = power_of_ten(py, PIECE)?;
    let mut pieces = Vec::new();
    while rest.ge(&modulus)? {
        let (quotient, piece): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
            rest.divmod(&modulus)?.extract()?;
        pieces.push(piece);
        rest = quotient;
    }
    let mut decimal = if negative {
        "-".to_owned()
    } else {
        String::new()
    };
    decimal.push_str(rest.str()?.to_str()?);
    for piece in pieces.into_iter().rev() {
        let digits = piece.str()?;
        decimal.push_str(&format!("{:0>PIECE$}", digits.to_str()?));
    }
    Ok(decimal)
}

/// The integer of these digits.
pub(crate) fn from_decimal<'py>(
    py: Python<'py>,
    negative: bool,
    digits: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let read = |piece: &str| PyInt::type_object(py).call1((PyString::new(py, piece),));
    let (first, rest) = digits.split_at(digits.len() % PIECE);
    let mut int = read(if first.is_empty() { "0" } else { first })?;
    if !rest.is_empty() {
        let modulus = power_of_ten(py, PIECE)?;
        for piece in rest.as_bytes().chunks(PIECE) {
            int = int
                .mul(&modulus)?
                .add(read(&String::from_utf8_lossy(piece))?)?;
        }
    }
    if negative { int.neg() } else { Ok(int) }
}

fn power_of_ten(py: Python<'_>, exponent: usize) -> PyResult<Bound<'_, PyAny>> {
    PyInt::type_object(py)
        .call1((10,))?
        .pow(exponent, py.None())
}
