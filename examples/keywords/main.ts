import { createListener } from './listener.ts';
import { RATE } from './mfcc.ts';

const list = document.querySelector('ol') as HTMLOListElement;
const button = document.querySelector('button') as HTMLButtonElement;

button.onclick = async () => {
  button.disabled = true;
  const listen = await createListener();
  // The browser resamples: 16 kHz is what the network was trained on.
  const context = new AudioContext({ sampleRate: RATE });
  await context.audioWorklet.addModule(new URL('./microphone.js', import.meta.url));
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const microphone = new AudioWorkletNode(context, 'microphone');
  microphone.port.onmessage = async ({ data }: MessageEvent<Float32Array>) => {
    const word = await listen(data);
    if (word) list.append(Object.assign(document.createElement('li'), { textContent: word }));
  };
  context.createMediaStreamSource(stream).connect(microphone);
};
