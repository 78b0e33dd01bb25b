// Runs on the audio thread: hands over what the microphone gave, 20 ms at a time.
const STEP = 320;

class Microphone extends AudioWorkletProcessor {
  samples = new Float32Array(STEP);
  filled = 0;

  process([[channel]]) {
    for (const sample of channel ?? []) {
      this.samples[this.filled++] = sample;
      if (this.filled === STEP) {
        this.port.postMessage(this.samples);
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor('microphone', Microphone);
