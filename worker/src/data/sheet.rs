//! Contact sheets: many small grey images as the tiles of one PNG, for people to look at.

use super::error::DataError;

/// Pixels between the tiles and around them.
const MARGIN: usize = 2;
/// Most pixels of a sheet: a quarter of a gigabyte as PNG's raw data.
const MAX_PIXELS: usize = 256 << 20;

/// How a tile's bytes become grey values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// 255 is black on white paper, as one expects of handwriting.
    Dark,
    /// 255 is white, as the bytes are.
    AsIs,
}

/// Draws `tiles`, row-major bytes of shape [n, height, width], as an 8-bit grey PNG with `columns`
/// tiles in a row, from left to right and top to bottom. Returns the bytes of the PNG file.
///
/// # Errors
/// [`DataError::Sheet`] if there is no tile, the bytes are no whole number of tiles, or the sheet
/// would be too large.
pub fn sheet(tiles: &[u8], height: usize, width: usize, columns: usize, ink: Ink) -> Result<Vec<u8>, DataError> {
    let fail = |why: String| DataError::Sheet { why };
    let area = height.checked_mul(width).filter(|&area| area > 0);
    let area = area.ok_or_else(|| fail(format!("a tile has `{height} x {width}` pixels")))?;
    if tiles.is_empty() || !tiles.len().is_multiple_of(area) || columns == 0 {
        let why = format!("`{}` bytes in `{columns}` columns of {area} bytes each", tiles.len());
        return Err(fail(why));
    }
    let count = tiles.len() / area;
    let columns = columns.min(count);
    let rows = count.div_ceil(columns);
    let side = |tiles: usize, size: usize| tiles.checked_mul(size + MARGIN)?.checked_add(MARGIN);
    let (sheet_width, sheet_height) = (side(columns, width), side(rows, height));
    let size = sheet_width
        .zip(sheet_height)
        .filter(|(width, height)| width.checked_mul(*height).is_some_and(|pixels| pixels <= MAX_PIXELS));
    let (sheet_width, sheet_height) =
        size.ok_or_else(|| fail(format!("`{rows}` rows of `{columns}` tiles are too many pixels")))?;

    // A grey between paper and ink shows where an empty tile ends.
    let (margin, paper) = match ink {
        Ink::Dark => (0xd8, 0xff),
        Ink::AsIs => (0x48, 0x00),
    };
    let mut pixels = vec![margin; sheet_width * sheet_height];
    for place in 0..rows * columns {
        let left = MARGIN + place % columns * (width + MARGIN);
        let top = MARGIN + place / columns * (height + MARGIN);
        for row in 0..height {
            let at = (top + row) * sheet_width + left;
            let line = &mut pixels[at..at + width];
            match tiles.get(place * area + row * width..place * area + (row + 1) * width) {
                Some(bytes) => line.copy_from_slice(bytes),
                None => line.fill(paper),
            }
            if ink == Ink::Dark && place < count {
                line.iter_mut().for_each(|byte| *byte = 255 - *byte);
            }
        }
    }
    encode(&pixels, sheet_width as u32, sheet_height as u32).map_err(|error| fail(error.to_string()))
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stand_in_rows_and_empty_places_are_paper() {
        // Three tiles of 1 x 2 pixels in two columns: a sheet of 10 x 8 pixels.
        let png = sheet(&[255, 0, 10, 20, 30, 40], 1, 2, 2, Ink::Dark).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (10, 8));
        let row = |y: usize| &pixels[y * 10..(y + 1) * 10];
        let m = 0xd8;
        assert_eq!(row(0), [m; 10]);
        assert_eq!(row(2), [m, m, 0, 255, m, m, 245, 235, m, m]);
        assert_eq!(row(5), [m, m, 225, 215, m, m, 255, 255, m, m]);
    }

    #[test]
    fn impossible_sheets_are_refused() {
        assert!(sheet(&[], 2, 2, 1, Ink::AsIs).is_err());
        assert!(sheet(&[0; 5], 2, 2, 1, Ink::AsIs).is_err());
        assert!(sheet(&[0; 4], 2, 2, 0, Ink::AsIs).is_err());
        assert!(sheet(&[0; 4], usize::MAX, 2, 1, Ink::AsIs).is_err());
    }
}
