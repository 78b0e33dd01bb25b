/**
 * The page and its workers run under `require-trusted-types-for 'script'`: a string becomes a script's address only by way of this
 * policy, which knows files of this origin alone, and never becomes HTML. Browsers without Trusted Types need nothing.
 * @see W3C Trusted Types
 */
interface Policies {
  createPolicy(name: 'default', rules: { createScriptURL(address: string): string }): unknown;
}

const { trustedTypes } = globalThis as { readonly trustedTypes?: Policies };
// The default one: what other packages start, as the threads of the runtime, goes through it too.
trustedTypes?.createPolicy('default', {
  createScriptURL(address) {
    const { origin, href } = new URL(address, location.href);
    if (origin !== location.origin) throw new TypeError(`scripts of ${origin} are not run`);
    return href;
  },
});
