// Runs on the audio thread: hands over what the microphone gave, an eighth of a second at a time.
const STEP = 1000;

class Microphone extends AudioWorkletProcessor {
  samples = new Float32Array(STEP);
  filled = 0;

  process([[channel]]) {
    for (const sample of channel ?? []) {
      this.samples[this.filled++] = sample;
      if (this.filled < STEP) continue;
      this.port.postMessage(this.samples);
      this.filled = 0;
    }
    return true;
  }
}
registerProcessor('microphone', Microphone);
