//! Converts the number formats of files to f32.

use safetensors::Dtype;

/// Whether the values of such a tensor can be converted to single precision.
pub(super) fn is_convertible(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64)
}

/// Little-endian numbers as single precision. Doubles are rounded to the nearest; those too large for that are an
/// error, as are types that are no floating-point numbers.
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, String> {
    match dtype {
        Dtype::F32 => Ok(values(bytes, f32::from_le_bytes)),
        Dtype::F16 => Ok(values(bytes, |bytes| from_f16(u16::from_le_bytes(bytes)))),
        // The upper half of a single.
        Dtype::BF16 => Ok(values(bytes, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))),
        Dtype::F64 => doubles(bytes).into_iter().map(from_f64).collect(),
        other => Err(format!("{other} is not converted to F32")),
    }
}

/// Little-endian doubles.
pub(super) fn doubles(bytes: &[u8]) -> Vec<f64> {
    values(bytes, f64::from_le_bytes)
}

fn values<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).filter_map(|bytes| bytes.try_into().ok().map(&value)).collect()
}

fn from_f64(value: f64) -> Result<f32, String> {
    let single = value as f32;
    if value.is_finite() && single.is_infinite() {
        return Err(format!("{value:e} is too large for F32, whose largest number is {:e}", f32::MAX));
    }
    Ok(single)
}

/// Sign, 5 bits of exponent, 10 of fraction: every half is a single, too.
fn from_f16(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, (bits >> 10) & 0x1f, bits & 0x3ff);
    match exponent {
        // Multiples of 2^-24, zero among them.
        0 => f32::from_bits(sign | (fraction as f32 / (1 << 24) as f32).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        // The exponents' offsets are 15 and 127.
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::to_f32;

    /// All 65,536 values of a format of 16 bits, against its definition: (-1)^s 2^(e - bias) 1.f, subnormals with 0.f
    /// and the smallest exponent.
    fn check(dtype: Dtype, exponent_bits: u32) {
        let fraction_bits = 15 - exponent_bits;
        let bias = (1 << (exponent_bits - 1)) - 1;
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let found = to_f32(dtype, &all).unwrap();
        assert_eq!(found.len(), 1 << 16);
        for (bits, found) in (0..=u16::MAX).zip(found) {
            let exponent = i32::from(bits >> fraction_bits & ((1 << exponent_bits) - 1));
            let fraction = f64::from(bits & ((1 << fraction_bits) - 1)) / f64::from(1 << fraction_bits);
            let size = match exponent {
                0 => fraction * 2f64.powi(1 - bias),
                e if e == (1 << exponent_bits) - 1 && fraction == 0.0 => f64::INFINITY,
                e if e == (1 << exponent_bits) - 1 => f64::NAN,
                e => (1.0 + fraction) * 2f64.powi(e - bias),
            };
            assert_eq!(found.is_sign_negative(), bits >> 15 == 1, "{dtype} {bits:#06x}");
            let found = f64::from(found.abs());
            assert!(found == size || found.is_nan() && size.is_nan(), "{dtype} {bits:#06x}: {found} instead of {size}");
        }
    }

    #[test]
    fn every_half_is_what_its_format_says() {
        check(Dtype::F16, 5);
        check(Dtype::BF16, 8);
    }

    #[test]
    fn doubles_are_rounded_and_never_overflow() {
        let convert = |value: f64| to_f32(Dtype::F64, &value.to_le_bytes()).map(|values| values[0]);
        let tie = f64::from(f32::MAX) + 2f64.powi(103);
        for (value, expected) in [
            (0.1, 0.1),
            (-1e-50, -0.0),
            (1e-45, 1e-45),
            (f64::from(f32::MAX), f32::MAX),
            (tie.next_down(), f32::MAX),
            (f64::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(convert(value).unwrap().to_bits(), expected.to_bits(), "{value:e}");
        }
        assert!(convert(f64::NAN).unwrap().is_nan());
        for value in [tie, -tie, f64::MAX] {
            assert!(convert(value).unwrap_err().contains("too large for F32"), "{value:e}");
        }
        assert!(to_f32(Dtype::I64, &[0; 8]).is_err());
    }
}
