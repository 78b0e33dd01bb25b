// A worker for platforms that compile WebAssembly when it is uploaded, and never from bytes.
//   npx grim compile model.onnx --dim N=1 --split -o digits.grim
// gives digits.grim (weights) and digits.plain.wasm, digits.relaxed.wasm (code). The bundler of such a platform turns the
// first into an ArrayBuffer and the second into a WebAssembly.Module; wrangler.toml says so.
import { loadModel } from '@grim/runtime';
import file from './digits.grim';
import module from './digits.plain.wasm';

// Once for each instance of the worker, at its first request.
let loading;

export default {
  async fetch(request) {
    loading ??= loadModel(file, { module });
    try {
      const bytes = new Uint8Array(await request.arrayBuffer());
      const { probabilities } = await (await loading).run({ image: Float32Array.from(bytes, (byte) => byte / 255) });
      return Response.json([...probabilities]);
    } catch (error) {
      return new Response(error.message, { status: error.code === 'GRIM_RUNTIME_BAD_INPUT' ? 400 : 500 });
    }
  },
};
