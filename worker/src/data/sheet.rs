//! Contact sheets: many small images as the tiles of one PNG, for people to look at.

use swfn_shared::{image::ImageShape, problem, problem::Problem};

/// Pixels between the tiles and around them.
const MARGIN: usize = 2;
/// Most pixels of a sheet, in a grey one 256 MiB before compression.
const MAX_PIXELS: usize = 256 << 20;
/// A grey between paper and ink shows where an empty tile ends.
const MARGIN_GREY: u8 = 0xd8;
const PAPER: u8 = 0xff;

/// Draws `tiles`, bytes of shape [n, height, width, channels], as an 8-bit PNG with `columns` tiles
/// in a row, from left to right and top to bottom. Returns the PNG file. Grey tiles are inverted,
/// so that handwriting is black on white; coloured ones are not.
pub(crate) fn sheet(tiles: &[u8], shape: ImageShape, columns: usize) -> Result<Vec<u8>, Problem> {
    let fail = |why: String| problem!("cannot draw a contact sheet: {why}"; "give at least one tile, all of one size");
    let color = match shape.channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        channels => return Err(fail(format!("a tile has `{channels}` channels"))),
    };
    let (height, width, channels) =
        (shape.height as usize, shape.width as usize, shape.channels as usize);
    let values = shape.values();
    if tiles.is_empty() || values == 0 || !tiles.len().is_multiple_of(values) || columns == 0 {
        let why = format!("`{}` bytes in `{columns}` columns of {values} bytes each", tiles.len());
        return Err(fail(why));
    }
    let count = tiles.len() / values;
    let columns = columns.min(count);
    let rows = count.div_ceil(columns);
    let side = |tiles: usize, size: usize| tiles.checked_mul(size + MARGIN)?.checked_add(MARGIN);
    let (sheet_width, sheet_height) = (side(columns, width), side(rows, height));
    let size = sheet_width.zip(sheet_height).filter(|(width, height)| {
        width.checked_mul(*height).is_some_and(|pixels| pixels <= MAX_PIXELS)
    });
    let (sheet_width, sheet_height) = size
        .ok_or_else(|| fail(format!("`{rows}` rows of `{columns}` tiles are too many pixels")))?;

    let mut pixels = vec![MARGIN_GREY; sheet_width * sheet_height * channels];
    for tile in 0..rows * columns {
        let left = MARGIN + tile % columns * (width + MARGIN);
        let top = MARGIN + tile / columns * (height + MARGIN);
        for row in 0..height {
            let at = ((top + row) * sheet_width + left) * channels;
            let line = &mut pixels[at..at + width * channels];
            let start = tile * values + row * line.len();
            match tiles.get(start..start + line.len()) {
                Some(bytes) => line.copy_from_slice(bytes),
                None => line.fill(PAPER),
            }
            if channels == 1 && tile < count {
                line.iter_mut().for_each(|byte| *byte = 255 - *byte);
            }
        }
    }
    let encode = || {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, sheet_width as u32, sheet_height as u32);
        encoder.set_color(color);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok::<_, png::EncodingError>(bytes)
    };
    encode().map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(png: Vec<u8>) -> (u32, u32, png::ColorType, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, info.color_type, pixels)
    }

    #[test]
    fn tiles_stand_in_rows_on_paper() {
        // Three tiles of 1 x 2 pixels in two columns: a sheet of 10 x 8 pixels.
        let png = sheet(&[255, 0, 10, 20, 30, 40], ImageShape::grey(1, 2), 2).unwrap();
        let (width, height, color, pixels) = decoded(png);
        assert_eq!((width, height, color), (10, 8, png::ColorType::Grayscale));
        let row = |y: usize| &pixels[y * 10..(y + 1) * 10];
        let m = MARGIN_GREY;
        assert_eq!(row(0), [m; 10]);
        assert_eq!(row(2), [m, m, 0, 255, m, m, 245, 235, m, m]);
        assert_eq!(row(5), [m, m, 225, 215, m, m, 255, 255, m, m]);
    }

    #[test]
    fn colours_stay_as_they_are() {
        let shape = ImageShape { height: 1, width: 2, channels: 3 };
        let tile = [255, 0, 10, 20, 30, 40];
        let (width, height, color, pixels) = decoded(sheet(&tile, shape, 7).unwrap());
        assert_eq!((width, height, color), (6, 5, png::ColorType::Rgb));
        assert_eq!(pixels[(2 * 6 + 2) * 3..][..6], tile);
    }

    #[test]
    fn impossible_sheets_are_refused() {
        let (grey, of_two) =
            (ImageShape::grey(2, 2), ImageShape { height: 1, width: 1, channels: 2 });
        assert!(sheet(&[], grey, 1).is_err());
        assert!(sheet(&[0; 5], grey, 1).is_err());
        assert!(sheet(&[0; 4], grey, 0).is_err());
        assert!(sheet(&[0; 4], ImageShape::grey(u32::MAX, 2), 1).is_err());
        assert!(sheet(&[0; 4], of_two, 1).is_err());
    }
}
