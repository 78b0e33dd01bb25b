// Asks the network first, and answers with what the page has kept when there is none. Models are not its business:
// @grim/runtime/cache keeps them, and sees whether they are whole.
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));

addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.url.endsWith('.grim')) return;
  event.respondWith(
    fetch(request).catch(async (error) => {
      const kept = await (await caches.open('page')).match(request);
      if (kept) return kept;
      throw error;
    }),
  );
});
