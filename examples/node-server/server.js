// POST the 400 gray bytes of a picture, 20 × 20, and get the probabilities of the ten digits.
import { createServer } from 'node:http';
import { loadModel } from '@grim/runtime';

const model = await loadModel('digits.grim');
const PIXELS = 400;

const server = createServer(async (request, response) => {
  try {
    const bytes = await new Response(request).bytes();
    // In the order that they came: a model runs once at a time.
    const { probabilities } = await model.run({ image: Float32Array.from(bytes, (byte) => byte / 255) });
    response.setHeader('content-type', 'application/json').end(JSON.stringify([...probabilities]));
  } catch (error) {
    // 400: what came is not what the model takes; `message` says how.
    const status = error.code === 'GRIM_RUNTIME_BAD_INPUT' ? 400 : 500;
    response.writeHead(status).end(status === 400 ? `${PIXELS} bytes are needed. ${error.message}` : 'failed');
  }
});
server.listen(process.env.PORT ?? 8080, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
