/**
 * The browser's side: one script that runs in a page and in workers of every kind, and plays scenes there. A scene is a
 * function of plain data to plain data; the page passes on what is asked of workers.
 */

// biome-ignore lint/suspicious/noExplicitAny: each scene knows what it is asked with
type Scenes = Readonly<Record<string, (argument: any) => Promise<unknown>>>;

/** What went wrong here without failing a scene. */
const troubles: string[] = [];

/**
 * Call it once, at the end of the script.
 * @param url  of this very script, as a module; and of its classic form where there is one
 */
export function stage(scenes: Scenes, url: { readonly module: string; readonly classic?: string }): void {
  addEventListener('error', ({ message }) => troubles.push(`error: ${message}`));
  addEventListener('unhandledrejection', ({ reason }) => troubles.push(`unhandled: ${reason}`));
  addEventListener('securitypolicyviolation', ({ violatedDirective }) => troubles.push(`policy: ${violatedDirective}`));
  const play = async (name: string, argument: unknown): Promise<unknown> => {
    if (name === 'troubles') return troubles.splice(0);
    const scene = scenes[name];
    if (!scene) throw new Error(`no scene ${name}`);
    return scene(argument);
  };
  if ('document' in globalThis) {
    // A second copy on the same page, from a classic script, has a name of its own.
    const key = document.currentScript ? 'callSecond' : 'call';
    Object.assign(globalThis, { [key]: caller(play, url) });
  } else
    addEventListener('message', ({ data, ports: [port] }) => {
      const [name, argument] = data as [string, unknown];
      play(name, argument).then(
        (value) => port?.postMessage({ value }),
        (error) => port?.postMessage({ error: `${error?.stack ?? error}` }),
      );
    });
}

type Play = (name: string, argument: unknown) => Promise<unknown>;
type Target = Worker | ServiceWorker;

function caller(
  play: Play,
  { module, classic }: { readonly module: string; readonly classic?: string },
): (where: string, name: string, argument: unknown) => Promise<unknown> {
  const start: Readonly<Record<string, () => Promise<Target>>> = {
    module: async () => new Worker(module, { type: 'module' }),
    classic: async () => new Worker(classic ?? ''),
    async service() {
      await navigator.serviceWorker.register(module, { type: 'module' });
      return (await navigator.serviceWorker.ready).active as ServiceWorker;
    },
  };
  const workers: Record<string, Promise<Target>> = {};
  return async (where, name, argument) => {
    if (where === 'page') return play(name, argument);
    workers[where] ??= start[where]?.() as Promise<Target>;
    return ask(await workers[where], name, argument);
  };
}

/** Over a channel of its own. */
function ask(worker: Target, name: string, argument: unknown): Promise<unknown> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    port1.onmessage = ({ data: { value, error } }) => (error === undefined ? resolve(value) : reject(new Error(error)));
    worker.addEventListener('error', (event) => reject(new Error((event as ErrorEvent).message)), { once: true });
    worker.postMessage([name, argument], [port2]);
  });
}
