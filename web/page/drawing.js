// Points drawn by hand: by mouse, finger or keyboard.
import { classColour, css } from './draw.js';
import { $, h } from './element.js';
import { pointsOf, pointsText } from './state.js';

const names = ['blue', 'orange', 'green'];
/** The picture's plane goes a little beyond the points': see bounds in src/view.rs. */
const REACH = 1.1;

export class Drawing {
  #now;
  #change;
  #class = 0;
  #cursor = [0, 0];

  /** `now()` gives the settings, also while a run of them is being opened. */
  constructor(now, change) {
    this.#now = now;
    this.#change = change;
    const plane = $('plane');
    plane.addEventListener('click', (event) => {
      if (!this.on) return;
      const box = plane.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width * 2 - 1) * REACH, y = (1 - (event.clientY - box.top) / box.height * 2) * REACH;
      this.#put(x, y, event.shiftKey || event.altKey);
    });
    plane.addEventListener('keydown', (event) => {
      if (!this.on) return;
      const step = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] }[event.key];
      if (step) this.#cursor = this.#cursor.map((at, i) => Math.max(-1, Math.min(1, at + step[i])));
      else if (event.key === 'Enter' || event.key === ' ') this.#put(...this.#cursor);
      else if (event.key === 'Delete') this.#put(...this.#cursor, true);
      else return;
      event.preventDefault();
      event.stopPropagation();
      this.onmove?.();
    });
  }

  get on() { return this.#now().data === 'points'; }

  show() {
    $('plane').classList.toggle('drawing', this.on);
    $('draw-tools').hidden = !this.on;
    if (!this.on) return;
    const focused = document.activeElement?.dataset?.key;
    const points = pointsOf(this.#now());
    $('draw-tools').replaceChildren(
      h('span', {}, 'Click into the picture to add a point:'),
      ...names.map((name, c) => h('button', {
        type: 'button', 'aria-pressed': this.#class === c, 'data-key': `c${c}`,
        onclick: () => { this.#class = c; this.show(); },
      }, h('i', { className: 'dot', style: `background: ${css(classColour(c))}` }), name)),
      h('button', { type: 'button', 'data-key': 'undo', textContent: 'Undo', disabled: !points.length, onclick: () => this.#keep(pointsOf(this.#now()).slice(0, -1)) }),
      h('button', { type: 'button', 'data-key': 'clear', textContent: 'Clear', disabled: !points.length, onclick: () => this.#keep([]) }),
      h('span', { className: 'hint' }, 'Shift-click takes the nearest point away. By keyboard: arrows, Enter, Delete in the picture.'));
    if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  /** The keyboard's place, where the picture has the focus. */
  cursor(canvas) {
    if (!this.on || document.activeElement !== canvas || !canvas.matches(':focus-visible')) return;
    const { width, height } = canvas.getBoundingClientRect(), context = canvas.getContext('2d');
    const x = (this.#cursor[0] / REACH + 1) / 2 * width, y = (1 - this.#cursor[1] / REACH) / 2 * height;
    context.strokeStyle = css(classColour(this.#class));
    context.lineWidth = 2;
    context.strokeRect(x - 8, y - 8, 16, 16);
  }

  #put(x, y, away = false) {
    const points = pointsOf(this.#now());
    if (away) {
      const far = ([a, b]) => Math.hypot(a - x, b - y);
      const nearest = points.reduce((best, point) => (far(point) < far(best) ? point : best), points[0]);
      this.#keep(points.filter((point) => point !== nearest));
    } else if (points.length < 400) {
      this.#keep([...points, [x, y, this.#class]]);
    }
  }

  #keep(points) {
    this.#change({ points: pointsText(points) });
  }
}
