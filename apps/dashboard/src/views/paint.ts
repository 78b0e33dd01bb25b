/** Cells of a matrix as pixels: a sequential scale of one hue, what was pruned in the colour of the paper. */
import type { HeatAnswer } from '../engine/heat-map.ts';
import type { Theme } from '../theme.ts';

type Colour = readonly [number, number, number];

/** From nothing to the largest weight. */
const SCALES: Readonly<
  Record<Theme, { readonly gone: Colour; readonly stops: readonly Colour[]; readonly line: string }>
> = {
  light: {
    gone: [246, 245, 242],
    stops: [
      [205, 226, 229],
      [92, 165, 178],
      [13, 107, 128],
      [6, 50, 66],
    ],
    line: 'rgba(190, 75, 30, 0.8)',
  },
  dark: {
    gone: [24, 27, 31],
    stops: [
      [26, 66, 78],
      [31, 122, 141],
      [92, 200, 215],
      [225, 250, 250],
    ],
    line: 'rgba(255, 160, 90, 0.8)',
  },
};

/** Pixels of the page. */
const [LEAST_HEIGHT, MOST_HEIGHT] = [150, 420];
/** Lines closer than this hide what is between them. */
const LEAST_GAP = 5;

/** @param width  in pixels of the page; the height follows, within limits: cells of flat and of narrow matrices are no squares */
export function paint(canvas: HTMLCanvasElement, heat: HeatAnswer, theme: Theme, width: number): void {
  const { rows, cols, magnitude, kept, region, block, m, k } = heat;
  const { gone, stops, line } = SCALES[theme];
  const image = new ImageData(cols, rows);
  // Small weights are many: the root spreads them. A table, as there are a hundred thousand cells.
  const table = Array.from({ length: 256 }, (_, i) => along(stops, Math.sqrt(i / 255)));
  const { data } = image;
  for (let cell = 0; cell < rows * cols; cell++) {
    const share = (kept[cell] as number) / 255;
    const colour = table[magnitude[cell] as number] as Colour;
    data[4 * cell] = gone[0] + (colour[0] - gone[0]) * share;
    data[4 * cell + 1] = gone[1] + (colour[1] - gone[1]) * share;
    data[4 * cell + 2] = gone[2] + (colour[2] - gone[2]) * share;
    data[4 * cell + 3] = 255;
  }
  const [high, wide] = [region.bottom - region.top, region.right - region.left];
  const dots = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * dots);
  canvas.height = Math.round(dots * Math.max(LEAST_HEIGHT, Math.min(MOST_HEIGHT, (width * high) / wide)));
  const context = canvas.getContext('2d');
  if (!context) return;
  const source = new OffscreenCanvas(cols, rows);
  source.getContext('2d')?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  if (!block) return;
  context.strokeStyle = line;
  context.lineWidth = dots;
  context.beginPath();
  const [x, y] = [canvas.width / wide, canvas.height / high];
  if (block[0] * y >= LEAST_GAP * dots)
    for (let row = Math.ceil(region.top / block[0]) * block[0]; row < Math.min(m, region.bottom); row += block[0]) {
      const at = Math.round((row - region.top) * y) + 0.5;
      context.moveTo(0, at);
      context.lineTo(canvas.width, at);
    }
  if (block[1] * x >= LEAST_GAP * dots)
    for (let col = Math.ceil(region.left / block[1]) * block[1]; col < Math.min(k, region.right); col += block[1]) {
      const at = Math.round((col - region.left) * x) + 0.5;
      context.moveTo(at, 0);
      context.lineTo(at, canvas.height);
    }
  context.stroke();
}

function along(stops: readonly Colour[], share: number): Colour {
  const at = share * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(at));
  const [a, b] = [stops[low] as Colour, stops[low + 1] as Colour];
  return [0, 1, 2].map(
    (c) => (a[c] as number) + (at - low) * ((b[c] as number) - (a[c] as number)),
  ) as unknown as Colour;
}

/** Black to light by way of violet and orange: no hue of the page, as it is another quantity. */
const HEAT: readonly Colour[] = [
  [8, 8, 20],
  [86, 20, 98],
  [187, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
];

interface Losses {
  readonly wordLines: number;
  readonly columns: number;
  readonly loss: Float32Array;
}

/** Bit lines down, word lines across; the largest loss is the lightest. */
export function paintLoss(canvas: HTMLCanvasElement, { wordLines, columns, loss }: Losses, width: number): void {
  const most = loss.reduce((a, b) => Math.max(a, b), 1e-12);
  const table = Array.from({ length: 256 }, (_, i) => along(HEAT, i / 255));
  const image = new ImageData(wordLines, columns);
  for (let cell = 0; cell < loss.length; cell++) {
    const [r, g, b] = table[Math.round((255 * (loss[cell] as number)) / most)] as Colour;
    image.data.set([r, g, b, 255], 4 * cell);
  }
  const dots = globalThis.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * dots));
  canvas.height = Math.round(
    Math.max(LEAST_HEIGHT, Math.min(MOST_HEIGHT, (width * columns) / Math.max(1, wordLines))) * dots,
  );
  const source = new OffscreenCanvas(wordLines, columns);
  source.getContext('2d')?.putImageData(image, 0, 0);
  const context = canvas.getContext('2d');
  if (!context) return;
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
}
