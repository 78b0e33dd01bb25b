/** The built-in networks on what is around: digits before the camera, sounds at the microphone, dense or pruned. */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { AnswerAnswer } from '../engine/answer.ts';
import { ask } from '../engine-client.ts';
import { settings } from '../settings.ts';
import { complain, openBuiltIn, pruned, showWeights, which } from '../store.ts';
import { milliseconds, percent } from '../text.ts';

/** What ends a recording. */
type Stop = () => void;

export function TryView(): VNode {
  const [source, setSource] = useState<'camera' | 'microphone' | undefined>(undefined);
  const [answer, setAnswer] = useState<AnswerAnswer | undefined>(undefined);
  const seen = useRef<HTMLCanvasElement>(null);
  const stop = useRef<Stop | undefined>(undefined);
  // What is still being answered when a recording ends is not shown any more.
  const recording = useRef(0);
  const end = () => {
    recording.current++;
    stop.current?.();
    stop.current = undefined;
    setSource(undefined);
    setAnswer(undefined);
  };
  // Whoever leaves the tab does not leave the camera on.
  useEffect(() => () => stop.current?.(), []);
  const begin = async (kind: 'camera' | 'microphone') => {
    end();
    const network = kind === 'camera' ? 'small-cnn' : 'tiny-gru';
    if (settings.peek().model !== network) await openBuiltIn(network);
    setSource(kind);
    const now = recording.current;
    const show: Show = (one) => {
      if (recording.current === now) setAnswer(one);
    };
    try {
      const started = await (kind === 'camera' ? watch : listen)(() => seen.current, show);
      stop.current = started;
    } catch (error) {
      setSource(undefined);
      complain(
        kind === 'camera' ? 'The camera did not start' : 'The microphone did not start',
        new Error(
          `${error instanceof Error ? error.message : String(error)}. Allow it in the address bar, and try again.`,
        ),
      );
    }
  };
  return (
    <div class="grid two">
      <section class="card" aria-labelledby="sources">
        <h2 id="sources">What is around</h2>
        <p class="muted">
          Pictures and sound go to the network on this page and nowhere else; nothing is kept. They were trained on
          drawn digits and made-up sounds, so hold a calculator close, and whistle.
        </p>
        <p class="actions">
          <button type="button" class="main" onClick={() => void begin('camera')}>
            Digits, by camera
          </button>
          <button type="button" class="main" onClick={() => void begin('microphone')}>
            Sounds, by microphone
          </button>
          {source && (
            <button type="button" onClick={end}>
              Stop
            </button>
          )}
        </p>
        {pruned.value && (
          <fieldset class="switch">
            <legend class="hidden">Which network answers</legend>
            {(['dense', 'pruned'] as const).map((one) => (
              <label key={one}>
                <input type="radio" name="answers" checked={which.value === one} onChange={() => showWeights(one)} />
                {one}
              </label>
            ))}
          </fieldset>
        )}
        {!pruned.value && <p class="muted">Prune the network first to see both answer.</p>}
      </section>
      <section class="card" aria-labelledby="answer" hidden={!source}>
        <h2 id="answer">
          {source === 'microphone' ? 'What it hears' : 'What it sees'}
          {answer && <span class="muted"> {milliseconds(answer.ms)}</span>}
        </h2>
        <canvas class="seen" ref={seen} width={160} height={160} role="img" aria-label="What is given to the network" />
        <ol class="shares" data-testid="shares">
          {answer?.classes.slice(0, 5).map(({ name, share }) => (
            <li key={name}>
              <span>{name}</span>
              <span class="bar" style={{ '--share': share }}>
                {percent(share)}
              </span>
            </li>
          ))}
        </ol>
      </section>
    </div>
  );
}

type Show = (answer: AnswerAnswer) => void;

/** Asks for the next answer when the last one is there; what is left out was never shown. */
function asker(show: Show): (kind: 'picture' | 'sound', values: Float32Array<ArrayBuffer>) => void {
  let busy = false;
  return (kind, values) => {
    if (busy) return;
    busy = true;
    ask('answer', { which: which.peek(), kind, values })
      .then(show, () => {})
      .finally(() => {
        busy = false;
      });
  };
}

