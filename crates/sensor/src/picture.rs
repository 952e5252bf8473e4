//! A developed picture.

/// Red, green and blue, eight bits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Points in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// Three bytes per point, row by row, without padding.
    pub rgb: Vec<u8>,
}
