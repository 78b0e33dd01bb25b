/**
 * Do the zeros of a matrix form blocks? The matrix is cut into blocks in every candidate grid; a zero is *explained* when
 * the whole row or the whole column of its block is zero, which is what BCR pruning leaves behind.
 *
 * With z zero rows and c zero columns in a block of h × w, exactly z·w + c·h − z·c of its zeros are explained, so a grid
 * needs two counts per block. Which pieces of a row (or column) are all zero follows for each width from the pieces half
 * as wide; all grids together then cost a dozen passes over the matrix.
 *
 * The finer the blocks, the more scattered zeros they explain by chance: with a share p of zeros, a zero's row of w is
 * otherwise zero with probability p^(w−1). The share of zeros beyond chance that a grid explains is what grids are compared by.
 */

export interface ZeroBlocks {
  /** Zeros of the matrix. */
  readonly zeros: number;
  /** Block of the best grid; a side equal to the matrix's means it is not cut there. Absent: the zeros are scattered. */
  readonly block?: { readonly rows: number; readonly cols: number };
  /** Share of the zeros that whole rows and columns of the blocks explain; of the best grid, whether good enough or not. */
  readonly explained: number;
  /** Pruned (block) rows and columns over all of them. */
  readonly zeroRows: number;
  readonly zeroCols: number;
}

const HEIGHTS = [2, 4, 8, 16, 32, 64];
const WIDTHS = [4, 8, 16, 32, 64, 128, 256];
const UNITS = [1, 2, 4, 8, 16, 32];
/** In matrices of at most this many elements, every divisor of a side is tried as well. */
const SMALL = 2 ** 17;
const LONGEST = 512;
/** Explained zeros from which a structure is reported, of all and beyond chance. */
const EXPLAINED = 0.9;
const BEYOND_CHANCE = 0.8;
/** Grids this close explain the zeros equally well; the coarsest of them says most. */
const TIE = 0.005;

interface Grid extends ZeroBlocks {
  readonly score: number;
  readonly area: number;
}

/**
 * @param zero  row-major [rows, cols], 1 where the weight is 0
 * @param unit  a width that blocks may be multiples of, besides the powers of two: kH·kW of a convolution
 */
export function findZeroBlocks(zero: Uint8Array, rows: number, cols: number, unit = 1): ZeroBlocks {
  let zeros = 0;
  for (let i = 0; i < zero.length; i++) zeros += zero[i] ?? 0;
  const none = { zeros, explained: 0, zeroRows: 0, zeroCols: 0 };
  if (zeros === 0 || zeros === zero.length) return none;

  const share = zeros / zero.length;
  const rowPieces = remember((w) => zeroRowPieces(zero, rows, cols, w));
  const columnPieces = remember((h) => zeroColumnPieces(zero, rows, cols, h));
  const measure = (h: number, w: number): Grid => {
    const { explained, zeroRows, zeroCols } = tally(rowPieces(w), columnPieces(h), rows, cols, h, w);
    const chance = 1 - (1 - share ** (w - 1)) * (1 - share ** (h - 1));
    const part = explained / zeros;
    const score = chance < 1 ? (part - chance) / (1 - chance) : 0;
    const good = part >= EXPLAINED && score >= BEYOND_CHANCE;
    return {
      zeros,
      explained: part,
      zeroRows,
      zeroCols,
      ...(good ? { block: { rows: h, cols: w } } : {}),
      score,
      area: h * w,
    };
  };

  const grids: Grid[] = [];
  for (const [heights, widths] of familiesOf(rows, cols, unit)) {
    const finest = measure(heights[0] ?? rows, widths[0] ?? cols);
    grids.push(finest);
    // A piece that is zero is made of smaller pieces that are: no coarser grid of the family explains more.
    if (finest.explained < EXPLAINED) continue;
    for (const w of widths) for (const h of heights) grids.push(measure(h, w));
  }
  const best = Math.max(...grids.map(({ score }) => score));
  const near = grids.filter(({ score }) => score >= best - TIE).sort((a, b) => b.area - a.area);
  const {
    score: _,
    area: __,
    ...chosen
  } = near.find(({ block }) => block) ?? near[0] ?? { ...none, score: 0, area: 0 };
  return chosen;
}

