use marotte::passable::{Builder, Passable};

use super::*;

/// The tape as JavaScript would write it.
struct Written(Vec<u8>);

impl Written {
    fn tag(mut self, tag: u8) -> Self {
        self.0.push(tag);
        self
    }

    fn text(mut self, tag: u8, text: &str) -> Self {
        self.0.push(tag);
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    fn raw(mut self, tag: u8, bytes: &[u8]) -> Self {
        self.0.push(tag);
        self.0.extend(bytes);
        self
    }
}

fn build(tape: &[u8]) -> Result<Passable<Ref<JsHost>>, BadTape> {
    let mut builder = Builder::default();
    Tape::new(tape).build(&mut builder)?;
    Ok(builder.finish())
}

#[test]
fn every_kind_of_data_becomes_syrup() {
    let tape = Written(Vec::new())
        .tag(tag::LIST)
        .tag(tag::NULL)
        .tag(tag::VOID)
        .tag(tag::TRUE)
        .raw(tag::INT32, &(-5_i32).to_le_bytes())
        .raw(tag::INT53, &9_007_199_254_740_991_f64.to_le_bytes())
        .raw(tag::FLOAT, &1.5_f64.to_le_bytes())
        .text(tag::BIGINT, "-123456789012345678901234567890")
        .text(tag::STR, "é")
        .text(tag::BYTES, "ab")
        .text(tag::ERROR, "no")
        .tag(tag::DICT)
        .text(tag::KEY, "b")
        .tag(tag::FALSE)
        .text(tag::KEY, "a")
        .tag(tag::LIST)
        .tag(tag::END_LIST)
        .tag(tag::END_DICT)
        .tag(tag::END_LIST);
    let passable = build(&tape.0).unwrap();
    let expected = [
        &b"[<4'null><4'void>t5-9007199254740991+D\x3f\xf8\0\0\0\0\0\0"[..],
        b"123456789012345678901234567890-2\"\xc3\xa92:ab<10'desc:error2\"no>{1\"a[]1\"bf}]",
    ]
    .concat();
    assert_eq!(passable.view().bytes(), expected);
}

#[test]
fn a_bad_tape_is_refused() {
    for tape in [
        &[99][..],
        &[tag::INT32, 1],
        &[tag::STR, 4, 0, 0, 0, b'x'],
        &[tag::OBJECT],
    ] {
        assert_eq!(build(tape).err(), Some(BadTape), "{tape:?}");
    }
    assert_eq!(
        build(&[tag::FAR, 9, 0, 0, 0]).err(),
        Some(BadTape),
        "a handle that is not there"
    );
    let not_utf8 = [tag::STR, 1, 0, 0, 0, 0xff];
    assert_eq!(build(&not_utf8).err(), Some(BadTape));
}

#[test]
fn every_prefix_of_a_tape_is_refused_or_read() {
    let tape = Written(Vec::new())
        .text(tag::STR, "selector")
        .tag(tag::LIST)
        .text(tag::BYTES, "x");
    for len in 0..tape.0.len() {
        let _ = build(&tape.0[..len]);
    }
}

fn read(syrup: impl FnOnce(&mut Builder<Ref<JsHost>>)) -> Result<Vec<u8>, ReadError> {
    let mut builder = Builder::default();
    syrup(&mut builder);
    let mut out = Vec::new();
    write(&Vat::new(0), builder.view(), &mut out)?;
    Ok(out)
}

#[test]
fn integers_are_told_apart_by_size() {
    let out = read(|b| {
        b.int(-1);
        b.int(1 << 40);
    });
    let expected = [
        &[tag::INT32, 255, 255, 255, 255, tag::INT53][..],
        &1_099_511_627_776_f64.to_le_bytes(),
    ];
    assert_eq!(out.unwrap(), expected.concat());
    let big = read(|b| b.int(-(1 << 53))).unwrap();
    assert_eq!(big[..3], [tag::BIGINT, 1, tag::ASCII]);
    assert_eq!(big.len(), 3 + 8);
}

#[test]
fn keys_are_marked() {
    let out = read(|b| {
        b.begin_dict();
        b.key("a");
        b.null();
        b.key("bé");
        b.begin_list();
        b.end_list();
        b.end_dict().unwrap();
    })
    .unwrap();
    let tags = [
        out[0], out[1], out[2], out[11], out[12], out[13], out[22], out[23], out[24],
    ];
    use tag::{ASCII, DICT, END_DICT, END_LIST, KEY, LIST, NULL, STR};
    assert_eq!(
        tags,
        [DICT, KEY, ASCII, NULL, KEY, STR, LIST, END_LIST, END_DICT]
    );
}
