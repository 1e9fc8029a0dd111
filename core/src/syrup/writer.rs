//! Writing canonical Syrup.

pub(super) const CANONICAL_NAN: [u8; 8] = [0x7f, 0xf8, 0, 0, 0, 0, 0, 0];

/// Appends canonical Syrup to a byte vector.
///
/// Atoms are canonical by themselves; a dictionary's order is the caller's duty
/// ([`Builder`](crate::passable::Builder) sorts).
///
/// ```
/// use marotte::syrup::Writer;
/// let mut out = Vec::new();
/// out.put_record("desc:export", |out| out.put_uint(1));
/// assert_eq!(out, b"<11'desc:export1+>");
/// ```
pub trait Writer {
    /// `t` or `f`.
    fn put_bool(&mut self, value: bool);
    /// A signed integer of up to 128 bits.
    fn put_int(&mut self, value: i128);
    /// A position or count.
    fn put_uint(&mut self, value: u64);
    /// An integer of any size. `digits` are ASCII decimal digits without leading zeros.
    fn put_digits(&mut self, negative: bool, digits: &str);
    /// A double; every NaN becomes the canonical one.
    fn put_float(&mut self, value: f64);
    /// A byte array.
    fn put_bytes(&mut self, value: &[u8]);
    /// A string.
    fn put_str(&mut self, value: &str);
    /// A symbol.
    fn put_symbol(&mut self, value: &str);
    /// A record: its label, then what `fields` writes.
    fn put_record(&mut self, label: &str, fields: impl FnOnce(&mut Self));
    /// A list of what `items` writes.
    fn put_list(&mut self, items: impl FnOnce(&mut Self));
}

/// Appends `n` in decimal.
pub(crate) fn put_decimal(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // The remainder is below ten.
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn put_prefixed(out: &mut Vec<u8>, mark: u8, body: &[u8]) {
    out.reserve(body.len() + 12);
    put_decimal(out, body.len() as u64);
    out.push(mark);
    out.extend_from_slice(body);
}

impl Writer for Vec<u8> {
    fn put_bool(&mut self, value: bool) {
        self.push(if value { b't' } else { b'f' });
    }

    fn put_int(&mut self, value: i128) {
        let magnitude = value.unsigned_abs();
        match u64::try_from(magnitude) {
            Ok(small) => put_decimal(self, small),
            Err(_) => self.extend_from_slice(magnitude.to_string().as_bytes()),
        }
        self.push(if value < 0 { b'-' } else { b'+' });
    }

    fn put_uint(&mut self, value: u64) {
        put_decimal(self, value);
        self.push(b'+');
    }

    fn put_digits(&mut self, negative: bool, digits: &str) {
        self.extend_from_slice(digits.as_bytes());
        self.push(if negative { b'-' } else { b'+' });
    }

    fn put_float(&mut self, value: f64) {
        self.push(b'D');
        let raw = if value.is_nan() {
            CANONICAL_NAN
        } else {
            value.to_be_bytes()
        };
        self.extend_from_slice(&raw);
    }

    fn put_bytes(&mut self, value: &[u8]) {
        put_prefixed(self, b':', value);
    }

    fn put_str(&mut self, value: &str) {
        put_prefixed(self, b'"', value.as_bytes());
    }

    fn put_symbol(&mut self, value: &str) {
        put_prefixed(self, b'\'', value.as_bytes());
    }

    fn put_record(&mut self, label: &str, fields: impl FnOnce(&mut Self)) {
        self.push(b'<');
        self.put_symbol(label);
        fields(self);
        self.push(b'>');
    }

    fn put_list(&mut self, items: impl FnOnce(&mut Self)) {
        self.push(b'[');
        items(self);
        self.push(b']');
    }
}
