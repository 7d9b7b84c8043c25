// The settings, which are the address: a link is a run. What is not in it has its default.

export const defaults = {
  data: 'disk', points: '', n: 300, noise: 5, share: 70, seed: 1,
  layers: '6.tanh,6.tanh', loss: 'entropy', opt: 'adam', rate: 0.01, momentum: 0.9, decay: 0, batch: 16, members: 1,
  // The page's own: how long and how fast it trains, on what, and what is shown.
  epochs: 600, speed: 'normal', device: 'auto', x: 0, y: 1,
};

/** Settings that do not change what a run computes. */
const own = ['epochs', 'speed', 'device', 'x', 'y'];

export const activations = ['relu', 'tanh', 'sigmoid', 'gelu', 'silu', 'elu', 'linear'];

export function parse(hash) {
  const settings = { ...defaults };
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ''))) {
    if (!(key in defaults)) continue;
    const number = typeof defaults[key] === 'number';
    if (!number || (value !== '' && Number.isFinite(Number(value)))) settings[key] = number ? Number(value) : value;
  }
  return settings;
}

const text = (settings, keys) => keys
  .filter((key) => key === 'data' || settings[key] !== defaults[key])
  // The characters of settings mean nothing in an address.
  .map((key) => `${key}=${settings[key]}`).join('&');

/** What stands behind the # of the address. */
export const address = (settings) => text(settings, Object.keys(defaults));

/** The part of it that decides what a run computes. */
export const identity = (settings) => text(settings, Object.keys(defaults).filter((key) => !own.includes(key)));

/** Hidden layers: [width, activation] each. */
export const layersOf = (settings) => settings.layers.split(',').filter(Boolean).map((part) => {
  const [width, activation = 'tanh'] = part.split('.');
  return [Number(width), activation];
});

export const layersText = (layers) => layers.map(([width, activation]) => `${width}.${activation}`).join(',');

/** Points drawn by hand, five letters each (see src/data.rs): [x, y, class], x and y from -1 to 1. */
export const pointsOf = (settings) => (settings.points.match(/.{5}/g) ?? []).map((letters) => {
  const at = (from) => Number.parseInt(letters.slice(from, from + 2), 36) / 1295 * 2 - 1;
  return [at(0), at(2), Number.parseInt(letters[4], 36)];
});

export const pointsText = (points) => points.map(([x, y, c]) => {
  const letters = (at) => Math.round((Math.min(1, Math.max(-1, at)) + 1) / 2 * 1295).toString(36).padStart(2, '0');
  return letters(x) + letters(y) + c;
}).join('');