const SIDE = 20;
const FRAME_MS = 120;

async function watch(canvas: () => HTMLCanvasElement | null, show: Show): Promise<Stop> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  const give = asker(show);
  const small = new OffscreenCanvas(SIDE, SIDE);
  const timer = setInterval(() => {
    const context = small.getContext('2d', { willReadFrequently: true });
    const side = Math.min(video.videoWidth, video.videoHeight) / 1.5;
    if (!context || side === 0) return;
    const [left, top] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
    context.drawImage(video, left, top, side, side, 0, 0, SIDE, SIDE);
    const values = inkOf(context.getImageData(0, 0, SIDE, SIDE).data);
    paintGray(canvas(), values);
    give('picture', values);
  }, FRAME_MS);
  return () => {
    clearInterval(timer);
    for (const track of stream.getTracks()) track.stop();
  };
}

/** Bright strokes on dark ground, 0 to 1, whichever way round the camera sees it. */
function inkOf(rgba: Uint8ClampedArray): Float32Array<ArrayBuffer> {
  const gray = Float32Array.from(
    { length: rgba.length / 4 },
    (_, i) => 0.299 * (rgba[4 * i] ?? 0) + 0.587 * (rgba[4 * i + 1] ?? 0) + 0.114 * (rgba[4 * i + 2] ?? 0),
  );
  const sorted = gray.toSorted();
  const [low, middle, high] = [0.02, 0.5, 0.98].map((share) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0);
  const range = Math.max(20, (high ?? 0) - (low ?? 0));
  const dark = (middle ?? 0) - (low ?? 0) <= (high ?? 0) - (middle ?? 0);
  return gray.map((value) => Math.max(0, Math.min(1, (dark ? value - (low ?? 0) : (high ?? 0) - value) / range)));
}

function paintGray(canvas: HTMLCanvasElement | null, values: Float32Array): void {
  const context = canvas?.getContext('2d');
  if (!canvas || !context) return;
  const image = new ImageData(SIDE, SIDE);
  values.forEach((value, i) => {
    image.data.set([255 * value, 255 * value, 255 * value, 255], 4 * i);
  });
  const source = new OffscreenCanvas(SIDE, SIDE);
  source.getContext('2d')?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
}

const RATE = 8000;

async function listen(canvas: () => HTMLCanvasElement | null, show: Show): Promise<Stop> {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  // The browser resamples: 8 kHz is what the network was trained on.
  const audio = new AudioContext({ sampleRate: RATE });
  const stop = () => {
    for (const track of stream.getTracks()) track.stop();
    void audio.close();
  };
  try {
    await audio.audioWorklet.addModule(new URL('../microphone.js', import.meta.url));
  } catch (error) {
    stop();
    throw error;
  }
  const second = new Float32Array(RATE);
  const give = asker(show);
  const microphone = new AudioWorkletNode(audio, 'microphone');
  microphone.port.onmessage = ({ data }: MessageEvent<Float32Array>) => {
    second.copyWithin(0, data.length);
    second.set(data, second.length - data.length);
    paintWave(canvas(), second);
    give('sound', second.slice());
  };
  audio.createMediaStreamSource(stream).connect(microphone);
  return stop;
}

function paintWave(canvas: HTMLCanvasElement | null, samples: Float32Array): void {
  const context = canvas?.getContext('2d');
  if (!canvas || !context) return;
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.strokeStyle = getComputedStyle(canvas).color;
  context.beginPath();
  const step = samples.length / width;
  for (let x = 0; x < width; x++) {
    let [low, high] = [0, 0];
    for (let i = Math.floor(x * step); i < Math.floor((x + 1) * step); i++) {
      low = Math.min(low, samples[i] ?? 0);
      high = Math.max(high, samples[i] ?? 0);
    }
    context.moveTo(x + 0.5, (height / 2) * (1 - high) - 0.5);
    context.lineTo(x + 0.5, (height / 2) * (1 - low) + 0.5);
  }
  context.stroke();
}
