/** The slide's own DICOM frames as tiles of OpenSeadragon. */

const { OpenSeadragon } = window;

/** A level of the server's answer as one of the viewer, the coarsest first. */
function levelsOf(slide) {
  const levels = slide.levels.map((level) => ({
    width: level.n_columns,
    height: level.n_rows,
    tileWidth: level.frame_n_columns,
    tileHeight: level.frame_n_rows,
    url: (column, row) => {
      if (level.first_frame === null) return level.url.replace('{row}', row).replace('{column}', column);
      const across = Math.ceil(level.n_columns / level.frame_n_columns);
      return level.url.replace('{frame}', level.first_frame + row * across + column);
    },
  }));
  const coarsest = levels.at(-1);
  if (slide.picture && (!coarsest || coarsest.width > 2 * slide.picture.n_columns)) {
    const { n_columns: width, n_rows: height, url } = slide.picture;
    levels.push({ width, height, tileWidth: width, tileHeight: height, url: () => url });
  }
  return levels.reverse();
}

/** Make the tile source of a slide; the total pixel matrix is shown as it is stored. */
export function tileSource(slide) {
  const levels = levelsOf(slide);
  const source = new OpenSeadragon.TileSource({
    width: slide.n_columns,
    height: slide.n_rows,
    tileSize: levels.at(-1).tileWidth,
    tileOverlap: 0,
    minLevel: 0,
    maxLevel: levels.length - 1,
  });
  source.getTileWidth = (level) => levels[level]?.tileWidth ?? 0;
  source.getTileHeight = (level) => levels[level]?.tileHeight ?? 0;
  source.getLevelScale = (level) => (levels[level] ? levels[level].width / slide.n_columns : NaN);
  source.getNumTiles = (level) => {
    const { width, height, tileWidth, tileHeight } = levels[level];
    return new OpenSeadragon.Point(Math.ceil(width / tileWidth), Math.ceil(height / tileHeight));
  };
  source.getTileUrl = (level, column, row) => levels[level].url(column, row);
  source.getTileBounds = (level, column, row, isSource) => {
    const { width, height, tileWidth, tileHeight } = levels[level];
    const [x, y] = [column * tileWidth, row * tileHeight];
    const [w, d] = [Math.min(tileWidth, width - x), Math.min(tileHeight, height - y)];
    if (isSource) return new OpenSeadragon.Rect(0, 0, w, d);
    const scale = 1 / width;
    return new OpenSeadragon.Rect(x * scale, y * scale, w * scale, d * scale);
  };
  source.getTileAtPoint = (level, point) => {
    const { width, tileWidth, tileHeight } = levels[level];
    const n = source.getNumTiles(level);
    const at = (position, size, most) => Math.min(Math.max(Math.floor(position / size), 0), most - 1);
    return new OpenSeadragon.Point(at(point.x * width, tileWidth, n.x), at(point.y * width, tileHeight, n.y));
  };
  return source;
}