/** Heights and widths of which every one is cut from the next: the sides of the matrix last. */
function familiesOf(rows: number, cols: number, unit: number): readonly (readonly [number[], number[]])[] {
  const upTo = (list: readonly number[], least: number, end: number): number[] => [
    ...list.filter((n) => n >= least && n < end),
    end,
  ];
  const heights = upTo(HEIGHTS, 2, rows);
  const families: (readonly [number[], number[]])[] = [[heights, upTo(WIDTHS, 3, cols)]];
  if (unit > 1)
    families.push([
      heights,
      upTo(
        UNITS.map((n) => n * unit),
        3,
        cols,
      ),
    ]);
  if (rows * cols > SMALL) return families;
  const odd = (n: number): boolean => (n & (n - 1)) !== 0;
  for (const h of divisors(rows).filter((n) => odd(n) && n < rows)) families.push([[h], upTo(WIDTHS, 3, cols)]);
  for (const w of divisors(cols).filter((n) => odd(n) && n >= 3 && n < cols)) {
    families.push([heights, [w]]);
    for (const h of divisors(rows).filter((n) => odd(n) && n < rows)) families.push([[h], [w]]);
  }
  return families;
}

function divisors(n: number): number[] {
  return Array.from({ length: Math.min(n, LONGEST) }, (_, i) => i + 1).filter((d) => d > 1 && n % d === 0);
}

function remember(make: (size: number) => Uint8Array): (size: number) => Uint8Array {
  const made = new Map<number, Uint8Array>();
  return (size) => {
    const pieces = made.get(size) ?? make(size);
    made.set(size, pieces);
    return pieces;
  };
}

/** [rows, ⌈cols/w⌉]: 1 where that piece of the row is all zero. */
function zeroRowPieces(zero: Uint8Array, rows: number, cols: number, w: number): Uint8Array {
  const across = Math.ceil(cols / w);
  const pieces = new Uint8Array(rows * across).fill(1);
  for (let r = 0; r < rows; r++)
    for (let j = 0; j < across; j++) {
      const start = r * cols + j * w;
      const end = r * cols + Math.min(cols, (j + 1) * w);
      for (let i = start; i < end; i++)
        if (zero[i] === 0) {
          pieces[r * across + j] = 0;
          break;
        }
    }
  return pieces;
}

/** [⌈rows/h⌉, cols]: 1 where that piece of the column is all zero. */
function zeroColumnPieces(zero: Uint8Array, rows: number, cols: number, h: number): Uint8Array {
  const down = Math.ceil(rows / h);
  const pieces = new Uint8Array(down * cols).fill(1);
  for (let r = 0; r < rows; r++) {
    const to = Math.floor(r / h) * cols;
    const from = r * cols;
    for (let c = 0; c < cols; c++) pieces[to + c] = (pieces[to + c] ?? 0) & (zero[from + c] ?? 0);
  }
  return pieces;
}

function tally(
  rowPieces: Uint8Array,
  columnPieces: Uint8Array,
  rows: number,
  cols: number,
  h: number,
  w: number,
): { readonly explained: number; readonly zeroRows: number; readonly zeroCols: number } {
  const across = Math.ceil(cols / w);
  let explained = 0;
  let zeroRows = 0;
  let zeroCols = 0;
  for (let top = 0, i = 0; top < rows; top += h, i++) {
    const height = Math.min(h, rows - top);
    for (let j = 0; j < across; j++) {
      const left = j * w;
      const width = Math.min(w, cols - left);
      let z = 0;
      let c = 0;
      for (let r = top; r < top + height; r++) z += rowPieces[r * across + j] ?? 0;
      for (let col = left; col < left + width; col++) c += columnPieces[i * cols + col] ?? 0;
      explained += z * width + c * height - z * c;
      zeroRows += z;
      zeroCols += c;
    }
  }
  return { explained, zeroRows, zeroCols };
}
