// A table of the user's own: what its columns are, and a dialogue to say so.
import { $, h } from './element.js';

const roles = [['input', 'the network sees it'], ['class', 'predict it: a class'], ['number', 'predict it: a number'], ['ignored', 'leave it out']];

/**
 * Asks what the columns are. `train(roles)` tries them, and gives a message if they can't be.
 */
export function ask(name, columns, train) {
  const dialog = $('table-dialog');
  const fault = h('p', { className: 'fault', role: 'alert', hidden: true });
  const selects = columns.map((column, at) => h('select', {
    'aria-label': `Column ${column.name}`,
    onchange: () => {
      // One column is predicted.
      if (!['class', 'number'].includes(selects[at].value)) return;
      selects.forEach((other, i) => {
        if (i !== at && ['class', 'number'].includes(other.value)) other.value = columns[i].isNumber ? 'input' : 'ignored';
      });
    },
  }, ...roles.map(([value, words]) => h('option', { value, textContent: words, selected: value === column.role }))));
  const rows = columns.map((column, at) => h('tr', {},
    h('th', { scope: 'row', textContent: column.name }), h('td', { className: 'first', textContent: column.first.join(', ') }), h('td', {}, selects[at])));
  const go = h('button', {
    type: 'button', className: 'primary', textContent: 'Train on it',
    onclick: async () => {
      go.disabled = true;
      const message = await train(selects.map((select) => select.value));
      go.disabled = false;
      fault.textContent = message ?? '';
      fault.hidden = !message;
      if (!message) dialog.close();
    },
  });
  dialog.replaceChildren(
    h('h2', { id: 'table-title', textContent: name }),
    h('p', { className: 'hint', textContent: 'What shall the network learn from this table? Choose one column to predict.' }),
    h('div', { className: 'table-scroll' }, h('table', {},
      h('thead', {}, h('tr', {}, ...['Column', 'First values', 'Use'].map((title) => h('th', { scope: 'col', textContent: title })))),
      h('tbody', {}, ...rows))),
    fault,
    h('div', { className: 'buttons' }, go, h('button', { type: 'button', textContent: 'Cancel', onclick: () => dialog.close() })));
  dialog.showModal();
  go.focus();
}
