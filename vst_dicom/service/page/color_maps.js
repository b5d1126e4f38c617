/** Color maps that people with color vision deficiency can read: 33 stops each, from matplotlib (CC0), linear in between. */

const STOPS = {
  viridis:
    '440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d ' +
    '2f6b8e 2c728e 297a8e 26828e 23898e 21918c 1f988b 1fa088 22a785 28ae80 32b67a ' +
    '3fbc73 4ec36b 5ec962 70cf57 84d44b 98d83e addc30 c2df23 d8e219 ece51b fde725',
  magma:
    '000004 030312 0a0822 130d34 1d1147 29115a 36106b 440f76 51127c 5d177f 6a1c81 ' +
    '762181 832681 902a81 9c2e7f aa337d b73779 c43c75 d0416f dc4869 e75263 ef5d5e ' +
    'f56b5c f9795d fc8961 fd9869 fea772 feb67c fec488 fed395 fde2a3 fcf0b2 fcfdbf',
  cividis:
    '00224e 00285b 002e6a 053371 1a386f 273e6e 32436d 3b496c 434e6c 4b546c 535a6d ' +
    '5a5f6e 61656f 686a71 6f7073 767676 7d7c78 848279 8c8878 938e78 9b9476 a39a74 ' +
    'aba072 b4a76f bcae6c c4b468 cdbb63 d5c25e dec958 e7d150 f0d846 f9e03a fee838',
  inferno:
    '000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 57106e 64156e 71196e ' +
    '7d1e6d 8a226a 972766 a32c61 b0315b bc3754 c73e4c d24644 db503b e45a31 eb6628 ' +
    'f1731d f68013 f98e09 fb9d07 fcac11 fbbc21 f9cb35 f5db4c f2ea69 f3f68a fcffa4',
  plasma:
    '0d0887 220690 310597 3f049c 4c02a1 5901a5 6600a7 7201a8 7e03a8 8a09a5 9511a1 ' +
    'a01a9c aa2395 b32c8e bc3587 c43e7f cc4778 d35171 da5a6a e06363 e66c5c eb7655 ' +
    'f0804e f58b47 f89540 fba139 fdac33 feb82c fdc527 fcd225 f8df25 f4ed27 f0f921',
};

export const MAP_NAMES = Object.keys(STOPS);

/** Okabe and Ito's orange and blue: low values of both genes are pale, high values of both dark. */
const BLEND = { low: [244, 241, 234], first: [213, 94, 0], second: [0, 114, 178], both: [44, 16, 48] };

export const N_COLORS = 256;

const tables = new Map();

/** Colors of a map from low to high: `Uint8ClampedArray` of 256 times red, green, blue. */
export function colorTable(name) {
  if (!tables.has(name)) tables.set(name, interpolate(STOPS[name].split(' ').map(parse)));
  return tables.get(name);
}

/** Colors of one of two blended layers while the other is lowest. */
export function blendTable(slot) {
  const key = `blend ${slot}`;
  if (!tables.has(key)) tables.set(key, interpolate([BLEND.low, BLEND[slot]]));
  return tables.get(key);
}

/** Color of two values, each a share from 0 to 1 of its range. */
export function blendColor(first, second) {
  return [0, 1, 2].map((band) => {
    const withoutSecond = BLEND.low[band] + (BLEND.first[band] - BLEND.low[band]) * first;
    const withSecond = BLEND.second[band] + (BLEND.both[band] - BLEND.second[band]) * first;
    return Math.round(withoutSecond + (withSecond - withoutSecond) * second);
  });
}

function parse(hex) {
  return [0, 2, 4].map((start) => parseInt(hex.slice(start, start + 2), 16));
}

function interpolate(stops) {
  const table = new Uint8ClampedArray(N_COLORS * 3);
  for (let index = 0; index < N_COLORS; index += 1) {
    const place = (index / (N_COLORS - 1)) * (stops.length - 1);
    const lower = Math.min(Math.floor(place), stops.length - 2);
    for (let band = 0; band < 3; band += 1) {
      const [from, to] = [stops[lower][band], stops[lower + 1][band]];
      table[index * 3 + band] = from + (to - from) * (place - lower);
    }
  }
  return table;
}
