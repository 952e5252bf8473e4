//! Colours of the sensor, of sRGB and of CIE XYZ, and the way between them.

use crate::exposure::Matrix;

/// From CIE XYZ (D65) to linear sRGB.
pub const SRGB_FROM_XYZ: Matrix = [
    [3.240_97, -1.537_383_2, -0.498_610_76],
    [-0.969_243_65, 1.875_967_5, 0.041_555_06],
    [0.055_630_08, -0.203_976_96, 1.056_971_5],
];

/// Applies `matrix` to a colour.
pub fn apply(matrix: &Matrix, [r, g, b]: [f32; 3]) -> [f32; 3] {
    matrix.map(|[x, y, z]| x * r + y * g + z * b)
}

/// The matrix that undoes `matrix`, if there is one.
pub fn inverse(matrix: &Matrix) -> Option<Matrix> {
    let [[a, b, c], [d, e, f], [g, h, i]] = *matrix;
    let (ca, cb, cc) = (e * i - f * h, f * g - d * i, d * h - e * g);
    let determinant = a * ca + b * cb + c * cc;
    if determinant.abs() < 1e-6 || !determinant.is_finite() {
        return None;
    }
    let adjugate = [
        [ca, c * h - b * i, b * f - c * e],
        [cb, a * i - c * g, c * d - a * f],
        [cc, b * g - a * h, a * e - b * d],
    ];
    Some(adjugate.map(|row| row.map(|value| value / determinant)))
}

/// First `right`, then `left`.
pub fn product(left: &Matrix, right: &Matrix) -> Matrix {
    let [[a, b, c], [d, e, f], [g, h, i]] = *right;
    left.map(|row| {
        let column = |column: [f32; 3]| row.iter().zip(column).map(|(x, y)| x * y).sum();
        [column([a, d, g]), column([b, e, h]), column([c, f, i])]
    })
}

/// From CIE XYZ to the unbalanced colours of the sensor: what DNG calls ColorMatrix1.
pub fn camera_from_xyz(colour_matrix: &Matrix, [red, blue]: [f32; 2]) -> Option<Matrix> {
    let balanced = product(&inverse(colour_matrix)?, &SRGB_FROM_XYZ);
    let [r, g, b] = balanced;
    Some([
        r.map(|value| value / red.max(0.01)),
        g,
        b.map(|value| value / blue.max(0.01)),
    ])
}

/// How the eye and sRGB encode linear light between 0 and 1.
pub fn encode_srgb(linear: f32) -> f32 {
    if linear <= 0.003_130_8 {
        linear.max(0.0) * 12.92
    } else {
        linear.min(1.0).powf(1.0 / 2.4).mul_add(1.055, -0.055)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_and_its_inverse_cancel() {
        let matrix = [[1.8, -0.6, -0.2], [-0.3, 1.7, -0.4], [0.0, -0.6, 1.6]];
        let identity = product(&matrix, &inverse(&matrix).unwrap());
        for (y, row) in identity.iter().enumerate() {
            for (x, value) in row.iter().enumerate() {
                assert!((value - f32::from(u8::from(x == y))).abs() < 1e-5);
            }
        }
        assert_eq!(inverse(&[[1.0, 1.0, 1.0]; 3]), None);
    }

    #[test]
    fn white_is_what_the_gains_say() {
        let ccm = [[1.8, -0.6, -0.2], [-0.3, 1.7, -0.4], [0.0, -0.6, 1.6]];
        let camera = camera_from_xyz(&ccm, [2.0, 1.6]).unwrap();
        let d65 = apply(&inverse(&SRGB_FROM_XYZ).unwrap(), [1.0; 3]);
        let [r, g, b] = apply(&camera, d65);
        assert!((g / r - 2.0).abs() < 0.01 && (g / b - 1.6).abs() < 0.01);
    }

    #[test]
    fn the_srgb_curve_is_pinned_at_its_ends() {
        assert_eq!(encode_srgb(0.0), 0.0);
        assert!((encode_srgb(1.0) - 1.0).abs() < 1e-6);
        assert!((encode_srgb(0.5) - 0.7354).abs() < 1e-3);
    }

    #[test]
    fn a_matrix_without_an_inverse_and_a_gain_of_nothing_give_no_nonsense() {
        let flat = [[1.0, 1.0, 1.0]; 3];
        assert_eq!(camera_from_xyz(&flat, [2.0, 1.6]), None);
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let camera = camera_from_xyz(&identity, [0.0, 0.0]).unwrap();
        assert!(camera.iter().flatten().all(|value| value.is_finite()));
        let endless = [[f32::INFINITY, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(inverse(&endless), None);
    }
}
