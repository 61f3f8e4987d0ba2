//! Bytes near others.

/// Numbers of a fixed sequence (`SplitMix64`).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// The longest input.
const MOST: usize = 32 << 10;

/// What the forms are made of, and what has broken decoders before.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b",",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e999999999",
    b"-",
    b"0",
    b"99999999999999999999999999",
    b"0.0000000001",
    b"\"task\": \"t\", \"id\": \"i\", ",
    b"\"args\": [], ",
    b"\"kwargs\": {}, ",
    b"\"callbacks\": [{}], ",
    b"\"chord\": {}, ",
    b"\"timelimit\": [1, 2], ",
    b"\"eta\": \"2031-02-03T04:05:06\", ",
    b"{\"__type__\": \"datetime\", \"__value__\": ",
    b"\"compression\": \"zstd\", ",
    b"\n",
    b"\n- ",
    b"- ",
    b"? ",
    b": ",
    b"&a ",
    b"*a",
    b"!!binary ",
    b"!!set ",
    b"!!timestamp ",
    b"!!float ",
    b"! ",
    b"|\n ",
    b">\n ",
    b"'",
    b"~",
    b"<<",
    b"---\n",
    b"...\n",
    b"#",
    b"%TAG ! x\n",
    b"\t",
    b"2024-01-02",
    b"1:30:00",
    b"0x",
    b".inf",
    b"\xef\xbb\xbf",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\r",
    b"\0",
    b"\0\x01",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xdd",
    b"\xdf",
    b"\xdb",
    b"\xc6",
    b"\xc9",
    b"\xc7\x0c\xff",
    b"\xd7\xff",
    b"\xc1",
    b"+00:00",
    b"Z",
    b"-9999",
    b"application/x-python-serialize",
];

/// One of the corpus, changed in a few places.
pub(super) fn mutated(corpus: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = numbers.pick(corpus).clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = at + numbers.below((bytes.len() - at).min(64) + 1);
        match numbers.below(11) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 if at < bytes.len() => bytes[at] = numbers.byte(),
            2 => {
                bytes.drain(at..end);
            }
            3 => {
                let random: Vec<u8> = (0..numbers.below(9)).map(|_| numbers.byte()).collect();
                bytes.splice(at..at, random);
            }
            4 | 5 => {
                bytes.splice(at..at, numbers.pick(WORDS).iter().copied());
            }
            6 => {
                bytes.splice(at..end, numbers.pick(WORDS).iter().copied());
            }
            7 => {
                // Often enough to nest deeply.
                let times = 1 << numbers.below(11);
                let part = bytes[at..end].repeat(times.min(MOST / (end - at).max(1)));
                bytes.splice(at..at, part);
            }
            8 => {
                let other = numbers.pick(corpus);
                let from = numbers.below(other.len() + 1);
                let to = from + numbers.below((other.len() - from).min(256) + 1);
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            9 if numbers.below(8) == 0 => bytes.truncate(at),
            10 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add([1, 255][numbers.below(2)]),
            _ => {}
        }
    }
    bytes.truncate(MOST);
    bytes
}
