// What outlives a reload: one record in IndexedDB, the run that was on the page last.

const open = () => new Promise((resolve, reject) => {
  const request = indexedDB.open('wgrad-playground', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('runs');
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

async function call(mode, of) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction('runs', mode);
      const request = of(transaction.objectStore('runs'));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** Keeps a record; where the browser has no place for it (a private window), nothing is kept. */
export const keep = (record) => call('readwrite', (store) => store.put(record, 'last')).catch(() => {});

/** The record, if there is one. */
export const kept = () => call('readonly', (store) => store.get('last')).catch(() => undefined);
