/**
 * Who measures what: jobs that are each wanted from several devices, and leases on them. A lease lives as long as its device is heard
 * of; the job of one that falls silent goes to the next device that asks. Time is asked for, never waited for: nothing here has a timer.
 */

export interface Lease {
  readonly id: string;
  readonly job: number;
  readonly device: string;
}

export interface QueueOptions {
  readonly jobs: number;
  /** Results that are wanted of each job, each from another device. */
  readonly copies: number;
  /** Of silence, until a job is given to another device. */
  readonly leaseMs: number;
  /** Milliseconds, ascending. */
  readonly now: () => number;
  /** Names that nobody guesses. */
  readonly name: () => string;
}

/** `done`: of all that this device can do. `wait`: another device has what is left, and may lose it. */
export type Turn = { readonly kind: 'job'; readonly lease: Lease } | { readonly kind: 'wait' | 'done' };

export class LeaseQueue {
  readonly #options: QueueOptions;
  readonly #devices = new Set<string>();
  /** By job: the devices whose results count. */
  readonly #done: readonly Set<string>[];
  readonly #leases = new Map<string, Lease & { until: number }>();
  /** Of devices that fell silent: their results are taken while the job is still open. */
  readonly #lost = new Map<string, Lease>();

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#done = Array.from({ length: options.jobs }, () => new Set<string>());
  }

  get finished(): boolean {
    return this.#done.every((devices) => devices.size >= this.#options.copies);
  }

  get devices(): number {
    return this.#devices.size;
  }

  /** @returns the name of a new device */
  join(): string {
    const device = this.#options.name();
    this.#devices.add(device);
    return device;
  }

  /** @returns undefined for a device that never joined */
  ask(device: string): Turn | undefined {
    if (!this.#devices.has(device)) return undefined;
    const held = [...this.#leases.values()].find((lease) => lease.device === device);
    if (held) return { kind: 'job', lease: this.#extended(held) };
    const open = this.#done
      .map((devices, job) => ({ job, given: devices.size + this.#holders(job), own: devices.has(device), devices }))
      .filter(({ devices }) => devices.size < this.#options.copies);
    const possible = open.filter(({ own }) => !own);
    if (possible.length === 0) return { kind: 'done' };
    const [next] = possible
      .filter(({ given }) => given < this.#options.copies)
      .sort((a, b) => a.given - b.given || a.job - b.job);
    if (!next) return { kind: 'wait' };
    const lease = { id: this.#options.name(), job: next.job, device, until: 0 };
    this.#leases.set(lease.id, lease);
    return { kind: 'job', lease: this.#extended(lease) };
  }

  /** @returns false where the job was given to another device: it is not to be gone on with */
  beat(id: string): boolean {
    const lease = this.#leases.get(id);
    if (lease) this.#extended(lease);
    return lease !== undefined;
  }

  /** @returns the lease whose result counts; undefined for one that is unknown, or came when the job was done */
  tell(id: string): Lease | undefined {
    const lease = this.#leases.get(id) ?? this.#lost.get(id);
    this.#leases.delete(id);
    this.#lost.delete(id);
    if (!lease) return undefined;
    const devices = this.#done[lease.job] as Set<string>;
    if (devices.size >= this.#options.copies || devices.has(lease.device)) return undefined;
    devices.add(lease.device);
    return lease;
  }

  /** A device that says that it goes. @returns what it gives back */
  leave(device: string): readonly Lease[] {
    return this.#drop((lease) => lease.device === device);
  }

  /** @returns leases of devices that fell silent, once each */
  expire(): readonly Lease[] {
    const now = this.#options.now();
    return this.#drop(({ until }) => until <= now);
  }

  #drop(which: (lease: Lease & { until: number }) => boolean): readonly Lease[] {
    const dropped = [...this.#leases.values()].filter(which);
    for (const lease of dropped) {
      this.#leases.delete(lease.id);
      this.#lost.set(lease.id, lease);
    }
    return dropped;
  }

  #holders(job: number): number {
    return [...this.#leases.values()].filter((lease) => lease.job === job).length;
  }

  #extended(lease: Lease & { until: number }): Lease {
    lease.until = this.#options.now() + this.#options.leaseMs;
    return lease;
  }
}
