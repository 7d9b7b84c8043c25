// The worker as the page sees it: calls that give promises, and events.

export class Lab extends EventTarget {
  #worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  #waiting = new Map();
  #next = 1;

  constructor() {
    super();
    this.#worker.onmessage = ({ data }) => {
      if (data.event) {
        this.dispatchEvent(new CustomEvent(data.event, { detail: data }));
        return;
      }
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error) reject(Object.assign(new Error(data.error.message), { name: data.error.name }));
      else resolve(data.value);
    };
    this.#worker.onerror = (event) => {
      this.dispatchEvent(new CustomEvent('fault', { detail: { message: event.message || 'This browser can’t start the worker that trains.' } }));
    };
  }

  call(call, message = {}) {
    const id = this.#next++;
    this.#worker.postMessage({ id, call, ...message });
    return new Promise((resolve, reject) => { this.#waiting.set(id, { resolve, reject }); });
  }
}
